"""What the instructor says about a lesson, what the product says a day later, the audit trail and
the statistics."""

import asyncio
from datetime import timedelta
from typing import Literal

import pytest

from app import refusal
from app.bookings import cancellation, outcome, sweep
from app.db import Pool
from tests import factories
from tests.bookings.browser import Browser
from tests.bookings.reservations import NOW, hold, reserve
from tests.factories import Instructor


async def begun(pool: Pool) -> None:
    """All lessons began half an hour ago."""
    await pool.execute(
        """update booking set during = span, blocked = span
           from (select now() - interval '30 minutes' as start) as begun,
                lateral (select tstzrange(start, start + interval '1 hour') as span) as lesson"""
    )


@pytest.mark.parametrize("state", ["completed", "no_show"])
async def test_the_instructor_says_once_how_a_lesson_went(
    ben: Browser, as_anna: Browser, anna: Instructor, pool: Pool, state: str
) -> None:
    call = {"completed": "completion", "no_show": "no-show"}[state]
    lesson = (await ben.book(anna, "10:00")).json()
    path = f"/api/bookings/{lesson['id']}/{call}"
    early = await as_anna.post(path, {})
    assert (early.status_code, early.json()["code"]) == (409, "TOO_SOON")
    assert early.json()["detail"] == "The lesson hasn’t started yet."
    await begun(pool)
    assert (await ben.post(path, {})).json()["code"] == "NOT_ALLOWED"
    assert (await as_anna.post(path, {"reason": "x" * 501})).json()["field"] == "reason"
    answers = await asyncio.gather(
        *(as_anna.send("POST", path, {"reason": "Well done"}, "went") for _ in range(4))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert (answers[0].json()["state"], answers[0].json()["version"]) == (state, 2)
    change = await pool.fetchrow("select days, events from outbox where version = 2")
    assert change is not None
    assert (change["days"], [event["event"] for event in change["events"]]) == ({}, [state])
    again = await as_anna.post(path, {})
    assert (again.json()["code"], again.json()["state"]) == ("WRONG_STATE", state)
    cancel = await ben.post(f"/api/bookings/{lesson['id']}/cancellation", {})
    assert cancel.json()["code"] == "WRONG_STATE"
    assert await pool.fetchval("select count(*) from notification where kind <> $1",
                               "booking_confirmed") == 0  # fmt: skip


async def test_an_instructor_cannot_mark_the_lesson_of_another(
    ben: Browser, as_anna: Browser, anna: Instructor, pool: Pool
) -> None:
    clara = await factories.instructor(pool, "Clara")
    lesson = (await ben.book(clara, "10:00")).json()
    await begun(pool)
    for method, call, body in (
        ("POST", "completion", {}),
        ("POST", "no-show", {}),
        ("PUT", "instructor-note", {"note": "x"}),
        ("GET", "history", None),
        ("GET", "calendar.ics", None),
    ):
        answer = await as_anna.send(method, f"/api/bookings/{lesson['id']}/{call}", body)
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


async def test_a_lesson_is_completed_a_day_after_its_end(pool: Pool) -> None:
    anna, clara = (
        await factories.instructor(pool, "Anna"),
        await factories.instructor(pool, "Clara"),
    )
    ben, carl = await factories.student(pool, "Ben"), await factories.student(pool, "Carl")
    first = await reserve(pool, ben, anna, anna.at("10:00"))
    second = await reserve(pool, carl, anna, anna.at("11:00"))
    third = await reserve(pool, carl, clara, clara.at("10:00"))
    cancelled = await reserve(pool, ben, clara, clara.at("11:00"))
    await cancellation.cancel(pool, ben.id, cancelled.id, reason="", now=NOW)
    expired = await hold(pool, ben, clara, clara.at("13:00"), NOW)
    due = first.ends_at + timedelta(hours=24)
    assert await sweep.run(pool, now=due - timedelta(seconds=1)) == 1  # the hold
    assert await sweep.run(pool, now=due) == 2
    states = {row["id"]: row["state"] for row in await pool.fetch("select id, state from booking")}
    assert states == {
        first.id: "completed",
        second.id: "confirmed",
        third.id: "completed",
        cancelled.id: "cancelled",
        expired: "expired",
    }
    change = await pool.fetchrow(
        "select days, events from outbox where instructor_id = $1 and version = 3", anna.id
    )
    assert change is not None
    assert (change["days"], [event["event"] for event in change["events"]]) == ({}, ["completed"])
    entry = await pool.fetchrow(
        "select event, from_state, to_state, actor_id from booking_audit where booking_id = $1"
        " order by id desc",
        first.id,
    )
    assert entry is not None
    assert tuple(entry) == ("completed", "confirmed", "completed", None)
    starts = """select count(*) from booking_audit h join booking b on b.id = h.booking_id
                where h.starts_at is distinct from lower(b.during)"""
    assert await pool.fetchval(starts) == 0


async def test_only_the_instructor_has_a_private_note(
    ben: Browser, as_anna: Browser, anna: Instructor, pool: Pool
) -> None:
    lesson = (await ben.book(anna, "10:00", note="Mine")).json()
    path = f"/api/bookings/{lesson['id']}/instructor-note"
    assert (await ben.send("PUT", path, {"note": "x"})).json()["code"] == "NOT_ALLOWED"
    for refused in ({"note": "x" * 2001}, {}):
        assert (await as_anna.send("PUT", path, refused)).json()["field"] == "note"
    answers = await asyncio.gather(
        *(as_anna.send("PUT", path, {"note": "Bring scales"}, "note") for _ in range(4))
    )
    assert len({answer.text for answer in answers}) == 1
    noted = answers[0].json()
    assert (noted["instructor_note"], noted["note"], noted["version"]) == (
        "Bring scales",
        "Mine",
        2,
    )
    assert "instructor_note" not in (await ben.get(f"/api/bookings/{lesson['id']}")).json()
    for reader, events in ((ben, ["created"]), (as_anna, ["created", "noted"])):
        items = (await reader.get(f"/api/bookings/{lesson['id']}/history")).json()["items"]
        assert [item["event"] for item in items] == events
    events = await pool.fetchval("select events from outbox where version = 2")
    assert [event["event"] for event in events] == ["noted"]


async def test_the_history_tells_who_did_what(
    ben: Browser, as_anna: Browser, anna: Instructor, pool: Pool
) -> None:
    lesson = (await ben.hold(anna, "10:00")).json()
    path = f"/api/bookings/{lesson['id']}"
    await ben.post(f"{path}/confirmation", {"location": "12 Main St"})
    await as_anna.post(f"{path}/cancellation", {"reason": "A concert"})
    answer = await ben.get(f"{path}/history")
    assert answer.status_code == 200
    actor = {"id": str(ben.account.id), "name": "Ben"}
    items = answer.json()["items"]
    assert {item["start"] for item in items} == {lesson["start"]}
    assert [
        {name: item[name] for name in item if name not in {"at", "start"}} for item in items
    ] == [
        {"event": "created", "from": None, "to": "held", "actor": actor, "reason": ""},
        {"event": "confirmed", "from": "held", "to": "confirmed", "actor": actor, "reason": ""},
        {
            "event": "cancelled",
            "from": "confirmed",
            "to": "cancelled",
            "actor": {"id": str(anna.id), "name": "Anna"},
            "reason": "A concert",
        },
    ]
    first = (await as_anna.get(f"{path}/history", limit=2)).json()
    rest = (await as_anna.get(f"{path}/history", cursor=first["next_cursor"])).json()
    assert [*first["items"], *rest["items"]] == items


async def test_statistics_count_the_instructors_lessons(
    ben: Browser, as_anna: Browser, anna: Instructor, pool: Pool
) -> None:
    assert (await ben.get("/api/bookings/stats")).json()["code"] == "NOT_ALLOWED"
    assert (await as_anna.get("/api/bookings/stats")).json() == {
        "upcoming": 0,
        "completed": 0,
        "cancelled": 0,
        "no_show": 0,
        "cancellation_rate": 0.0,
        "taught_minutes": 0,
        "earnings_by_month": [],
    }
    lessons = [(await ben.book(anna, "10:00", day=day)).json() for day in range(2, 8)]
    await ben.hold(anna, "10:00", day=9)
    undone = (await ben.book(anna, "12:00", day=2)).json()
    await ben.post(f"/api/bookings/{undone['id']}/cancellation", {})
    # 9 pm on December 31 in New York is January in UTC.
    for n, (state, start) in enumerate(
        [
            ("completed", "2025-11-03T15:00:00Z"),
            ("completed", "2026-01-01T02:00:00Z"),
            ("completed", "2025-12-20T15:00:00Z"),
            ("cancelled", "2025-12-21T15:00:00Z"),
            ("no_show", "2025-12-22T15:00:00Z"),
        ]
    ):
        await pool.execute(
            """update booking set state = $2, during = span, blocked = span
               from (select $3::text::timestamptz as start) as begun,
                    lateral (select tstzrange(start, start + interval '1 h') as span) as lesson
               where id = $1::text::uuid""",
            lessons[n]["id"],
            state,
            start,
        )
    assert (await as_anna.get("/api/bookings/stats")).json() == {
        "upcoming": 1,
        "completed": 3,
        "cancelled": 1,
        "no_show": 1,
        "cancellation_rate": 0.1667,
        "taught_minutes": 180,
        "earnings_by_month": [
            {"month": "2025-11", "cents": 7000},
            {"month": "2025-12", "cents": 14000},
        ],
    }


async def test_concurrent_outcomes_agree(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    lesson = await reserve(pool, ben, anna, anna.at("10:00"))
    after = lesson.ends_at + timedelta(hours=24)

    async def mark(state: Literal["completed", "no_show"]) -> str:
        marked = await outcome.record(pool, anna.id, lesson.id, state, reason="", now=after)
        return marked.state

    results = await asyncio.gather(
        *(mark(state) for state in ("completed", "no_show") for _ in range(4)),
        sweep.run(pool, now=after),
        return_exceptions=True,
    )
    assert sum(isinstance(result, refusal.WrongState) for result in results) in {7, 8}
    assert await pool.fetchval("select count(*) from booking_audit") == 2
    assert await pool.fetchval("select version from calendar") == 2
