"""/teach: lessons arrive on the open time line, and everything is done in place."""

import asyncio
import re
from datetime import datetime, timedelta

from playwright.async_api import Locator, Page, expect

from app import formatting
from app.bookings import cancellation, outcome, reschedule
from app.bookings.booking import Booking
from app.db import Pool
from app.web import utc_now
from tests import factories
from tests.browser.axe import violations
from tests.browser.board import book
from tests.browser.conftest import Open, timed_page
from tests.cluster import PATIENCE
from tests.factories import Account, Instructor


async def begun(pool: Pool, anna: Instructor, ben: Account, clock: str = "09:00") -> Booking:
    """A lesson of half an hour that began ten minutes ago."""
    lesson = await book(pool, anna, anna.at(clock, day=5), ben.id)
    await move(pool, lesson, utc_now() - timedelta(minutes=10))
    return lesson


async def move(pool: Pool, lesson: Booking, start: datetime) -> None:
    await pool.execute(
        """update booking set during = span, blocked = span
           from (select tstzrange($2, $2::timestamptz + interval '30 minutes') as span) as past
           where id = $1""",
        lesson.id,
        start,
    )


async def teach(open_page: Open, anna: Instructor, path: str = "/teach") -> Page:
    page = await open_page(path, anna)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    return page


def row(page: Page, lesson: Booking) -> Locator:
    return page.locator(f"#booking-{lesson.id}")


def button(row: Locator, label: str) -> Locator:
    """The button that opens an action."""
    return row.locator("summary", has_text=label)


async def test_a_note_is_saved_while_lessons_arrive_and_move(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna Diaz")
    ben = await factories.student(pool, "Ben Ode")
    annas = await teach(open_page, anna)

    # A booking arrives, in the order of its day.
    late = await book(pool, anna, anna.at("14:00"), ben.id)
    await expect(row(annas, late)).to_contain_text("just booked")
    early = await book(pool, anna, anna.at("10:00"), ben.id)
    line = annas.locator(f"#on-{anna.day()} ~ .timeline")
    await expect(line.locator("> li")).to_contain_text(
        ["10–10:30 am", "3 h 30 min break", "2–2:30"]
    )
    await expect(annas.locator("#announcements")).to_contain_text("just booked")

    # The note survives a lost connection, and a lesson that moves meanwhile.
    note = row(annas, early).get_by_label("Private note")
    await button(row(annas, early), "Details").click()
    await expect(row(annas, early).get_by_role("link", name="ben.ode@example.com")).to_be_visible()
    await note.fill("Bring scales")
    await annas.route("**/instructor-note", lambda route: route.abort())
    save = row(annas, early).get_by_role("button", name="Save note")
    await save.click()
    await expect(row(annas, early).get_by_role("alert").first).to_contain_text("couldn’t reach")
    await note.fill("Bring scales, and patience")
    await reschedule.move(
        pool, ben.id, early.id, start=anna.at("11:00"), minutes=None, now=utc_now()
    )
    await expect(row(annas, early)).to_contain_text("just moved")
    await expect(row(annas, early)).to_contain_text("10:00 am to")
    await expect(note).to_have_value("Bring scales, and patience")
    await expect(note).to_be_focused()
    await annas.unroute("**/instructor-note")
    assert await violations(annas) == []
    await save.click()
    notice = annas.locator("#notice")
    await expect(notice).to_have_text("Your note about Ben’s lesson is saved.")
    await expect(save).to_be_focused()
    await annas.reload()
    await expect(note).to_have_value("Bring scales, and patience")


async def test_student_and_instructor_see_the_same_story(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna Diaz")
    ben = await factories.student(pool, "Ben Ode")
    first = await begun(pool, anna, ben)
    early = await book(pool, anna, anna.at("10:00"), ben.id)
    annas = await teach(open_page, anna)
    bens = await open_page("/lessons", ben)
    await expect(bens.locator("#live")).to_have_attribute("data-state", "live")
    notice = annas.locator("#notice")
    await expect(annas.locator(".entry")).to_have_count(2)

    # Cancelled by the instructor, and gone from the student's upcoming lessons.
    await button(row(annas, early), "Details").click()
    await button(row(annas, early), "Cancel…").click()
    await row(annas, early).get_by_label("Reason (optional)").fill("A concert")
    await row(annas, early).get_by_role("button", name="Cancel this lesson").click()
    await expect(notice).to_contain_text("is cancelled. We’ll e-mail Ben")
    await expect(row(annas, early)).to_have_count(0)
    await expect(row(bens, early)).to_have_count(0)

    # Completed: it asks first.
    await button(row(annas, first), "Complete").click()
    yes = row(annas, first).get_by_role("button", name="Yes, it took place")
    await button(row(annas, first), "No-show").click()
    await expect(yes).to_be_hidden()
    await expect(row(annas, first)).to_contain_text("Did Ben not come?")
    assert await violations(annas) == []
    await button(row(annas, first), "Complete").click()
    await yes.click()
    await expect(notice).to_contain_text("is completed.")
    await expect(row(annas, first).locator(".tag")).to_have_text("completed")
    await expect(row(annas, first).locator("summary")).to_have_count(1)
    await expect(row(bens, first)).to_have_count(0)
    await bens.goto("/lessons?scope=past")
    await expect(row(bens, first)).to_contain_text("completed")
    await button(row(annas, first), "Details").click()
    await expect(row(annas, first)).to_contain_text("You marked it as completed.")
    assert await violations(annas) == []


async def test_changes_by_the_student_are_announced_and_not_only_shown(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna Diaz")
    ben = await factories.student(pool, "Ben Ode")
    own, cancelled, moved, missed = [
        await book(pool, anna, anna.at(clock), ben.id)
        for clock in ("09:00", "10:00", "11:00", "12:00")
    ]
    annas = await teach(open_page, anna)
    changes, announcements = annas.locator("#changes"), annas.locator("#announcements")
    moments = {
        lesson.id: formatting.moment(lesson.starts_at, anna.time_zone)
        for lesson in (own, cancelled, moved, missed)
    }

    # What the instructor did is said once, and stays.
    await button(row(annas, own), "Details").click()
    await button(row(annas, own), "Cancel…").click()
    await row(annas, own).get_by_role("button", name="Cancel this lesson").click()
    await expect(annas.locator("#notice")).to_contain_text("is cancelled. We’ll e-mail Ben")

    sentence = f"Ben Ode cancelled {moments[cancelled.id]}, Piano. The time is free again."
    await cancellation.cancel(pool, ben.id, cancelled.id, reason="I am ill.", now=utc_now())
    await expect(row(annas, cancelled)).to_have_count(0)
    await expect(changes).to_have_text(f"{sentence} See details")
    await expect(announcements).to_contain_text(sentence)
    start = anna.at("15:00", day=3)
    await reschedule.move(pool, ben.id, moved.id, start=start, minutes=None, now=utc_now())
    after = formatting.moment(start, anna.time_zone)
    sentence = f"Ben Ode moved Piano from {moments[moved.id]} to {after}."
    await expect(changes).to_contain_text(sentence)
    await expect(announcements).to_contain_text(sentence)
    await expect(changes.locator("p")).to_have_count(2)
    await expect(annas.locator("#notice")).to_contain_text("is cancelled. We’ll e-mail Ben")
    assert await violations(annas) == []

    # The time is booked again, so the notice no longer holds.
    await book(pool, anna, anna.at("10:00"), ben.id)
    await expect(changes.locator("p")).to_have_count(1)

    # A change of which the message was lost is noticed when the page is read again.
    await annas.context.set_offline(True)
    await cancellation.cancel(pool, ben.id, missed.id, reason="", now=utc_now())
    await annas.context.set_offline(False)
    await expect(changes).to_contain_text(f"Ben Ode cancelled {moments[missed.id]}")
    await changes.get_by_role("link").first.click()
    await expect(row(annas, missed).locator(".tag")).to_have_text("cancelled")
    await expect(row(annas, missed)).to_contain_text("Ben cancelled it.")


async def test_a_mails_link_leads_to_the_lesson_whatever_has_become_of_it(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna Diaz")
    ben = await factories.student(pool, "Ben Ode")
    lesson = await book(pool, anna, anna.at("10:00"), ben.id)
    await cancellation.cancel(pool, ben.id, lesson.id, reason="I am ill.", now=utc_now())
    # Earlier releases sent addresses that only a script can follow.
    for query in ("", f"?lesson={lesson.id}"):
        annas = await open_page(f"/teach{query}#booking-{lesson.id}", anna)
        await expect(row(annas, lesson).locator(".tag")).to_have_text("cancelled")
        await expect(row(annas, lesson)).to_contain_text("Ben cancelled it. “I am ill.”")
        await expect(row(annas, lesson)).to_be_in_viewport()
        assert await violations(annas) == []
        bens = await open_page(f"/lessons{query}#booking-{lesson.id}", ben)
        await expect(bens).to_have_url(re.compile(rf"/book/{lesson.id}"))
        await expect(bens.locator("h1")).to_have_text("You cancelled this lesson")
    # Neither does a list that is open lose its lesson.
    later = await book(pool, anna, anna.at("11:00"), ben.id)
    bens = await open_page(f"/lessons?lesson={later.id}#booking-{later.id}", ben)
    await expect(row(bens, later)).to_be_in_viewport()
    await cancellation.cancel(pool, ben.id, later.id, reason="", now=utc_now())
    await expect(row(bens, later)).to_have_count(0)
    await expect(bens.locator("#notices")).to_contain_text("Cancelled: Piano")


async def test_a_refusal_is_explained_in_place_and_a_note_survives_signing_in_again(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna Diaz")
    ben = await factories.student(pool, "Ben Ode")
    lesson = await begun(pool, anna, ben)
    other = await book(pool, anna, anna.at("10:00"), ben.id)
    page = await open_page("/teach", anna, silent=True)
    await button(row(page, lesson), "No-show").click()
    await outcome.record(pool, anna.id, lesson.id, "completed", reason="", now=utc_now())
    await row(page, lesson).get_by_role("button", name="Yes, Ben didn’t come").click()
    notice = page.locator("#notice .bad")
    await expect(notice).to_have_text("This lesson is completed, so you can’t do that anymore.")
    await expect(row(page, lesson).locator(".tag")).to_have_text("completed")

    await button(row(page, other), "Details").click()
    await row(page, other).get_by_label("Private note").fill("Kept")
    await pool.execute("update session set revoked_at = now()")
    await row(page, other).get_by_role("button", name="Save note").click()
    await expect(row(page, other).locator("[data-error]").first).to_have_text(
        "Sign in to continue."
    )
    await expect(row(page, other).get_by_label("Private note")).to_have_value("Kept")
    await page.get_by_role("link", name="Sign in again").click()
    await page.get_by_label("E-mail").fill(anna.email)
    await page.get_by_label("Password").fill(factories.PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(row(page, other).get_by_label("Private note")).to_have_value("Kept")
    await row(page, other).get_by_role("button", name="Save note").click()
    await expect(page.locator("#notice")).to_have_text("Your note about Ben’s lesson is saved.")


async def test_lists_and_hours_are_read_again_when_a_lesson_begins_without_a_message(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna Diaz")
    ben = await factories.student(pool, "Ben Ode")
    lesson = await book(pool, anna, anna.at("10:00", day=5), ben.id)
    start = (utc_now() + timedelta(hours=1)).replace(microsecond=0)
    await move(pool, lesson, start)
    page = await timed_page(open_page, "/teach", anna)
    student_page = await timed_page(open_page, "/lessons", ben)
    await expect(row(page, lesson)).to_be_visible()
    await expect(button(row(page, lesson), "Complete")).to_have_count(0)
    await expect(button(row(student_page, lesson), "Cancel")).to_have_count(1)
    # Its start comes, and hours change with the day, without a message.
    await move(pool, lesson, utc_now())
    await pool.execute(
        "insert into blackout (instructor_id, day, reason) values ($1, $2, 'A trip')",
        anna.id,
        anna.day(3),
    )
    await page.locator("#hours a").focus()
    is_over = "(list) => { list.dataset.changesAt = '2026-01-01T00:00:00Z'; }"
    async with asyncio.timeout(PATIENCE):
        # Again if the page was just reading the list, which then still has the later start.
        for each, words in ((page, "Complete"), (student_page, "happening now")):
            while words not in await row(each, lesson).inner_text():
                await each.locator("#lessons").evaluate(is_over)
                await each.clock.run_for(16_000)
                await asyncio.sleep(0.1)
    await expect(row(page, lesson)).to_have_attribute("aria-current", "time")
    await expect(page.locator("#hours")).to_contain_text("Day off: A trip")
    await expect(page.locator("#hours a")).to_be_focused()
    await expect(button(row(student_page, lesson), "Cancel")).to_have_count(0)


async def test_without_scripts_a_lesson_is_completed_and_another_cancelled(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna Diaz")
    ben = await factories.student(pool, "Ben Ode")
    first, other = await begun(pool, anna, ben), await book(pool, anna, anna.at("10:00"), ben.id)
    page = await open_page("/teach", anna, java_script_enabled=False)
    await button(row(page, first), "Complete").click()
    await row(page, first).get_by_role("button", name="Yes, it took place").click()
    await expect(page.locator("#notice")).to_contain_text("is completed.")
    await button(row(page, other), "Details").click()
    await row(page, other).get_by_label("Private note").fill("Bring scales")
    await row(page, other).get_by_role("button", name="Save note").click()
    await expect(page.locator("#notice")).to_contain_text("is saved.")
    await button(row(page, other), "Details").click()
    await expect(row(page, other).get_by_label("Private note")).to_have_value("Bring scales")
    await button(row(page, other), "Cancel…").click()
    await row(page, other).get_by_role("button", name="Cancel this lesson").click()
    await expect(page.locator("#notice")).to_contain_text("is cancelled.")
    await expect(row(page, other)).to_have_count(0)
