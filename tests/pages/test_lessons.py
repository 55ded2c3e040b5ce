"""The lists of lessons, for students and instructors."""

import re
from datetime import UTC, datetime
from uuid import uuid4

import httpx

from app.bookings import cancellation, outcome
from app.catalog import instructor
from app.db import Pool
from app.pages import timeline
from app.web import utc_now
from tests import factories
from tests.pages.visitor import book, sign_in, visit


async def test_private_pages_need_a_session_and_other_accounts_lessons_are_not_found(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, cora = await factories.instructor(pool, "Anna"), await factories.instructor(pool, "Cora")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    for path in ("/lessons?scope=past", "/teach"):
        response = await client.get(path)
        assert response.status_code == 303
        assert response.headers["location"].startswith("/login?next=%2F")
    lesson = await book(pool, anna, cleo)
    await sign_in(client, ben)
    assert (await client.get("/teach")).status_code == 403
    page = await visit(client, "/lessons")
    assert "You have no upcoming lessons." in page.text
    response = await client.post(
        f"/api/bookings/{lesson.id}/cancellation",
        data={"_page": "/lessons"},
        headers={"sec-fetch-site": "same-origin"},
    )
    assert response.status_code == 404
    assert "My lessons" in response.text  # the page of the form shows the refusal
    for unknown in (uuid4(), "nobody", ben.id):
        assert (await client.get(f"/instructors/{unknown}")).status_code == 404
    assert (await client.get(f"/instructors/{cora.id}")).status_code == 200


async def test_the_next_two_days_are_called_today_and_tomorrow(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    await book(pool, anna, ben, day=1)
    page = await visit(client, f"/instructors/{anna.id}?minutes=60")
    assert re.search(r"\bToday \d+ .*Tomorrow \d+", page.text)
    await sign_in(client, ben)
    page = await visit(client, "/lessons")
    assert re.search(r"Tomorrow 10–11 am .*Piano with Anna", page.text)


def test_a_list_changes_at_the_next_midnight_unless_a_lesson_starts_or_ends_before() -> None:
    new_york = ("America/New_York",)
    evening = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)
    assert timeline.changes_at([], new_york, evening) == datetime(2026, 11, 1, 4, tzinfo=UTC)
    # A day of 25 hours.
    night = datetime(2026, 11, 1, 4, 0, tzinfo=UTC)
    assert timeline.changes_at([], new_york, night) == datetime(2026, 11, 2, 5, tzinfo=UTC)
    zones = (*new_york, "Europe/London")
    assert timeline.changes_at([], zones, night) == datetime(2026, 11, 2, tzinfo=UTC)


async def test_lessons_are_grouped_by_how_soon_they_are(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    for day in (1, 2, 7, 8):
        await book(pool, anna, ben, day=day)
    await sign_in(client, ben)
    page = await visit(client, "/lessons")
    titles = re.findall(r"\b(Tomorrow|Next 7 days|Later)\b (?=\w+, |10–11 am)", page.text)
    assert titles == ["Tomorrow", "Next 7 days", "Later"]
    near = page.text.partition("Next 7 days")[2].partition("Later")[0]
    assert near.count("confirmed 60 min") == 2


async def test_a_long_list_is_read_page_by_page(client: httpx.AsyncClient, pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    lessons = [
        await book(pool, anna, ben, day=day, clock=clock)
        for day in range(1, 13)
        for clock in ("10:00", "12:00")
    ]
    for lesson in lessons[1:]:
        await cancellation.cancel(pool, ben.id, lesson.id, reason="", now=utc_now())
    await sign_in(client, ben)
    page = await visit(client, "/lessons?scope=cancelled")
    assert page.text.count("Piano with Anna") >= 20
    assert "Back to the first" not in page.links
    second = await visit(client, page.links["Show more"])
    assert "Show more" not in second.links
    ids = [
        lesson.id
        for lesson in lessons
        for text in (page, second)
        if f"/lessons/{lesson.id}/again" in text.links.values()
    ]
    assert sorted(ids) == sorted(lesson.id for lesson in lessons[1:])
    assert second.links["Back to the first"] == "/lessons?scope=cancelled"
    assert (await client.get("/lessons?cursor=nonsense")).status_code == 422
    past = await visit(client, "/lessons?scope=past")
    assert "No past lessons yet." in past.text


async def test_a_cancellation_is_confirmed_and_leads_to_the_next_free_times(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    await pool.execute("delete from availability where lower(during) < $1", anna.at("00:00", day=9))
    lesson = await book(pool, anna, ben, day=9)
    await sign_in(client, ben)
    page = await visit(client, "/lessons")
    assert "Free to cancel until" in page.text
    await pool.execute("update booking set free_cancel_until = now() - interval '1 hour'")
    page = await visit(client, "/lessons")
    assert "A cancellation now counts as late." in page.text
    response = await page.form("/cancellation").send(client, _page="/lessons")
    assert response.headers["location"] == f"/lessons?cancelled={lesson.id}"
    page = await visit(client, response.headers["location"])
    assert "Cancelled: Piano with Anna" in page.text
    assert "It counts as late." in page.text
    response = await client.get(page.links["Book again"])
    assert response.headers["location"] == (
        f"/instructors/{anna.id}?service={anna.service_id}&minutes=60&from={anna.day(7)}"
    )
    # The notice is about one’s own cancelled lesson only.
    client.cookies.clear()
    await sign_in(client, await factories.student(pool, "Cleo"))
    page = await visit(client, f"/lessons?cancelled={lesson.id}")
    assert "Cancelled: Piano" not in page.text


async def test_a_lesson_that_staff_cancelled_or_marked_says_so(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    ada = await factories.admin(pool, "Ada")
    lesson = await book(pool, anna, ben)
    await cancellation.cancel(pool, ada.id, lesson.id, reason="A storm", now=utc_now())
    await sign_in(client, ben)
    for path in (f"/book/{lesson.id}", f"/lessons?cancelled={lesson.id}"):
        text = (await visit(client, path)).text
        assert "We cancelled this lesson" in text
        assert "“A storm”" in text
        assert "Anna cancelled" not in text
        assert "was free" not in text
    missed = await book(pool, anna, ben, day=2)
    after = missed.ends_at
    await outcome.record(
        pool, ada.id, missed.id, "no_show", reason="", now=after, authorize=lambda _: None
    )
    assert "We marked it as missed." in (await visit(client, f"/book/{missed.id}")).text


async def test_a_lesson_of_an_instructor_who_stopped_is_booked_again_with_others(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    cora = await factories.instructor(pool, "Cora")
    lesson = await book(pool, anna, ben, day=3)
    await sign_in(client, ben)
    await instructor.stop(pool, anna.id)
    response = await client.get(f"/lessons/{lesson.id}/again")
    assert response.headers["location"] == "/search?q=Piano"
    assert f"/instructors/{cora.id}" in (await client.get(response.headers["location"])).text
    profile = await client.get(f"/instructors/{anna.id}")
    assert profile.status_code == 404
    assert "This instructor doesn’t take new bookings." in profile.text


async def test_the_day_and_the_hours_of_a_lesson_are_separate_words(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    await book(pool, anna, ben, day=3)
    await pool.execute("update account set time_zone = 'Europe/Paris' where id = $1", ben.id)
    await sign_in(client, ben)
    for path in ("/", "/lessons"):
        page = (await client.get(path)).text
        times = re.findall(r"<time datetime[^>]*>(.*?)</time>", page, re.DOTALL)
        text = " ".join(re.sub("<[^>]+>", "", times[0]).split())
        assert re.fullmatch(r"\w+, \w+ \d+ 10–11 am \d:00 pm your time", text), text


async def test_a_cancelled_lesson_says_who_cancelled_it_and_why(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna Ash"), await factories.student(pool, "Ben")
    for account, clock, reason in ((anna, "10:00", "My car broke down"), (ben, "12:00", "")):
        lesson = await book(pool, anna, ben, clock=clock)
        await cancellation.cancel(pool, account.id, lesson.id, reason=reason, now=utc_now())
    await sign_in(client, ben)
    text = (await visit(client, "/lessons?scope=cancelled")).text
    moment = r"\w+, \w+ \d+, [\d:]+ [ap]m(?: E[DS]T)?"
    assert re.search(f"Anna cancelled it {moment}: “My car broke down”", text)
    assert re.search(r"You cancelled it [^.“]+, in time and for free\.", text)


async def test_each_lesson_says_its_state_in_words(client: httpx.AsyncClient, pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    lesson = await book(pool, anna, ben)
    await sign_in(client, ben)

    async def text(state: str, change: str, scope: str) -> str:
        await pool.execute(
            f"update booking set state = '{state}', {change} where id = $1", lesson.id
        )
        return (await visit(client, f"/lessons?scope={scope}")).text

    held = await text("held", "held_until = now() + interval '5 minutes'", "upcoming")
    assert "Piano with Anna on hold for you" in held
    assert "We’ll hold this time until" in held
    held = await text("held", "held_until = now()", "upcoming")
    assert "Piano with Anna hold ended" in held
    for state, words in (("completed", "completed"), ("no_show", "missed")):
        assert f"Piano with Anna {words}" in await text(state, "held_until = null", "past")
    cancelled = await text("cancelled", "late = true", "cancelled")
    assert "Piano with Anna cancelled, late" in cancelled


async def test_the_instructor_sees_booked_students_but_not_who_holds_a_time(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    await book(pool, anna, ben)
    held = await book(pool, anna, cleo, clock="14:00")
    await pool.execute(
        "update booking set state = 'held', held_until = now() + interval '1 minute' where id = $1",
        held.id,
    )
    await sign_in(client, anna)
    page = await visit(client, "/teach")
    assert "Ben" in page.text
    assert "Cleo" not in page.text
    assert "Someone is booking" in page.text
    response = await page.form("/cancellation").send(client, reason="I am ill.")
    assert response.headers["location"].startswith("/teach?done=cancelled")
    page = await visit(client, "/teach")
    assert "Ben" not in page.text
