"""The rules in SQL: limits that Python repeats, constraints of the schema, and locks that cannot
deadlock."""

import asyncio
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from app import formatting, refusal
from app.availability import start_times, week
from app.bookings import cancellation
from app.bookings.idempotency import MAX_KEY
from app.bookings.requests import BookingRequest, NoteRequest, ReasonRequest
from app.db import Pool
from tests import factories
from tests.bookings.reservations import hold, reserve
from tests.cluster import PATIENCE

NOW = datetime.now(UTC)


async def test_python_and_sql_agree_on_the_limits(pool: Pool) -> None:
    assert await pool.fetchval("select booking_horizon()") == start_times.HORIZON
    assert await pool.fetchval("select availability_horizon_days()") == week.HORIZON_DAYS
    assert await pool.fetchval("select cancellation_grace()") == formatting.GRACE

    def longest(model: Any, field: str) -> int:
        return int(next(item.max_length for item in model.model_fields[field].metadata))

    for domain, most in (
        ("short_text", longest(BookingRequest, "location")),
        ("short_text", longest(ReasonRequest, "reason")),
        ("note_text", longest(NoteRequest, "note")),
        ("note_text", longest(BookingRequest, "note")),
        ("idempotency_key_text", MAX_KEY),
    ):
        assert await pool.fetchval(f"select repeat('x', {most})::{domain}")
        with pytest.raises(asyncpg.CheckViolationError):
            await pool.fetchval(f"select repeat('x', {most + 1})::{domain}")


async def test_only_the_documented_states_occupy_time(pool: Pool) -> None:
    """The board, the constraints and every check read this one column."""
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    lesson = await reserve(pool, ben, anna, anna.at("10:00"))
    occupying = set()
    for state in ("held", "confirmed", "completed", "cancelled", "no_show", "expired"):
        await pool.execute(
            "update booking set state = $1, held_until = now() where id = $2", state, lesson.id
        )
        if await pool.fetchval("select occupies_time from booking where id = $1", lesson.id):
            occupying.add(state)
    assert occupying == {"held", "confirmed", "completed", "no_show"}


async def test_the_schema_refuses_lessons_with_oneself_and_services_of_another_instructor(
    pool: Pool,
) -> None:
    anna, clara = (
        await factories.instructor(pool, "Anna"),
        await factories.instructor(pool, "Clara"),
    )
    ben = await factories.student(pool)
    with pytest.raises(asyncpg.CheckViolationError, match="booking_not_with_oneself"):
        await hold(pool, anna, anna, anna.at("10:00"), NOW)
    lesson = await reserve(pool, ben, anna, anna.at("10:00"))
    with pytest.raises(asyncpg.ForeignKeyViolationError, match="booking_service_of_instructor"):
        await pool.execute(
            "update booking set instructor_id = $1 where id = $2", clara.id, lesson.id
        )


async def test_a_notification_without_a_booking_also_exists_only_once(pool: Pool) -> None:
    ben = await factories.student(pool)
    welcome = "insert into notification (kind, recipient_id, due_at) values ('welcome', $1, now())"
    await pool.execute(welcome, ben.id)
    with pytest.raises(asyncpg.UniqueViolationError, match="notification_once"):
        await pool.execute(welcome, ben.id)


async def test_cancelling_an_unknown_booking_is_not_found(pool: Pool) -> None:
    with pytest.raises(refusal.NotFound):
        await cancellation.cancel(pool, uuid4(), uuid4(), reason="", now=NOW)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Los_Angeles"])
async def test_local_dates_do_not_depend_on_the_sessions_zone(pool: Pool, zone: str) -> None:
    # The night the clocks of New York go back, from 23:30 to 00:30.
    night = "tstzrange('2026-11-01 03:30Z', '2026-11-01 04:30Z')"
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(f"set local timezone = '{zone}'")
        dates = await connection.fetchval(f"select local_dates({night}, 'America/New_York')")
    assert dates == [date(2026, 10, 31), date(2026, 11, 1)]


async def test_changing_an_email_and_then_the_calendar_does_not_deadlock_with_a_booking(
    pool: Pool,
) -> None:
    """Changing a key column conflicts with the key-share locks that foreign keys take."""
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "update account set email = 'new@example.com' where id = $1", anna.id
        )
        # A concurrent booking must not wait for Anna's account.
        await asyncio.wait_for(reserve(pool, ben, anna, anna.at("10:00")), PATIENCE)
        await connection.execute(
            "select from calendar where instructor_id = $1 for no key update", anna.id
        )
    assert (
        await pool.fetchval(
            "select deadlocks from pg_stat_database where datname = current_database()"
        )
        == 0
    )


async def test_six_concurrent_attempts_of_one_student_meet_their_own_lesson(pool: Pool) -> None:
    """Never SLOT_TAKEN for one's own lesson. A refusal's version includes the conflicting
    lesson."""
    anna = await factories.instructor(pool)
    ben, carl = await factories.student(pool, "Ben"), await factories.student(pool, "Carl")
    for day in range(1, 9):
        attempts = [reserve(pool, ben, anna, anna.at("10:00", day=day)) for _ in range(6)]
        rivals = [reserve(pool, carl, anna, anna.at("10:00", day=day)) for _ in range(2)]
        results = await asyncio.gather(*attempts, *rivals, return_exceptions=True)
        winner = next(result for result in results if not isinstance(result, BaseException))
        for result in results:
            if isinstance(result, refusal.SlotTaken):
                assert result.more["version"] >= winner.version
        own, others = (
            (results[:6], results[6:])
            if winner.student_id == ben.id
            else (results[6:], results[:6])
        )
        assert [getattr(result, "code", "ok") for result in own].count("STUDENT_BUSY") == len(
            own
        ) - 1
        assert {getattr(result, "code", "ok") for result in others} == {"SLOT_TAKEN"}


async def test_a_rescheduled_booking_does_not_conflict_with_itself(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    lesson = await reserve(pool, ben, anna, anna.at("10:00"))
    later = await reserve(pool, ben, anna, anna.at("12:00"))

    async def conflict(begin: str, end: str) -> Any:
        return await pool.fetchval(
            """select id
               from conflicting_booking($1, $2, tstzrange($3, $4), tstzrange($3, $4), $5, $6)""",
            anna.id,
            ben.id,
            anna.at(begin),
            anna.at(end),
            NOW,
            lesson.id,
        )

    assert await conflict("10:30", "11:30") is None
    assert await conflict("11:30", "12:30") == later.id


async def test_an_index_finds_confirmed_lessons_by_their_end(pool: Pool) -> None:
    """For the jobs that complete lessons and remind of them."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "set local enable_seqscan = off; set local enable_bitmapscan = off"
        )
        plan = await connection.fetch(
            "explain select id from booking where state = 'confirmed' and upper(during) <= now()"
        )
    assert "booking_confirmed_end" in plan[0][0]


FOREIGN_KEYS_WITHOUT_INDEX = """
select f.conrelid::regclass || '.' || f.conname
from pg_constraint f
where f.contype = 'f' and not exists (
  select from pg_index i
  where i.indrelid = f.conrelid and i.indpred is null and i.indkey[0] = any (f.conkey)
)
order by 1
"""


async def test_every_foreign_key_has_an_index_for_deletions_from_the_other_table(
    pool: Pool,
) -> None:
    """Erasure deletes an account's rows. References to shipped data, which is never deleted, need
    no index."""
    names = [row[0] for row in await pool.fetch(FOREIGN_KEYS_WITHOUT_INDEX)]
    assert [name for name in names if not name.startswith(SHIPPED)] == []


# Roles, permissions and the catalog.
SHIPPED = (
    "account_role.account_role_role_fkey",
    "area_term.area_term_area_fkey",
    "catalog_service.catalog_service_category_fkey",
    "catalog_term.catalog_term_catalog_service_fkey",
    "category_term.category_term_category_fkey",
    "instructor_area.instructor_area_area_fkey",
    "removed_role.removed_role_role_fkey",
    "role_permission.role_permission_permission_fkey",
    "service.service_catalog_service_fkey",
)
