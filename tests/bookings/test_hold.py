"""Holding a time: over HTTP, against the rules, and what watchers and the audit see of it."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from app import redis, refusal, wire
from app.bookings import booking, hold, sweep
from app.bookings.booking import Booking
from app.catalog import instructor
from app.db import Pool
from app.settings import Settings
from jobs import dispatcher
from tests import factories
from tests.bookings.browser import Browser
from tests.bookings.reservations import NOW, reserve
from tests.cluster import PATIENCE
from tests.factories import Account, Instructor
from tests.jobs.conftest import running_worker, until

LATER = NOW + timedelta(seconds=300)


async def held(
    pool: Pool, student: Account, instructor: Instructor, start: datetime, **more: Any
) -> Booking:
    arguments: dict[str, Any] = {
        "location_type": None,
        "location": "",
        "note": "",
        "seconds": 300,
        "now": NOW,
    }
    return await hold.create(
        pool,
        student.id,
        service_id=instructor.service_id,
        start=start,
        minutes=60,
        **arguments | more,
    )


async def state(pool: Pool, lesson: Booking) -> str:
    value: str = await pool.fetchval("select state from booking where id = $1", lesson.id)
    return value


async def board(pool: Pool, instructor: Instructor, day: int = 1) -> dict[str, Any]:
    date = instructor.day(day)
    row = await pool.fetchval("select board_days($1, $2)", instructor.id, [date])
    content: dict[str, Any] = row[date.isoformat()]
    return content


async def audit(pool: Pool, lesson: Booking) -> list[tuple[str, str | None, str, bool]]:
    """Event, states, and whether the student was the actor (else nobody)."""
    rows = await pool.fetch(
        "select event, from_state, to_state, actor_id from booking_audit where booking_id = $1"
        " order by id",
        lesson.id,
    )
    assert {row["actor_id"] for row in rows} <= {lesson.student_id, None}
    return [
        (row["event"], row["from_state"], row["to_state"], row["actor_id"] is not None)
        for row in rows
    ]


# ---- over HTTP


async def test_a_hold_is_a_booking_whose_end_only_its_student_sees(
    ben: Browser, as_anna: Browser, anna: Instructor, settings: Settings
) -> None:
    response = await ben.hold(anna, "10:00", note="hello")
    assert response.status_code == 201
    lesson = response.json()
    assert (lesson["state"], lesson["location"], lesson["note"]) == ("held", "", "hello")
    until = datetime.fromisoformat(lesson["held_until"])
    created = datetime.fromisoformat(lesson["created_at"])
    assert until - created == timedelta(seconds=settings.hold_seconds)
    assert (await ben.get(f"/api/bookings/{lesson['id']}")).json() == lesson
    assert (await ben.get("/api/bookings")).json()["items"] == [lesson]
    item = (await as_anna.get(f"/api/bookings/{lesson['id']}")).json()
    assert item == lesson | {"held_until": None, "instructor_note": ""}


async def test_a_hold_is_extended_once(
    ben: Browser, carl: Browser, as_anna: Browser, anna: Instructor, pool: Pool
) -> None:
    lesson = (await ben.hold(anna, "10:00")).json()
    path = f"/api/holds/{lesson['id']}/extension"
    await pool.execute("update booking set held_until = held_until - interval '100 seconds'")
    assert (await carl.post(path)).status_code == 404
    assert (await as_anna.post(path)).json()["code"] == "NOT_ALLOWED"
    await pool.execute("update service set location_types = '{student,public}'")
    elsewhere = await ben.post(path, {"location_type": "instructor", "note": "hello"})
    assert (elsewhere.status_code, elsewhere.json()["field"]) == (422, "location_type")
    assert elsewhere.json()["detail"].startswith("This service isn’t offered there, only ")
    extended = await ben.post(path)
    assert extended.status_code == 200
    assert extended.json()["held_until"] >= lesson["held_until"]
    assert extended.json()["version"] == lesson["version"]
    assert extended.json()["note"] == lesson["note"]
    again = await ben.post(path)
    assert (again.status_code, again.json()["code"]) == (409, "HOLD_LIMIT")
    await pool.execute("update booking set held_until = now()")
    assert (await ben.post(path)).json()["code"] == "HOLD_EXPIRED"


async def test_a_hold_ends_at_the_second_that_responses_name(pool: Pool) -> None:
    anna = await factories.instructor(pool)
    ben = await factories.student(pool)
    now = NOW.replace(microsecond=900_000)
    lesson = await held(pool, ben, anna, anna.at("10:00"), now=now)
    lesson = await hold.extend(pool, ben.id, lesson.id, seconds=301, now=now)
    assert lesson.held_until is not None
    end = datetime.fromisoformat(wire.instant(lesson.held_until))
    assert end == NOW.replace(microsecond=0) + timedelta(seconds=301)
    with pytest.raises(refusal.HoldExpired):
        await hold.confirm(
            pool,
            ben.id,
            lesson.id,
            location_type=None,
            location="12 Oak Street",
            note="",
            now=end,
        )


async def test_a_hold_lasts_no_longer_than_until_its_lesson_starts(pool: Pool) -> None:
    anna = await factories.instructor(pool, notice_minutes=0)
    ben = await factories.student(pool)
    start = anna.at("10:00")
    lesson = await held(pool, ben, anna, start, now=start - timedelta(minutes=1))
    assert lesson.held_until == start
    extended = await hold.extend(
        pool, ben.id, lesson.id, seconds=300, now=start - timedelta(seconds=30)
    )
    assert extended.held_until == start
    with pytest.raises(refusal.HoldExpired):
        await hold.confirm(
            pool,
            ben.id,
            lesson.id,
            location_type=None,
            location="12 Oak Street",
            note="",
            now=start + timedelta(minutes=1),
        )


async def test_a_hold_is_given_up(
    ben: Browser, carl: Browser, as_anna: Browser, anna: Instructor
) -> None:
    lesson = (await ben.hold(anna, "10:00")).json()
    path = f"/api/holds/{lesson['id']}"
    assert (await carl.send("DELETE", path)).status_code == 404
    assert (await as_anna.send("DELETE", path)).json()["code"] == "NOT_ALLOWED"
    assert (await ben.send("DELETE", path)).status_code == 204
    assert (await ben.get(f"/api/bookings/{lesson['id']}")).json()["state"] == "expired"
    assert (await ben.send("DELETE", path)).status_code == 204
    assert (await ben.post(f"{path}/extension")).json()["code"] == "HOLD_EXPIRED"
    assert (await carl.book(anna, "10:00")).status_code == 201


async def test_a_lesson_is_not_a_hold(ben: Browser, anna: Instructor) -> None:
    lesson = (await ben.book(anna, "10:00")).json()
    for answer in (
        await ben.send("DELETE", f"/api/holds/{lesson['id']}"),
        await ben.post(f"/api/holds/{lesson['id']}/extension"),
    ):
        assert (answer.status_code, answer.json()["code"], answer.json()["state"]) == (
            409,
            "WRONG_STATE",
            "confirmed",
        )


async def test_a_hold_is_refused_like_a_booking(
    ben: Browser, carl: Browser, as_anna: Browser, anna: Instructor
) -> None:
    await ben.hold(anna, "10:00")
    refused = await carl.hold(anna, "10:30")
    assert (refused.status_code, refused.json()["code"]) == (409, "SLOT_TAKEN")
    assert len(refused.json()["alternatives"]) == 5
    for more, status, code in (
        ({"start": "2027-01-01T10:07:00Z"}, 422, "VALIDATION_ERROR"),
        ({"location_type": "moon"}, 422, "VALIDATION_ERROR"),
        ({"duration_minutes": 45}, 409, "DURATION_NOT_OFFERED"),
        ({"start": wire.instant(anna.at("20:00", day=2))}, 409, "OUTSIDE_AVAILABILITY"),
    ):
        answer = await carl.hold(anna, "12:00", **more)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await as_anna.hold(anna, "12:00")).json()["code"] == "NOT_ALLOWED"


async def test_repeats_with_a_key_have_one_effect(
    ben: Browser, carl: Browser, anna: Instructor, pool: Pool
) -> None:
    holds = await asyncio.gather(*(ben.hold(anna, "10:00", key="hold") for _ in range(6)))
    assert {answer.status_code for answer in holds} == {201}
    assert len({answer.text for answer in holds}) == 1
    path = f"/api/holds/{holds[0].json()['id']}"
    extended = await asyncio.gather(
        *(ben.send("POST", f"{path}/extension", key="more") for _ in range(6))
    )
    assert {answer.status_code for answer in extended} == {200}
    assert len({answer.text for answer in extended}) == 1
    given_up = await asyncio.gather(*(ben.send("DELETE", path, key="no") for _ in range(6)))
    assert {answer.status_code for answer in given_up} == {204}
    mismatch = await ben.send("DELETE", path, key="more")
    assert (mismatch.status_code, mismatch.json()["code"]) == (422, "IDEMPOTENCY_MISMATCH")
    assert await pool.fetchval("select count(*) from booking") == 1
    assert await pool.fetchval("select count(*) from outbox") == 2


async def test_a_hold_becomes_a_lesson(
    ben: Browser, carl: Browser, as_anna: Browser, anna: Instructor, pool: Pool
) -> None:
    mine = (await ben.hold(anna, "10:00", location_type="student", note="From the hold")).json()
    path = f"/api/bookings/{mine['id']}/confirmation"
    assert (await carl.post(path, {})).status_code == 404
    assert (await as_anna.post(path, {"location": "Here"})).json()["code"] == "NOT_ALLOWED"
    answer = await ben.post(path, {"location": "12 Main St"})
    assert answer.status_code == 200
    lesson = answer.json()
    changed = {"state": "confirmed", "location": "12 Main St", "version": 2, "held_until": None}
    assert lesson == mine | changed
    again = await ben.post(path, {})
    assert (again.status_code, again.json()["code"], again.json()["state"]) == (
        409,
        "WRONG_STATE",
        "confirmed",
    )
    change = await pool.fetchrow("select days, events from outbox where version = 2")
    assert change is not None
    assert change["days"] == {anna.day(2).isoformat(): await board(pool, anna, 2)}
    assert change["days"][anna.day(2).isoformat()]["held"] == []
    assert [event["event"] for event in change["events"]] == ["confirmed"]
    assert await pool.fetchval("select array_agg(kind) from notification") == [
        "booking_confirmed",
        "booking_confirmed",
    ]


@pytest.mark.parametrize(
    ("held_with", "confirmed_with", "outcome"),
    [
        ({}, {}, "location"),
        ({}, {"location": "  "}, "location"),
        ({"location_type": "public"}, {}, "location"),
        ({"location_type": "instructor"}, {"location_type": "student"}, "location"),
        ({}, {"location_type": "moon"}, "location_type"),
        ({}, {"location": "x" * 501}, "location"),
        ({"location": "Held St"}, {}, ("student", "Held St", "")),
        (
            {"location": "Held St"},
            {"location": "Other St", "note": "x"},
            ("student", "Other St", "x"),
        ),
        ({"location": "Held St", "note": "x"}, {"note": ""}, ("student", "Held St", "")),
        ({}, {"location_type": "public", "location": "Park"}, ("public", "Park", "")),
        ({}, {"location_type": "instructor"}, ("instructor", factories.ADDRESS, "")),
        ({"location_type": "instructor"}, {}, ("instructor", factories.ADDRESS, "")),
    ],
)
async def test_a_confirmed_lesson_has_a_place(
    ben: Browser,
    anna: Instructor,
    held_with: dict[str, Any],
    confirmed_with: dict[str, str],
    outcome: Any,
) -> None:
    mine = (await ben.hold(anna, "10:00", **held_with)).json()
    answer = await ben.post(f"/api/bookings/{mine['id']}/confirmation", confirmed_with)
    lesson = answer.json()
    if isinstance(outcome, str):
        assert (answer.status_code, lesson["code"], lesson["field"]) == (
            422,
            "VALIDATION_ERROR",
            outcome,
        )
        assert (await ben.get(f"/api/bookings/{mine['id']}")).json() == mine
    else:
        assert (lesson["location_type"], lesson["location"], lesson["note"]) == outcome


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"location": ""}, "location"),
        ({"location": " "}, "location"),
        ({"location_type": "public", "location": ""}, "location"),
        ({"location_type": "instructor", "location": ""}, None),
    ],
)
async def test_a_lesson_is_not_booked_without_a_place(
    ben: Browser, anna: Instructor, more: dict[str, Any], field: str | None
) -> None:
    answer = await ben.book(anna, "10:00", **more)
    assert answer.json().get("field") == field
    assert answer.status_code == (422 if field else 201)


async def test_a_missing_address_is_named_before_an_unknown_service(
    ben: Browser, anna: Instructor
) -> None:
    for location_type in ("student", "public", "instructor", None):
        answer = await ben.book(
            anna, "10:00", service_id=str(anna.id), location_type=location_type, location=""
        )
        needs_address = location_type in {"student", "public"}
        expected = "VALIDATION_ERROR" if needs_address else "NOT_FOUND"
        assert answer.json()["code"] == expected, location_type


async def test_a_hold_is_confirmed_until_its_end_and_not_at_it(
    ben: Browser, anna: Instructor, pool: Pool
) -> None:
    mine = (await ben.hold(anna, "10:00")).json()
    path = f"/api/bookings/{mine['id']}/confirmation"
    await pool.execute("update booking set held_until = now()")
    # Also before the fields are checked.
    for body in ({}, {"location": "12 Main St"}):
        answer = await ben.post(path, body)
        assert (answer.status_code, answer.json()["code"]) == (409, "HOLD_EXPIRED")
    await pool.execute("update booking set held_until = now() + interval '1 minute'")
    assert (await ben.post(path, {"location": "12 Main St"})).status_code == 200


async def test_concurrent_confirmations_with_a_key_book_once(
    ben: Browser, anna: Instructor, pool: Pool
) -> None:
    path = f"/api/bookings/{(await ben.hold(anna, '10:00')).json()['id']}/confirmation"
    body = {"location": "12 Main St"}
    answers = await asyncio.gather(*(ben.send("POST", path, body, "yes") for _ in range(6)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert await pool.fetchval("select count(*) from notification") == 2
    answers = await asyncio.gather(*(ben.send("POST", path, body) for _ in range(3)))
    assert {answer.json()["code"] for answer in answers} == {"WRONG_STATE"}


# ---- rules


async def test_a_hold_is_confirmed_whatever_has_become_of_the_availability(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    mine = await held(pool, ben, anna, anna.at("10:00"), location="12 Main St")
    await pool.execute("delete from availability")
    await pool.execute("update service set is_active = false, location_types = '{public}'")
    assert (await confirmed(pool, mine)).state == "confirmed"
    assert await audit(pool, mine) == [
        ("created", None, "held", True),
        ("confirmed", "held", "confirmed", True),
    ]


async def test_a_hold_at_a_place_whose_address_was_removed_needs_another_place(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    mine = await held(pool, ben, anna, anna.at("10:00"), location_type="instructor")
    await instructor.change(pool, anna.id, {"teaching_address": ""}, now=NOW)
    with pytest.raises(refusal.ValidationError) as refused:
        await confirmed(pool, mine)
    assert refused.value.as_json()["field"] == "location_type"
    lesson = await hold.confirm(
        pool, ben.id, mine.id, location_type="student", location="12 Main St", note=None, now=NOW
    )
    assert (lesson.state, lesson.location) == ("confirmed", "12 Main St")


async def test_cancelling_is_free_for_five_minutes_after_the_confirmation(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    start = anna.at("12:00", day=2)
    soon = start - timedelta(hours=3)
    mine = await held(pool, ben, anna, start, location="12 Main St", now=soon)
    lesson = await confirmed(pool, mine, now=soon + timedelta(seconds=200))
    assert lesson.free_cancel_until == soon + timedelta(seconds=500)
    later = await held(pool, ben, anna, anna.at("13:00", day=5), location="12 Main St")
    assert (await confirmed(pool, later)).free_cancel_until == later.free_cancel_until


async def confirmed(pool: Pool, mine: Booking, now: datetime = NOW) -> Booking:
    return await hold.confirm(
        pool, mine.student_id, mine.id, location_type=None, location=None, note=None, now=now
    )


async def test_watchers_see_a_hold_and_see_it_end(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    lesson = await held(pool, ben, anna, anna.at("10:00"))
    assert lesson.version == 1
    assert await board(pool, anna) == {
        "free": [
            [wire.instant(anna.at("09:00")), wire.instant(anna.at("10:00"))],
            [wire.instant(anna.at("11:00")), wire.instant(anna.at("17:00"))],
        ],
        "held": [[wire.instant(anna.at("10:00")), wire.instant(anna.at("11:00"))]],
    }
    changes = "select days -> $1 as day, events from outbox order by version"
    (change,) = await pool.fetch(changes, anna.day().isoformat())
    assert change["day"] == await board(pool, anna)
    assert [event["event"] for event in change["events"]] == ["created"]
    await hold.extend(pool, ben.id, lesson.id, seconds=300, now=NOW + timedelta(seconds=100))
    assert len(await pool.fetch(changes, anna.day().isoformat())) == 1
    await hold.give_up(pool, ben.id, lesson.id, now=NOW)
    _, change = await pool.fetch(changes, anna.day().isoformat())
    assert change["day"] == await board(pool, anna)
    assert change["day"]["held"] == []
    assert [event["event"] for event in change["events"]] == ["expired"]
    assert await audit(pool, lesson) == [
        ("created", None, "held", True),
        ("expired", "held", "expired", True),
    ]


async def test_a_hold_does_not_show_the_instructors_address(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    start = anna.at("10:00")
    lesson = await held(pool, ben, anna, start, location_type="instructor", location="Here")
    assert lesson.location == ""


async def test_holds_send_no_mail(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    lesson = await held(pool, ben, anna, anna.at("10:00"))
    await hold.give_up(pool, ben.id, lesson.id, now=NOW)
    assert await pool.fetchval("select count(*) from notification") == 0


async def test_a_new_hold_with_the_same_instructor_replaces_the_earlier_one(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    first = await held(pool, ben, anna, anna.at("10:00"))
    second = await held(pool, ben, anna, anna.at("14:00", day=2))
    assert await state(pool, first) == "expired"
    change = await pool.fetchrow("select version, days, events from outbox where version = 2")
    assert change is not None
    assert [event["event"] for event in change["events"]] == ["expired", "created"]
    assert sorted(change["days"]) == [anna.day(1).isoformat(), anna.day(2).isoformat()]
    assert second.version == 2
    # Also if the two overlap.
    third = await held(pool, ben, anna, anna.at("14:30", day=2))
    assert (await state(pool, second), await state(pool, third)) == ("expired", "held")


async def test_a_fourth_hold_is_refused_until_one_has_expired(pool: Pool) -> None:
    instructors = [
        await factories.instructor(pool, name) for name in ("Anna", "Clara", "Dora", "Emma")
    ]
    ben = await factories.student(pool, "Ben")
    for hour, each in enumerate(instructors[:3]):
        await held(pool, ben, each, each.at(f"{10 + hour}:00"))
    fourth = instructors[3]
    with pytest.raises(refusal.HoldLimit):
        await held(pool, ben, fourth, fourth.at("15:00"))
    # Replacing one of the three is possible.
    await held(pool, ben, instructors[0], instructors[0].at("16:00"))
    await held(pool, ben, fourth, fourth.at("15:00"), now=LATER)


async def test_concurrent_holds_of_one_student_never_exceed_the_limit(pool: Pool) -> None:
    instructors = [await factories.instructor(pool, f"Anna {n}") for n in range(6)]
    ben = await factories.student(pool, "Ben")
    results = await asyncio.gather(
        *(
            held(pool, ben, instructor, instructor.at(f"{10 + n}:00"))
            for n, instructor in enumerate(instructors)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(result, refusal.HoldLimit) for result in results) == 3
    assert await pool.fetchval("select count(*) from booking where state = 'held'") == 3


async def test_booking_a_time_that_the_student_holds_takes_over_the_hold(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    mine = await held(pool, ben, anna, anna.at("10:00"))
    lesson = await reserve(pool, ben, anna, anna.at("10:30"))
    assert (await state(pool, mine), lesson.state, lesson.version) == ("expired", "confirmed", 2)
    assert (await board(pool, anna))["held"] == []


async def test_a_hold_keeps_its_student_from_a_second_lesson_at_that_time(pool: Pool) -> None:
    anna, clara = (
        await factories.instructor(pool, "Anna"),
        await factories.instructor(pool, "Clara"),
    )
    ben = await factories.student(pool, "Ben")
    mine = await held(pool, ben, anna, anna.at("10:00"))
    with pytest.raises(refusal.StudentBusy) as refused:
        await reserve(pool, ben, clara, clara.at("10:30"))
    assert refused.value.more == {"booking_id": str(mine.id)}
    # Once it has expired, the lesson takes it over, with a step of the other calendar.
    await reserve(pool, ben, clara, clara.at("10:30"), now=LATER)
    assert await state(pool, mine) == "expired"
    assert (
        await pool.fetchval("select version from calendar where instructor_id = $1", anna.id) == 2
    )
    assert await audit(pool, mine) == [
        ("created", None, "held", True),
        ("expired", "held", "expired", False),
    ]


async def test_an_expired_hold_can_neither_be_extended_nor_block_anybody(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    carl = await factories.student(pool, "Carl")
    mine = await held(pool, ben, anna, anna.at("10:00"))
    with pytest.raises(refusal.HoldExpired):
        await hold.extend(pool, ben.id, mine.id, seconds=300, now=LATER)
    with pytest.raises(refusal.SlotTaken):
        await held(pool, carl, anna, anna.at("10:00"), now=LATER - timedelta(seconds=1))
    other = await held(pool, carl, anna, anna.at("10:00"), now=LATER)
    assert (await state(pool, mine), await state(pool, other)) == ("expired", "held")


# ---- the sweep


async def test_the_sweep_releases_expired_holds_in_one_step_per_calendar(pool: Pool) -> None:
    anna, clara = (
        await factories.instructor(pool, "Anna"),
        await factories.instructor(pool, "Clara"),
    )
    students = [await factories.student(pool, name) for name in ("Ben", "Carl", "Dora")]
    first = await held(pool, students[0], anna, anna.at("10:00"))
    second = await held(pool, students[1], anna, anna.at("12:00", day=2))
    third = await held(pool, students[0], clara, clara.at("12:00"))
    live = await held(pool, students[2], anna, anna.at("14:00"), seconds=301)
    assert await sweep.run(pool, now=LATER) == 3
    states = [await state(pool, lesson) for lesson in (first, second, third, live)]
    assert states == ["expired", "expired", "expired", "held"]
    change = await pool.fetchrow(
        "select days, events from outbox where instructor_id = $1 and version = 4", anna.id
    )
    assert change is not None
    assert change["days"] == {
        anna.day(day).isoformat(): await board(pool, anna, day) for day in (1, 2)
    }
    assert {event["booking_id"] for event in change["events"]} == {str(first.id), str(second.id)}
    assert {event["event"] for event in change["events"]} == {"expired"}
    assert await audit(pool, first) == [
        ("created", None, "held", True),
        ("expired", "held", "expired", False),
    ]
    assert await sweep.run(pool, now=LATER) == 0


async def test_a_locked_calendar_does_not_keep_the_sweep_from_the_others(pool: Pool) -> None:
    anna, clara = (
        await factories.instructor(pool, "Anna"),
        await factories.instructor(pool, "Clara"),
    )
    ben, carl = await factories.student(pool, "Ben"), await factories.student(pool, "Carl")
    first = await held(pool, ben, anna, anna.at("10:00"))
    second = await held(pool, carl, clara, clara.at("10:00"))
    async with pool.acquire() as writer, writer.transaction():
        await writer.execute(
            "select from calendar where instructor_id = $1 for no key update", anna.id
        )
        sweeping = asyncio.create_task(sweep.run(pool, now=LATER))
        await until(lambda: _is(pool, second, "expired"))
        assert await state(pool, first) == "held"
    # It waits for the last one, so that a calendar in constant use is not forgotten.
    assert await asyncio.wait_for(sweeping, PATIENCE) == 2
    assert await state(pool, first) == "expired"


async def test_the_worker_releases_expired_holds_soon(pool: Pool, settings: Settings) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    lesson = await held(pool, ben, anna, anna.at("10:00", day=2), now=booking_time(), seconds=1)
    client = redis.client(settings.redis_url.get_secret_value(), name="test")
    async with client.pubsub() as wakeups:
        await wakeups.subscribe(dispatcher.WAKEUP)
        await wakeups.get_message(timeout=PATIENCE)
        async with running_worker(settings):
            await until(lambda: _is(pool, lesson, "expired"))
            assert await wakeups.get_message(timeout=PATIENCE)  # for the relay
    await redis.close(client)
    assert (await booking.find(pool, lesson.id, viewer=ben.id)).state == "expired"


def booking_time() -> datetime:
    return datetime.now().astimezone()


async def _is(pool: Pool, lesson: Booking, expected: str) -> bool:
    return await state(pool, lesson) == expected
