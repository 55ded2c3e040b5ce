"""Bookings per second through HTTP, the CPU of Postgres per booking, and the answers when two
hundred students book one time at once. Every booking has an Idempotency-Key, as on the pages. The
floor is the same two statements, which read the session and book the lesson, sent to Postgres over
as many connections as the web process has, half of them for each statement."""

import asyncio
import os
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

import asyncpg
import orjson
import psutil

from app.bookings.booking import Outcome
from app.db import Pool
from app.statements import CATALOG, statement
from loadtests.bench import accounts, client
from loadtests.bench.accounts import Offer, Student
from loadtests.bench.report import Result, say
from loadtests.bench.stack import CONNECTIONS, Stack
from loadtests.table import milliseconds, percentile

INSTRUCTORS = STUDENTS = 2_000
# Concurrent requests.
CALLERS = 32
CROWD = 200
WARM_UP = INSTRUCTORS
AIM_RATIO = 0.6
# 450 µs where the bare insert takes 113 µs.
AIM_CPU_RATIO = 4.0
AIM_RUSH_P99 = 0.120
AIM_REFUSALS = 2_000.0
# Postgres checks for deadlocks after one second, so a tail this long indicates one.
DEADLOCK_SECONDS = 1.0

# Application names of the connections, which identify their backends. Sessions have their own, so
# that the CPU of a booking can be told apart.
WEB, DIRECT, SESSIONS, INSERT = "web", "direct", "sessions", "insert"
FINGERPRINT = os.urandom(32)

_reserve = statement("reserve", Outcome)
_insert = statement("bench_insert_booking", UUID)
_backends = statement("bench_backends", int)
Lesson = tuple[Student, Offer, datetime]
# Arguments: number of the caller, student, offer, start. Returns the status with the code.
Book = Callable[[int, Student, Offer, datetime], Awaitable[str]]


@dataclass
class Tally:
    answers: Counter[str]
    seconds: list[float]

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.answers + other.answers, self.seconds + other.seconds)


@asynccontextmanager
async def direct(stack: Stack) -> AsyncIterator[Book]:
    """Books with the product's own statements, without the product."""
    read_session, _ = CATALOG["open_sessions"]
    async with direct_pool(stack, DIRECT) as bookings, direct_pool(stack, SESSIONS) as sessions:

        async def book(_: int, student: Student, offer: Offer, start: datetime) -> str:
            now, key = datetime.now(UTC), str(uuid.uuid4())
            account = await sessions.fetchrow(read_session, [student.session_id], timeout=60)
            assert account is not None
            record = await bookings.fetchrow(
                _reserve.sql,
                student.id,
                offer.service_id,
                start,
                30,
                None,
                "12 Main Street",
                "",
                now,
                key,
                FINGERPRINT,
                None,  # no hold
                None,  # no limit of lessons ahead, as in the product without RATE_LIMITS
                None,  # nobody else books for the student
                None,
                timeout=60,
            )
            assert record is not None
            return "201" if record["booking"] else f"409 {record['refusal']}"

        yield book


@asynccontextmanager
async def bare_insert(stack: Stack) -> AsyncIterator[Book]:
    """Only inserts the row, under its constraints: no rules, version, audit, mails or event."""
    async with direct_pool(stack, INSERT) as pool:

        async def book(_: int, student: Student, offer: Offer, start: datetime) -> str:
            values = (offer.instructor_id, student.id, offer.service_id)
            end = start + timedelta(minutes=30)
            inserted = await pool.fetchval(_insert.sql, *values, start, end, datetime.now(UTC))
            return "201" if inserted else "409"

        yield book


@asynccontextmanager
async def direct_pool(stack: Stack, name: str) -> AsyncIterator[Pool]:
    pool = await asyncpg.create_pool(
        stack.dsn(),
        min_size=CONNECTIONS // 2,
        max_size=CONNECTIONS // 2,
        command_timeout=60,
        reset=_no_reset,
        server_settings={"application_name": name},
    )
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def over_http(stack: Stack, callers: int) -> AsyncIterator[Book]:
    """Books through one web process, with one connection per caller."""
    async with stack.product() as web:
        open_connections = await client.connections(web, callers)

        async def book(caller: int, student: Student, offer: Offer, start: datetime) -> str:
            async with asyncio.timeout(client.ANSWER_SECONDS):
                status, body = await open_connections[caller].ask(
                    client.booking(web, student, offer, start)
                )
            return str(status) if status < 400 else f"{status} {orjson.loads(body)['code']}"

        try:
            yield book
        finally:
            for connection in open_connections:
                connection.close()


async def _no_reset(_: object) -> None:
    """Skips the reset between two statements, to keep the floor low."""


# ---- bookings per second


async def rate(stack: Stack, *, quick: bool) -> list[Result]:
    """Bookings per second, spread over 2,000 instructors and for one instructor at a time, and the
    CPU of Postgres per booking."""
    students = await accounts.signed_in(stack, "rate", STUDENTS)
    offers = await accounts.instructors(stack.pool, "rate", INSTRUCTORS, first=accounts.today())
    crowd = await accounts.signed_in(stack, "crowd", 1_000)
    popular = await accounts.instructors(stack.pool, "popular", 100, first=accounts.today())
    await stack.pool.execute("analyze")
    async with (
        over_http(stack, CALLERS) as book,
        direct(stack) as floor,
        bare_insert(stack) as insert,
    ):
        methods = {WEB: book, DIRECT: floor}
        say("bookings through HTTP and directly, and bare inserts, alternately")
        spread = await _alternately(
            stack, methods | {INSERT: insert}, lessons(students, offers), quick=quick
        )
        say("the same, all with one instructor at a time")
        one = await _alternately(stack, methods, lessons_with_one(crowd, popular), quick=quick)
    cpu = {method: turns.cpu_us for method, turns in spread.items()}
    return [
        _rate_result(
            f"bookings through HTTP with a key, one web process, {CALLERS} at once", spread
        ),
        _rate_result("… all with one calendar", one),
        Result(
            f"Postgres's CPU for a booking (through HTTP, with its session: {cpu[WEB]:,.0f} µs)",
            f"{cpu[DIRECT]:,.0f} µs",
            f"{cpu[INSERT]:,.0f} µs (the insert alone)",
            f"{cpu[DIRECT] / cpu[INSERT]:.1f}×",
            f"≤ {AIM_CPU_RATIO:.0f}×",
            cpu[DIRECT] <= AIM_CPU_RATIO * cpu[INSERT],
        ),
    ]


@dataclass
class Turns:
    """The bookings of one method in its turns."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    backend_seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds

    @property
    def cpu_us(self) -> float:
        return 1e6 * self.backend_seconds / len(self.latencies)


async def _alternately(
    stack: Stack, methods: dict[str, Book], schedule: Iterator[Lesson], *, quick: bool
) -> dict[str, Turns]:
    # Short turns, because the speed of a shared machine drifts.
    turns, seconds = (3, 1.0) if quick else (15, 1.0)
    # Warm up plans, caches and code. The web process has then seen every service of the schedule.
    for book in methods.values():
        await _book_for(book, islice(schedule, WARM_UP), 60)
    await stack.pool.execute("analyze booking")
    results = {method: Turns() for method in methods}
    for _ in range(turns):
        for method, book in methods.items():
            before = await backend_seconds(stack, method)
            tally = await _book_for(book, schedule, seconds)
            turns_of = results[method]
            turns_of.backend_seconds += await backend_seconds(stack, method) - before
            turns_of.seconds += seconds
            turns_of.latencies += tally.seconds
    return results


async def backend_seconds(stack: Stack, application: str) -> float:
    """The CPU seconds used by the backends of these connections."""
    times_of_backends = [
        psutil.Process(pid).cpu_times()
        for pid in await _backends.all(stack.pool, application=application)
    ]
    return float(sum(times.user + times.system for times in times_of_backends))


def _rate_result(name: str, turns: dict[str, Turns]) -> Result:
    http, bare = turns[WEB].per_second, turns[DIRECT].per_second
    p50, p99 = (milliseconds(percentile(turns[WEB].latencies, q)) for q in (50, 99))
    return Result(
        f"{name} (p50 {p50}, p99 {p99})",
        f"{http:,.0f}/s",
        f"{bare:,.0f}/s (direct)",
        f"{http / bare:.2f}",
        f"≥ {AIM_RATIO}",
        http / bare >= AIM_RATIO,
    )


def lessons(students: list[Student], offers: list[Offer]) -> Iterator[Lesson]:
    """Lessons without conflicts: at each time every student has a different instructor."""
    for nth, start in enumerate(accounts.half_hours(2, accounts.DAYS - 4)):
        for n, offer in enumerate(offers):
            yield students[(n + 37 * nth) % len(students)], offer, start


def lessons_with_one(students: list[Student], offers: list[Offer]) -> Iterator[Lesson]:
    """Lessons without conflicts that fill one instructor's calendar after another."""
    for n, offer in enumerate(offers):
        for nth, start in enumerate(accounts.half_hours(2, accounts.DAYS - 4)):
            yield students[(n + nth) % len(students)], offer, start


async def _book_for(book: Book, schedule: Iterator[Lesson], seconds: float) -> Tally:
    """Books lessons for `seconds`, or until the schedule ends."""
    tally = Tally(Counter(), [])
    deadline = time.perf_counter() + seconds

    async def caller(number: int) -> None:
        for lesson in schedule:
            started = time.perf_counter()
            tally.answers[await book(number, *lesson)] += 1
            tally.seconds.append(time.perf_counter() - started)
            if time.perf_counter() > deadline:
                break

    async with asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            group.create_task(caller(number))
    assert tally.answers.keys() == {"201"}, f"not every lesson was booked: {tally.answers}"
    return tally


# ---- concurrent bookings of one time


async def rush(stack: Stack, *, quick: bool) -> list[Result]:
    """Two hundred students book one time at once, and then repeatedly."""
    students = await accounts.signed_in(stack, "rush", CROWD)
    (offer,) = await accounts.instructors(stack.pool, "rush", 1, first=accounts.today())
    rounds, seconds = (3, 0.5) if quick else (10, 5.0)
    starts = accounts.half_hours(3, 2)
    http, bare = [], []
    async with over_http(stack, CROWD) as book, direct(stack) as floor:
        say("two hundred students request one time")
        await _at_once(book, students, offer, starts[0])  # warms up
        await _at_once(floor, students, offer, starts[1])
        for nth in range(rounds):
            http.append(await _at_once(book, students, offer, starts[2 + 2 * nth]))
            bare.append(await _at_once(floor, students, offer, starts[3 + 2 * nth]))
        say("they keep requesting it")
        refused = await _repeatedly(book, students, offer, starts[0], seconds)
        floor_refused = await _repeatedly(floor, students, offer, starts[0], seconds)
    one_each = sum(tally.answers == {"201": 1, "409 SLOT_TAKEN": CROWD - 1} for tally in http)
    everything, floor_everything = sum(http, Tally(Counter(), [])), sum(bare, Tally(Counter(), []))
    unexpected = {
        answer: n
        for answer, n in everything.answers.items()
        if answer not in {"201", "409 SLOT_TAKEN"}
    }
    slowest, floor_slowest = max(everything.seconds), max(floor_everything.seconds)
    p99, floor_p99 = percentile(everything.seconds, 99), percentile(floor_everything.seconds, 99)
    refusals, floor_refusals = refused / seconds, floor_refused / seconds
    return [
        Result(
            f"{CROWD} students request one time, {rounds} times: one 201, the rest SLOT_TAKEN"
            + (f", {unexpected}" if unexpected else ""),
            f"{one_each} of {rounds}",
            f"{sum(t.answers['201'] == 1 for t in bare)} of {rounds} (direct)",
            "",
            "all",
            one_each == rounds,
        ),
        Result(
            "… p99 of all responses",
            milliseconds(p99),
            f"{milliseconds(floor_p99)} (direct)",
            f"{p99 / floor_p99:.1f}×",
            f"≤ {milliseconds(AIM_RUSH_P99)}",
            p99 <= AIM_RUSH_P99,
        ),
        Result(
            "… the slowest response",
            milliseconds(slowest),
            f"{milliseconds(floor_slowest)} (direct)",
            f"{slowest / floor_slowest:.1f}×",
            "< 1 s",
            slowest < DEADLOCK_SECONDS,
        ),
        Result(
            f"refusals with alternatives for a taken time, {CROWD} at once, for {seconds:g} s",
            f"{refusals:,.0f}/s",
            f"{floor_refusals:,.0f}/s (direct, without alternatives)",
            f"{refusals / floor_refusals:.2f}",
            f"≥ {AIM_REFUSALS:,.0f}/s",
            refusals >= AIM_REFUSALS,
        ),
    ]


async def _repeatedly(
    book: Book, students: list[Student], offer: Offer, start: datetime, seconds: float
) -> int:
    """The number of refusals of those who did not get the time."""
    answers: Counter[str] = Counter()
    deadline = time.perf_counter() + seconds

    async def caller(number: int, student: Student) -> None:
        while time.perf_counter() < deadline:
            answers[await book(number, student, offer, start)] += 1

    async with asyncio.TaskGroup() as group:
        for number, student in enumerate(students):
            group.create_task(caller(number, student))
    return answers["409 SLOT_TAKEN"]


async def _at_once(book: Book, students: list[Student], offer: Offer, start: datetime) -> Tally:
    tally = Tally(Counter(), [])
    started = time.perf_counter()

    async def caller(number: int, student: Student) -> None:
        tally.answers[await book(number, student, offer, start)] += 1
        tally.seconds.append(time.perf_counter() - started)

    async with asyncio.TaskGroup() as group:
        for number, student in enumerate(students):
            group.create_task(caller(number, student))
    return tally
