"""My lessons on an open page: moving in the dialog, undo, cancelling, long lists, and the feed."""

import asyncio
import re

from playwright.async_api import Locator, Page, Route, expect

from app import formatting
from app.bookings import cancellation, reschedule
from app.db import Pool
from app.web import utc_now
from tests import factories
from tests.browser.axe import violations
from tests.browser.board import book, hold, time_button
from tests.browser.conftest import Open
from tests.factories import Account, Instructor


async def opened_dialog(page: Page) -> Locator:
    await page.get_by_role("link", name=re.compile("^Move Piano with Anna")).first.click()
    dialog = page.get_by_role("dialog", name="Move your lesson")
    await expect(dialog.locator(".time").first).to_be_visible()
    return dialog


async def live_lessons(open_page: Open, account: Account, **options: object) -> Page:
    page = await open_page("/lessons", account, **options)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    return page


def moment(anna: Instructor, clock: str) -> str:
    return formatting.moment(anna.at(clock, day=3), anna.time_zone)


async def test_a_lesson_is_moved_in_the_dialog_while_others_book_and_is_moved_back(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", durations=(30, 60, 90))
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    await book(pool, anna, anna.at("10:00", day=3), ben.id, minutes=60)
    page = await live_lessons(open_page, ben)
    dialog = await opened_dialog(page)
    button, reason = dialog.locator("#move-button"), dialog.locator("#reason")
    await expect(time_button(page, anna.at("10:00", day=3))).to_contain_text("this lesson")
    await expect(button).to_have_attribute("aria-disabled", "true")
    assert await violations(page) == []

    # Taken under the user’s hands: others are offered.
    await time_button(page, anna.at("12:00", day=3)).click()
    await expect(dialog.locator("#consequences")).to_contain_text("The price stays $70.")
    await book(pool, anna, anna.at("12:00", day=3), cleo.id)
    await expect(reason).to_have_text("This time has just been taken.")
    await expect(dialog.locator("#alternatives a")).to_have_count(5)
    await expect(page.locator("#announcements")).to_contain_text("Choose from 5 times.")
    assert await violations(page) == []
    await button.press("Enter")
    await expect(dialog.locator("#alternatives a").first).to_be_focused()

    # Another length: its own time counts as free, and the price is another one.
    await dialog.get_by_role("link", name="90 min").click()
    await time_button(page, anna.at("10:30", day=3)).click()
    await expect(dialog.locator("#consequences")).to_contain_text(
        "90 minutes instead of 60: $105 instead of $70. Free to cancel until"
    )
    await expect(button).to_have_text(re.compile(r"Move to \w+ 10:30 am"))
    await button.click()
    notice = page.locator("#notices > *")
    await expect(notice).to_contain_text(f"Moved to {moment(anna, '10:30')}")
    await expect(notice).to_be_focused()
    await expect(dialog).to_be_hidden()
    await expect(page.locator(".lesson")).to_contain_text("90 min")
    assert await violations(page) == []

    await notice.get_by_role("button", name="Undo").click()
    await expect(notice).to_contain_text(f"Moved back to {moment(anna, '10:00')}")
    await expect(page.locator(".lesson")).to_contain_text("60 min")
    await expect(notice.get_by_role("button")).to_have_count(0)


async def test_a_lesson_cancelled_by_its_instructor_closes_the_dialog_and_says_so(
    open_page: Open, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    lesson = await book(pool, anna, anna.at("10:00", day=3), ben.id, minutes=60)
    page = await live_lessons(
        open_page, ben, viewport={"width": 390, "height": 844}, color_scheme="dark"
    )
    dialog = await opened_dialog(page)
    await time_button(page, anna.at("12:00", day=3)).click()
    assert await violations(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    await cancellation.cancel(pool, anna.id, lesson.id, reason="I am ill.", now=utc_now())
    await expect(dialog).to_be_hidden()
    notice = page.locator("#notices > *")
    await expect(notice).to_contain_text("Anna cancelled this lesson: Piano with Anna")
    await expect(notice).to_contain_text("I am ill.")
    await expect(notice).to_be_focused()
    assert await violations(page) == []
    await notice.get_by_role("link", name="Book again").click()
    await expect(page).to_have_url(re.compile(f"/instructors/{anna.id}.*minutes=60"))


async def test_a_cancellation_by_the_instructor_is_shown_on_the_open_page(
    open_page: Open, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    lesson = await book(pool, anna, anna.at("10:00", day=3), ben.id, minutes=60)
    page = await live_lessons(open_page, ben)
    await cancellation.cancel(pool, anna.id, lesson.id, reason="I am ill.", now=utc_now())
    notice = page.locator("#notices > *")
    await expect(notice).to_contain_text("Anna cancelled this lesson: Piano with Anna")
    await expect(notice).to_contain_text("I am ill.")
    await expect(notice).not_to_be_focused()


async def test_a_refused_move_stays_in_the_dialog_with_the_nearest_times(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    await book(pool, anna, anna.at("10:00", day=3), ben.id, minutes=60)
    page = await open_page("/lessons", ben, silent=True)
    dialog = await opened_dialog(page)
    await time_button(page, anna.at("12:00", day=3)).click()
    await book(pool, anna, anna.at("12:00", day=3), cleo.id)
    await dialog.locator("#move-button").click()
    await expect(dialog.locator("#reason")).to_have_text("This time has just been taken.")
    await expect(dialog.locator("#alternatives a")).to_have_count(5)
    await dialog.locator("#alternatives a").first.click()
    await dialog.locator("#move-button").click()
    await expect(page.locator("#notices")).to_contain_text("Moved to")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Undo")).to_be_focused()


async def test_open_forms_and_typed_text_survive_the_start_of_the_script(
    open_page: Open, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    first = await book(pool, anna, anna.at("10:00", day=3), ben.id)
    second = await book(pool, anna, anna.at("12:00", day=3), ben.id)
    page = await open_page("about:blank", ben)
    release = asyncio.Event()

    async def wait(route: Route) -> None:
        await release.wait()
        await route.continue_()

    await page.route("**/static/lessons.js*", wait)
    await page.goto("/lessons", wait_until="commit")
    await page.locator(".lesson summary", has_text="Cancel").last.click()
    await page.get_by_label("Reason for Anna").last.fill("I am not sure")
    release.set()
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await cancellation.cancel(pool, anna.id, first.id, reason="", now=utc_now())
    await expect(page.locator(".lesson")).to_have_count(1)
    reason = page.get_by_label("Reason for Anna")
    await expect(reason).to_be_visible()
    await expect(reason).to_have_value("I am not sure")
    # The row itself is drawn again when the lesson is moved in another tab.
    start = anna.at("14:00", day=4)
    await reschedule.move(pool, ben.id, second.id, start=start, minutes=None, now=utc_now())
    await expect(page.locator(".lesson")).to_contain_text("2–2:30 pm")
    await expect(reason).to_be_visible()
    await expect(reason).to_have_value("I am not sure")
    await expect(reason).to_be_focused()


async def test_without_scripts_a_lesson_is_moved_on_a_page(open_page: Open, pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    await book(pool, anna, anna.at("10:00", day=3), ben.id, minutes=60)
    page = await open_page(
        "/lessons", ben, java_script_enabled=False, viewport={"width": 320, "height": 640}
    )
    await page.get_by_role("link", name=re.compile("^Move Piano")).click()
    await time_button(page, anna.at("12:00", day=3)).click()
    await page.get_by_role("button", name=re.compile("^Move to .* 12:00 pm")).click()
    await expect(page.locator("#notices")).to_contain_text(f"Moved to {moment(anna, '12:00')}")
    await page.get_by_role("button", name="Undo").click()
    await expect(page.locator("#notices")).to_contain_text("Moved back to")
    await expect(page.locator("#notices")).to_contain_text(moment(anna, "10:00"))


async def test_a_list_grows_in_place_and_its_feed_is_created_and_revoked(
    open_page: Open, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    lessons = [
        await book(pool, anna, anna.at(clock, day=day), ben.id)
        for day in range(2, 9)
        for clock in ("10:00", "12:00", "14:00")
    ]
    held = await hold(pool, anna, anna.at("16:00", day=1), ben.id, seconds=600)
    page = await live_lessons(open_page, ben)
    rows = page.locator(".lesson")
    await expect(rows).to_have_count(20)
    await expect(rows.first.locator(".countdown")).to_have_text(
        re.compile(r"^for another \d+:\d\d$")
    )
    link = rows.first.get_by_role("link", name=re.compile("^Continue booking"))
    await expect(link).to_have_attribute("href", f"/book/{held.id}")
    await page.get_by_role("link", name="Show more").click()
    await expect(rows).to_have_count(22)
    await expect(rows.nth(20).get_by_role("link").first).to_be_focused()
    titles = await page.locator(".group h2").all_inner_texts()
    assert len(titles) == len(set(titles))

    # A change keeps all rows.
    await cancellation.cancel(pool, anna.id, lessons[0].id, reason="", now=utc_now())
    await expect(rows).to_have_count(21)
    last = rows.last
    await last.locator("summary", has_text="Cancel").click()
    await expect(last).to_contain_text("Free to cancel until")
    await last.get_by_role("button", name="Cancel this lesson").click()
    await expect(page.locator("#notices")).to_contain_text("Cancelled: Piano with Anna")
    await expect(page.locator("#notices")).to_contain_text("It was free.")
    await expect(rows).to_have_count(20)

    await page.get_by_role("button", name="Create a private address").click()
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.get_by_role("button", name="Copy").click()
    address = await page.evaluate("navigator.clipboard.readText()")
    assert await page.get_by_label("Your private address").input_value() == address
    path = "/api/public/feeds/" + address.rpartition("/")[2]
    assert (await page.request.get(path)).ok
    assert await violations(page) == []
    await page.get_by_text("Revoke this address").click()
    await expect(page.locator("#feed")).to_contain_text("will no longer get your lessons")
    await page.get_by_role("button", name="Yes, revoke it").click()
    await expect(page.get_by_role("button", name="Create a private address")).to_be_visible()
    assert (await page.request.get(path)).status == 404


async def test_only_changes_of_ones_own_lessons_as_a_student_are_announced(
    open_page: Open, pool: Pool
) -> None:
    anna, cleo = await factories.instructor(pool, "Anna"), await factories.student(pool, "Cleo")
    ben = await factories.instructor(pool, "Ben", roles=("student", "instructor"))
    page = await live_lessons(open_page, ben)
    await book(pool, ben, ben.at("14:00", day=3), cleo.id)
    await hold(pool, anna, anna.at("10:00", day=3), ben.id)
    await expect(page.locator("#announcements p")).to_have_text(
        [f"Piano with Anna, {moment(anna, '10:00')}, is on hold for you."]
    )
