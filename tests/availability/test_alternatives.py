"""The alternatives in a refusal."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest

from app import refusal, wire
from app.availability import alternatives, start_times
from app.availability.board import snapshot
from app.db import Db, Pool, Tx
from tests import factories
from tests.availability.starts import free_of_day
from tests.cluster import PATIENCE
from tests.factories import Account, Instructor

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    alternatives._windows.clear()


@pytest.fixture
async def anna(pool: Pool) -> Instructor:
    return await factories.instructor(pool, "Anna", days=100)


@pytest.fixture
async def ben(pool: Pool) -> Account:
    return await factories.student(pool, "Ben")


async def version_of(pool: Pool, instructor: Instructor) -> int:
    version: int = await pool.fetchval(
        "select version from calendar where instructor_id = $1", instructor.id
    )
    return version


async def nearest(
    db: Db, instructor: Instructor, student: Account, near: datetime, **more: Any
) -> tuple[int, list[datetime]]:
    arguments: dict[str, Any] = {"version": 0, "minutes": 60, "now": NOW} | more
    if "busy" not in arguments:
        arguments["busy"] = await alternatives._busy(
            db, student.id, near, timedelta(days=2), arguments["now"]
        )
    return await alternatives.nearest(
        db, instructor.id, near=near, student_id=student.id, **arguments
    )


async def buttons(
    pool: Pool, instructor: Instructor, student: Account, minutes: int, now: datetime
) -> list[datetime]:
    """Every free start that the instructor's page shows this student, in all weeks."""
    rows = await pool.fetch(
        """select lower(during), upper(during) from booking where student_id = $1
           and (state = 'confirmed' or state = 'held' and held_until > $2)""",
        student.id,
        now,
    )
    busy = [(row[0], row[1]) for row in rows]
    free = []
    for first in range(0, 96, 32):
        board = await snapshot(pool, instructor.id, instructor.day(first - 1), 32)
        assert board is not None
        limits = start_times.Limits.at(now, board.min_advance_minutes, busy)
        for day in sorted(board.days):
            free += free_of_day(board.days[day], minutes, zone=instructor.time_zone, limits=limits)
    return free


async def test_alternatives_are_the_nearest_starts_in_order(
    pool: Pool, anna: Instructor, ben: Account
) -> None:
    clara = await factories.student(pool, "Clara")
    await factories.lesson(pool, clara.id, anna.service_id, anna.at("10:00"))
    with pytest.raises(refusal.SlotTaken) as refused:
        await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
    assert refused.value.more == {
        "version": 1,
        "alternatives": [
            wire.instant(anna.at(clock)) for clock in ("09:00", "11:00", "11:30", "12:00", "12:30")
        ],
    }


@pytest.mark.parametrize("seed", range(6))
async def test_alternatives_match_the_starts_of_the_page(pool: Pool, seed: int) -> None:
    random = Random(seed)
    anna = await factories.instructor(
        pool, "Anna", days=random.choice((0, 3, 95)), notice_minutes=random.choice((0, 120, 4000)),
        hours=random.choice((("00:00", "24:00"), ("09:15", "11:30"), ("22:30", "24:00"))),
        buffer_minutes=random.choice((0, 7, 30)), durations=(15, 45, 60),
        time_zone=random.choice(("America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati")),
    )  # fmt: skip
    carl = await factories.instructor(pool, "Carl", hours=("00:00", "24:00"), notice_minutes=0)
    ben, clara = await factories.student(pool, "Ben"), await factories.student(pool, "Clara")
    for _ in range(30):
        student, instructor = random.choice(((clara, anna), (ben, carl), (ben, anna)))
        start = instructor.at("00:00", day=random.randrange(4)) + timedelta(
            minutes=15 * random.randrange(96)
        )
        minutes = 60 if instructor is carl else random.choice((15, 45, 60))
        try:
            await factories.lesson(
                pool, student.id, instructor.service_id, start, minutes=minutes, now=NOW
            )
        except refusal.Refusal:
            continue
    version = await version_of(pool, anna)
    for minutes in (15, 45, 60):
        bookable = await buttons(pool, anna, ben, minutes, NOW)
        for _ in range(12):
            near = NOW.replace(minute=0, second=0, microsecond=0) + timedelta(
                minutes=15 * random.randrange(96 * 10)
            )
            result = await nearest(pool, anna, ben, near, version=version, minutes=minutes)
            assert result == (version, start_times.nearest(near, bookable))


async def test_the_version_belongs_to_the_alternatives(
    pool: Pool, anna: Instructor, ben: Account
) -> None:
    clara = await factories.student(pool, "Clara")
    await factories.lesson(pool, clara.id, anna.service_id, anna.at("10:00"))
    await factories.lesson(pool, clara.id, anna.service_id, anna.at("11:00"))
    # At version 1, only the first lesson is booked.
    version, starts = await nearest(pool, anna, ben, anna.at("10:00"), version=1)
    assert version == 2
    assert anna.at("11:00") not in starts
    assert (version, starts) == await nearest(pool, anna, ben, anna.at("10:00"), version=2)


async def test_alternatives_lie_within_notice_and_horizon(pool: Pool, ben: Account) -> None:
    anna = await factories.instructor(
        pool, "Anna", hours=("00:00", "24:00"), days=100, notice_minutes=90
    )
    now = anna.at("12:10")
    _, soon = await nearest(pool, anna, ben, anna.at("13:00"), now=now)
    assert soon == [anna.at(clock) for clock in ("14:00", "14:30", "15:00", "15:30", "16:00")]
    # Noon, or an hour beside it if clocks change before the horizon.
    last = (now + start_times.HORIZON).replace(minute=0)
    _, late = await nearest(pool, anna, ben, last + timedelta(minutes=15), now=now)
    assert late[0] == last
    assert max(late) == last


async def test_alternatives_exclude_the_students_other_lessons(
    pool: Pool, anna: Instructor, ben: Account
) -> None:
    carl = await factories.instructor(pool, "Carl")
    await factories.lesson(pool, ben.id, carl.service_id, anna.at("11:00"))
    _, starts = await nearest(pool, anna, ben, anna.at("11:00"))
    assert starts == [anna.at(clock) for clock in ("10:00", "12:00", "09:30", "12:30", "09:00")]


async def test_a_calendar_without_free_time_has_no_alternatives(pool: Pool, ben: Account) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    assert await nearest(pool, anna, ben, anna.at("10:00")) == (0, [])


# ---- one read for a crowd


class Reads:
    """A connection that counts the reads of free ranges."""

    def __init__(self, connection: Tx) -> None:
        self.connection = connection
        self._count = 0

    def note(self, record: Any) -> None:
        self._count += "free_time" in record.query

    async def count(self) -> int:
        await asyncio.sleep(0)  # asyncpg tells of a statement in the next turn of the loop
        return self._count


@pytest.fixture
async def reads(pool: Pool) -> AsyncIterator[Reads]:
    async with pool.acquire() as connection:
        reads = Reads(connection)
        with connection.query_logger(reads.note):
            yield reads


async def test_two_hundred_refusals_of_one_version_read_the_calendar_once(
    anna: Instructor, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alternatives, "KEEP_SECONDS", PATIENCE)
    crowd = [Account(UUID(int=n), "", "") for n in range(200)]
    answers = await asyncio.gather(
        *(nearest(reads.connection, anna, one, anna.at("10:00"), busy=[]) for one in crowd)
    )
    assert await reads.count() == 1
    assert all(answer == answers[0] for answer in answers)
    # Another length of the same version uses the same ranges.
    await nearest(reads.connection, anna, crowd[0], anna.at("10:00"), busy=[], minutes=30)
    assert await reads.count() == 1
    await nearest(reads.connection, anna, crowd[0], anna.at("10:00"), busy=[], version=1)
    assert await reads.count() == 2


# A read that waits for a lock in this database.
READING = (
    """wait_event_type = 'Lock' and query like '%free_time%' and datname = current_database()"""
)


async def until_reading(pool: Pool) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await pool.fetchval(f"select count(*) from pg_stat_activity where {READING}"):
            await asyncio.sleep(0.01)


async def test_another_caller_takes_over_a_cancelled_read(
    pool: Pool, anna: Instructor, ben: Account
) -> None:
    async with pool.acquire() as connection:
        blocked = connection.transaction()
        await blocked.start()
        await connection.execute("lock table calendar in access exclusive mode")
        first = asyncio.create_task(nearest(pool, anna, ben, anna.at("10:00"), busy=[]))
        await until_reading(pool)
        second = asyncio.create_task(nearest(pool, anna, ben, anna.at("10:00"), busy=[]))
        await asyncio.sleep(0.1)
        first.cancel()
        await asyncio.wait({first})
        await blocked.rollback()
    assert first.cancelled()
    _, starts = await asyncio.wait_for(second, PATIENCE)
    assert len(starts) == 5
    assert alternatives._reads == {}


async def test_a_failed_read_fails_for_all_waiting_callers_and_is_not_cached(
    pool: Pool, anna: Instructor, ben: Account
) -> None:
    async with pool.acquire() as connection:
        blocked = connection.transaction()
        await blocked.start()
        await connection.execute("lock table calendar in access exclusive mode")
        waiting = [
            asyncio.create_task(nearest(pool, anna, ben, anna.at("10:00"), busy=[]))
            for _ in range(5)
        ]
        await until_reading(pool)
        killed = f"select count(pg_terminate_backend(pid)) from pg_stat_activity where {READING}"
        assert await connection.fetchval(killed) == 1
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        await blocked.rollback()
    assert [type(answer) for answer in answers] == [refusal.Unavailable] * 5
    _, starts = await nearest(pool, anna, ben, anna.at("10:00"), busy=[])
    assert len(starts) == 5


async def test_the_cache_is_bounded(pool: Pool, anna: Instructor, ben: Account) -> None:
    for day in range(alternatives.MAX_WINDOWS + 10):
        alternatives._cache(
            (anna.id, 0, anna.day(day), 5),
            alternatives._Window(alternatives.FreeRanges(0, "UTC", 0, []), 0),
        )
    assert len(alternatives._windows) == alternatives.MAX_WINDOWS
    _, starts = await nearest(pool, anna, ben, anna.at("10:00"))
    assert len(starts) == 5
