"""The start page: search, and the student’s next lessons."""

from datetime import UTC, datetime, timedelta

import httpx

from app.catalog import instructor
from app.db import Pool
from tests import factories
from tests.bookings.reservations import hold
from tests.pages.visitor import book, sign_in, visit


async def test_a_signed_in_student_sees_the_next_two_lessons(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    for day in (3, 1, 2):
        await book(pool, anna, ben, day=day)
    await sign_in(client, ben)
    page = await visit(client, "/")
    assert "Your next lessons" in page.text
    lessons = page.text[page.text.index("Your next lessons") : page.text.index("Free next")]
    assert lessons.count("Piano with Anna") == 2
    # The most urgent one is in the notice bar, which can be dismissed for a day.
    assert "Tomorrow at 10:00 am: Piano with Anna." in page.text or "See your lesson" in page.text
    response = await page.form("/notice/dismissal").send(client)
    assert (response.status_code, response.headers["location"]) == (303, "/")
    assert "max-age=86400" in response.headers["set-cookie"].lower()
    assert "See your lesson" not in (await visit(client, "/")).text


async def test_the_notice_bar_is_for_students_with_lessons(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    for account in (anna, ben):
        await sign_in(client, account)
        assert "/notice/dismissal" not in (await client.get("/")).text
        client.cookies.clear()
    await book(pool, anna, ben, day=3)
    await sign_in(client, ben)
    assert "/notice/dismissal" in (await client.get("/")).text


async def test_an_expired_hold_is_not_among_the_next_lessons(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    expired_at = datetime.now(UTC) - timedelta(seconds=10)
    await hold(pool, ben, anna, anna.at("10:00"), expired_at)
    await hold(pool, ben, anna, anna.at("10:00", day=2), expired_at + timedelta(minutes=5))
    await book(pool, anna, ben, day=3)
    await sign_in(client, ben)
    page = await visit(client, "/")
    assert page.text.count("Piano with Anna") == 3  # also in the notice about the live hold
    assert page.text.count("on hold for you") == 1
    assert "confirmed" in page.text


async def test_without_lessons_on_offer_the_start_page_says_so_and_leads_to_teaching(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    await instructor.stop(pool, anna.id)
    page = await visit(client, "/")
    assert "No lessons are on offer right now." in page.text
    assert page.links["Join as an instructor"] == "/register"
    await sign_in(client, ben)
    assert (await visit(client, "/")).links["Teach"] == "/teach"


async def test_an_earlier_lesson_can_be_booked_again(client: httpx.AsyncClient, pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    for day in (1, 2):
        await book(pool, anna, ben, day=day)
    await pool.execute(
        """update booking set state = 'completed',
                  during = tstzrange(lower(during) - interval '9 days',
                                     upper(during) - interval '9 days'),
                  blocked = tstzrange(lower(blocked) - interval '9 days',
                                      upper(blocked) - interval '9 days')"""
    )
    assert "Book again" not in (await visit(client, "/")).text
    await sign_in(client, ben)
    page = await visit(client, "/")
    assert page.text.count("Piano with Anna") == 1
    again = await visit(client, page.links["Piano with Anna"])
    assert f"/instructors/{anna.id}" in again.links["30 min"]


async def test_an_address_of_an_earlier_release_leads_to_the_search(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/?q=piano&category=music")
    assert (response.status_code, response.headers["location"]) == (
        301,
        "/search?q=piano&category=music",
    )
