"""`python -m loadtests.bench` prints each measurement with a floor from the same run. Postgres,
Redis, the web process, the relay and this process (the clients) share the machine's cores.
Measurements run one at a time."""

import argparse
import asyncio
import logging
import platform
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import psutil
import structlog
import uvloop

from app.embedded import EmbeddedError
from loadtests.bench import (
    availability,
    booking,
    fanout,
    life,
    mails,
    middleware,
    million,
    next_free,
    peers,
    public,
    reconnect,
    screens,
    search,
)
from loadtests.bench.report import Result, say, table
from loadtests.bench.stack import BenchError, Cluster, cluster, fresh_stack

# By letter, in the order of execution: the most sensitive to other load come first.
_ON_A_STACK: dict[str, tuple[str, Callable[..., Awaitable[list[Result]]]]] = {
    "d": ("memory per idle socket", fanout.memory),
    "c": ("one change to 2,000 sockets", fanout.fan_out),
    "b": ("from commit to screen", screens.latency),
    "f": ("200 students, one time", booking.rush),
    "h": ("free next among 10,000 instructors", next_free.measure),
    "a": ("bookings a second", booking.rate),
    "i": ("5,000 sockets at once", reconnect.storm),
    "j": ("the loop with 5,000 idle sockets", reconnect.idle),
    "g": ("the two mails of a booking", mails.delivery),
    "k": ("a year and a week of availability", availability.editing),
    "l": ("hold and confirm, move, cancel", life.changes),
    "m": ("10,000 expired holds", life.sweeping),
    "v": ("public availability, cached and from Postgres", public.measure),
    "w": ("the cost of all middleware", middleware.measure),
    "p": ("comparison with alternatives", peers.compare),
}
_NAMES = {
    "e": "the board's snapshot, alone and among a million bookings",
    "s": "searches and suggestions on a large site",
} | {key: name for key, (name, _) in _ON_A_STACK.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m loadtests.bench",
        description="Measurements, each with a floor from the same run.",
    )
    letters = "; ".join(f"{letter}: {_NAMES[letter]}" for letter in sorted(_NAMES))
    parser.add_argument("--only", default="", metavar="a,c", help=f"some of: {letters}")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="fewer and shorter rounds: a quick look, not a measurement",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("var", "bench"),
        metavar="DIR",
        help="folder of its databases (default: var/bench)",
    )
    options = parser.parse_args(arguments)
    letters_to_run = [
        letter.strip() for letter in options.only.split(",") if letter.strip()
    ] or sorted(_NAMES)
    if unknown := sorted(set(letters_to_run) - set(_NAMES)):
        parser.error(f"there is no {', '.join(unknown)}; {letters}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    started, busy = time.monotonic(), psutil.getloadavg()[0]
    try:
        with cluster(options.data) as postgres:
            results = uvloop.run(
                _all(postgres, options.data, set(letters_to_run), quick=options.quick)
            )
    except (BenchError, EmbeddedError) as error:
        print(error, file=sys.stderr)
        return 1
    print(_machine(busy))
    print(table(results))
    say(f"took {time.monotonic() - started:.0f} s")
    return 0


async def _all(
    postgres: Cluster, folder: Path, letters_to_run: set[str], *, quick: bool
) -> list[Result]:
    results: dict[str, list[Result]] = {}
    for letter, (_, measure) in _ON_A_STACK.items():
        if letter in letters_to_run:
            async with fresh_stack(postgres, folder) as stack:
                results[letter] = await _bounded(measure(stack, quick=quick))
    if "e" in letters_to_run:
        results["e"] = await _bounded(million.measure(postgres.dsn("postgres"), quick=quick))
    if "s" in letters_to_run:
        results["s"] = await search.measure(postgres, folder, quick=quick)
    return [result for letter in sorted(results) for result in results[letter]]


async def _bounded(work: Awaitable[list[Result]]) -> list[Result]:
    async with asyncio.timeout(600):
        return await work


def _machine(busy: float) -> str:
    """The machine of the measurement; `busy` is the load average before it."""
    gigabytes = psutil.virtual_memory().total / 2**30
    text = (
        f"{platform.system()} {platform.machine()}, {psutil.cpu_count()} cores, "
        f"{gigabytes:.0f} GB, Python {platform.python_version()}"
    )
    if busy > 0.5 * (psutil.cpu_count() or 1):
        text += f"; other programs kept it busy (load average {busy:.1f}), so compare the ratios"
    return text


if __name__ == "__main__":
    sys.exit(main())
