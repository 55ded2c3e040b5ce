"""Cancelling: who, until when, and what becomes of the time."""

from datetime import UTC, datetime, timedelta

import pytest

from app import refusal
from app.bookings import booking, cancellation
from app.bookings.booking import Booking
from app.db import Pool
from tests import factories
from tests.bookings.reservations import reserve
from tests.factories import Account, Instructor

NOW = datetime.now(UTC)


async def lesson(pool: Pool) -> tuple[Instructor, Account, Booking]:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    return anna, ben, await reserve(pool, ben, anna, anna.at("10:00", day=3))


async def test_the_time_is_free_at_once_and_both_are_told(pool: Pool) -> None:
    anna, ben, made = await lesson(pool)
    cancelled = await cancellation.cancel(pool, ben.id, made.id, reason="ill", now=NOW)
    assert (cancelled.state, cancelled.late, cancelled.cancel_reason, cancelled.version) == ("cancelled", False, "ill", 2)
    events = await pool.fetchval("select events from outbox where version = 2")
    assert (events[0]["event"], events[0]["previous_version"]) == ("cancelled", 1)
    kinds = await pool.fetch("select kind, recipient_id from notification where kind = 'booking_cancelled'")
    assert {row["recipient_id"] for row in kinds} == {anna.id, ben.id}
    again = await reserve(pool, await factories.student(pool, "Carl"), anna, anna.at("10:00", day=3))
    assert again.version == 3


@pytest.mark.parametrize(("minutes_after_the_limit", "late"), [(0, False), (1, True)])
async def test_after_the_free_time_it_is_late(pool: Pool, minutes_after_the_limit: int, late: bool) -> None:
    _, ben, made = await lesson(pool)
    now = made.free_cancel_until + timedelta(minutes=minutes_after_the_limit)
    assert (await cancellation.cancel(pool, ben.id, made.id, reason="", now=now)).late is late


async def test_a_lesson_that_has_begun_is_too_late_and_a_cancelled_one_in_the_wrong_state(pool: Pool) -> None:
    _, ben, made = await lesson(pool)
    with pytest.raises(refusal.TooLate):
        await cancellation.cancel(pool, ben.id, made.id, reason="", now=made.starts_at)
    await cancellation.cancel(pool, ben.id, made.id, reason="", now=NOW)
    with pytest.raises(refusal.WrongState) as wrong:
        await cancellation.cancel(pool, ben.id, made.id, reason="", now=NOW)
    assert wrong.value.more == {"state": "cancelled"}
    assert await pool.fetchval("select max(version) from outbox") == 2


async def test_another_persons_booking_is_not_found(pool: Pool) -> None:
    _, _, made = await lesson(pool)
    stranger = await factories.student(pool, "Mallory")
    with pytest.raises(refusal.NotFound):
        await booking.find(pool, made.id, viewer=stranger.id)
    assert (await booking.find(pool, made.id, viewer=stranger.id, sees_all=True)).id == made.id
