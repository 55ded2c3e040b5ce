"""Cancellations: permissions, deadlines, and the freed time."""

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


async def test_a_cancellation_frees_the_time_at_once_and_notifies_both(pool: Pool) -> None:
    anna, ben, reservation = await lesson(pool)
    cancelled = await cancellation.cancel(pool, ben.id, reservation.id, reason="ill", now=NOW)
    assert (cancelled.state, cancelled.late, cancelled.cancel_reason, cancelled.version) == (
        "cancelled",
        False,
        "ill",
        2,
    )
    events = await pool.fetchval("select events from outbox where version = 2")
    assert (events[0]["event"], events[0]["previous_version"]) == ("cancelled", 1)
    kinds = await pool.fetch(
        "select kind, recipient_id from notification where kind = 'booking_cancelled'"
    )
    assert {row["recipient_id"] for row in kinds} == {anna.id, ben.id}
    again = await reserve(
        pool, await factories.student(pool, "Carl"), anna, anna.at("10:00", day=3)
    )
    assert again.version == 3


@pytest.mark.parametrize(("minutes_after_the_limit", "late"), [(0, False), (1, True)])
async def test_a_cancellation_after_the_free_period_is_late(
    pool: Pool, minutes_after_the_limit: int, late: bool
) -> None:
    _, ben, reservation = await lesson(pool)
    now = reservation.free_cancel_until + timedelta(minutes=minutes_after_the_limit)
    assert (
        await cancellation.cancel(pool, ben.id, reservation.id, reason="", now=now)
    ).late is late


async def test_started_and_cancelled_lessons_cannot_be_cancelled(pool: Pool) -> None:
    _, ben, reservation = await lesson(pool)
    with pytest.raises(refusal.TooLate):
        await cancellation.cancel(
            pool, ben.id, reservation.id, reason="", now=reservation.starts_at
        )
    await cancellation.cancel(pool, ben.id, reservation.id, reason="", now=NOW)
    with pytest.raises(refusal.WrongState) as wrong:
        await cancellation.cancel(pool, ben.id, reservation.id, reason="", now=NOW)
    assert wrong.value.more == {"state": "cancelled"}
    assert await pool.fetchval("select max(version) from outbox") == 2


async def test_only_participants_and_admins_find_a_booking(pool: Pool) -> None:
    _, _, reservation = await lesson(pool)
    stranger = await factories.student(pool, "Mallory")
    with pytest.raises(refusal.NotFound):
        await booking.find(pool, reservation.id, viewer=stranger.id)
    assert (
        await booking.find(pool, reservation.id, viewer=stranger.id, sees_all=True)
    ).id == reservation.id
