"""How many lessons a second are booked through HTTP, and what two hundred people get who want one time at once; each beside the same
statement asked of Postgres straight, over as many connections as the web process has."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
import orjson

from app.bookings.booking import Outcome
from app.db import statement
from loadtests.bench import client, people
from loadtests.bench.people import Offer, Student
from loadtests.bench.report import Result, say
from loadtests.bench.stack import CONNECTIONS, Stack
from loadtests.table import milliseconds, percentile

INSTRUCTORS = STUDENTS = 2_000
# Requests under way at once.
CALLERS = 32
CROWD = 200
AIM_RATIO = 0.3
# Postgres looks for deadlocks after a second: a tail of that length is one.
DEADLOCK_SECONDS = 1.0

_reserve = statement("reserve", Outcome)
Lesson = tuple[Student, Offer, datetime]
# Caller, and what they book; the answer in words.
Book = Callable[[int, Student, Offer, datetime], Awaitable[str]]


@dataclass
class Tally:
    answers: Counter[str]
    seconds: list[float]

    def slowest(self) -> float:
        return max(self.seconds)


@asynccontextmanager
async def straight(stack: Stack) -> AsyncIterator[Book]:
    """Booking by the product's own statement, without the product."""
    pool = await asyncpg.create_pool(
        stack.dsn(),
        min_size=CONNECTIONS,
        max_size=CONNECTIONS,
        command_timeout=60,
        reset=_as_it_is,
        server_settings={"jit": "off"},
    )

    async def book(_: int, student: Student, offer: Offer, start: datetime) -> str:
        record = await pool.fetchrow(
            _reserve.sql, student.id, offer.service_id, start, 30, None, "", "", datetime.now(UTC), None, None, timeout=60
        )
        assert record is not None
        return "201" if record["booking"] else f"409 {record['refusal']}"

    try:
        yield book
    finally:
        await pool.close()


@asynccontextmanager
async def over_http(stack: Stack, callers: int) -> AsyncIterator[Book]:
    """Booking through one web process, each caller on a connection of its own."""
    async with stack.product() as web:
        open_connections = await client.connections(web, callers)

        async def book(caller: int, student: Student, offer: Offer, start: datetime) -> str:
            async with asyncio.timeout(client.ANSWER_SECONDS):
                status, body = await open_connections[caller].ask(client.booking(web, student, offer, start))
            return str(status) if status < 400 else f"{status} {orjson.loads(body)['code']}"

        try:
            yield book
        finally:
            for connection in open_connections:
                connection.close()


async def _as_it_is(_: object) -> None:
    """Nothing is reset between two statements: a floor pays for no more than it must."""


# ---- how many a second


async def rate(stack: Stack, *, quick: bool) -> list[Result]:
    """Bookings a second, spread over 2,000 instructors."""
    students = await people.signed_in(stack, "rate", STUDENTS)
    offers = await people.instructors(stack.pool, "rate", INSTRUCTORS, first=people.today())
    await stack.pool.execute("analyze")
    schedule = lessons(students, offers)
    turns, seconds = (1, 3.0) if quick else (3, 5.0)
    done = {"http": 0, "straight": 0}
    latencies: list[float] = []
    async with over_http(stack, CALLERS) as book, straight(stack) as floor:
        say("booking through HTTP and straight, in turns")
        for way in (book, floor):  # warm: plans, caches, code
            await _as_many(way, schedule, 1.5)
        await stack.pool.execute("analyze booking")
        for _ in range(turns):
            tally = await _as_many(book, schedule, seconds)
            latencies += tally.seconds
            done["http"] += len(tally.seconds)
            done["straight"] += len((await _as_many(floor, schedule, seconds)).seconds)
    http, bare = (done[way] / (turns * seconds) for way in ("http", "straight"))
    p50, p99 = (milliseconds(percentile(latencies, q)) for q in (50, 99))
    return [
        Result(
            f"bookings through HTTP, one web process, {CALLERS} at once (p50 {p50}, p99 {p99})",
            f"{http:,.0f}/s", f"{bare:,.0f}/s (straight)", f"{http / bare:.2f}", f"≥ {AIM_RATIO}", http / bare >= AIM_RATIO,
        )
    ]  # fmt: skip


def lessons(students: list[Student], offers: list[Offer]) -> Iterator[Lesson]:
    """Lessons that are in nobody's way: at each time every student is with another instructor."""
    for nth, start in enumerate(people.half_hours(2, people.DAYS - 4)):
        for n, offer in enumerate(offers):
            yield students[(n + 37 * nth) % len(students)], offer, start


async def _as_many(book: Book, schedule: Iterator[Lesson], seconds: float) -> Tally:
    """Books lesson after lesson for so long."""
    tally = Tally(Counter(), [])
    ends = time.perf_counter() + seconds

    async def caller(number: int) -> None:
        while (started := time.perf_counter()) < ends:
            tally.answers[await book(number, *next(schedule))] += 1
            tally.seconds.append(time.perf_counter() - started)

    async with asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            group.create_task(caller(number))
    assert tally.answers.keys() == {"201"}, f"not every lesson was booked: {tally.answers}"
    return tally


# ---- one time, and everybody wants it


async def rush(stack: Stack, *, quick: bool) -> list[Result]:
    """Two hundred people want one time at once."""
    students = await people.signed_in(stack, "rush", CROWD)
    (offer,) = await people.instructors(stack.pool, "rush", 1, first=people.today())
    rounds = 3 if quick else 10
    starts = people.half_hours(3, 2)
    http, bare = [], []
    async with over_http(stack, CROWD) as book, straight(stack) as floor:
        say("two hundred people want one time")
        await _at_once(book, students, offer, starts[0])  # warm
        await _at_once(floor, students, offer, starts[1])
        for nth in range(rounds):
            http.append(await _at_once(book, students, offer, starts[2 + 2 * nth]))
            bare.append(await _at_once(floor, students, offer, starts[3 + 2 * nth]))
    won = sum(tally.answers == {"201": 1, "409 SLOT_TAKEN": CROWD - 1} for tally in http)
    slowest, floor_slowest = (max(tally.slowest() for tally in tallies) for tallies in (http, bare))
    strange = Counter[str]()
    for tally in http:
        strange += Counter({answer: n for answer, n in tally.answers.items() if answer not in {"201", "409 SLOT_TAKEN"}})
    return [
        Result(
            f"{CROWD} people want one time, {rounds} times: one 201, the rest SLOT_TAKEN" + (f", {dict(strange)}" if strange else ""),
            f"{won} of {rounds}", f"{sum(t.answers['201'] == 1 for t in bare)} of {rounds} (straight)", "", "all", won == rounds,
        ),
        Result(
            "… the slowest answer of all", milliseconds(slowest), f"{milliseconds(floor_slowest)} (straight)",
            f"{slowest / floor_slowest:.1f}×", "< 1 s", slowest < DEADLOCK_SECONDS,
        ),
    ]  # fmt: skip


async def _at_once(book: Book, students: list[Student], offer: Offer, start: datetime) -> Tally:
    tally = Tally(Counter(), [])
    begins = time.perf_counter()

    async def one(number: int, student: Student) -> None:
        tally.answers[await book(number, student, offer, start)] += 1
        tally.seconds.append(time.perf_counter() - begins)

    async with asyncio.TaskGroup() as group:
        for number, student in enumerate(students):
            group.create_task(one(number, student))
    return tally
