"""Moving a lesson without scripts: another time, what changes with it, undo, and refusals."""

from datetime import timedelta

import httpx

from app import formatting, wire
from app.bookings import booking, cancellation
from app.db import Pool
from app.web import utc_now
from tests import factories
from tests.forms import Page
from tests.pages.visitor import book, sign_in, visit


async def test_a_lesson_is_moved_and_moved_back(client: httpx.AsyncClient, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", durations=(30, 60, 90))
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    lesson = await book(pool, anna, ben, day=3)
    # The price follows the rate at which the lesson was booked.
    await pool.execute("update service set hourly_rate_cents = 9000")
    await book(pool, anna, cleo, day=3, clock="13:00")
    await sign_in(client, ben)
    assert f"/lessons/{lesson.id}/move" in (await visit(client, "/lessons")).links.values()
    page = await visit(client, f"/lessons/{lesson.id}/move")
    assert "Piano with Anna, now" in page.text
    assert "Choose a time" in page.text
    # Its own time counts as free, and half of it, too.
    assert {wire.instant(anna.at(clock, day=3)) for clock in ("10:00", "10:30")} <= set(page.times)
    assert "10:00 am this lesson" in page.text
    assert wire.instant(anna.at("13:00", day=3)) not in page.times

    page = await visit(client, page.links["90 min"])
    board = page.form(f"/lessons/{lesson.id}/move")
    page = Page(await board.send(client, start=wire.instant(anna.at("09:30", day=3))))
    assert "90 minutes instead of 60: $105 instead of $70. Free to cancel until" in page.text
    form = page.form("/time")
    response = await form.send(client)
    assert response.headers["location"] == f"/lessons?moved={lesson.id}"
    # A form that is sent twice moves the lesson once.
    assert (await form.send(client)).headers["location"] == f"/lessons?moved={lesson.id}"
    page = await visit(client, response.headers["location"])
    when = formatting.moment(anna.at("09:30", day=3), anna.time_zone)
    assert f"Moved to {when}: Piano with Anna" in page.text
    assert "90 min" in page.text

    response = await page.form("/time").send(client)
    page = await visit(client, response.headers["location"])
    when = formatting.moment(anna.at("10:00", day=3), anna.time_zone)
    assert f"Moved back to {when}" in page.text
    assert "Undo" not in page.text
    moved_back = await booking.find(pool, lesson.id, viewer=ben.id)
    assert moved_back.starts_at == lesson.starts_at
    assert (moved_back.duration_minutes, moved_back.price_cents) == (60, 7000)


async def test_a_lesson_can_move_at_a_length_that_is_no_longer_offered(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    lesson = await book(pool, anna, ben, day=3)
    await pool.execute("update service set durations_minutes = '{30}'")
    await sign_in(client, ben)
    page = await visit(client, f"/lessons/{lesson.id}/move")
    assert {"30 min", "60 min"} <= set(page.links)
    board = page.form(f"/lessons/{lesson.id}/move")
    page = Page(await board.send(client, start=wire.instant(anna.at("14:00", day=3))))
    assert "The price stays $70." in page.text
    await page.form("/time").send(client)
    moved = await booking.find(pool, lesson.id, viewer=ben.id)
    assert (moved.starts_at, moved.duration_minutes) == (anna.at("14:00", day=3), 60)


async def test_undo_says_when_the_earlier_time_is_no_longer_free(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    lesson = await book(pool, anna, ben, day=3)
    await sign_in(client, ben)
    page = await visit(client, f"/lessons/{lesson.id}/move?start={at(anna, '12:00')}")
    page = await visit(client, (await page.form("/time").send(client)).headers["location"])
    await book(pool, anna, cleo, day=3)
    # Five minutes later, nothing is said about undoing it.
    await pool.execute("update booking set moved_at = moved_at - interval '6 minutes'")
    assert "Undo" not in (await visit(client, f"/lessons?moved={lesson.id}")).text
    await pool.execute("update booking set moved_at = moved_at + interval '6 minutes'")
    response = await page.form("/time").send(client)
    assert response.status_code == 409
    page = Page(response)
    ten, noon = (
        formatting.moment(anna.at(clock, day=3), anna.time_zone) for clock in ("10:00", "12:00")
    )
    assert f"{ten} is no longer free. Your lesson stays at {noon}." in page.text
    assert page.links["Choose another time"] == f"/lessons/{lesson.id}/move"


async def test_a_refused_move_offers_the_nearest_times(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    lesson = await book(pool, anna, ben, day=3)
    await sign_in(client, ben)
    page = await visit(client, f"/lessons/{lesson.id}/move?start={at(anna, '12:00')}")
    assert "The price stays $70." in page.text
    await book(pool, anna, cleo, day=3, clock="12:00")
    response = await page.form("/time").send(client)
    assert response.status_code == 409
    page = Page(response)
    assert "Someone else just booked that time." in page.text
    href = next(href for text, href in page.links.items() if text.endswith("1:00 pm"))
    page = await visit(client, href)
    assert (await page.form("/time").send(client)).status_code == 303
    start = await pool.fetchval("select lower(during) from booking where id = $1", lesson.id)
    assert start == anna.at("13:00", day=3)


async def test_the_page_of_a_move_names_its_consequences_and_the_current_time(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    lesson = await book(pool, anna, ben, day=3)
    await sign_in(client, ben)
    page = await visit(client, f"/lessons/{lesson.id}/move?start={at(anna, '10:00')}")
    assert "This is its current time. Choose another." in page.text
    await pool.execute("update booking set free_cancel_until = now() - interval '1 hour'")
    page = await visit(client, f"/lessons/{lesson.id}/move?start={at(anna, '12:00')}")
    assert "a lesson moved late stays late" in page.text
    page = await visit(client, f"/lessons/{lesson.id}/move?start={at(anna, '20:00')}")
    assert "Anna isn’t free then." in page.text


async def test_a_lesson_that_cannot_be_moved_says_why(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    lesson, other = await book(pool, anna, ben, day=3), await book(pool, anna, ben, day=4)
    path = f"/lessons/{lesson.id}/move"
    await sign_in(client, ben)
    await cancellation.cancel(pool, ben.id, other.id, reason="", now=utc_now())
    assert "is cancelled" in (await visit(client, f"/lessons/{other.id}/move")).text
    await pool.execute("update service set is_active = false")
    assert "Anna no longer offers this lesson" in (await visit(client, path)).text
    hour = utc_now().replace(minute=0, second=0, microsecond=0)
    await pool.execute(
        """update booking set during = tstzrange($2, $3), blocked = tstzrange($2, $3)
           where id = $1""",
        lesson.id,
        hour,
        hour + timedelta(hours=1),
    )
    assert "has started or is over" in (await visit(client, path)).text
    client.cookies.clear()
    await sign_in(client, await factories.student(pool, "Cleo"))
    assert (await client.get(path)).status_code == 404
    client.cookies.clear()
    await sign_in(client, anna)
    assert (await client.get(path)).status_code in {403, 404}


async def test_the_time_that_only_the_lesson_occupies_respects_other_lessons_and_the_hours(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", hours=("10:00", "14:00"), buffer_minutes=30)
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    lesson = await book(pool, anna, ben, day=3)  # blocks 10–11:30
    await book(pool, anna, cleo, day=3, clock="11:30")  # blocks 11:30–1, and the half-hour before
    await sign_in(client, ben)
    path = f"/lessons/{lesson.id}/move"
    assert {
        time for time in (await visit(client, path)).times if time[:10] == str(anna.day(3))
    } == {
        at(anna, "10:00"),
        at(anna, "13:00"),
    }
    half = (await visit(client, f"{path}?minutes=30")).times
    assert {at(anna, "10:00"), at(anna, "10:30")} <= set(half)
    assert at(anna, "11:00") not in half
    await pool.execute("delete from availability where lower(during) = $1", anna.at("10:00", day=3))
    assert at(anna, "10:00") not in (await visit(client, path)).times


def at(anna: factories.Instructor, clock: str) -> str:
    return wire.instant(anna.at(clock, day=3))
