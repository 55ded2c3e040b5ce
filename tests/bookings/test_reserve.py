"""The booking rules, one by one, against the database."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from app import refusal, wire
from app.bookings import booking, cancellation
from app.db import Pool, Tx
from tests import factories
from tests.bookings.reservations import NOW, hold, reserve


async def row(pool: Pool, sql: str) -> Any:
    return await pool.fetchrow(sql)


async def one(pool: Pool | Tx, sql: str, *arguments: Any) -> Any:
    return await pool.fetchval(sql, *arguments)


async def test_a_booking_is_confirmed_at_once_with_all_its_details(pool: Pool) -> None:
    anna, ben = (
        await factories.instructor(pool, "Anna", rate_cents=7001),
        await factories.student(pool, "Ben"),
    )
    lesson = await reserve(
        pool,
        ben,
        anna,
        anna.at("10:00", day=2),
        30,
        location_type="public",
        location="Bryant Park",
        note="hello",
    )
    ben_json = booking.as_json(lesson, ben.id)
    assert ben_json == {
        "id": str(lesson.id),
        "state": "confirmed",
        "start": wire.instant(anna.at("10:00", day=2)),
        "end": wire.instant(anna.at("10:30", day=2)),
        "duration_minutes": 30,
        "held_until": None,
        "service": {"id": str(anna.service_id), "name": "Piano"},
        "price_cents": 3501,  # 3500.5, rounded half up
        "instructor": {"id": str(anna.id), "name": "Anna"},
        "student": {"id": str(ben.id), "name": "Ben"},
        "location_type": "public",
        "location": "Bryant Park",
        "note": "hello",
        "free_cancel_until": wire.instant(anna.at("10:00", day=2) - timedelta(hours=12)),
        "late": None,
        "sequence": 0,
        "version": 1,
        "created_at": wire.instant(NOW),
    }
    assert "instructor_note" in booking.as_json(lesson, anna.id)
    assert await booking.find(pool, lesson.id, viewer=anna.id) == lesson


async def test_a_booking_writes_its_change_audit_entry_and_both_notifications(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    lesson = await reserve(pool, ben, anna, anna.at("10:00"))
    change = await row(pool, "select version, days, events from outbox")
    day = anna.day().isoformat()
    assert change["days"] == {
        day: {
            "free": [
                [wire.instant(anna.at("09:00")), wire.instant(anna.at("10:00"))],
                [wire.instant(anna.at("11:00")), wire.instant(anna.at("17:00"))],
            ],
            "held": [],
        }
    }
    assert change["events"] == [
        {
            "event": "created",
            "booking_id": str(lesson.id),
            "student_id": str(ben.id),
            "instructor_id": str(anna.id),
            "previous_version": 0,
        }
    ]
    assert await one(pool, "select array_agg(version) from outbox_unpublished") == [lesson.version]
    assert (
        change["version"]
        == lesson.version
        == await one(pool, "select version from calendar where instructor_id = $1", anna.id)
    )
    assert await one(pool, "select array_agg(recipient_id order by id) from notification") == [
        ben.id,
        anna.id,
    ]
    assert (
        await one(pool, "select actor_id from booking_audit where booking_id = $1", lesson.id)
        == ben.id
    )


@pytest.mark.parametrize(
    ("start", "minutes", "error"),
    [
        ("09:00", 45, refusal.DurationNotOffered),
        ("08:30", 60, refusal.OutsideAvailability),
        ("16:30", 60, refusal.OutsideAvailability),
        ("16:00", 60, None),
    ],
)
async def test_a_lesson_needs_an_offered_duration_within_availability(
    pool: Pool, start: str, minutes: int, error: type[Exception] | None
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    if error is None:
        await reserve(pool, ben, anna, anna.at(start), minutes)
    else:
        with pytest.raises(error):
            await reserve(pool, ben, anna, anna.at(start), minutes)
        assert await one(pool, "select count(*) from outbox") == 0


async def test_minimum_notice_and_horizon_are_enforced(pool: Pool) -> None:
    anna = await factories.instructor(
        pool, "Anna", hours=("00:00", "24:00"), days=120, notice_minutes=90
    )
    ben = await factories.student(pool, "Ben")
    start = anna.at("12:00", day=2)
    with pytest.raises(refusal.TooSoon, match="Book this instructor at least 90 minutes ahead"):
        await reserve(pool, ben, anna, start, now=start - timedelta(minutes=89))
    far = anna.at("12:00", day=100)
    with pytest.raises(refusal.TooFarAhead):
        await reserve(pool, ben, anna, far, now=far - timedelta(days=90, seconds=1))
    assert (
        await reserve(pool, ben, anna, start, now=start - timedelta(minutes=90))
    ).starts_at == start
    assert (await reserve(pool, ben, anna, far, now=far - timedelta(days=90))).starts_at == far


async def test_of_several_refusals_the_first_in_the_documented_order_is_returned(
    pool: Pool,
) -> None:
    anna = await factories.instructor(pool, "Anna", roles=("student", "instructor"))
    clara, ben = await factories.instructor(pool, "Clara"), await factories.student(pool, "Ben")
    night, morning = anna.at("03:00"), anna.at("10:00")
    with pytest.raises(refusal.NotAllowed):
        await reserve(pool, anna, anna, night, 45)
    await pool.execute(
        "update service set location_types = '{public}' where id = $1", anna.service_id
    )
    with pytest.raises(
        refusal.ValidationError, match="isn’t offered there, only in a public place"
    ):
        await reserve(pool, anna, anna, night, 45, location_type="student")
    with pytest.raises(refusal.DurationNotOffered, match="These lessons last 30 or 60 minutes"):
        await reserve(pool, ben, anna, NOW - timedelta(days=1), 45)
    lesson = await reserve(pool, ben, anna, morning)
    with pytest.raises(refusal.StudentBusy) as busy:  # the instructor is busy, too
        await reserve(pool, ben, anna, morning)
    assert busy.value.more == {"booking_id": str(lesson.id)}
    with pytest.raises(refusal.StudentBusy):  # checked before Clara's availability
        await reserve(pool, ben, clara, morning + timedelta(minutes=30))
    await pool.execute("update service set is_active = false where id = $1", anna.service_id)
    with pytest.raises(refusal.NotFound):
        await reserve(pool, ben, anna, morning)


async def test_a_slot_taken_refusal_offers_the_five_nearest_bookable_times(pool: Pool) -> None:
    anna, ben, carl = (
        await factories.instructor(pool, "Anna"),
        await factories.student(pool, "Ben"),
        await factories.student(pool, "Carl"),
    )
    clara = await factories.instructor(pool, "Clara")
    await reserve(pool, ben, anna, anna.at("10:00"))
    await reserve(pool, carl, clara, clara.at("11:00"))  # Carl is busy at this time
    with pytest.raises(refusal.SlotTaken) as refused:
        await reserve(pool, carl, anna, anna.at("10:00"))
    assert refused.value.more["version"] == 1
    assert refused.value.more["alternatives"] == [
        wire.instant(anna.at(start)) for start in ("09:00", "12:00", "12:30", "13:00", "13:30")
    ]
    for start in refused.value.more["alternatives"]:
        lesson = await reserve(pool, carl, anna, datetime.fromisoformat(start))
        await cancellation.cancel(pool, carl.id, lesson.id, reason="", now=NOW)


async def test_the_travel_buffer_is_kept_once_on_each_side(pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", buffer_minutes=30)
    students = [await factories.student(pool, name) for name in ("Ben", "Carl", "Dora", "Emma")]
    await reserve(pool, students[0], anna, anna.at("11:00"))
    for start in ("12:15", "09:45"):
        with pytest.raises(refusal.SlotTaken):
            await reserve(pool, students[1], anna, anna.at(start))
    await reserve(pool, students[1], anna, anna.at("12:30"))
    await reserve(pool, students[2], anna, anna.at("09:30"))
    # Travel time may extend beyond the end of availability.
    await reserve(pool, students[3], anna, anna.at("16:00"))
    free = (await one(pool, "select board_days($1, $2)", anna.id, [anna.day()]))[
        anna.day().isoformat()
    ]["free"]
    assert free == [[wire.instant(anna.at("14:00")), wire.instant(anna.at("15:30"))]]


async def test_a_lesson_stays_within_a_local_day_and_may_end_at_midnight(pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", hours=("00:00", "24:00"))
    ben = await factories.student(pool, "Ben")
    with pytest.raises(refusal.OutsideAvailability):
        await reserve(pool, ben, anna, anna.at("23:30"))
    lesson = await reserve(pool, ben, anna, anna.at("23:00"))
    assert lesson.ends_at == anna.at("00:00", day=2)


async def test_a_blackout_day_refuses_bookings_despite_availability(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    await pool.execute(
        "insert into blackout (instructor_id, day) values ($1, $2)", anna.id, anna.day()
    )
    with pytest.raises(refusal.OutsideAvailability) as refused:
        await reserve(pool, ben, anna, anna.at("10:00"))
    nearest = datetime.fromisoformat(refused.value.more["alternatives"][0])
    assert nearest == anna.at("16:00", day=0) or nearest == anna.at("09:00", day=2)
    board = await one(pool, "select board_days($1, $2)", anna.id, [anna.day()])
    assert board[anna.day().isoformat()]["free"] == []


async def test_a_hold_blocks_its_time_until_it_expires(pool: Pool) -> None:
    anna, ben, carl = (
        await factories.instructor(pool, "Anna"),
        await factories.student(pool, "Ben"),
        await factories.student(pool, "Carl"),
    )
    hold_id = await hold(pool, ben, anna, anna.at("10:00"), NOW)
    with pytest.raises(refusal.SlotTaken):
        await reserve(pool, carl, anna, anna.at("10:30"), now=NOW - timedelta(seconds=1))
    lesson = await reserve(pool, carl, anna, anna.at("10:30"), now=NOW)
    assert await one(pool, "select state from booking where id = $1", hold_id) == "expired"
    change = await row(pool, "select version, days, events from outbox")
    assert [event["event"] for event in change["events"]] == ["expired", "created"]
    assert change["version"] == lesson.version == 1
    assert change["days"][anna.day().isoformat()]["held"] == []


async def test_an_expired_hold_in_another_calendar_is_cleared_in_that_calendar(pool: Pool) -> None:
    anna, clara, ben = (
        await factories.instructor(pool, "Anna"),
        await factories.instructor(pool, "Clara"),
        await factories.student(pool, "Ben"),
    )
    await hold(pool, ben, clara, clara.at("10:00"), NOW - timedelta(seconds=1))
    await reserve(pool, ben, anna, anna.at("10:30"))
    changes = await pool.fetch(
        "select instructor_id, version, events from outbox order by created_at"
    )
    assert [
        (c["instructor_id"], c["version"], [e["event"] for e in c["events"]]) for c in changes
    ] == [
        (clara.id, 1, ["expired"]),
        (anna.id, 1, ["created"]),
    ]


async def test_free_cancellation_lasts_five_minutes_at_least_but_ends_at_the_start(
    pool: Pool,
) -> None:
    anna = await factories.instructor(pool, "Anna", hours=("00:00", "24:00"), notice_minutes=0)
    ben = await factories.student(pool, "Ben")
    start = anna.at("12:00", day=3)
    soon = await reserve(pool, ben, anna, start, now=start - timedelta(minutes=30))
    assert soon.free_cancel_until == start - timedelta(minutes=25)
    at_once = await reserve(
        pool, ben, anna, start + timedelta(hours=1), now=start + timedelta(minutes=58)
    )
    assert at_once.free_cancel_until == start + timedelta(hours=1)
