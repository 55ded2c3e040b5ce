"""The snapshot of a board in a calendar with 5,000 lessons, alone and among a million other
lessons. Both databases are built once with COPY and reused; a comment on each stores its form."""

import hashlib
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg

from app.availability.board import snapshot
from app.db import SQL, Pool, Tx, connect
from app.migrate import migrate
from app.statements import statement
from loadtests.bench import accounts
from loadtests.bench.accounts import Offer
from loadtests.bench.report import Result, say
from loadtests.table import milliseconds, percentile

LESSONS = 5_000
LESSONS_A_DAY = 16
OTHERS = 2_000
LESSONS_OF_OTHERS = 500
WINDOWS = (7, 35)
AIM_SECONDS = 0.005
# Tolerance for "no slower" among a million lessons: two equal runs differ by this much.
SAME = 1.25
WARM = 10  # plans become generic at the sixth execution
_BATCH = 50_000


@dataclass(frozen=True)
class Rows:
    """The number of rows that a board is computed from."""

    calendars: int
    ranges: int
    lessons: int


_versions = statement("bench_versions", UUID)
_window_rows = statement("bench_window_rows", Rows)


async def measure(admin_dsn: str, *, quick: bool) -> list[Result]:
    """p50 of the snapshot per window and database. The floor reads the same rows without computing
    a board."""
    addresses = {
        "alone": await _database(admin_dsn, "bench_alone", others=0),
        "among 1,000,000": await _database(admin_dsn, "bench_million", others=OTHERS),
    }
    say("the board of a calendar with 5,000 lessons, alone and among a million, alternately")
    results = []
    async with AsyncExitStack() as stack:
        calendars = {
            name: await stack.enter_async_context(_calendar(dsn)) for name, dsn in addresses.items()
        }
        for days in WINDOWS:
            snapshots: dict[str, list[float]] = {name: [] for name in calendars}
            floors: dict[str, list[float]] = {name: [] for name in calendars}
            for turn in range(WARM + (150 if quick else 500)):
                # Interleaved, so that a slow moment of the machine affects all of them.
                for name, calendar in calendars.items():
                    snapshot, floor = await calendar.timed(days)
                    if turn >= WARM:
                        snapshots[name].append(snapshot)
                        floors[name].append(floor)
            for name, seconds in snapshots.items():
                p50, floor50 = percentile(seconds, 50), percentile(floors[name], 50)
                slower = p50 / percentile(snapshots["alone"], 50)
                results.append(
                    Result(
                        f"board of {days} days, {LESSONS:,} lessons, {name}: p50",
                        milliseconds(p50),
                        f"{milliseconds(floor50)} (its rows)",
                        f"{p50 / floor50:.1f}×",
                        "≤ 5 ms" if name == "alone" else f"≤ 5 ms, no worse ({slower:.2f}×)",
                        p50 <= AIM_SECONDS and slower <= SAME,
                    )
                )
    return results


@dataclass(frozen=True)
class _Calendar:
    """The calendar with 5,000 lessons in one of the databases, and a connection to it."""

    connection: Tx
    instructor_id: UUID
    first: date

    async def timed(self, days: int) -> tuple[float, float]:
        """Seconds of a snapshot, and of reading the same rows."""
        begins = datetime(self.first.year, self.first.month, self.first.day, tzinfo=UTC)
        started = time.perf_counter()
        board = await snapshot(self.connection, self.instructor_id, self.first, days)
        between = time.perf_counter()
        await _window_rows.one(
            self.connection,
            instructor_id=self.instructor_id,
            from_instant=begins,
            to_instant=begins + timedelta(days=days),
        )
        assert board is not None
        assert len(board.days) == days
        return between - started, time.perf_counter() - between


@asynccontextmanager
async def _calendar(dsn: str) -> AsyncIterator[_Calendar]:
    pool = await connect(dsn, size=2, name="bench")
    try:
        instructor_id, first = await _busiest(pool)
        async with pool.acquire() as connection:
            yield _Calendar(connection, instructor_id, first)
    finally:
        await pool.close()


async def _busiest(pool: Pool) -> tuple[UUID, date]:
    """The calendar with 5,000 lessons, and the day its window begins."""
    row = await pool.fetchrow(
        """select i.id, (
             select min(lower(a.during)) from availability a where a.instructor_id = i.id
           )::date as first
           from account i where i.email = 'busy-0-instructor-1@example.com'"""
    )
    assert row is not None
    return row["id"], row["first"]


async def _database(admin_dsn: str, name: str, *, others: int) -> str:
    """Builds the database unless it exists in its current form; returns its address."""
    dsn = _address(admin_dsn, name)
    shape = _shape(others)
    admin = await asyncpg.connect(admin_dsn, timeout=10)
    try:
        comment = await admin.fetchval(
            "select shobj_description(oid, 'pg_database') from pg_database where datname = $1", name
        )
        if comment == shape:
            await migrate(dsn)  # installs the current functions
            return dsn
        await admin.execute(f'drop database if exists "{name}"')
        await admin.execute(f'create database "{name}"')
        lessons = LESSONS + others * LESSONS_OF_OTHERS
        say(f"building {name} with {lessons:,} lessons, which later runs reuse")
        started = time.perf_counter()
        await _build(dsn, others)
        await admin.execute(f"comment on database \"{name}\" is '{shape}'")
        say(f"built in {time.perf_counter() - started:.0f} s")
    finally:
        await admin.close(timeout=10)
    return dsn


def _address(admin_dsn: str, name: str) -> str:
    head, _, rest = admin_dsn.partition("?")
    return head.rpartition("/")[0] + f"/{name}" + (f"?{rest}" if rest else "")


def _shape(others: int) -> str:
    digest = hashlib.sha256(f"{LESSONS} {LESSONS_A_DAY} {others} {LESSONS_OF_OTHERS}".encode())
    for path in sorted((SQL / "migrations").glob("*.sql")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


async def _build(dsn: str, others: int) -> None:
    await migrate(dsn)
    pool = await connect(dsn, size=1, name="bench")
    first = datetime.now(UTC).date()
    try:
        busy_students = await accounts.students(pool, "busy", 500)
        busy = await accounts.instructors(pool, "busy", 1, first=first, days=60)
        students = await accounts.students(pool, "other", 10 * others)
        offers = await accounts.instructors(pool, "other", others, first=first, days=60)
    finally:
        await pool.close()
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute("set statement_timeout = 0")
        await connection.execute((SQL / "bench" / "unguard.sql").read_text())
        # Most lessons are in the past, as after some years.
        before = LESSONS * 5 // 6 // LESSONS_A_DAY
        await _copy(connection, busy, busy_students, first - timedelta(days=before), LESSONS)
        if offers:
            await _copy(connection, offers, students, first, LESSONS_OF_OTHERS)
        await connection.execute((SQL / "bench" / "guard.sql").read_text(), timeout=600)
        await connection.execute("vacuum analyze", timeout=600)
        await connection.fetch(_versions.sql)
    finally:
        await connection.close(timeout=10)


COLUMNS = (
    "instructor_id",
    "student_id",
    "service_id",
    "state",
    "during",
    "blocked",
    "service_name",
    "price_cents",
    "location_type",
    "hourly_rate_cents",
    "free_cancel_hours",
    "free_cancel_until",
    "version",
    "created_at",
)


async def _copy(
    connection: "asyncpg.Connection[asyncpg.Record]",
    offers: list[Offer],
    students: list[UUID],
    first: date,
    lessons: int,
) -> None:
    """Inserts `lessons` lessons per instructor, 30 minutes each and 15 minutes apart, without
    conflicts of students."""

    async def batches() -> AsyncIterator[bytes]:
        lines: list[str] = []
        now = datetime.now(UTC).isoformat()
        for n in range(lessons):
            day, nth = divmod(n, LESSONS_A_DAY)
            start = datetime(first.year, first.month, first.day, 14, tzinfo=UTC) + timedelta(
                days=day, minutes=45 * nth
            )
            end = start + timedelta(minutes=30)
            during = f'["{start.isoformat()}","{end.isoformat()}")'
            terms = ("confirmed", during, during, "Piano", "3000", "student", "6000", "12")
            rest = (*terms, start.isoformat(), str(n + 1), now)
            lines += [
                "\t".join(map(str, (offer.instructor_id, student, offer.service_id, *rest))) + "\n"
                for offer, student in zip(offers, _rotated(students, n), strict=False)
            ]
            if len(lines) >= _BATCH or n == lessons - 1:
                yield "".join(lines).encode()
                lines = []

    await connection.copy_to_table(
        "booking", source=batches(), columns=COLUMNS, format="text", timeout=300
    )


def _rotated(students: list[UUID], lesson: int) -> Iterator[UUID]:
    """The students in an order that depends on the lesson, endlessly."""
    return (students[(i + 37 * lesson) % len(students)] for i in itertools.count())
