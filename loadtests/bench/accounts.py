"""Accounts with sessions for the benchmarks, written directly to the database, which is faster than
registering them."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from app.accounts import session
from app.db import Db
from app.statements import statement
from loadtests.bench.stack import Stack

OPENS, CLOSES, DAYS = 9, 21, 40
BATCH = 250


@dataclass(frozen=True)
class Offer:
    """An instructor and the service to book."""

    instructor_id: UUID
    service_id: UUID


@dataclass(frozen=True)
class Student:
    id: UUID
    session_id: UUID
    token: str


@dataclass(frozen=True)
class _Session:
    account_id: UUID
    id: UUID


_sessions = statement("bench_sessions", _Session)
_students = statement("bench_students", UUID)
_instructors = statement("bench_instructors", Offer)


async def students(db: Db, prefix: str, count: int) -> list[UUID]:
    return await _students.all(db, prefix=prefix, count=count)


async def instructors(
    db: Db, prefix: str, count: int, *, first: date, days: int = DAYS, opens: int = OPENS
) -> list[Offer]:
    """Piano instructors without minimum notice, available twelve hours a day for `days` days.
    Inserted in batches, because one statement would exceed the timeout."""
    offers: list[Offer] = []
    while len(offers) < count:
        offers += await _instructors.all(
            db,
            prefix=f"{prefix}-{len(offers)}",
            count=min(BATCH, count - len(offers)),
            first=first,
            days=days,
            from_hour=opens,
            to_hour=opens + CLOSES - OPENS,
        )
    return offers


async def signed_in(stack: Stack, prefix: str, count: int) -> list[Student]:
    """Students with sessions."""
    now = datetime.now(UTC)

    async def sign_in(account_id: UUID) -> str:
        return await session.open(stack.pool, account_id, stack.settings, now=now)

    ids = await students(stack.pool, prefix, count)
    tokens = [
        token
        for n in range(0, count, 100)
        for token in await asyncio.gather(*map(sign_in, ids[n : n + 100]))
    ]
    sessions = await _sessions.all(stack.pool, account_ids=ids)
    session_of = {row.account_id: row.id for row in sessions}
    return [
        Student(account_id, session_of[account_id], token)
        for account_id, token in zip(ids, tokens, strict=True)
    ]


def today() -> date:
    return datetime.now(UTC).date()


def half_hours(first_day: int, days: int) -> list[datetime]:
    """Twenty half-hour starts a day, within the instructors' hours (9 am to 9 pm in New York) in
    summer and in winter."""
    start = datetime.combine(today(), datetime.min.time(), UTC) + timedelta(
        days=first_day, hours=14
    )
    return [start + timedelta(days=day, minutes=30 * n) for day in range(days) for n in range(20)]
