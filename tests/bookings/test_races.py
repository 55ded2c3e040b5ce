"""Concurrent bookings with real commits on separate connections. No deadlock may occur."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app import gate, refusal
from app.bookings import cancellation
from app.db import Pool
from tests import factories
from tests.bookings.invariants import assert_changes_match_board, assert_nothing_overlaps
from tests.bookings.reservations import NOW, hold, reserve
from tests.cluster import PATIENCE
from tests.conftest import patient_pool

IS_A_LOCK_AWAITED = """
select exists (select from pg_stat_activity
               where datname = current_database() and wait_event_type = 'Lock')
"""


@pytest.fixture
async def crowd(
    database_url: str, patience: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Pool]:
    """A pool with a connection for each caller. Afterwards the invariants are checked."""
    monkeypatch.setattr(gate, "WIDTH", 24)  # all calls reach Postgres at once
    async with patient_pool(database_url, size=24) as pool:
        yield pool
        await assert_nothing_overlaps(pool)
        await assert_changes_match_board(pool)
        assert (
            await pool.fetchval(
                "select deadlocks from pg_stat_database where datname = current_database()"
            )
            == 0
        )


async def outcomes(*attempts: Awaitable[Any]) -> Counter[str]:
    """Counts by refusal code, and "ok"."""
    results = await asyncio.gather(*attempts, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, refusal.Refusal):
            raise result
    return Counter(
        result.code if isinstance(result, refusal.Refusal) else "ok" for result in results
    )


async def students(pool: Pool, count: int) -> list[factories.Account]:
    return [await factories.student(pool, f"Student {number}") for number in range(count)]


async def test_two_hundred_students_who_book_one_time_get_exactly_one_lesson(crowd: Pool) -> None:
    anna = await factories.instructor(crowd, "Anna")
    crowd_students = await students(crowd, 200)
    result = await outcomes(
        *(reserve(crowd, student, anna, anna.at("10:00")) for student in crowd_students)
    )
    assert result == {"ok": 1, "SLOT_TAKEN": 199}
    assert await crowd.fetchval("select count(*) from booking") == 1


async def test_overlapping_requests_never_leave_overlapping_lessons(crowd: Pool) -> None:
    anna = await factories.instructor(crowd, "Anna", buffer_minutes=15)
    crowd_students = await students(crowd, 60)
    starts = [f"{9 + quarter // 4:02}:{quarter % 4 * 15:02}" for quarter in range(12)]
    result = await outcomes(
        *(
            reserve(crowd, student, anna, anna.at(starts[n % len(starts)]), 30)
            for n, student in enumerate(crowd_students)
        )
    )
    assert set(result) == {"ok", "SLOT_TAKEN"}
    assert result["ok"] >= 3


async def test_a_student_who_books_several_instructors_at_once_gets_one(crowd: Pool) -> None:
    instructors = [
        await factories.instructor(crowd, name) for name in ("Anna", "Clara", "Dora", "Emma")
    ]
    for day in range(1, 15):
        ben = await factories.student(crowd, f"Ben {day}")
        result = await outcomes(
            *(
                reserve(crowd, ben, instructor, instructor.at("10:00", day=day))
                for instructor in instructors
            )
        )
        assert result == {"ok": 1, "STUDENT_BUSY": 3}


async def test_two_students_and_two_instructors_at_one_time_get_two_lessons(crowd: Pool) -> None:
    anna, clara = (
        await factories.instructor(crowd, "Anna"),
        await factories.instructor(crowd, "Clara"),
    )
    ben, carl = await factories.student(crowd, "Ben"), await factories.student(crowd, "Carl")
    for day in range(1, 15):
        result = await outcomes(
            *(
                reserve(crowd, student, instructor, instructor.at("10:00", day=day))
                for student in (ben, carl)
                for instructor in (anna, clara)
            )
        )
        assert result["ok"] == 2


async def test_a_cancellation_during_bookings_never_leads_to_overlaps(crowd: Pool) -> None:
    anna, ben = await factories.instructor(crowd, "Anna"), await factories.student(crowd, "Ben")
    others = await students(crowd, 6)
    for day in range(2, 16):
        lesson = await reserve(crowd, ben, anna, anna.at("10:00", day=day))
        result = await outcomes(
            *(reserve(crowd, other, anna, anna.at("10:00", day=day)) for other in others[:3]),
            cancellation.cancel(crowd, ben.id, lesson.id, reason="", now=NOW),
            *(reserve(crowd, other, anna, anna.at("10:30", day=day), 30) for other in others[3:]),
        )
        assert set(result) <= {"ok", "SLOT_TAKEN"}
        confirmed = await crowd.fetchval(
            "select count(*) from booking where state = 'confirmed' and lower(during)::date = $1",
            anna.day(day),
        )
        assert confirmed <= 2


async def test_twenty_concurrent_cancellations_cancel_once(crowd: Pool) -> None:
    anna, ben = await factories.instructor(crowd, "Anna"), await factories.student(crowd, "Ben")
    lesson = await reserve(crowd, ben, anna, anna.at("10:00", day=2))
    result = await outcomes(
        *(cancellation.cancel(crowd, ben.id, lesson.id, reason="", now=NOW) for _ in range(20))
    )
    assert result == {"ok": 1, "WRONG_STATE": 19}


async def test_no_booking_succeeds_after_a_concurrent_edit_closed_its_day(crowd: Pool) -> None:
    anna = await factories.instructor(crowd, "Anna")
    crowd_students = await students(crowd, 15)

    async def close(day: int) -> None:
        await crowd.execute(
            "select replace_days($1, $2, null, $3)", anna.id, {anna.day(day).isoformat(): []}, NOW
        )

    for day in range(2, 10):
        result = await outcomes(
            *(
                reserve(crowd, student, anna, anna.at(f"{9 + n % 7:02}:00", day=day))
                for n, student in enumerate(crowd_students)
            ),
            close(day),
        )
        assert set(result) <= {"ok", "SLOT_TAKEN", "OUTSIDE_AVAILABILITY"}
        closed = await crowd.fetchval(
            """select version from outbox where instructor_id = $1 and events = '[]'
               order by version desc limit 1""",
            anna.id,
        )
        late = await crowd.fetchval(
            "select count(*) from booking where instructor_id = $1 and version > $2",
            anna.id,
            closed,
        )
        assert late == 0


async def test_expired_holds_of_many_instructors_are_replaced_without_deadlock(crowd: Pool) -> None:
    instructors = [
        await factories.instructor(crowd, name) for name in ("Anna", "Clara", "Dora", "Emma")
    ]
    crowd_students = await students(crowd, 4)
    for day in range(1, 11):
        for student, instructor in zip(crowd_students, instructors, strict=True):
            await hold(crowd, student, instructor, instructor.at("10:00", day=day), NOW)
        # Each books the time of another hold, so calendars are locked in different orders.
        result = await outcomes(
            *(
                reserve(
                    crowd,
                    student,
                    instructors[(n + shift) % 4],
                    instructors[0].at("10:00", day=day),
                )
                for n, student in enumerate(crowd_students)
                for shift in (1, 2)
            )
        )
        assert 2 <= result["ok"] <= 4  # depends on the order of execution
        assert set(result) <= {"ok", "SLOT_TAKEN", "STUDENT_BUSY"}


async def test_constraints_prevent_overlaps_without_the_functions(crowd: Pool) -> None:
    anna, ben, carl = (
        await factories.instructor(crowd, "Anna"),
        await factories.student(crowd, "Ben"),
        await factories.student(crowd, "Carl"),
    )
    await reserve(crowd, ben, anna, anna.at("10:00"))
    clara = await factories.instructor(crowd, "Clara")
    for student, instructor, constraint in (
        (carl, anna, "booking_instructor_no_overlap"),
        (ben, clara, "booking_student_no_overlap"),
    ):
        with pytest.raises(Exception, match=constraint):
            await hold(crowd, student, instructor, anna.at("10:30"), datetime.now(UTC))


async def test_a_writer_that_ignores_the_locks_leaves_nothing_half_written(crowd: Pool) -> None:
    anna = await factories.instructor(crowd, "Anna")
    ben, carl, dora = await students(crowd, 3)
    # An expired hold, which Ben's lesson would replace.
    await hold(crowd, carl, anna, anna.at("09:30"), NOW)
    async with crowd.acquire() as intruder:
        transaction = intruder.transaction()
        await transaction.start()
        await hold(intruder, dora, anna, anna.at("10:30"), NOW + timedelta(hours=1))
        booking = asyncio.create_task(outcomes(reserve(crowd, ben, anna, anna.at("10:00"))))
        # Ben's booking has seen that the time is free, and waits for the uncommitted hold.
        async with asyncio.timeout(PATIENCE):
            while not await crowd.fetchval(IS_A_LOCK_AWAITED):
                await asyncio.sleep(0.01)
        assert not booking.done()
        await transaction.commit()
    assert await booking == {"SLOT_TAKEN": 1}
    assert await crowd.fetchval("select count(*) from booking where state = 'held'") == 2
    assert (
        await crowd.fetchval("select version from calendar where instructor_id = $1", anna.id) == 0
    )


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("is_active = false", "NOT_FOUND"),
        ("durations_minutes = '{30}'", "DURATION_NOT_OFFERED"),
        ("location_types = '{student}'", "VALIDATION_ERROR"),
    ],
)
async def test_a_booking_that_waited_uses_the_service_as_it_is_now(
    crowd: Pool, change: str, code: str
) -> None:
    anna, ben = await factories.instructor(crowd, "Anna"), await factories.student(crowd, "Ben")
    async with crowd.acquire() as writer, writer.transaction():
        await writer.execute(
            "select from calendar where instructor_id = $1 for no key update", anna.id
        )
        attempt = asyncio.create_task(
            reserve(crowd, ben, anna, anna.at("10:00"), location_type="public")
        )
        async with asyncio.timeout(PATIENCE):
            while not await crowd.fetchval(IS_A_LOCK_AWAITED):
                await asyncio.sleep(0.01)
        await writer.execute(f"update service set {change} where id = $1", anna.service_id)
    with pytest.raises(refusal.Refusal) as refused:
        await attempt
    assert refused.value.code == code
