"""Staff sees all bookings, books on a student's behalf, and overrides rules; never an overlap."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from app import wire
from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.accounts.mails import deliver
from tests.bookings.browser import Browser, browser
from tests.bookings.invariants import assert_changes_match_board, assert_nothing_overlaps
from tests.factories import Instructor


@pytest.fixture
async def ada(client: httpx.AsyncClient, pool: Pool, settings: Settings) -> Browser:
    return await browser(client, pool, settings, await factories.admin(pool))


def body(
    student: Browser, anna: Instructor, at: str, day: int = 2, *override: str
) -> dict[str, Any]:
    return {
        "student_id": str(student.account.id),
        "service_id": str(anna.service_id),
        "start": wire.instant(anna.at(at, day=day)),
        "duration_minutes": 60,
        "location": "12 Main St",
        "override": list(override),
    }


async def test_staff_books_for_a_student_and_both_people_get_a_mail(
    pool: Pool, ada: Browser, ben: Browser, as_anna: Browser, anna: Instructor
) -> None:
    answer = await ada.post("/api/admin/bookings", body(ben, anna, "10:00"))
    assert answer.status_code == 201
    lesson = answer.json()
    assert (lesson["state"], lesson["student"]["name"]) == ("confirmed", "Ben")
    assert (await ben.get(f"/api/bookings/{lesson['id']}")).json() == lesson
    (entry,) = (await as_anna.get(f"/api/bookings/{lesson['id']}/history")).json()["items"]
    assert (entry["event"], entry["actor"]["name"]) == ("created", "Ada")
    assert "override" not in entry
    mails = await pool.fetch("select kind, recipient_id from notification")
    assert {tuple(mail) for mail in mails} == {
        ("booking_confirmed", ben.account.id),
        ("booking_confirmed", anna.id),
    }
    await assert_changes_match_board(pool)


async def test_student_and_instructor_see_that_staff_booked(
    pool: Pool, settings: Settings, ada: Browser, ben: Browser, anna: Instructor
) -> None:
    await ada.post("/api/admin/bookings", body(ben, anna, "10:00"))
    await deliver(pool, settings)
    rows = await pool.fetch("select recipient, body_text from dev_mail")
    texts = {row["recipient"]: row["body_text"] for row in rows}
    assert "The InstaInstru team booked a lesson with Anna for you." in texts[ben.account.email]
    assert "The InstaInstru team booked a lesson with you for Ben." in texts[anna.email]


async def test_each_rule_is_overridden_only_if_it_is_named(
    pool: Pool, ada: Browser, ben: Browser, anna: Instructor
) -> None:
    await pool.execute(
        "insert into blackout (instructor_id, day) values ($1, $2)", anna.id, anna.day(3)
    )
    await pool.execute("update calendar set min_advance_minutes = 43200")
    cases = {
        ("20:00", 31): ("OUTSIDE_AVAILABILITY", ["availability"]),
        ("10:00", 2): ("TOO_SOON", ["notice"]),
        ("10:00", 3): ("TOO_SOON", ["blackout", "notice"]),
        ("20:00", 3): ("TOO_SOON", ["availability", "blackout", "notice"]),
        ("10:00", 120): ("TOO_FAR_AHEAD", ["availability", "horizon"]),
    }
    for (at, day), (code, necessary) in cases.items():
        for tried in ([], necessary[1:]):
            refused = await ada.post("/api/admin/bookings", body(ben, anna, at, day, *tried))
            assert refused.status_code == 409
            assert refused.json()["override"] == necessary
        refused = await ada.post("/api/admin/bookings", body(ben, anna, at, day))
        assert refused.json()["code"] == code
        booked = await ada.post("/api/admin/bookings", body(ben, anna, at, day, *necessary))
        assert booked.status_code == 201, booked.text
        (entry,) = (await ben.get(f"/api/bookings/{booked.json()['id']}/history")).json()["items"]
        assert entry["override"] == necessary
        await pool.execute("delete from booking where id = $1", booked.json()["id"])


async def test_an_override_that_was_not_necessary_is_not_recorded(
    ada: Browser, ben: Browser, anna: Instructor
) -> None:
    named = ("availability", "blackout", "notice", "horizon")
    lesson = (await ada.post("/api/admin/bookings", body(ben, anna, "10:00", 2, *named))).json()
    (entry,) = (await ada.get(f"/api/bookings/{lesson['id']}/history")).json()["items"]
    assert "override" not in entry


async def test_no_override_allows_an_overlap_a_past_lesson_or_one_across_midnight(
    pool: Pool, ada: Browser, ben: Browser, carl: Browser, anna: Instructor
) -> None:
    everything = ("availability", "blackout", "notice", "horizon")
    other = await factories.instructor(pool, "Dora")
    assert (await carl.book(anna, "10:00")).status_code == 201
    assert (await ben.book(other, "14:00")).status_code == 201

    async def code(*arguments: Any) -> str:
        answer = await ada.post("/api/admin/bookings", body(ben, *arguments, *everything))
        assert "override" not in answer.json()
        return str(answer.json()["code"])

    assert await code(anna, "10:30", 2) == "SLOT_TAKEN"
    assert await code(anna, "14:30", 2) == "STUDENT_BUSY"
    assert await code(anna, "10:00", -1) == "TOO_SOON"
    assert await code(anna, "10:00", 800) == "TOO_FAR_AHEAD"
    assert await code(anna, "23:30", 2) == "OUTSIDE_AVAILABILITY"
    await assert_nothing_overlaps(pool)


async def test_staff_and_students_who_book_one_time_get_exactly_one_lesson(
    client: httpx.AsyncClient, pool: Pool, settings: Settings, ada: Browser, anna: Instructor
) -> None:
    """The last rounds are outside the instructor's hours, where only staff can book."""
    students = [
        await browser(client, pool, settings, await factories.student(pool, f"Student {n}"))
        for n in range(8)
    ]
    for at in ("09:00", "10:00", "11:00", "19:00", "20:00"):
        answers = await asyncio.gather(
            *(student.book(anna, at) for student in students[:4]),
            *(
                ada.post("/api/admin/bookings", body(student, anna, at, 2, "availability"))
                for student in students[4:]
            ),
        )
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    await assert_nothing_overlaps(pool)
    await assert_changes_match_board(pool)


async def test_a_repeated_call_of_staff_books_once(
    pool: Pool, ada: Browser, ben: Browser, anna: Instructor
) -> None:
    answers = [
        await ada.send("POST", "/api/admin/bookings", body(ben, anna, "10:00"), "a key")
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    # The key is the admin's, so the student may use the same one.
    assert (await ben.book(anna, "12:00", key="a key")).status_code == 201


async def test_staff_books_for_students_only(
    pool: Pool, ada: Browser, ben: Browser, anna: Instructor
) -> None:
    for account_id, status in ((anna.id, 422), (anna.service_id, 404)):
        wrong = body(ben, anna, "10:00") | {"student_id": str(account_id)}
        answer = await ada.post("/api/admin/bookings", wrong)
        assert answer.status_code == status
    assert answer.json()["code"] == "NOT_FOUND"


async def test_staff_cancels_and_completes_for_others_and_the_trail_says_so(
    pool: Pool, ada: Browser, ben: Browser, anna: Instructor
) -> None:
    cancelled = (await ben.book(anna, "10:00")).json()["id"]
    completed = (await ben.book(anna, "12:00")).json()["id"]
    assert (await ada.post(f"/api/bookings/{cancelled}/cancellation")).status_code == 200
    early = await ada.post(f"/api/bookings/{completed}/completion")
    assert early.json()["code"] == "TOO_SOON"
    await pool.execute(
        "update booking set during = tstzrange(now() - interval '2 h', now() - interval '1 h'),"
        " blocked = tstzrange(now() - interval '2 h', now() - interval '1 h') where id = $1",
        completed,
    )
    assert (await ada.post(f"/api/bookings/{completed}/completion")).status_code == 200
    for booking_id, state in ((cancelled, "cancelled"), (completed, "completed")):
        *_, entry = (await ben.get(f"/api/bookings/{booking_id}/history")).json()["items"]
        assert (entry["to"], entry["actor"]["name"]) == (state, "Ada")


async def test_only_staff_sees_and_books_for_others(
    ada: Browser, ben: Browser, carl: Browser, as_anna: Browser, anna: Instructor
) -> None:
    lesson = (await ben.book(anna, "10:00")).json()
    for other in (carl, as_anna, ben):
        assert (await other.get("/api/admin/bookings")).status_code == 403
        answer = await other.post("/api/admin/bookings", body(ben, anna, "12:00"))
        assert answer.status_code == 403
    for call in ("cancellation", "completion"):
        answer = await carl.post(f"/api/bookings/{lesson['id']}/{call}")
        assert answer.status_code == (404 if call == "cancellation" else 403)
    as_staff = (await ada.get(f"/api/bookings/{lesson['id']}")).json()
    assert as_staff == lesson
    assert "instructor_note" not in as_staff


async def test_all_bookings_are_listed_by_account_instructor_state_and_date(
    pool: Pool, ada: Browser, ben: Browser, carl: Browser, anna: Instructor
) -> None:
    dora = await factories.instructor(pool, "Dora", roles=("instructor", "student"))
    first = (await ben.book(anna, "10:00", day=2)).json()["id"]
    second = (await carl.book(anna, "10:00", day=3)).json()["id"]
    third = (await ben.book(dora, "10:00", day=4)).json()["id"]
    await carl.post(f"/api/bookings/{second}/cancellation")

    async def ids(**query: Any) -> list[str]:
        answer = await ada.get("/api/admin/bookings", **query)
        assert answer.status_code == 200, answer.text
        return [item["id"] for item in answer.json()["items"]]

    assert await ids() == [third, second, first]
    assert await ids(account=ben.account.id) == [third, first]
    assert await ids(account=anna.id) == [second, first]
    assert await ids(instructor=anna.id, account=ben.account.id) == [first]
    assert await ids(state="cancelled") == [second]
    assert await ids(first=anna.day(3)) == [third, second]
    assert await ids(first=anna.day(3), last=anna.day(3)) == [second]
    page = (await ada.get("/api/admin/bookings", limit=2)).json()
    assert await ids(limit=2, cursor=page["next_cursor"]) == [first]
    assert (await ada.get("/api/admin/bookings", state="lost")).status_code == 422


async def test_the_security_log_names_who_booked_for_whom(
    ada: Browser, ben: Browser, anna: Instructor
) -> None:
    with capture_logs() as lines:
        await ada.post("/api/admin/bookings", body(ben, anna, "20:00", 2, "availability"))
    (line,) = [line for line in lines if line["event"] == "booked_on_behalf"]
    assert (line["account"], line["student"]) == (str(ada.account.id), str(ben.account.id))
    assert line["override"] == ["availability"]


async def test_a_hold_of_the_student_becomes_the_lesson_that_staff_books(
    pool: Pool, ada: Browser, ben: Browser, anna: Instructor
) -> None:
    held = (await ben.hold(anna, "10:00")).json()["id"]
    assert (await ada.post("/api/admin/bookings", body(ben, anna, "10:00"))).status_code == 201
    *_, entry = (await ben.get(f"/api/bookings/{held}/history")).json()["items"]
    assert (entry["to"], entry["actor"]["name"]) == ("expired", "Ada")
    await assert_changes_match_board(pool)


async def test_the_start_may_be_a_wall_clock_time_of_the_instructor(
    ada: Browser, ben: Browser, anna: Instructor
) -> None:
    local = body(ben, anna, "10:00") | {"start": None, "time": "10:00"}
    answer = await ada.post("/api/admin/bookings", local | {"date": str(anna.day(2))})
    assert answer.json()["start"] == wire.instant(anna.at("10:00", day=2))
    assert answer.json()["end"] == wire.instant(anna.at("10:00", day=2) + timedelta(hours=1))
    assert (await ada.post("/api/admin/bookings", local)).status_code == 422
