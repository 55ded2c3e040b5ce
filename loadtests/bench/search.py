"""Searches of a large site: from the words to the results as JSON, without HTTP. The floor reads
the rows of as many services by their keys. And the home page of signed-in students through HTTP,
whose floor is a route without Postgres."""

import gzip
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from urllib.parse import urlencode

import orjson

from app.accounts import session
from app.db import Tx
from app.pages import instructor_cards
from app.search import search, suggestions
from app.search.parse import parse
from app.search.vocabulary import load_vocabulary
from loadtests.bench import client
from loadtests.bench.booking import WEB, backend_seconds
from loadtests.bench.cpu import cpu_seconds
from loadtests.bench.large import INSTRUCTORS, large_stack
from loadtests.bench.report import Result, say
from loadtests.bench.stack import Cluster, Stack, Web
from loadtests.table import milliseconds, percentile

LIMIT = 20
WARM = 60
STUDENTS = 20  # who open the home page in turn
RECENT_SEARCHES = 5
HOME_SECONDS = 0.015
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
            *await _home(stack, rounds * 10),
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
    vocabulary = await load_vocabulary(connection)
    understood = parse(query, vocabulary, now=search.local_now(now))
    sort: search.Sort = "price" if understood.by_price else "soonest"
    matches = await search.find(
        connection, understood, vocabulary, now=now, limit=LIMIT + 1, sort=sort
    )
    return orjson.dumps([search.as_json(item) for item in matches.items])


async def _suggest(connection: Tx, query: str) -> int:
    return len(suggestions.of(query, await load_vocabulary(connection), limit=8))


async def _floor(connection: Tx, _: str) -> int:
    rows = await connection.fetch(
        """select s.id, a.full_name from service s join account a on a.id = s.instructor_id
           where s.is_active order by s.id desc limit $1""",
        LIMIT,
    )
    return len(rows)


async def _home(stack: Stack, rounds: int) -> list[Result]:
    """The home page, compressed, of students with lessons and recent searches."""
    say("the home page of signed-in students")
    tokens = await _students(stack)
    seconds: dict[str, list[float]] = {"page": [], "floor": []}
    async with stack.product() as web:
        (connection,) = await client.connections(web, 1)

        async def get(path: str, token: str) -> tuple[float, bytes]:
            lines = [f"GET {path} HTTP/1.1", f"Host: {web.host}:{web.port}"]
            lines += [f"Authorization: Bearer {token}", "Accept-Encoding: gzip", "", ""]
            started = time.perf_counter()
            status, body = await connection.ask("\r\n".join(lines).encode())
            elapsed = time.perf_counter() - started
            assert status == 200, (path, status)
            return elapsed, body

        for token in tokens:
            for query in WITHOUT_TIME[:RECENT_SEARCHES]:
                await get(f"/search?{urlencode({'q': query})}", token)
        cpu = {"web": 0.0, "postgres": 0.0}
        for number, token in enumerate(islice(cycle(tokens), WARM + rounds)):
            if number == WARM:
                cpu = await _cpu(stack, web)
            elapsed, body = await get("/", token)
            if number >= WARM:
                seconds["page"].append(elapsed)
        cpu = {name: used - cpu[name] for name, used in (await _cpu(stack, web)).items()}
        for _ in range(rounds):
            seconds["floor"].append((await get("/health/live", tokens[0]))[0])
        connection.close()
    page = gzip.decompress(body).decode()
    assert "Your next lessons" in page
    assert page.count('data-service="') == instructor_cards.LIMIT
    assert page.count('action="/api/search/history/') == RECENT_SEARCHES
    p50, p99 = (percentile(seconds["page"], q) for q in (50, 99))
    floor50 = percentile(seconds["floor"], 50)
    return [
        Result(
            "the home page of a signed-in student: p50, p99",
            f"{milliseconds(p50)}, {milliseconds(p99)}",
            f"{milliseconds(floor50)} (a route without Postgres)",
            f"{p50 / floor50:.1f}×",
            f"p50 ≤ {milliseconds(HOME_SECONDS)}",
            p50 <= HOME_SECONDS,
        ),
        Result(
            "the home page, CPU of the web process, and of Postgres",
            ", ".join(f"{used / rounds * 1e3:.1f} ms" for used in cpu.values()),
            "",
            "",
            f"both ≤ {milliseconds(HOME_SECONDS)}",
            sum(cpu.values()) / rounds <= HOME_SECONDS,
        ),
    ]


async def _cpu(stack: Stack, web: Web) -> dict[str, float]:
    return {"web": cpu_seconds(web.pid), "postgres": await backend_seconds(stack, WEB)}


async def _students(stack: Stack) -> list[str]:
    """The session tokens of students with lessons ahead and behind them."""
    ids = await stack.pool.fetch(
        """select b.student_id from booking b
           where b.state = 'confirmed' and lower(b.during) > now() + interval '1 hour'
           group by b.student_id having count(*) >= 2 order by b.student_id limit $1""",
        STUDENTS,
        timeout=60,
    )
    now = datetime.now(UTC)
    return [await session.open(stack.pool, row[0], stack.settings, now=now) for row in ids]
