"""The life of a lesson on screens: a guest's board and both participants' messages."""

from datetime import UTC, datetime, timedelta

from app import wire
from app.bookings import cancellation, hold, outcome, reschedule, sweep
from app.bookings.booking import Booking
from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.factories import Account, Instructor
from tests.realtime.screens import Screens, catches_up


async def held(pool: Pool, student: Account, instructor: Instructor, clock: str) -> Booking:
    return await hold.create(
        pool,
        student.id,
        service_id=instructor.service_id,
        start=instructor.at(clock),
        minutes=60,
        location_type=None,
        location="12 Main St",
        note="",
        seconds=300,
        now=datetime.now(UTC),
    )


async def test_screens_follow_a_lesson_from_its_hold_to_its_end(
    screens: Screens, pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    guest = await screens.open()
    await guest.shows(anna)
    bens = await screens.open(token=await factories.token_of(pool, ben.id, settings))
    annas = await screens.open(token=await factories.token_of(pool, anna.id, settings))
    now, today = datetime.now(UTC), anna.day().isoformat()

    mine = await held(pool, ben, anna, "10:00")
    held_range = [wire.instant(anna.at("10:00")), wire.instant(anna.at("11:00"))]
    board = await guest.reaches(anna, 1)
    assert board["days"][today]["held"] == [held_range]
    assert "held_until" not in str(guest.messages)
    created = await bens.receives("booking", event="created")
    assert mine.held_until is not None
    assert created["booking"]["state"] == "held"
    assert created["booking"]["held_until"] == wire.instant(mine.held_until)
    message = await annas.receives("booking", event="created")
    assert message["booking"]["held_until"] is None

    await hold.confirm(pool, ben.id, mine.id, location_type=None, location=None, note=None, now=now)
    board = await guest.reaches(anna, 2)
    assert board["days"][today]["held"] == []
    confirmed = await bens.receives("booking", event="confirmed")
    assert confirmed["booking"]["state"] == "confirmed"

    lesson = await reschedule.move(
        pool, ben.id, mine.id, start=anna.at("14:00"), minutes=None, now=now
    )
    await outcome.note(pool, anna.id, lesson.id, "Scales", now=now)
    await outcome.record(pool, anna.id, lesson.id, "completed", reason="", now=lesson.ends_at)
    for event in ("rescheduled", "noted", "completed"):
        message = await bens.receives("booking", event=event)
        assert "instructor_note" not in message["booking"]
    assert (await annas.receives("booking", event="noted"))["booking"]["instructor_note"]

    given_up = await held(pool, ben, anna, "09:00")
    await hold.give_up(pool, ben.id, given_up.id, now=now)
    assert (await annas.receives("booking", event="expired"))["booking"]["id"] == str(given_up.id)
    forgotten = await held(pool, ben, anna, "12:00")
    await sweep.run(pool, now=now + timedelta(minutes=10))
    booked = await factories.lesson(pool, ben.id, anna.service_id, anna.at("12:00"))
    await cancellation.cancel(pool, ben.id, booked.id, reason="", now=now)
    assert (await bens.receives("booking", event="cancelled"))["booking"]["id"] == str(booked.id)
    expired = [
        message["booking"]["id"] for message in bens.of("booking") if message["event"] == "expired"
    ]
    assert expired == [str(given_up.id), str(forgotten.id)]
    await catches_up(pool, guest, anna)
