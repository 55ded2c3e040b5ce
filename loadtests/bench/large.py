"""A large site: 10,000 instructors, 40,000 services and 1,000,000 bookings. It is built once with
COPY, kept as a database of its own, and copied for each measurement, which may then write."""

import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg

from app.availability import next_start
from app.db import SQL, connect
from app.migrate import migrate
from loadtests.bench.million import COLUMNS
from loadtests.bench.report import say
from loadtests.bench.stack import Cluster, Stack, fresh_stack

INSTRUCTORS = 10_000
STUDENTS = 20_000
LESSONS = 100  # per instructor, one a day
PAST_LESSONS = 75
DAYS = 60  # of availability
NAME = "bench_large"
# The data is relative to the day it is built.
MAX_AGE_DAYS = 7
_BATCH = 50_000


@asynccontextmanager
async def large_stack(databases: Cluster, folder: Path) -> AsyncIterator[Stack]:
    """A stack on a copy of the large site, with its next starts computed."""
    await _build(databases)
    async with fresh_stack(databases, folder, template=NAME) as stack:
        while await next_start.refresh(stack.pool, limit=200, now=datetime.now(UTC)):
            pass
        yield stack


async def _build(databases: Cluster) -> None:
    """Builds the database unless it exists in its current form."""
    shape = _shape()
    dsn = databases.dsn(NAME)
    admin = await asyncpg.connect(databases.dsn("postgres"), timeout=10)
    try:
        comment = await admin.fetchval(
            "select shobj_description(oid, 'pg_database') from pg_database where datname = $1", NAME
        )
        if comment == shape:
            return
        await admin.execute(f'drop database if exists "{NAME}"')
        await admin.execute(f'create database "{NAME}"')
        lessons = INSTRUCTORS * LESSONS
        say(f"building {NAME} with {lessons:,} lessons, which later runs reuse")
        started = time.perf_counter()
        await _fill(dsn)
        await admin.execute(f"comment on database \"{NAME}\" is '{shape}'")
        say(f"built in {time.perf_counter() - started:.0f} s")
    finally:
        await admin.close(timeout=10)


def _shape() -> str:
    age = datetime.now(UTC).date().toordinal() // MAX_AGE_DAYS
    numbers = f"{INSTRUCTORS} {STUDENTS} {LESSONS} {DAYS} {age}"
    digest = hashlib.sha256(numbers.encode())
    paths = [*(SQL / "migrations").glob("*.sql"), *(SQL / "data").glob("*.sql")]
    for path in [*sorted(paths), SQL / "bench" / "large.sql"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


async def _fill(dsn: str) -> None:
    await migrate(dsn)
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute("set statement_timeout = 0")
        for name, value in (
            ("instructors", INSTRUCTORS),
            ("students", STUDENTS),
            ("days", DAYS),
        ):
            await connection.execute(f"set bench.{name} = '{value}'")
        await connection.execute((SQL / "bench" / "large.sql").read_text(), timeout=600)
        await connection.execute((SQL / "bench" / "unguard.sql").read_text())
        await _copy_lessons(connection)
        await connection.execute((SQL / "bench" / "guard.sql").read_text(), timeout=600)
        await connection.execute("drop table bench_instructor")
        await connection.execute("vacuum analyze", timeout=600)
    finally:
        await connection.close(timeout=10)
    pool = await connect(dsn, size=2, name="bench")
    try:
        while await next_start.refresh(pool, limit=200, now=datetime.now(UTC)):
            pass
    finally:
        await pool.close()


async def _copy_lessons(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """One lesson a day for each instructor, at an hour that varies, with another student each
    time."""
    offers = await connection.fetch(
        """select i.id, (select s.id from service s where s.instructor_id = i.id limit 1) as service
           from bench_instructor i order by i.n"""
    )
    students = await connection.fetch(
        "select id from account where email like 'large-student-%' order by id"
    )
    first = datetime.now(UTC).date() - timedelta(days=PAST_LESSONS)

    async def batches() -> AsyncIterator[bytes]:
        lines: list[str] = []
        for n in range(LESSONS):
            for i, offer in enumerate(offers):
                student = students[(i + 37 * n) % len(students)]["id"]
                lines.append(_line(first, n, i, (offer["id"], student, offer["service"])))
            if len(lines) >= _BATCH or n == LESSONS - 1:
                yield "".join(lines).encode()
                lines = []

    await connection.copy_to_table(
        "booking", source=batches(), columns=COLUMNS, format="text", timeout=300
    )


def _line(first: date, lesson: int, instructor: int, ids: tuple[UUID, UUID, UUID]) -> str:
    hour = 14 + (instructor * 3 + lesson * 5) % 11
    start = datetime(first.year, first.month, first.day, tzinfo=UTC) + timedelta(
        days=lesson, hours=hour
    )
    during = f'["{start.isoformat()}","{(start + timedelta(hours=1)).isoformat()}")'
    state = "completed" if lesson < PAST_LESSONS - 1 else "confirmed"
    terms = (state, during, during, "Piano", 6000, "student", 6000, 12, start.isoformat())
    return "\t".join(map(str, (*ids, *terms, lesson + 1, start.isoformat()))) + "\n"
