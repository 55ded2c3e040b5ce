"""Searches of a large site: from the words to the results as JSON, without HTTP. The floor reads
the rows of as many services by their keys."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path

import orjson

from app.db import Tx
from app.search import search, suggestions, vocabulary
from app.search.parse import parse
from loadtests.bench.cpu import cpu_seconds
from loadtests.bench.large import INSTRUCTORS, large_stack
from loadtests.bench.report import Result, say
from loadtests.bench.stack import Cluster
from loadtests.table import milliseconds, percentile

LIMIT = 20
WARM = 60
# What is asked for most, and what is hardest: popular subjects, whole categories, no subject at
# all, rare ones, words, prices, areas, levels.
WITHOUT_TIME = (
    "piano",
    "guitar under $60",
    "paino lessons in brooklyn",
    "spanish tutor for kids near me",
    "violin near park slope",
    "yoga for beginners",
    "music lessons",
    "language tutor under $50",
    "in manhattan",
    "cheap chess",
    "",
    "french between $40 and $60 upper west side",
    "patient piano",
    "anna brown",
    "singing",
    "calculus",
    "swimming for adults in queens",
    "improvise",
)
WITH_TIME = (
    "piano tomorrow evening",
    "paino under $80 tomorrow evening in brooklyn",
    "guitar this weekend",
    "yoga tomorrow morning in manhattan",
    "spanish after 6pm",
    "violin saturday afternoon under $70",
    "chess for kids on sunday",
    "music lessons tomorrow",
    "tomorrow evening",
    "in brooklyn tomorrow evening",
    "french next tuesday at 5:30pm",
    "language tutor friday 6-8pm",
)
PREFIXES = (
    "p",
    "pia",
    "paino",
    "guit",
    "spanish in bro",
    "yoga un",
    "mus",
    "engl",
    "xyzzy",
    "photgr",
)


async def measure(databases: Cluster, folder: Path, *, quick: bool) -> list[Result]:
    """The time of each kind of search, and the CPU time of Postgres and Python for it, which other
    programs on the machine change less."""
    rounds = 5 if quick else 30
    async with large_stack(databases, folder) as stack, stack.pool.acquire() as connection:
        say(f"searches among {INSTRUCTORS:,} instructors")
        floor = await _timed(connection, _floor, ("",), rounds * 10)
        return [
            *_results(
                "search", await _timed(connection, _search, WITHOUT_TIME, rounds), floor, 8, 30
            ),
            *_results(
                "search with a day or time",
                await _timed(connection, _search, WITH_TIME, rounds),
                floor,
                None,
                60,
            ),
            *_results(
                "suggestions", await _timed(connection, _suggest, PREFIXES, rounds), floor, None, 10
            ),
        ]


Times = list[tuple[float, float]]  # elapsed and CPU seconds


def _results(
    name: str, seconds: Times, floor: Times, most50: int | None, most99: int
) -> list[Result]:
    rows = []
    for kind, label in enumerate((f"{name}: p50, p99", f"{name}, CPU: p50, p99")):
        p50, p99 = (percentile([each[kind] for each in seconds], q) for q in (50, 99))
        floor50 = percentile([each[kind] for each in floor], 50)
        rows.append(
            Result(
                label,
                f"{milliseconds(p50)}, {milliseconds(p99)}",
                f"{milliseconds(floor50)} ({LIMIT} rows)",
                f"{p50 / floor50:.1f}×",
                f"p50 ≤ {most50} ms, p99 ≤ {most99} ms" if most50 else f"p99 ≤ {most99} ms",
                p99 <= most99 / 1000 and (most50 is None or p50 <= most50 / 1000),
            )
        )
    return rows


async def _timed(
    connection: Tx,
    work: Callable[[Tx, str], Awaitable[object]],
    queries: tuple[str, ...],
    rounds: int,
) -> Times:
    backend = connection.get_server_pid()
    times: Times = []
    for number, query in enumerate(islice(cycle(queries), WARM + rounds * len(queries))):
        cpu = cpu_seconds(backend) + time.process_time()
        started = time.perf_counter()
        await work(connection, query)
        elapsed = time.perf_counter() - started
        if number >= WARM:
            times.append((elapsed, cpu_seconds(backend) + time.process_time() - cpu))
    return times


async def _search(connection: Tx, query: str) -> bytes:
    now = datetime.now(UTC)
    words = await vocabulary.load(connection)
    understood = parse(query, words, now=search.local_now(now))
    sort: search.Sort = "price" if understood.by_price else "soonest"
    items = await search.items(connection, understood, words, now=now, limit=LIMIT + 1, sort=sort)
    return orjson.dumps([search.as_json(item) for item in items])


async def _suggest(connection: Tx, query: str) -> int:
    return len(suggestions.of(query, await vocabulary.load(connection), limit=8))


async def _floor(connection: Tx, _: str) -> int:
    rows = await connection.fetch(
        """select s.id, a.full_name from service s join account a on a.id = s.instructor_id
           where s.is_active order by s.id desc limit $1""",
        LIMIT,
    )
    return len(rows)
