"""/teach and /teach/stats without scripts: what the instructor sees, and what can be done there."""

import asyncio
import re
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import httpx
import pytest

from app import formatting
from app.bookings import cancellation, outcome, reschedule
from app.bookings.booking import Booking
from app.db import Pool
from app.web import utc_now
from tests import factories
from tests.factories import Account, Instructor
from tests.forms import Form, Page
from tests.pages.visitor import book, sign_in, visit
from tests.statement_counts import executed


@pytest.fixture
async def anna(pool: Pool, client: httpx.AsyncClient) -> Instructor:
    """An instructor, signed in."""
    anna = await factories.instructor(pool, "Anna")
    await sign_in(client, anna)
    return anna


@pytest.fixture
async def ben(pool: Pool) -> Account:
    return await factories.student(pool, "Ben Ode")


async def begin(pool: Pool, lesson: Booking, start: datetime) -> None:
    """Moves an hour's lesson into the past."""
    await pool.execute(
        """update booking set during = span, blocked = span
           from (select tstzrange($2, $2::timestamptz + interval '1 hour') as span) as past
           where id = $1""",
        lesson.id,
        start,
    )


async def just_begun(pool: Pool, anna: Instructor, student: Account, day: int = 1) -> Booking:
    """A lesson that began ten minutes ago."""
    lesson = await book(pool, anna, student, day=day)
    await begin(pool, lesson, utc_now() - timedelta(minutes=10))
    return lesson


def form(page: Page, lesson: Booking, call: str) -> Form:
    return page.form(f"/api/bookings/{lesson.id}/{call}")


def row(page: httpx.Response | str, lesson: Booking) -> str:
    """The HTML of a lesson's row."""
    html = page if isinstance(page, str) else page.text
    return html.partition(f'id="booking-{lesson.id}"')[2].partition('\n<li\n  class="entry')[0]


async def state_of(pool: Pool, lesson: Booking) -> str:
    state: str = await pool.fetchval("select state from booking where id = $1", lesson.id)
    return state


async def test_a_lesson_that_has_begun_is_completed_or_marked_as_a_no_show(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor, ben: Account
) -> None:
    for call, state, words in (
        ("completion", "completed", "is completed."),
        ("no-show", "no_show", "is marked as a no-show."),
    ):
        lesson = await just_begun(pool, anna, ben)
        page = await visit(client, "/teach")
        assert "You can’t change this later." in page.text
        response = await form(page, lesson, call).send(client)
        assert response.status_code == 303
        page = await visit(client, response.headers["location"])
        assert re.search(rf"Ben’s lesson on [^.]* {words}", page.text)
        assert await state_of(pool, lesson) == state
        assert not any(each.action.endswith(call) for each in page.forms)
        await pool.execute("delete from booking where id = $1", lesson.id)


async def test_a_lesson_before_its_start_is_cancelled_with_a_reason_and_has_no_outcome(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor, ben: Account
) -> None:
    lesson = await book(pool, anna, ben)
    page = await visit(client, "/teach")
    assert not any(each.action.endswith(("completion", "no-show")) for each in page.forms)
    assert "We’ll e-mail Ben with your reason, and the time becomes free again." in page.text
    response = await form(page, lesson, "cancellation").send(client, reason="I am ill.")
    page = await visit(client, response.headers["location"])
    assert "is cancelled. We’ll e-mail Ben, and the time is free again." in page.text
    assert await pool.fetchval("select cancel_reason from booking") == "I am ill."
    assert f"booking-{lesson.id}" not in {each.action for each in page.forms}
    # A reload of that address after the lesson was booked again would not say so.
    other = await book(pool, anna, ben)
    assert (
        "is cancelled" not in (await visit(client, f"/teach?done=cancelled&lesson={other.id}")).text
    )


async def test_a_private_note_is_saved_and_emptied_and_an_error_keeps_it(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor, ben: Account
) -> None:
    lesson = await book(pool, anna, ben)
    page = await visit(client, "/teach")
    too_long = "scales & <chords>\n" * 120
    response = await form(page, lesson, "instructor-note").send(client, note=too_long)
    assert response.status_code == 422
    html = row(response, lesson)
    assert 'role="alert">note: String should have at most 2000 characters.' in html
    assert re.search(rf'id="details-{lesson.id}"\s+open', html)
    again = form(Page(response), lesson, "instructor-note")
    assert again.fields["note"].strip() == too_long.strip()
    for note in ("Bring scales.\n\nAnd patience.", ""):
        response = await again.send(client, note=note)
        page = await visit(client, response.headers["location"])
        assert "Your note about Ben’s lesson is saved." in page.text
        assert form(page, lesson, "instructor-note").fields["note"] == note


async def test_a_refusal_is_shown_in_the_row_or_above_the_lessons_if_the_row_is_gone(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor, ben: Account
) -> None:
    lesson, other = await just_begun(pool, anna, ben), await book(pool, anna, ben, clock="11:00")
    page = await visit(client, "/teach")
    await outcome.record(pool, anna.id, lesson.id, "completed", reason="", now=utc_now())
    response = await form(page, lesson, "no-show").send(client)
    assert response.status_code == 409
    assert "This lesson is completed, so you can’t do that anymore." in row(response, lesson)
    assert "anymore" not in row(response, other)
    await cancellation.cancel(pool, ben.id, other.id, reason="", now=utc_now())
    response = await form(page, other, "cancellation").send(client, reason="Mine")
    text = Page(response).text
    assert text.count("This lesson is cancelled, so you can’t do that anymore.") == 1


async def test_a_link_to_a_lesson_that_is_not_listed_shows_it_with_all_that_happened(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor, ben: Account
) -> None:
    lesson = await book(pool, anna, ben)
    page = await visit(client, f"/teach?lesson={lesson.id}")
    assert page.text.count("Ben booked it for") == 1
    await cancellation.cancel(pool, ben.id, lesson.id, reason="I am ill.", now=utc_now())
    assert "Ben cancelled it" not in (await visit(client, "/teach")).text
    page = await visit(client, f"/teach?lesson={lesson.id}")
    assert "Your lesson with Ben" in page.text
    assert "Ben cancelled it. “I am ill.”" in page.text
    response = await form(page, lesson, "instructor-note").send(client, note="Call Ben.")
    page = await visit(client, response.headers["location"])
    assert "Your note about Ben’s lesson is saved." in page.text
    assert form(page, lesson, "instructor-note").fields["note"] == "Call Ben."
    # A hold, another instructor's lesson, or nothing at all: the page as it always is.
    clara = await factories.instructor(pool, "Clara")
    others = await book(pool, clara, await factories.student(pool, "Cleo"))
    held = await book(pool, anna, ben, clock="14:00")
    await pool.execute("update booking set state = 'expired' where id = $1", held.id)
    for other in (held.id, others.id, "nothing"):
        text = (await visit(client, f"/teach?lesson={other}")).text
        assert "Your lesson with" not in text
        assert "Cleo" not in text


async def test_the_day_is_a_line_with_breaks_and_the_present_moment(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor, ben: Account
) -> None:
    page = await visit(client, "/teach")
    assert "No lessons today. New bookings appear here right away." in page.text
    now = utc_now()
    for clock in ("09:00", "10:00", "12:30"):
        await book(pool, anna, ben, clock=clock)
    page = await visit(client, "/teach")
    assert re.search(r"Tomorrow 9–10 am .* 10–11 am .* 1 h 30 min break 12:30–1:30 pm", page.text)
    assert page.text.count(" break") == 1
    assert 'aria-current="time"' not in (await client.get("/teach")).text
    last = await book(pool, anna, ben, day=2)
    if formatting.local_day(now - timedelta(minutes=10), anna.time_zone) == anna.today:
        await begin(pool, last, now - timedelta(minutes=10))
        response = await client.get("/teach")
        assert 'aria-current="time"' in row(response, last)[:60]
        assert "data-changes-at=" in response.text


async def test_yesterdays_lessons_wait_for_their_outcome(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor, ben: Account
) -> None:
    lesson, completed = await book(pool, anna, ben), await book(pool, anna, ben, clock="11:00")
    yesterday = utc_now() - timedelta(hours=30)
    await begin(pool, lesson, yesterday)
    await begin(pool, completed, yesterday - timedelta(hours=2))
    await outcome.record(pool, anna.id, completed.id, "completed", reason="", now=utc_now())
    page = await visit(client, "/teach")
    assert "How did these go?" in page.text
    response = await form(page, lesson, "completion").send(client)
    assert "How did these go?" not in (await visit(client, response.headers["location"])).text


async def test_a_row_tells_the_student_and_everything_that_happened(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor, ben: Account
) -> None:
    first = await book(pool, anna, ben, clock="09:00")
    await begin(pool, first, utc_now() - timedelta(days=9))
    await outcome.record(pool, anna.id, first.id, "completed", reason="", now=utc_now())
    by_ben, by_anna = [
        await book(pool, anna, ben, day=3, clock=clock) for clock in ("09:00", "11:00")
    ]
    undone = await book(pool, anna, ben, day=4, clock="09:00")  # counts nowhere
    await cancellation.cancel(pool, ben.id, undone.id, reason="", now=utc_now())
    later = utc_now() + timedelta(minutes=6)
    await cancellation.cancel(pool, ben.id, by_ben.id, reason="", now=later)
    await cancellation.cancel(pool, anna.id, by_anna.id, reason="", now=utc_now())
    lesson = await book(pool, anna, ben, day=2, clock="09:00")
    to = anna.at("13:00", day=3)
    await reschedule.move(pool, ben.id, lesson.id, start=to, minutes=None, now=utc_now())
    await outcome.note(pool, anna.id, lesson.id, "Not for Ben", now=utc_now())
    page = await visit(client, "/teach")
    assert page.links["ben.ode@example.com"] == "mailto:ben.ode@example.com"
    assert re.search(r"With you 1 lesson, it was on [^·]* · cancelled 1 time Calendar", page.text)
    before, after = (formatting.moment(at, anna.time_zone) for at in (lesson.starts_at, to))
    assert f"Ben booked it for {before}." in page.text
    assert f"Ben moved it from {before} to {after}." in page.text
    assert page.text.count("moved it") == 1


async def test_nobody_elses_students_notes_and_figures_are_shown(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor, ben: Account
) -> None:
    clara = await factories.instructor(pool, "Clara")
    cleo, dora = await factories.student(pool, "Cleo"), await factories.student(pool, "Dora")
    claras = await just_begun(pool, clara, ben)
    await outcome.note(pool, clara.id, claras.id, "Clara’s secret", now=utc_now())
    await outcome.record(pool, clara.id, claras.id, "completed", reason="", now=utc_now())
    await book(pool, clara, cleo, clock="11:00")
    await book(pool, anna, ben, clock="14:00")
    held = await book(pool, anna, dora, clock="16:00")
    await pool.execute(
        "update booking set state = 'held', held_until = now() + interval '1 hour' where id = $1",
        held.id,
    )
    for path in ("/teach", f"/teach?done=completed&lesson={claras.id}", "/teach/stats"):
        text = (await visit(client, path)).text
        for private in ("Cleo", "cleo@", "Dora", "dora@", "secret", "is completed", "$70 is"):
            assert private not in text, (path, private)
    text = (await visit(client, "/teach")).text
    assert "Someone is booking" in text
    assert "No lesson yet" in text  # with Anna; Ben has had one with Clara
    assert "Your earnings appear here" in (await visit(client, "/teach/stats")).text
    # An expired hold that no worker has released yet.
    await pool.execute("update booking set held_until = now() where id = $1", held.id)
    assert "Someone is booking" not in (await visit(client, "/teach")).text
    client.cookies.clear()
    await sign_in(client, ben)
    assert (await client.get("/teach/stats")).status_code == 403


async def test_more_lessons_and_students_take_no_more_statements(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor, ben: Account
) -> None:
    await book(pool, anna, ben)
    few = await statements(client)
    for day in range(2, 7):
        student = await factories.student(pool, f"Student {day}")
        for clock in ("09:00", "11:00", "13:00"):
            await book(pool, anna, student, day=day, clock=clock)
    page = await client.get("/teach")
    assert page.text.count('class="entry"') == 16
    assert await statements(client) == few >= 3


async def statements(client: httpx.AsyncClient) -> int:
    """How many statements about bookings and accounts a visit executes."""
    visits = []
    for _ in range(3):  # background work may add to some of them
        before = executed(partial(re.search, "booking|account"))
        await client.get("/teach")
        visits.append(executed(partial(re.search, "booking|account")) - before)
    return min(visits)


async def test_the_statistics_are_a_table_with_bars(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor, ben: Account
) -> None:
    lessons = await asyncio.gather(*(book(pool, anna, ben, day=day) for day in (1, 2, 3, 4)))
    month = anna.today.replace(day=1)
    for days, lesson in ((2, lessons[0]), (40, lessons[1]), (41, lessons[2])):
        await begin(pool, lesson, anna.at("10:00", day=(month - anna.today).days - days))
        await outcome.record(pool, anna.id, lesson.id, "completed", reason="", now=utc_now())
    later = utc_now() + timedelta(minutes=6)  # not undone at once
    await cancellation.cancel(pool, ben.id, lessons[3].id, reason="", now=later)
    page = await visit(client, "/teach/stats")
    assert re.search(r"completed 3 taught 3 hours of all bookings cancelled 25% ", page.text)
    last, before = (month - timedelta(days=days) for days in (2, 41))
    assert f"{last:%B %Y} $70 " in page.text
    assert f"{before:%B %Y} $140" in page.text
    assert f"{month:%B %Y} $0" in page.text
    html = (await client.get("/teach/stats")).text
    assert re.findall(r'<rect width="(\d+)"', html) == ["50", "100"]
    assert html.count('<th scope="row">') == 3


async def test_an_unknown_lesson_in_the_address_is_ignored(
    client: httpx.AsyncClient, anna: Instructor
) -> None:
    for query in ("done=completed&lesson=x", f"done=x&lesson={UUID(int=1)}", "lesson=x&form=note"):
        assert (await client.get(f"/teach?{query}")).status_code == 200
