"""`python -m loadtests SCENARIO`: runs a crowd (Locust, in a separate process) and prints the
verdict. Exit status: 0 if all checks passed, 1 if a check failed,
2 if there was no run to check."""

import argparse
import asyncio
import os
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

from loadtests import chaos, crowd, flood_verdict, own_server, removal, results, verdict
from loadtests.removal import NotPermitted, SettingsError, Unavailable
from loadtests.scenarios import MAX_PEOPLE, MAX_SECONDS, SHORT, problem

PASSED, FAILED, NO_RUN = 0, 1, 2
# Time for creating accounts, starting users and settling, beyond the run itself.
_EXTRA_SECONDS = 400
MIN_CHAOS_SECONDS = chaos.CALM_SECONDS + 10
_LOCUSTFILE = Path(__file__).parent / "locustfile.py"
_FLOODFILE = Path(__file__).parent / "flood.py"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(NO_RUN))  # also ends child processes
    try:
        with ExitStack() as stack:
            if options.scenario == "verdict":
                return _judge_results(options, Path(options.results), options.data)
            if options.scenario == "chaos":
                return _chaos(options, stack)
            if options.scenario == "flood":
                return _flood(options, stack)
            if options.scenario == "crowd":
                return _crowd(options)
            url, data, accounts_file = options.url, options.data, options.accounts
            if options.up:
                print("starting a separate product …", flush=True)
                started = stack.enter_context(own_server.product(workers=options.workers))
                url, data = started.url, started.data
                accounts_file = str(data / "accounts.json")
            scenarios = list(SHORT) if options.scenario == "all" else [options.scenario]
            return max(_run(options, scenario, url, data, accounts_file) for scenario in scenarios)
    except own_server.NotReadyError as error:
        print(error, file=sys.stderr)
        return NO_RUN


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m loadtests", description="Crowds, and the verdict on their results."
    )
    scenarios = parser.add_subparsers(dest="scenario", required=True, metavar="SCENARIO")
    for name, text in (
        ("rush", "many students book the same time"),
        ("spread", "many students book with many instructors"),
        ("watch-party", "many screens watch one board while it changes"),
        ("hold-storm", "many holds expire at once, and their times are booked"),
        ("day-in-the-life", "students hold, confirm, move and cancel lessons"),
        ("all", "a short run of each"),
    ):
        load = scenarios.add_parser(name, help=text, description=text)
        people, seconds = SHORT.get(name, (None, None))
        load.add_argument(
            "--url",
            default="http://127.0.0.1:8000",
            help="address of the product (default: %(default)s)",
        )
        load.add_argument(
            "--up",
            action="store_true",
            help="start a separate product instead, and stop it afterwards",
        )
        load.add_argument(
            "--workers", type=int, default=1, help="with --up: number of web processes (default: 1)"
        )
        load.add_argument(
            "--people",
            type=int,
            default=people,
            metavar="N",
            help=f"users or screens, at most {MAX_PEOPLE}",
        )
        load.add_argument(
            "--seconds",
            type=float,
            default=seconds,
            metavar="S",
            help=f"duration, at most {MAX_SECONDS}",
        )
        load.add_argument(
            "--confirm-host",
            default="",
            metavar="HOST",
            help="the same host again, to load another machine",
        )
        load.add_argument(
            "--accounts",
            default="",
            metavar="FILE",
            help="file of accounts that are reused (default: in var/load)",
        )
        load.add_argument(
            "--json", type=Path, metavar="FILE", help="also append the verdict to this file"
        )
        _database(load)
    text = "students book with Sarah Chen on the running product, and are removed afterwards"
    visitors = scenarios.add_parser("crowd", help=text, description=text)
    visitors.add_argument("--url", default="http://127.0.0.1:8000", help="default: %(default)s")
    visitors.add_argument("--people", type=_students, default=20, metavar="N", help="2 to 40")
    visitors.add_argument(
        "--seconds", type=float, default=20.0, metavar="S", help=f"at most {crowd.MAX_SECONDS}"
    )
    visitors.add_argument(
        "--data", type=Path, default=Path("var"), metavar="DIR", help="data folder of `up`"
    )
    text = "floods beside honest visitors, on a separate product with its rate limits on"
    floods = scenarios.add_parser("flood", help=text, description=text)
    floods.add_argument("--people", type=_students, default=10, metavar="N", help="2 to 40")
    floods.add_argument(
        "--seconds",
        type=float,
        default=25.0,
        metavar="S",
        help=f"at most {flood_verdict.MAX_SECONDS}",
    )
    floods.add_argument(
        "--refusals", type=int, default=-1, metavar="N", help="end each flood after N refusals"
    )
    faults = scenarios.add_parser(
        "chaos",
        help="many students book during faults",
        description="Many students book during faults.",
    )
    faults.add_argument(
        "--minutes", type=_minutes, default=5.0, metavar="M", help="duration (default: %(default)g)"
    )
    faults.add_argument(
        "--seed",
        type=int,
        default=1,
        metavar="N",
        help="decides the faults and their times (default: %(default)s)",
    )
    faults.add_argument(
        "--people",
        type=int,
        default=60,
        metavar="N",
        help="number of students (default: %(default)s)",
    )
    faults.add_argument(
        "--json", type=Path, metavar="FILE", help="also append the verdict to this file"
    )
    faults.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="the product's log (default: var/load/chaos-SEED.log)",
    )
    faults.set_defaults(grace=verdict.GRACE_SECONDS, confirm_host="")
    check = scenarios.add_parser(
        "verdict", help="check a run that was started with `locust -f loadtests/locustfile.py`"
    )
    check.add_argument("results", help="the results file of the run")
    check.add_argument(
        "--json", type=Path, metavar="FILE", help="also append the verdict to this file"
    )
    _database(check)
    return parser


def _database(parser: argparse.ArgumentParser) -> None:
    text = "folder of the running `up` whose database to check without DATABASE_URL (default: var)"
    parser.add_argument("--data", type=Path, default=Path("var"), metavar="DIR", help=text)
    text = "seconds after the crowd's end until all changes are published (default: %(default)s)"
    parser.add_argument(
        "--grace", type=float, default=verdict.GRACE_SECONDS, metavar="S", help=text
    )


def _minutes(text: str) -> float:
    minutes = float(text)
    if not MIN_CHAOS_SECONDS <= minutes * 60 <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(
            f"between {MIN_CHAOS_SECONDS / 60:g} and {MAX_SECONDS / 60:g}"
        )
    return minutes


def _students(text: str) -> int:
    if not text.isdecimal() or not 2 <= int(text) <= crowd.MAX_STUDENTS:
        raise argparse.ArgumentTypeError(f"between 2 and {crowd.MAX_STUDENTS}")
    return int(text)


def _crowd(options: argparse.Namespace) -> int:
    """Runs a small crowd on the running product. Its accounts are always removed."""
    if error_message := problem(options.url, options.people, options.seconds, ""):
        print(error_message, file=sys.stderr)
        return NO_RUN
    ids: list[str] = []
    removed = 0
    try:
        with removal.permission(options.data) as address:
            print(f"{options.people} students visit for {options.seconds:g} s …", flush=True)
            try:
                seconds = min(options.seconds, crowd.MAX_SECONDS)
                tally = asyncio.run(crowd.run(options.url, options.people, seconds, ids))
            finally:
                removed = asyncio.run(removal.remove(address, ids))
    except (crowd.CrowdError, SettingsError, NotPermitted, Unavailable, OSError) as error:
        print(error, file=sys.stderr)
        if ids:
            print(f"{removed} of {len(ids)} accounts were removed.", file=sys.stderr)
        return NO_RUN
    except KeyboardInterrupt:
        print("The crowd was stopped and removed.", file=sys.stderr)
        return NO_RUN
    others = ", ".join(f"{n} {code}" for code, n in tally.rush.most_common() if code != "201")
    print(f"All requested one time at once: {tally.rush['201']} got it, the others {others}.")
    print(f"In total, {tally.booked} lessons booked and {tally.cancelled} cancelled.")
    print(f"{removed} accounts removed with their lessons and mails.")
    return PASSED if tally.passed and removed == len(ids) else FAILED


def _flood(options: argparse.Namespace, stack: ExitStack) -> int:
    """Runs floods beside honest visitors, and prints the verdict on both."""
    seconds = min(options.seconds, flood_verdict.MAX_SECONDS)
    print("starting a separate product with its rate limits on …", flush=True)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="instainstru-load-")))
    log = stack.enter_context((folder / "product.log").open("wb"))
    product = stack.enter_context(own_server.product(settings={"RATE_LIMITS": "on"}, log=log))
    tally = folder / "tally.json"
    print(f"\nflood: {options.people} honest visitors for {seconds:g} s …", flush=True)
    command = [
        *(sys.executable, "-m", "locust", "-f", str(_FLOODFILE), "--headless", "--only-summary"),
        *("--host", product.url, "--tally", str(tally), "--honest", str(options.people)),
        *("--run-time", f"{seconds:g}s", "--loglevel", "ERROR"),
        *("--refusals", str(options.refusals)),
    ]
    locust = subprocess.run(  # noqa: S603 — our own program
        command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=300
    )
    _print_errors(locust.stderr.decode(errors="replace"), everything=locust.returncode != 0)
    if locust.returncode != 0 or not tally.exists():
        print("There was no run to check.", file=sys.stderr)
        return NO_RUN
    redis_was_late = b"rate_limits_local" in Path(log.name).read_bytes()
    checks = flood_verdict.judge(orjson.loads(tally.read_bytes()), redis_was_late=redis_was_late)
    print(flood_verdict.text(checks), flush=True)
    return PASSED if all(check.passed for check in checks) else FAILED


def _chaos(options: argparse.Namespace, stack: ExitStack) -> int:
    """Runs a crowd while injecting faults into a separate product, and prints the verdict."""
    log = options.log or Path("var", "load", f"chaos-{options.seed}.log")
    seconds = options.minutes * 60
    faults = chaos.plan(options.seed, seconds - chaos.CALM_SECONDS)
    print(
        f"starting a separate product for {len(faults)} faults (seed {options.seed}; log: {log}) …",
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
        accounts_file="-",
    )
    print(f"\nchaos: {options.people} users for {seconds:g} s …", flush=True)
    with error_file.open("wb") as errors:
        locust = subprocess.Popen(  # noqa: S603 — our own program
            command, stderr=errors, env=os.environ | {"DATABASE_URL": product.database_url}
        )
    try:
        _until(
            lambda: results.started_file(results_file).exists() or locust.poll() is not None,
            _EXTRA_SECONDS,
        )
        repaired_at = product.inject(
            faults, lambda: locust.poll() is None, lambda line: print(line, flush=True)
        )
        print("all faults are repaired; the crowd continues for a while", flush=True)
        locust.wait(seconds + _EXTRA_SECONDS)
    except subprocess.TimeoutExpired:
        print("The crowd did not end in time.", file=sys.stderr)
        return NO_RUN
    finally:
        locust.kill()
        locust.wait()
    _print_errors(error_file.read_text(errors="replace"), everything=locust.returncode != 0)
    if locust.returncode != 0 or not results_file.exists():
        print("There was no run to check.", file=sys.stderr)
        return NO_RUN
    run = results.load(results_file)
    run.repaired_at = repaired_at
    return _verdict(options, run, product.database_url)


def _until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def _locust(
    options: argparse.Namespace,
    scenario: str,
    url: str,
    *,
    people: int,
    seconds: float,
    results_file: Path,
    accounts_file: str,
) -> list[str]:
    """The command that runs a crowd."""
    arguments = {
        "host": url,
        "scenario": scenario,
        "people": str(people),
        "seconds": str(seconds),
        "results": str(results_file),
        "accounts": accounts_file,
        "confirm-host": options.confirm_host,
        "loglevel": "ERROR",
    }
    return [
        *(sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), "--headless", "--only-summary"),
        *(part for name, value in arguments.items() for part in (f"--{name}", value)),
    ]


def _run(
    options: argparse.Namespace, scenario: str, url: str, data: Path, accounts_file: str
) -> int:
    """Runs one crowd and prints its verdict."""
    people = options.people or SHORT[scenario][0]
    seconds = options.seconds or SHORT[scenario][1]
    print(f"\n{scenario}: {people} users for {seconds:g} s …", flush=True)
    with tempfile.TemporaryDirectory(prefix="instainstru-load-") as folder:
        results_file = Path(folder) / "results.json"
        command = _locust(
            options,
            scenario,
            url,
            people=people,
            seconds=seconds,
            results_file=results_file,
            accounts_file=accounts_file,
        )
        try:
            locust = subprocess.run(  # noqa: S603
                command,
                check=False,
                stderr=subprocess.PIPE,
                timeout=seconds + _EXTRA_SECONDS,
                env=os.environ | {"DATABASE_URL": verdict.database_of(data)},
            )
        except subprocess.TimeoutExpired:
            print("The crowd did not end in time.", file=sys.stderr)
            return NO_RUN
        _print_errors(locust.stderr.decode(errors="replace"), everything=locust.returncode != 0)
        if locust.returncode != 0 or not results_file.exists():
            print("There was no run to check.", file=sys.stderr)
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
            f"There is no database to check: no `up` runs in {data}. "
            "Set DATABASE_URL, or use the --data folder of a running `up`.",
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
