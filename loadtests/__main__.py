"""`python -m loadtests rush|spread|watch-party|chaos|crowd|all`: sends a crowd (Locust, in a process of its own), then gives the verdict.
Exit status: 0 when all of it held, 1 when something was wrong, 2 when there was no run to judge."""

import argparse
import asyncio
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import orjson

from loadtests import chaos, crowd, own_server, removal, results, verdict
from loadtests.removal import NotPermitted, SettingsError
from loadtests.scenarios import MAX_PEOPLE, MAX_SECONDS, SHORT, refused

PASSED, FAILED, NO_RUN = 0, 1, 2
# Time for creating accounts, starting users and settling, beyond the run itself.
_EXTRA_SECONDS = 400
LEAST_CHAOS_SECONDS = chaos.CALM_SECONDS + 10
_LOCUSTFILE = Path(__file__).parent / "locustfile.py"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(NO_RUN))  # ends child processes, too
    try:
        with ExitStack() as stack:
            if options.scenario == "verdict":
                return _judge_results(options, Path(options.results), options.data)
            if options.scenario == "chaos":
                return _chaos(options, stack)
            if options.scenario == "crowd":
                return _crowd(options)
            url, data, crew = options.url, options.data, options.crew
            if options.up:
                print("starting a product of its own …", flush=True)
                started = stack.enter_context(own_server.product(workers=options.workers))
                url, data = started.url, started.data
                crew = str(data / "crew.json")
            scenarios = list(SHORT) if options.scenario == "all" else [options.scenario]
            return max(_run(options, scenario, url, data, crew) for scenario in scenarios)
    except own_server.NotReadyError as error:
        print(error, file=sys.stderr)
        return NO_RUN


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m loadtests", description="Crowds, and the verdict on what they left behind."
    )
    scenarios = parser.add_subparsers(dest="scenario", required=True, metavar="SCENARIO")
    for name, text in (
        ("rush", "many want one and the same time"),
        ("spread", "many book with many instructors"),
        ("watch-party", "many screens look at one board while it changes"),
        ("all", "a short one of each"),
    ):
        load = scenarios.add_parser(name, help=text, description=text)
        people, seconds = SHORT.get(name, (None, None))
        load.add_argument(
            "--url",
            default="http://127.0.0.1:8000",
            help="where the product runs (default: %(default)s)",
        )
        load.add_argument(
            "--up",
            action="store_true",
            help="start a product of its own instead, and stop it afterwards",
        )
        load.add_argument(
            "--workers", type=int, default=1, help="with --up: how many web processes (default: 1)"
        )
        load.add_argument(
            "--people",
            type=int,
            default=people,
            metavar="N",
            help=f"people or screens, at most {MAX_PEOPLE}",
        )
        load.add_argument(
            "--seconds",
            type=float,
            default=seconds,
            metavar="S",
            help=f"how long, at most {MAX_SECONDS}",
        )
        load.add_argument(
            "--confirm-host",
            default="",
            metavar="HOST",
            help="the very host, to load one that is not this machine",
        )
        load.add_argument(
            "--crew",
            default="",
            metavar="FILE",
            help="where people are kept between runs (default: in var/load)",
        )
        load.add_argument("--json", type=Path, metavar="FILE", help="write the verdict there, too")
        _database(load)
    visitors = scenarios.add_parser(
        "crowd",
        help="students book with Sarah Chen at the running product, and leave again",
        description="Students book with Sarah Chen at the running product, and leave again.",
    )
    visitors.add_argument("--url", default="http://127.0.0.1:8000", help="default: %(default)s")
    visitors.add_argument("--people", type=_students, default=20, metavar="N", help="2 to 40")
    visitors.add_argument(
        "--seconds", type=float, default=20.0, metavar="S", help=f"at most {crowd.MAX_SECONDS}"
    )
    visitors.add_argument("--data", type=Path, default=Path("var"), metavar="DIR", help="of `up`")
    broken = scenarios.add_parser(
        "chaos",
        help="many book while everything breaks",
        description="Many book while everything breaks.",
    )
    broken.add_argument(
        "--minutes", type=_minutes, default=5.0, metavar="M", help="how long (default: %(default)g)"
    )
    broken.add_argument(
        "--seed",
        type=int,
        default=1,
        metavar="N",
        help="decides what breaks when (default: %(default)s)",
    )
    broken.add_argument(
        "--people",
        type=int,
        default=60,
        metavar="N",
        help="how many students (default: %(default)s)",
    )
    broken.add_argument("--json", type=Path, metavar="FILE", help="write the verdict there, too")
    broken.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="the product's log (default: var/load/chaos-SEED.log)",
    )
    broken.set_defaults(grace=verdict.GRACE_SECONDS, confirm_host="")
    again = scenarios.add_parser(
        "verdict", help="judge a run that was started with `locust -f loadtests/locustfile.py`"
    )
    again.add_argument("results", help="the file the run wrote")
    again.add_argument("--json", type=Path, metavar="FILE", help="write the verdict there, too")
    _database(again)
    return parser


def _database(parser: argparse.ArgumentParser) -> None:
    text = "folder of the running `up`, whose database is judged unless DATABASE_URL is set (default: var)"
    parser.add_argument("--data", type=Path, default=Path("var"), metavar="DIR", help=text)
    text = (
        "how long a change may wait to be published once the crowd has gone (default: %(default)s)"
    )
    parser.add_argument(
        "--grace", type=float, default=verdict.GRACE_SECONDS, metavar="S", help=text
    )


def _minutes(text: str) -> float:
    minutes = float(text)
    if not LEAST_CHAOS_SECONDS <= minutes * 60 <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(
            f"between {LEAST_CHAOS_SECONDS / 60:g} and {MAX_SECONDS / 60:g}"
        )
    return minutes


def _students(text: str) -> int:
    if not text.isdecimal() or not 2 <= int(text) <= crowd.MAX_STUDENTS:
        raise argparse.ArgumentTypeError(f"between 2 and {crowd.MAX_STUDENTS}")
    return int(text)


def _crowd(options: argparse.Namespace) -> int:
    """A small crowd at the running product. Its accounts are removed whatever happens."""
    if problem := refused(options.url, options.people, options.seconds, ""):
        print(problem, file=sys.stderr)
        return NO_RUN
    ids: list[str] = []
    try:
        with removal.permitted(options.data) as address:
            print(f"{options.people} students come for {options.seconds:g} s …", flush=True)
            try:
                seconds = min(options.seconds, crowd.MAX_SECONDS)
                tally = asyncio.run(crowd.send(options.url, options.people, seconds, ids))
            finally:
                removed = asyncio.run(removal.remove(address, ids))
    except (crowd.CrowdError, SettingsError, NotPermitted, OSError) as error:
        print(error, file=sys.stderr)
        return NO_RUN
    except KeyboardInterrupt:
        print("The crowd left early and was removed.", file=sys.stderr)
        return NO_RUN
    others = ", ".join(f"{n} {code}" for code, n in tally.rush.most_common() if code != "201")
    print(f"All wanted one time at once: {tally.rush['201']} got it, the others {others}.")
    print(f"In all, {tally.booked} lessons booked and {tally.cancelled} cancelled.")
    print(f"{removed} accounts removed with their lessons and mails.")
    return PASSED if tally.passed and removed == len(ids) else FAILED


def _chaos(options: argparse.Namespace, stack: ExitStack) -> int:
    """Runs a crowd while injecting faults into a separate product, and prints the verdict."""
    log = options.log or Path("var", "load", f"chaos-{options.seed}.log")
    seconds = options.minutes * 60
    faults = chaos.plan(options.seed, seconds - chaos.CALM_SECONDS)
    print(
        f"starting a product of its own, which will have {len(faults)} faults (seed {options.seed}; its log: {log}) …",
        flush=True,
    )
    product = stack.enter_context(chaos.product(log))
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="instainstru-load-")))
    results_file, error_file = folder / "results.json", folder / "errors"
    command = _locust(
        options,
        "chaos",
        product.url,
        people=options.people,
        seconds=seconds,
        results_file=results_file,
        crew="-",
    )
    print(f"\nchaos: {options.people} people for {seconds:g} s …", flush=True)
    with error_file.open("wb") as errors:
        locust = subprocess.Popen(command, stderr=errors)  # noqa: S603 — our own program
    try:
        _until(
            lambda: results.started_file(results_file).exists() or locust.poll() is not None,
            _EXTRA_SECONDS,
        )
        mended = product.inject(
            faults, lambda: locust.poll() is None, lambda line: print(line, flush=True)
        )
        print("everything is mended; the crowd goes on for a while", flush=True)
        locust.wait(seconds + _EXTRA_SECONDS)
    except subprocess.TimeoutExpired:
        print("The crowd did not come to an end.", file=sys.stderr)
        return NO_RUN
    finally:
        locust.kill()
        locust.wait()
    _print_errors(error_file.read_text(errors="replace"), everything=locust.returncode != 0)
    if locust.returncode != 0 or not results_file.exists():
        print("There was no run to judge.", file=sys.stderr)
        return NO_RUN
    run = results.load(results_file)
    run.mended = mended
    return _verdict(options, run, product.database_url)


def _until(condition: Callable[[], bool], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends:
        time.sleep(0.05)


def _locust(
    options: argparse.Namespace,
    scenario: str,
    url: str,
    *,
    people: int,
    seconds: float,
    results_file: Path,
    crew: str,
) -> list[str]:
    """The command that runs a crowd."""
    command = [
        sys.executable,
        "-m",
        "locust",
        "-f",
        str(_LOCUSTFILE),
        "--headless",
        "--only-summary",
        "--loglevel",
        "ERROR",
    ]
    command += [
        "--host",
        url,
        "--scenario",
        scenario,
        "--people",
        str(people),
        "--seconds",
        str(seconds),
    ]
    return [
        *command,
        "--results",
        str(results_file),
        "--crew",
        crew,
        "--confirm-host",
        options.confirm_host,
    ]


def _run(options: argparse.Namespace, scenario: str, url: str, data: Path, crew: str) -> int:
    """Runs one crowd and prints its verdict."""
    people = options.people or SHORT[scenario][0]
    seconds = options.seconds or SHORT[scenario][1]
    print(f"\n{scenario}: {people} people for {seconds:g} s …", flush=True)
    with tempfile.TemporaryDirectory(prefix="instainstru-load-") as folder:
        results_file = Path(folder) / "results.json"
        command = _locust(
            options,
            scenario,
            url,
            people=people,
            seconds=seconds,
            results_file=results_file,
            crew=crew,
        )
        try:
            locust = subprocess.run(  # noqa: S603
                command, check=False, stderr=subprocess.PIPE, timeout=seconds + _EXTRA_SECONDS
            )
        except subprocess.TimeoutExpired:
            print("The crowd did not come to an end.", file=sys.stderr)
            return NO_RUN
        _print_errors(locust.stderr.decode(errors="replace"), everything=locust.returncode != 0)
        if locust.returncode != 0 or not results_file.exists():
            print("There was no run to judge.", file=sys.stderr)
            return NO_RUN
        return _judge_results(options, results_file, data)


def _print_errors(output: str, *, everything: bool) -> None:
    """Prints Locust's warnings and errors without its table, as the verdict has a better one."""
    for line in output.splitlines():
        if everything or re.match(r"\[.*/(WARNING|ERROR|CRITICAL)/", line):
            print(line, file=sys.stderr)


def _judge_results(options: argparse.Namespace, results_file: Path, data: Path) -> int:
    database_url = verdict.database_of(data)
    if not database_url:
        print(
            f"No database to judge by: set DATABASE_URL, or give the --data folder of a running `up` ({data} is none).",
            file=sys.stderr,
        )
        return NO_RUN
    return _verdict(options, results.load(results_file), database_url)


def _verdict(options: argparse.Namespace, run: results.Results, database_url: str) -> int:
    result = asyncio.run(verdict.judge(database_url, run, grace=options.grace))
    print(verdict.text(run, result), flush=True)
    if options.json:
        summary = {
            "scenario": run.scenario,
            "people": run.people,
            "passed": result.passed,
        } | asdict(result)
        with options.json.open("ab") as file:
            file.write(orjson.dumps(summary, option=orjson.OPT_APPEND_NEWLINE))
    return PASSED if result.passed else FAILED


if __name__ == "__main__":
    sys.exit(main())
