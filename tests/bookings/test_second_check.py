"""The check under the locks: after a wait, a booking sees the current calendar. Also what it
publishes to the board if its travel time crosses midnight or the clocks change."""

import asyncio
import random
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from app import refusal
from app.availability import week
from app.bookings import booking
from app.db import Pool
from tests import factories
from tests.bookings.invariants import assert_changes_match_board, assert_nothing_overlaps
from tests.bookings.reservations import reserve
from tests.cluster import PATIENCE

IS_A_LOCK_AWAITED = """select exists (
  select from pg_stat_activity
  where datname = current_database() and wait_event_type = 'Lock')"""
# Nights when clocks change, at different hours and by different lengths.
NIGHTS = [
    ("America/New_York", date(2026, 11, 1)),
    ("America/New_York", date(2027, 3, 14)),
    ("America/Havana", date(2026, 11, 1)),
    ("America/Nuuk", date(2027, 3, 28)),
    ("Australia/Lord_Howe", date(2026, 10, 4)),
    ("Africa/Cairo", date(2026, 10, 30)),
]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("select set_teaching($1, false)", "NOT_FOUND"),
        (
            "select update_instructor($1, null, null, null, null, null, 43200, null, null, now())",
            "TOO_SOON",
        ),
        (
            "select update_instructor($1, null, null, null, null, null, null, 30, null, now())",
            "SLOT_TAKEN",
        ),
    ],
)
async def test_a_booking_that_waited_uses_the_settings_as_they_are_now(
    pool: Pool, change: str, code: str
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, carl = await factories.student(pool, "Ben"), await factories.student(pool, "Carl")
    await reserve(pool, carl, anna, anna.at("11:00"))
    async with pool.acquire() as writer, writer.transaction():
        await writer.execute(
            "select from calendar where instructor_id = $1 for no key update", anna.id
        )
        attempt = asyncio.create_task(reserve(pool, ben, anna, anna.at("10:00")))
        async with asyncio.timeout(PATIENCE):
            while not await pool.fetchval(IS_A_LOCK_AWAITED):
                await asyncio.sleep(0.01)
        await writer.execute(change, anna.id)
    with pytest.raises(refusal.Refusal) as refused:
        await attempt
    assert refused.value.code == code


async def test_travel_over_midnight_changes_both_days(pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", hours=("00:00", "24:00"), buffer_minutes=30)
    ben = await factories.student(pool, "Ben")
    for start, days in (
        (anna.at("00:00", day=3), {anna.day(2).isoformat(), anna.day(3).isoformat()}),
        (anna.at("23:00", day=5), {anna.day(5).isoformat(), anna.day(6).isoformat()}),
    ):
        lesson = await reserve(pool, ben, anna, start)
        published = await pool.fetchval(
            "select days from outbox where version = $1", lesson.version
        )
        assert set(published) == days
    await assert_changes_match_board(pool)


@pytest.mark.parametrize(("zone", "night"), NIGHTS)
async def test_around_a_clock_change_each_answer_is_what_the_rows_say(
    pool: Pool, zone: str, night: date
) -> None:
    """Random bookings near midnight, compared with the rules written down in Python."""
    chance = random.Random(f"{zone} {night}")
    tz = ZoneInfo(zone)
    now = datetime.combine(night - timedelta(days=3), time(), tz).astimezone(UTC)
    anna = await factories.instructor(pool, "Anna", days=0, time_zone=zone, now=now)
    students = [await factories.student(pool, name) for name in ("Ben", "Carl", "Dora")]
    buffer = timedelta(minutes=chance.choice([0, 15, 45]))
    await pool.execute(
        """update calendar set min_advance_minutes = 0, travel_buffer_minutes = $2
           where instructor_id = $1""",
        anna.id,
        buffer // timedelta(minutes=1),
    )
    hours: list[list[week.Range]] = [[(0, 1440)], [(0, 1440)], [(240, 1440)], []]
    days = {night + timedelta(days=n): chance.choice(hours) for n in range(-1, 3)} | {
        night: [(0, 1440)]
    }
    await week.replace_days(pool, anna.id, days, now=now)
    closed = night + timedelta(days=1) if chance.random() < 0.5 else None
    if closed:
        await pool.execute(
            "insert into blackout (instructor_id, day) values ($1, $2)", anna.id, closed
        )
        await pool.execute("select step($1, array[$2::date])", anna.id, closed)
    lessons: list[booking.Booking] = []
    outcomes = set()
    for _ in range(60):
        day = night + timedelta(days=chance.choice([-1, 0, 0, 1, 2]))
        midnight = datetime.combine(day, time(), tz)
        start = midnight.astimezone(UTC) + timedelta(minutes=15 * chance.randrange(-16, 20))
        end = start + timedelta(minutes=60)
        ben = chance.choice(students)
        on = start.astimezone(tz).date()
        is_inside = await pool.fetchval(
            """select exists (select from availability
               where instructor_id = $1 and during @> tstzrange($2, $3))""",
            anna.id,
            start,
            end,
        )
        if any(b.student_id == ben.id and b.starts_at < end and start < b.ends_at for b in lessons):
            expected = "STUDENT_BUSY"
        elif any(b.starts_at < end + buffer and start < b.ends_at + buffer for b in lessons):
            expected = "SLOT_TAKEN"
        elif (
            is_inside and on == (end - timedelta(seconds=1)).astimezone(tz).date() and on != closed
        ):
            expected = "booked"
        else:
            expected = "OUTSIDE_AVAILABILITY"
        try:
            lessons.append(await reserve(pool, ben, anna, start, 60, now=now))
            outcome = "booked"
        except refusal.Refusal as refused:
            outcome = refused.code
        assert outcome == expected, (start, lessons)
        outcomes.add(outcome)
    assert {"booked", "SLOT_TAKEN", "OUTSIDE_AVAILABILITY"} <= outcomes
    await assert_nothing_overlaps(pool)
    await assert_changes_match_board(pool)
