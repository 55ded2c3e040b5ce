"""The life of a lesson: hold and confirm, move, cancel, each through HTTP and directly, and the
sweep of expired holds while others book."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson

from app.bookings import sweep
from app.bookings.booking import Outcome
from app.db import Pool
from app.statements import CATALOG, statement
from loadtests.bench import accounts, client
from loadtests.bench.accounts import Student
from loadtests.bench.booking import CALLERS, FINGERPRINT, Lesson, direct, direct_pool, lessons
from loadtests.bench.report import Result, say
from loadtests.bench.stack import Stack
from loadtests.table import milliseconds

AIM_RATIO = 0.5
AIM_SWEEP = 5.0
AIM_WAIT = 0.100
HOLDS_EACH = 5

_confirm = statement("confirm_hold", Outcome)
_reschedule = statement("reschedule_booking", Outcome)
_cancel = statement("cancel_booking", Outcome)
_reserve = statement("reserve", Outcome)
_expired_holds = statement("bench_expired_holds", int)

# Two calls of one caller: its number and the lesson; returns the booking's id.
Hold = Callable[[int, Lesson], Awaitable[str]]
# One call: the caller's number, the student, the booking's id, and the current start.
Change = Callable[[int, Student, str, datetime], Awaitable[None]]
Ways = tuple[Hold, Change, Change]


# ---- hold and confirm, move, cancel


async def changes(stack: Stack, *, quick: bool) -> list[Result]:
    """Calls per second, each kind alternately through HTTP and directly."""
    count, rounds = (200, 1) if quick else (1_000, 4)
    students = await accounts.signed_in(stack, "life", count)
    offers = await accounts.instructors(stack.pool, "life", count, first=accounts.today())
    await stack.pool.execute("analyze")
    schedule = lessons(students, offers)
    seconds: dict[str, list[float]] = {}
    async with _through_http(stack) as http, _directly(stack) as bare:
        for nth in range(rounds + 1):  # the first one warms up
            say("lessons are held, confirmed, moved and cancelled")
            for name, ways in (("http", http), ("bare", bare)):
                # Every second start stays free, for the move.
                batch = [next(schedule) for _ in range(count)]
                for _ in range(count):
                    next(schedule)
                times = await _lives(ways, batch)
                if nth:
                    for kind, took in times.items():
                        seconds.setdefault(f"{kind} {name}", []).append(took)
    names = {
        "hold": "hold → confirm",
        "move": "lessons moved",
        "cancel": "lessons cancelled",
    }
    return [
        _rate(f"{label} through HTTP with keys, {CALLERS} at once", count * rounds,
              sum(seconds[f"{kind} http"]), sum(seconds[f"{kind} bare"]))
        for kind, label in names.items()
    ]  # fmt: skip


def _rate(name: str, count: int, http: float, bare: float) -> Result:
    return Result(
        name,
        f"{count / http:,.0f}/s",
        f"{count / bare:,.0f}/s (direct)",
        f"{bare / http:.2f}",
        f"≥ {AIM_RATIO}",
        bare / http >= AIM_RATIO,
    )


async def _lives(ways: Ways, batch: Sequence[Lesson]) -> dict[str, float]:
    """The seconds of each phase: all lessons are held and confirmed, then moved, then cancelled."""
    hold, move, cancel = ways
    ids: dict[int, str] = {}
    took: dict[str, float] = {}

    async def held(caller: int, nth: int) -> None:
        ids[nth] = await hold(caller, batch[nth])

    async def moved(caller: int, nth: int) -> None:
        student, _, start = batch[nth]
        await move(caller, student, ids[nth], start)

    async def cancelled(caller: int, nth: int) -> None:
        student, _, start = batch[nth]
        await cancel(caller, student, ids[nth], start)

    for name, step in (("hold", held), ("move", moved), ("cancel", cancelled)):
        started = time.perf_counter()
        await _each(step, len(batch))
        took[name] = time.perf_counter() - started
    return took


async def _each(step: Callable[[int, int], Awaitable[None]], count: int) -> None:
    """Calls step(caller, n) for each n, by CALLERS callers."""
    numbers = iter(range(count))

    async def caller(number: int) -> None:
        for nth in numbers:
            await step(number, nth)

    async with asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            group.create_task(caller(number))


@asynccontextmanager
async def _through_http(stack: Stack) -> AsyncIterator[Ways]:
    async with stack.product() as web:
        open_connections = await client.connections(web, CALLERS)

        async def ask(caller: int, request: bytes, expected: int = 200) -> str:
            async with asyncio.timeout(client.ANSWER_SECONDS):
                status, content = await open_connections[caller].ask(request)
            assert status == expected, content
            return str(orjson.loads(content)["id"])

        async def hold(caller: int, lesson: Lesson) -> str:
            student = lesson[0]
            held = await ask(caller, client.booking(web, *lesson, path="/api/holds"), 201)
            path = f"/api/bookings/{held}/confirmation"
            return await ask(caller, client.call(web, student, "POST", path, {}))

        async def move(caller: int, student: Student, booking: str, start: datetime) -> None:
            body = {"start": _later(start)}
            path = f"/api/bookings/{booking}/time"
            await ask(caller, client.call(web, student, "PUT", path, body))

        async def cancel(caller: int, student: Student, booking: str, _: datetime) -> None:
            path = f"/api/bookings/{booking}/cancellation"
            await ask(caller, client.call(web, student, "POST", path, {}))

        try:
            yield hold, move, cancel
        finally:
            for connection in open_connections:
                connection.close()


@asynccontextmanager
async def _directly(stack: Stack) -> AsyncIterator[Ways]:
    """The product's own statements: for each call the session and the change."""
    read_session, _ = CATALOG["open_sessions"]
    async with (
        direct_pool(stack, "direct") as bookings,
        direct_pool(stack, "sessions") as sessions,
    ):

        async def ask(student: Student, sql: str, *values: object) -> str:
            now = datetime.now(UTC)
            await sessions.fetchrow(read_session, [student.session_id], timeout=60)
            key = (now, str(uuid.uuid4()), FINGERPRINT)
            record = await bookings.fetchrow(sql, *_with(values, key), timeout=60)
            assert record is not None
            assert record["booking"], record["refusal"]
            return str(orjson.loads(record["booking"])["id"])

        async def hold(_: int, lesson: Lesson) -> str:
            student, offer, start = lesson
            until = datetime.now(UTC) + timedelta(minutes=5)
            place = (30, None, "12 Main Street", "")
            values = (student.id, offer.service_id, start, *place, _KEY, until, None, None, None)
            held = await ask(student, _reserve.sql, *values)
            return await ask(student, _confirm.sql, student.id, UUID(held), None, None, None, _KEY)

        async def move(_: int, student: Student, booking: str, start: datetime) -> None:
            values = (student.id, UUID(booking), _later(start), None, _KEY)
            await ask(student, _reschedule.sql, *values)

        async def cancel(_: int, student: Student, booking: str, __: datetime) -> None:
            await ask(student, _cancel.sql, student.id, UUID(booking), "", _KEY)

        yield hold, move, cancel


# Where `now`, key and fingerprint belong among the values of a statement.
_KEY = object()


def _with(values: Sequence[object], key: tuple[object, ...]) -> Iterator[object]:
    for value in values:
        if value is _KEY:
            yield from key
        else:
            yield value


def _later(start: datetime) -> datetime:
    return start + timedelta(minutes=30)


# ---- the sweep


async def sweeping(stack: Stack, *, quick: bool) -> list[Result]:
    """Releases expired holds of many calendars, as the worker does, while students book on the same
    calendars."""
    calendars = 400 if quick else 2_000
    students = await accounts.signed_in(stack, "sweep", calendars)
    offers = await accounts.instructors(stack.pool, "sweep", calendars, first=accounts.today())
    (first, *_) = accounts.half_hours(1, 1)
    schedule = lessons(students, offers)
    async with direct(stack) as book:
        bookings = _Bookings(book, schedule)
        await bookings.during(asyncio.sleep(2))
        holds = await _expired_holds.run(
            stack.pool,
            service_ids=[offer.service_id for offer in offers],
            student_ids=[student.id for student in students],
            start=first,
            each=HOLDS_EACH,
            now=datetime.now(UTC),
        )
        await stack.pool.execute("analyze")
        say(f"a sweep of {holds:,} expired holds")
        took, slowest = await bookings.during(_swept(stack.pool, holds))
        _, floor = await bookings.during(asyncio.sleep(took))
    return [
        Result(
            f"a sweep of {holds:,} expired holds in {calendars:,} calendars",
            f"{took:.1f} s", "", "", f"≤ {AIM_SWEEP:.0f} s", took <= AIM_SWEEP,
        ),
        Result(
            "… the slowest booking meanwhile",
            milliseconds(slowest), f"{milliseconds(floor)} (without the sweep)",
            f"{slowest / floor:.1f}×", f"≤ {milliseconds(AIM_WAIT)}", slowest <= AIM_WAIT,
        ),
    ]  # fmt: skip


async def _swept(pool: Pool, holds: int) -> None:
    assert await sweep.run(pool, now=datetime.now(UTC)) == holds


class _Bookings:
    """Students who book one lesson after the other, on all calendars in turn."""

    PACE_SECONDS = 0.005

    def __init__(
        self,
        book: Callable[..., Awaitable[str]],
        schedule: Iterator[Lesson],
    ) -> None:
        self._book = book
        self._schedule = schedule

    async def during(self, work: Awaitable[None]) -> tuple[float, float]:
        """The seconds of the work, and of the slowest booking that began meanwhile."""
        done = asyncio.Event()
        slowest = 0.0

        async def caller(number: int) -> None:
            nonlocal slowest
            while not done.is_set():
                started = time.perf_counter()
                answer = await self._book(number, *next(self._schedule))
                assert answer == "201", answer
                slowest = max(slowest, time.perf_counter() - started)
                await asyncio.sleep(self.PACE_SECONDS)

        async with asyncio.TaskGroup() as group:
            for number in range(2):
                group.create_task(caller(number))
            started = time.perf_counter()
            await work
            took = time.perf_counter() - started
            done.set()
        return took, slowest
