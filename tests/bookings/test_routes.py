"""The booking calls over HTTP: shapes, refusals, keys, sites."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest
from limits import RateLimitItemPerMinute

from app import limits, wire
from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.bookings.browser import Browser, browser
from tests.bookings.reservations import hold
from tests.conftest import visiting
from tests.factories import Instructor


async def test_booking_reading_and_cancelling(ben: Browser, anna: Instructor) -> None:
    response = await ben.book(anna, "10:00", note="hello", location="212 W 83rd St")
    assert response.status_code == 201
    lesson = response.json()
    assert (lesson["state"], lesson["note"], lesson["version"], lesson["late"]) == (
        "confirmed",
        "hello",
        1,
        None,
    )
    assert "instructor_note" not in lesson
    assert (await ben.get(f"/api/bookings/{lesson['id']}")).json() == lesson
    cancelled = await ben.post(f"/api/bookings/{lesson['id']}/cancellation", {"reason": "ill"})
    assert (cancelled.status_code, cancelled.json()["state"], cancelled.json()["late"]) == (
        200,
        "cancelled",
        False,
    )
    again = await ben.post(f"/api/bookings/{lesson['id']}/cancellation", {})
    assert (again.status_code, again.json()["code"], again.json()["state"]) == (
        409,
        "WRONG_STATE",
        "cancelled",
    )


async def test_a_taken_time_is_refused_with_free_times_and_their_version(
    ben: Browser, carl: Browser, anna: Instructor
) -> None:
    await ben.book(anna, "10:00")
    response = await carl.book(anna, "10:30")
    assert response.status_code == 409
    assert response.json() == {
        "detail": response.json()["detail"],
        "code": "SLOT_TAKEN",
        "version": 1,
        "alternatives": [
            wire.instant(anna.at(t, day=2)) for t in ("11:00", "11:30", "09:00", "12:00", "12:30")
        ],
    }


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"start": "2027-01-01T10:00:00"}, "start"),
        ({"start": "2027-01-01T10:07:00Z"}, "start"),
        ({"start": "9999-12-31T23:45:00Z"}, "start"),
        ({"start": "0001-01-01T00:00:00Z"}, "start"),
        ({"start": None}, "start"),
        ({"start": 1795000500}, "start"),
        ({"start": "1795000500"}, "start"),
        ({"start": ["2027"]}, "start"),
        ({"duration_minutes": "an hour"}, "duration_minutes"),
        ({"duration_minutes": 10**12}, "duration_minutes"),
        ({"duration_minutes": -60}, "duration_minutes"),
        ({"service_id": "piano"}, "service_id"),
        ({"location_type": "moon"}, "location_type"),
        ({"note": "x" * 2001}, "note"),
        ({"note": {"a": 1}}, "note"),
        ({"location": "x" * 501}, "location"),
        ({"note": "nul \x00"}, None),
    ],
)
async def test_a_validation_error_names_the_invalid_field(
    ben: Browser, anna: Instructor, change: dict[str, Any], field: str | None
) -> None:
    answer = await ben.book(anna, "10:00", **change)
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_ERROR")
    assert answer.json().get("field") == field
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    "body", [b"{not json", b"[]", b'"text"', b"\xff\xfe", b"null", b'{"start": NaN}']
)
async def test_a_body_that_is_not_a_json_object_is_a_validation_error(
    ben: Browser, body: bytes
) -> None:
    headers = ben.headers | {"Content-Type": "application/json"}
    answer = await ben.client.post("/api/bookings", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_ERROR")


async def test_any_offset_is_accepted_and_answers_are_in_utc(
    ben: Browser, anna: Instructor
) -> None:
    start = anna.at("10:00", day=2)
    local = start.astimezone(ZoneInfo("Asia/Kolkata")).isoformat()
    answer = await ben.book(anna, "10:00", start=local)
    assert answer.json()["start"] == wire.instant(start)


async def test_bookings_of_other_accounts_are_not_found(
    ben: Browser, carl: Browser, anna: Instructor
) -> None:
    lesson = (await ben.book(anna, "10:00")).json()
    for answer in (
        await carl.get(f"/api/bookings/{lesson['id']}"),
        await carl.post(f"/api/bookings/{lesson['id']}/cancellation", {}),
        await carl.get(f"/api/bookings/{uuid4()}"),
        await carl.get("/api/bookings/not-a-uuid"),
        await ben.book(anna, "12:00", service_id=str(uuid4())),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


async def test_the_instructor_reads_and_cancels_a_booking_and_has_a_private_note(
    ben: Browser, anna: Instructor, client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    lesson = (await ben.book(anna, "10:00")).json()
    instructor = await browser(client, pool, settings, anna)
    listed = await instructor.get("/api/bookings", **{"as": "instructor"})
    assert listed.json() == {"items": [lesson | {"instructor_note": ""}], "next_cursor": None}
    assert (await instructor.get("/api/bookings", **{"as": "student"})).json()[
        "code"
    ] == "NOT_ALLOWED"
    assert (await instructor.post("/api/bookings", {})).json()["code"] == "NOT_ALLOWED"
    cancelled = await instructor.post(
        f"/api/bookings/{lesson['id']}/cancellation", {"reason": "concert"}
    )
    assert cancelled.json()["state"] == "cancelled"


async def test_lists_are_paged_in_the_documented_order(
    ben: Browser, anna: Instructor, pool: Pool
) -> None:
    for day in (5, 3, 4):
        await ben.book(anna, "10:00", day=day)
    starts: list[str] = []
    cursor = None
    while True:
        page = (
            await ben.get("/api/bookings", limit=2, **({"cursor": cursor} if cursor else {}))
        ).json()
        starts += [item["start"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert starts == [wire.instant(anna.at("10:00", day=day)) for day in (3, 4, 5)]
    await pool.execute(
        """update booking
           set during = tstzrange(lower(during) - month, upper(during) - month),
               blocked = tstzrange(lower(blocked) - month, upper(blocked) - month)
           from (select interval '30 d' as month) as shift"""
    )
    past = (await ben.get("/api/bookings", scope="past")).json()
    assert [item["start"] for item in past["items"]] == sorted(
        (item["start"] for item in past["items"]), reverse=True
    )
    assert len(past["items"]) == 3
    assert (await ben.get("/api/bookings", scope="cancelled")).json()["items"] == []


async def test_a_lesson_in_any_state_is_in_exactly_one_list(
    ben: Browser, anna: Instructor, pool: Pool
) -> None:
    lesson = (await ben.book(anna, "10:00")).json()
    for state, scope in [
        ("confirmed", "upcoming"),
        ("completed", "past"),
        ("no_show", "past"),
        ("cancelled", "cancelled"),
    ]:
        await pool.execute("update booking set state = $1", state)
        for other in ("upcoming", "past", "cancelled"):
            items = (await ben.get("/api/bookings", scope=other)).json()["items"]
            assert [item["id"] for item in items] == ([lesson["id"]] if other == scope else [])


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 101},
        {"limit": 0},
        {"limit": "x"},
        {"cursor": "x"},
        {"cursor": "e30="},
        {"scope": "all"},
        {"as": "admin"},
    ],
)
async def test_invalid_list_parameters_are_validation_errors(
    ben: Browser, query: dict[str, Any]
) -> None:
    answer = await ben.get("/api/bookings", **query)
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_ERROR")


async def test_repeats_with_a_key_get_the_stored_answer_and_one_booking(
    ben: Browser, carl: Browser, anna: Instructor, pool: Pool
) -> None:
    answers = await asyncio.gather(*(ben.book(anna, "10:00", key="k") for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    mismatch = await ben.book(anna, "12:00", key="k")
    assert (mismatch.status_code, mismatch.json()["code"]) == (422, "IDEMPOTENCY_MISMATCH")
    # Each account has its own keys.
    assert (await carl.book(anna, "12:00", key="k")).status_code == 201
    assert await pool.fetchval("select count(*) from booking") == 2
    for key in ("", "x" * 201):
        answer = await ben.client.post(
            "/api/bookings", json={}, headers=ben.headers | {"Idempotency-Key": key}
        )
        assert answer.json()["code"] == "VALIDATION_ERROR"


async def test_a_refusal_is_not_stored_and_the_key_can_be_used_again(
    ben: Browser, carl: Browser, anna: Instructor, pool: Pool
) -> None:
    lesson = (await ben.book(anna, "10:00")).json()
    assert (await carl.book(anna, "10:00", key="k")).json()["code"] == "SLOT_TAKEN"
    await ben.post(f"/api/bookings/{lesson['id']}/cancellation", {})
    assert (await carl.book(anna, "10:00", key="k")).status_code == 201
    await pool.execute("update idempotency_key set created_at = created_at - interval '24 hours'")
    # Keys are kept for a day.
    later = await carl.book(anna, "12:00", key="k")
    assert (later.status_code, later.json()["start"]) == (
        201,
        wire.instant(anna.at("12:00", day=2)),
    )


async def test_a_repeated_cancellation_with_its_key_gets_the_same_answer(
    ben: Browser, anna: Instructor
) -> None:
    path = f"/api/bookings/{(await ben.book(anna, '10:00')).json()['id']}/cancellation"
    first, second = [await ben.post(path, {"reason": "ill"}, Idempotency_Key="c") for _ in range(2)]
    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()


@pytest.mark.parametrize("key", ["", "x" * 201])
async def test_an_invalid_key_is_refused_before_the_booking_is_looked_up(
    ben: Browser, key: str
) -> None:
    answer = await ben.post(f"/api/bookings/{uuid4()}/cancellation", {}, Idempotency_Key=key)
    assert (answer.status_code, answer.json()["field"]) == (422, "Idempotency-Key")


async def test_two_hundred_concurrent_requests_for_one_time_leave_one_lesson(
    client: httpx.AsyncClient, pool: Pool, settings: Settings, anna: Instructor
) -> None:
    crowd = [
        await browser(client, pool, settings, await factories.student(pool, f"Student {n}"))
        for n in range(200)
    ]
    answers = await asyncio.gather(*(one.book(anna, "10:00") for one in crowd))
    assert Counter((a.status_code, a.json().get("code")) for a in answers) == {
        (201, None): 1,
        (409, "SLOT_TAKEN"): 199,
    }
    assert (
        await pool.fetchval(
            "select deadlocks from pg_stat_database where datname = current_database()"
        )
        == 0
    )


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Sec-Fetch-Site": "none"}, 201),
        ({"Origin": "http://127.0.0.1:8000"}, 201),
    ],
)
async def test_a_changing_request_with_a_cookie_must_come_from_our_own_pages(
    ben: Browser, anna: Instructor, headers: dict[str, str], status: int
) -> None:
    body = {
        "service_id": str(anna.service_id),
        "start": wire.instant(anna.at("10:00")),
        "duration_minutes": 60,
        "location": "12 Main St",
    }
    cookie = {"Cookie": "session=" + ben.headers["Authorization"].removeprefix("Bearer ")}
    answer = await ben.client.post("/api/bookings", json=body, headers=cookie | headers)
    assert answer.status_code == status


async def test_booking_works_without_redis(
    ben: Browser, anna: Instructor, redis_server: Any
) -> None:
    redis_server.stop()
    assert (await ben.book(anna, "10:00")).status_code == 201


async def test_too_many_bookings_are_refused_with_the_time_to_wait(
    pool: Pool, settings: Settings, anna: Instructor, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A slow machine cannot reach the real limit within its minute.
    lessons = replace(limits.CLASSES["lessons"], of_account=RateLimitItemPerMinute(5))
    monkeypatch.setitem(limits.CLASSES, "lessons", lessons)
    account = await factories.student(pool, "Ben")
    async with visiting(settings.model_copy(update={"rate_limits": "on"})) as client:
        ben = await browser(client, pool, settings, account)
        answers = [await ben.book(anna, "03:00") for _ in range(6)]
    assert {answer.json()["code"] for answer in answers[:-1]} == {"OUTSIDE_AVAILABILITY"}
    assert (answers[-1].status_code, answers[-1].json()["code"]) == (429, "RATE_LIMITED")
    assert answers[-1].json()["detail"].startswith("You’ve booked and cancelled very often.")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60


async def test_a_student_has_at_most_sixty_lessons_ahead(
    pool: Pool, settings: Settings, anna: Instructor
) -> None:
    cora = await factories.instructor(pool, "Cora")
    student = await factories.student(pool, "Ben")
    async with visiting(settings.model_copy(update={"rate_limits": "on"})) as client:
        ben = await browser(client, pool, settings, student)
        for day in range(1, 16):
            for hour in (9, 11, 13, 15):
                start = anna.at(f"{hour:02}:00", day=day)
                await factories.lesson(pool, student.id, anna.service_id, start)
        refused = await ben.book(cora, "16:00")
        held = await ben.hold(cora, "16:00")
        for answer in (refused, held):
            assert (answer.status_code, answer.json()["code"]) == (429, "RATE_LIMITED")
            assert answer.json()["detail"].startswith("You have 60 lessons ahead")
            assert 3600 < int(answer.headers["retry-after"]) < 3 * 86400
        # Also if an expired hold is replaced.
        carl = await factories.student(pool, "Carl")
        expired_at = datetime.now(UTC) - timedelta(seconds=1)
        await hold(pool, carl, cora, cora.at("16:00", day=2), expired_at)
        assert (await ben.book(cora, "16:00")).status_code == 429
        await pool.execute(
            """update booking set state = 'cancelled'
               where id = (select id from booking where student_id = $1 limit 1)""",
            student.id,
        )
        assert (await ben.book(cora, "16:00")).status_code == 201
        assert (await ben.book(cora, "14:00", day=2)).status_code == 429
    async with visiting(settings) as client:  # without limits
        ben = await browser(client, pool, settings, student)
        assert (await ben.book(cora, "12:00")).status_code == 201
