"""Searches of a large site: from the words to the results as JSON, without HTTP. The floor reads
the rows of as many services by their keys."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path

import orjson

from app.search import search, suggestions, vocabulary
from app.search.parse import parse
from loadtests.bench.large import INSTRUCTORS, large_stack
from loadtests.bench.report import Result, say
from loadtests.bench.stack import Cluster, Stack
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
    async with large_stack(databases, folder) as stack:
        say(f"searches among {INSTRUCTORS:,} instructors")
        rounds = 5 if quick else 30
        floor = await _timed(stack, _floor, ("",), rounds * 10)
        return [
            _result("search", await _timed(stack, _search, WITHOUT_TIME, rounds), floor, 8, 30),
            _result(
                "search with a day or time",
                await _timed(stack, _search, WITH_TIME, rounds),
                floor,
                None,
                60,
            ),
            _result(
                "suggestions", await _timed(stack, _suggest, PREFIXES, rounds), floor, None, 10
            ),
        ]


def _result(
    name: str, seconds: list[float], floor: list[float], most50: int | None, most99: int
) -> Result:
    p50, p99 = percentile(seconds, 50), percentile(seconds, 99)
    return Result(
        f"{name}, {INSTRUCTORS:,} instructors: p50, p99",
        f"{milliseconds(p50)}, {milliseconds(p99)}",
        f"{milliseconds(percentile(floor, 50))} ({LIMIT} rows)",
        f"{p50 / percentile(floor, 50):.1f}×",
        f"p50 ≤ {most50} ms, p99 ≤ {most99} ms" if most50 else f"p99 ≤ {most99} ms",
        p99 <= most99 / 1000 and (most50 is None or p50 <= most50 / 1000),
    )


async def _timed(
    stack: Stack,
    work: Callable[[Stack, str], Awaitable[object]],
    queries: tuple[str, ...],
    rounds: int,
) -> list[float]:
    seconds = []
    for number, query in enumerate(islice(cycle(queries), WARM + rounds * len(queries))):
        started = time.perf_counter()
        await work(stack, query)
        if number >= WARM:
            seconds.append(time.perf_counter() - started)
    return seconds


async def _search(stack: Stack, query: str) -> bytes:
    now = datetime.now(UTC)
    words = await vocabulary.load(stack.pool)
    understood = parse(query, words, now=search.local_now(now))
    sort: search.Sort = "price" if understood.by_price else "soonest"
    items = await search.items(stack.pool, understood, words, now=now, limit=LIMIT + 1, sort=sort)
    return orjson.dumps([search.as_json(item) for item in items])


async def _suggest(stack: Stack, query: str) -> int:
    return len(suggestions.of(query, await vocabulary.load(stack.pool), limit=8))


async def _floor(stack: Stack, _: str) -> int:
    rows = await stack.pool.fetch(
        """select s.id, a.full_name from service s join account a on a.id = s.instructor_id
           where s.is_active order by s.id desc limit $1""",
        LIMIT,
    )
    return len(rows)
