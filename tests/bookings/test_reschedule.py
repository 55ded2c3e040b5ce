"""Moving a lesson: over HTTP, under all the rules of a new one, and undoing it."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from limits import RateLimitItemPerHour

from app import limits, refusal, wire
from app.bookings import booking, cancellation, reschedule
from app.bookings import hold as bookings_hold
from app.bookings.booking import Booking
from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.bookings.browser import Browser, browser
from tests.bookings.reservations import NOW, hold, reserve
from tests.conftest import visiting
from tests.factories import Instructor


async def moved(
    pool: Pool, lesson: Booking, start: Any, minutes: int | None = None, **more: Any
) -> Booking:
    arguments: dict[str, Any] = {"start": start, "minutes": minutes, "now": NOW}
    return await reschedule.move(pool, lesson.student_id, lesson.id, **arguments | more)


def path(lesson: dict[str, Any]) -> str:
    return f"/api/bookings/{lesson['id']}/time"


async def test_a_lesson_is_moved_in_one_step(ben: Browser, anna: Instructor, pool: Pool) -> None:
    lesson = (await ben.book(anna, "10:00")).json()
    start = anna.at("14:00", day=3)
    answer = await ben.send("PUT", path(lesson), {"start": wire.instant(start)})
    assert answer.status_code == 200
    assert answer.json() == lesson | {
        "start": wire.instant(start),
        "end": wire.instant(start + timedelta(hours=1)),
        "free_cancel_until": wire.instant(start - timedelta(hours=12)),
        "sequence": 1,
        "version": 2,
    }
    change = await pool.fetchrow("select days, events from outbox where version = 2")
    assert change is not None
    days = [anna.day(2), anna.day(3)]
    assert change["days"] == await pool.fetchval("select board_days($1, $2)", anna.id, days)
    freed = change["days"][anna.day(2).isoformat()]["free"]
    assert freed == [[wire.instant(anna.at(t, day=2)) for t in ("09:00", "17:00")]]
    assert [event["event"] for event in change["events"]] == ["rescheduled"]
    audit = "select event, from_state, to_state, actor_id from booking_audit order by id desc"
    last = await pool.fetchrow(audit)
    assert last is not None
    assert tuple(last) == ("rescheduled", "confirmed", "confirmed", ben.account.id)
    kinds = "select array_agg(kind || sequence order by id) from notification"
    assert (await pool.fetchval(kinds))[2:] == ["booking_rescheduled1"] * 2


async def test_too_many_moves_of_one_lesson_are_refused(
    pool: Pool, settings: Settings, anna: Instructor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each move mails the instructor."""
    monkeypatch.setattr(limits, "MOVES_OF_BOOKING", RateLimitItemPerHour(2))
    account = await factories.student(pool, "Ben")
    async with visiting(settings.model_copy(update={"rate_limits": "on"})) as client:
        ben = await browser(client, pool, settings, account)
        one, other = [(await ben.book(anna, at)).json() for at in ("10:00", "16:00")]
        times = [wire.instant(anna.at(at, day=3)) for at in ("11:00", "12:00", "13:00")]
        answers = [await ben.send("PUT", path(one), {"start": start}) for start in times]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert (await ben.send("PUT", path(other), {"start": times[2]})).status_code == 200


async def test_only_the_student_moves_a_lesson(
    ben: Browser, carl: Browser, as_anna: Browser, anna: Instructor
) -> None:
    lesson = (await ben.book(anna, "10:00")).json()
    body = {"start": wire.instant(anna.at("14:00", day=3))}
    assert (await carl.send("PUT", path(lesson), body)).status_code == 404
    answer = await as_anna.send("PUT", path(lesson), body)
    assert (answer.status_code, answer.json()["code"]) == (403, "NOT_ALLOWED")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"start": "2027-01-01T10:07:00Z"}, 422, "VALIDATION_ERROR"),
        ({}, 422, "VALIDATION_ERROR"),
        ({"duration_minutes": "x"}, 422, "VALIDATION_ERROR"),
        ({"duration_minutes": 45}, 409, "DURATION_NOT_OFFERED"),
        ({"start": "2020-01-01T10:00:00Z"}, 409, "TOO_SOON"),
        ({"start": "2099-01-01T10:00:00Z"}, 409, "TOO_FAR_AHEAD"),
    ],
)
async def test_a_move_is_refused_like_a_booking(
    ben: Browser, anna: Instructor, body: dict[str, Any], status: int, code: str
) -> None:
    lesson = (await ben.book(anna, "10:00")).json()
    start = {"start": wire.instant(anna.at("14:00", day=3))} if body else {}
    answer = await ben.send("PUT", path(lesson), start | body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await ben.get(f"/api/bookings/{lesson['id']}")).json() == lesson


async def test_a_lesson_moves_at_its_own_length_although_that_is_no_longer_offered(
    ben: Browser, anna: Instructor, pool: Pool
) -> None:
    lesson = (await ben.book(anna, "10:00")).json()
    await pool.execute("update service set durations_minutes = '{30}'")
    start = {"start": wire.instant(anna.at("14:00", day=3))}
    answer = await ben.send("PUT", path(lesson), start | {"duration_minutes": 90})
    assert (answer.status_code, answer.json()["code"]) == (409, "DURATION_NOT_OFFERED")
    answer = await ben.send("PUT", path(lesson), start)
    assert (answer.status_code, answer.json()["duration_minutes"]) == (200, 60)
    body = {"start": wire.instant(anna.at("20:00", day=3))}
    answer = await ben.send("PUT", path(lesson), body)
    assert (answer.status_code, answer.json()["code"]) == (409, "OUTSIDE_AVAILABILITY")
    # At the latest, an hour before the end of the availability.
    assert wire.instant(anna.at("16:00", day=3)) in answer.json()["alternatives"]
    assert wire.instant(anna.at("16:30", day=3)) not in answer.json()["alternatives"]


async def test_a_move_to_a_time_that_is_not_free_names_the_nearest_free_ones(
    ben: Browser, carl: Browser, anna: Instructor, pool: Pool
) -> None:
    clara = await factories.instructor(pool, "Clara")
    lesson = (await ben.book(anna, "10:00")).json()
    other = (await ben.book(clara, "15:00")).json()
    await carl.book(anna, "12:00")

    async def refused(clock: str) -> Any:
        body = {"start": wire.instant(anna.at(clock, day=2))}
        answer = await ben.send("PUT", path(lesson), body)
        assert answer.status_code == 409
        return answer.json()

    assert (await refused("14:30"))["booking_id"] == other["id"]
    conflict = await refused("12:30")
    assert (conflict["code"], conflict["version"], len(conflict["alternatives"])) == (
        "SLOT_TAKEN",
        2,
        5,
    )
    outside = await refused("20:00")
    assert (outside["code"], len(outside["alternatives"])) == ("OUTSIDE_AVAILABILITY", 5)
    # Its own time does not stand in its way.
    body = {"start": wire.instant(anna.at("10:30", day=2))}
    assert (await ben.send("PUT", path(lesson), body)).status_code == 200


async def test_only_a_confirmed_lesson_that_has_not_started_is_moved(
    ben: Browser, anna: Instructor, pool: Pool
) -> None:
    lesson = (await ben.book(anna, "10:00")).json()
    body = {"start": wire.instant(anna.at("14:00", day=3))}
    for state in ("held", "completed", "no_show", "cancelled", "expired"):
        await pool.execute("update booking set state = $1, held_until = now()", state)
        answer = await ben.send("PUT", path(lesson), body)
        assert (answer.status_code, answer.json()["code"]) == (409, "WRONG_STATE")
        assert answer.json()["state"] == state
    await pool.execute(
        """update booking set state = 'confirmed', blocked = span, during = span
           from (select now() - interval '1 minute' as start) as begun,
                lateral (select tstzrange(start, start + interval '1 hour') as span) as lesson"""
    )
    assert (await ben.send("PUT", path(lesson), body)).json()["code"] == "TOO_LATE"


async def test_concurrent_repeats_with_a_key_move_once(
    ben: Browser, anna: Instructor, pool: Pool
) -> None:
    lesson = (await ben.book(anna, "10:00")).json()
    body = {"start": wire.instant(anna.at("14:00", day=3))}
    answers = await asyncio.gather(*(ben.send("PUT", path(lesson), body, "move") for _ in range(6)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert await pool.fetchval("select sequence from booking") == 1
    mismatch = await ben.send("PUT", path(lesson), body | {"duration_minutes": 30}, "move")
    assert mismatch.json()["code"] == "IDEMPOTENCY_MISMATCH"
    # Without a key, the same time again changes nothing.
    assert (await ben.send("PUT", path(lesson), body)).json() == answers[0].json()


async def test_another_length_is_priced_at_the_rate_of_the_booking(pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", rate_cents=7001, buffer_minutes=15)
    ben = await factories.student(pool, "Ben")
    lesson = await reserve(pool, ben, anna, anna.at("10:00"))
    await pool.execute("update service set hourly_rate_cents = 9000")
    half = await moved(pool, lesson, lesson.starts_at, 30)
    assert (half.duration_minutes, half.price_cents) == (30, 3501)
    assert (await moved(pool, half, anna.at("12:00"), 60)).price_cents == 7001
    assert await pool.fetchval("select upper(blocked) from booking") == anna.at("13:15")


async def test_a_move_replaces_expired_holds_and_the_students_own(pool: Pool) -> None:
    anna, clara = (
        await factories.instructor(pool, "Anna"),
        await factories.instructor(pool, "Clara"),
    )
    ben, carl = await factories.student(pool, "Ben"), await factories.student(pool, "Carl")
    lesson = await reserve(pool, ben, anna, anna.at("09:00"))
    live = NOW + timedelta(hours=1)
    mine = await hold(pool, ben, anna, anna.at("14:00"), live)
    expired = await hold(pool, carl, anna, anna.at("15:00"), NOW)
    elsewhere = await hold(pool, ben, clara, clara.at("15:00"), NOW)
    await moved(pool, lesson, anna.at("14:30"))
    states = await pool.fetch("select id, state from booking where state <> 'confirmed'")
    assert {row["id"]: row["state"] for row in states} == dict.fromkeys(
        (mine, expired, elsewhere), "expired"
    )
    events = await pool.fetchval("select events from outbox where version = 2")
    assert sorted(event["event"] for event in events) == ["expired", "expired", "rescheduled"]
    assert (
        await pool.fetchval("select version from calendar where instructor_id = $1", clara.id) == 1
    )


async def test_a_lesson_that_is_moved_while_late_stays_late(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    lesson = await reserve(pool, ben, anna, anna.at("10:00", day=5))
    late = anna.at("00:00", day=5)
    again = await moved(pool, lesson, anna.at("12:00", day=9), now=late)
    assert again.free_cancel_until == lesson.free_cancel_until
    cancelled = await cancellation.cancel(pool, ben.id, lesson.id, reason="", now=late)
    assert cancelled.late


async def test_a_moved_lesson_keeps_the_five_minutes_after_its_confirmation(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    start = anna.at("12:00", day=2)
    now = start - timedelta(hours=3)
    arguments: dict[str, Any] = {"location_type": None, "location": "12 Main St", "note": ""}
    mine = await bookings_hold.create(
        pool,
        ben.id,
        service_id=anna.service_id,
        start=start,
        minutes=60,
        seconds=300,
        now=now,
        **arguments,
    )
    confirmed_at = now + timedelta(minutes=4)
    lesson = await bookings_hold.confirm(pool, ben.id, mine.id, now=confirmed_at, **arguments)
    assert lesson.free_cancel_until == confirmed_at + timedelta(minutes=5)
    after = await moved(
        pool, lesson, start + timedelta(hours=1), now=confirmed_at + timedelta(minutes=2)
    )
    assert after.free_cancel_until == lesson.free_cancel_until


async def test_a_moved_lesson_keeps_the_policy_it_was_booked_on(pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", free_cancel_hours=24)
    ben = await factories.student(pool, "Ben")
    lesson = await reserve(pool, ben, anna, anna.at("10:00", day=5))
    await pool.execute("update calendar set free_cancel_hours = 48")
    later = await moved(pool, lesson, anna.at("10:00", day=6))
    assert later.free_cancel_until == anna.at("10:00", day=5)


async def test_undoing_a_move_needs_no_notice_and_restores_the_free_cancellation(
    pool: Pool,
) -> None:
    anna = await factories.instructor(pool, "Anna", hours=("00:00", "24:00"))
    ben = await factories.student(pool, "Ben")
    start = anna.at("12:00", day=5)
    lesson = await reserve(pool, ben, anna, start)
    # Two minutes more than the notice, and late.
    moved_at = start - timedelta(minutes=122)
    away = await moved(pool, lesson, start + timedelta(days=2), now=moved_at)
    assert away.free_cancel_until == lesson.free_cancel_until
    with pytest.raises(refusal.TooSoon):
        await moved(pool, away, start, now=moved_at + timedelta(minutes=6))
    undone = await moved(pool, away, start, now=moved_at + timedelta(minutes=4))
    assert (undone.starts_at, undone.sequence) == (start, 2)
    # Not late, moved to a time that is, and back.
    second = await reserve(pool, ben, anna, anna.at("12:00", day=8))
    soon = anna.at("12:00", day=6)
    now = soon - timedelta(hours=3)
    near = await moved(pool, second, soon, now=now)
    assert near.free_cancel_until < now
    back = await moved(pool, near, second.starts_at, now=now + timedelta(minutes=1))
    assert back.free_cancel_until == second.free_cancel_until


async def test_an_undo_restores_a_length_that_is_no_longer_offered(pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", durations=[30, 60])
    ben = await factories.student(pool, "Ben")
    lesson = await reserve(pool, ben, anna, anna.at("10:00", day=5), minutes=60)
    shorter = await moved(pool, lesson, anna.at("14:00", day=5), 30)
    await pool.execute("update service set durations_minutes = '{30}'")
    with pytest.raises(refusal.DurationNotOffered):
        await moved(pool, shorter, anna.at("11:00", day=5), 60)
    undone = await moved(pool, shorter, lesson.starts_at, 60)
    assert (undone.starts_at, undone.ends_at) == (lesson.starts_at, lesson.ends_at)
    assert undone.price_cents == lesson.price_cents


async def test_an_undo_cannot_be_undone(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    lesson = await reserve(pool, ben, anna, anna.at("10:00", day=5))
    soon = anna.at("14:00")
    now = soon - timedelta(minutes=122)
    near = await moved(pool, lesson, soon, now=now)
    back = await moved(pool, near, lesson.starts_at, now=now + timedelta(minutes=3))
    with pytest.raises(refusal.TooSoon):
        await moved(pool, back, soon, now=now + timedelta(minutes=4))


async def test_an_undo_finds_its_time_taken(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    carl = await factories.student(pool, "Carl")
    lesson = await reserve(pool, ben, anna, anna.at("10:00"))
    away = await moved(pool, lesson, anna.at("14:00"))
    await reserve(pool, carl, anna, anna.at("10:00"))
    with pytest.raises(refusal.SlotTaken):
        await moved(pool, away, lesson.starts_at)
    assert await booking.find(pool, lesson.id, viewer=ben.id) == away
