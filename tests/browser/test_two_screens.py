"""One visitor books, and the others see it on their open pages."""

import re

from playwright.async_api import expect

from app import formatting, wire
from app.bookings import cancellation
from app.db import Pool
from app.web import utc_now
from tests import factories
from tests.browser.board import book
from tests.browser.conftest import Open, stop_clock, timed_page

# A list is read again after each message, and may show a lesson whose own message is still to come.
# Only the message announces it.
RECORD_BOOKING_EVENTS = """() => {
  const dispatch = EventTarget.prototype.dispatchEvent;
  window.bookingEvents = [];
  EventTarget.prototype.dispatchEvent = function (event) {
    if (event.type === "booking") window.bookingEvents.push(event.detail.event);
    return dispatch.call(this, event);
  };
}"""


async def test_a_booking_appears_on_the_open_pages_of_another_student_and_the_instructor(
    open_page: Open, pool: Pool
) -> None:
    # From nine in the evening twelve hours would be over for tomorrow at nine.
    anna = await factories.instructor(pool, "Anna Diaz", free_cancel_hours=1)
    ben, cleo = await factories.student(pool, "Ben Ode"), await factories.student(pool, "Cleo Park")
    path = f"/instructors/{anna.id}"
    bens, guests = await open_page(path, ben), await open_page("/")
    for screen in (bens, guests):
        await expect(screen.locator("#live")).to_have_attribute("data-state", "live")
    cleos = await timed_page(open_page, path, cleo)
    annas = await timed_page(open_page, "/teach", anna)
    await annas.evaluate(RECORD_BOOKING_EVENTS)

    nine = bens.locator(f'.time[value="{wire.instant(anna.at("09:00"))}"]')
    await nine.click()
    await expect(bens.locator("#when")).to_contain_text("9:00 am")
    await bens.get_by_role("button", name="Review and book").click()
    time = cleos.locator(f'.time[value="{wire.instant(anna.at("09:00"))}"]')
    await expect(time).to_have_attribute("data-state", "held")
    await cleos.clock.run_for(1_000)
    announcements = cleos.locator("#announcements")
    await expect(announcements).to_contain_text("are being booked by someone")
    await bens.get_by_label("At your place").check()
    await bens.get_by_label("Your address").fill("12 Main St")
    await bens.get_by_label("A note to Anna").fill("I have a keyboard.")
    await bens.get_by_role("button", name="Book this lesson").click()

    await expect(time).to_have_attribute("data-state", "gone")
    await expect(time).to_have_attribute("aria-disabled", "true")
    await cleos.clock.run_for(3_000)
    await expect(time).to_have_count(0)  # neither pointer nor focus keeps it

    await annas.wait_for_function("() => bookingEvents.includes('confirmed')")
    row = annas.locator(".entry.new")
    await expect(row).to_contain_text("Ben Ode")
    await expect(row).to_contain_text("12 Main St")
    await expect(row).to_contain_text("I have a keyboard.")
    await annas.clock.run_for(1_000)
    await expect(annas.locator("#announcements")).to_contain_text("Ben Ode just booked Piano")

    await expect(bens.locator("h1")).to_have_text("You booked this lesson")
    await bens.locator("#summary").get_by_role("link", name="My lessons").click()
    lesson = bens.locator(".row")
    await expect(lesson).to_contain_text("Piano with Anna Diaz")
    # That it is booked was said on the page before.
    await expect(bens.locator("#live")).to_have_attribute("data-state", "live")
    await expect(lesson).not_to_contain_text("just booked", timeout=1_000)
    await expect(lesson).to_contain_text("Free to cancel")
    await lesson.locator("summary", has_text="Cancel").click()
    await lesson.get_by_label("Reason for Anna (optional)").fill("I have a cold.")
    await lesson.get_by_role("button", name="Cancel this lesson").click()
    await expect(bens.locator("#notices")).to_contain_text("Cancelled: Piano with Anna Diaz")

    await expect(time).to_have_attribute("data-state", "free")
    await expect(time).to_have_class(re.compile("freed"))
    await expect(annas.locator(".entry")).to_have_count(0)
    await expect(annas.locator("#changes")).to_contain_text("Ben Ode cancelled")
    await annas.clock.run_for(1_000)
    await expect(annas.locator("#announcements")).to_contain_text("Ben Ode cancelled")


async def test_a_taken_time_on_the_start_page_is_replaced_by_the_next(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna Diaz", durations=(60,))
    ben = await factories.student(pool, "Ben Ode")
    page = await timed_page(open_page, "/")
    times = page.locator(".next .time")
    await expect(times).to_have_count(3)
    starts = [await time.get_attribute("data-start") or "" for time in await times.all()]
    await book(pool, anna, formatting.instant_of(starts[0]), ben.id, minutes=60)
    await expect(times.first).to_have_attribute("aria-disabled", "true")
    await expect(times.first).to_have_attribute("aria-label", re.compile("just taken$"))
    await page.clock.run_for(3_000)
    await expect(page.locator(f'.time[data-start="{starts[0]}"]')).to_have_count(0)
    await expect(times).to_have_count(3)
    await times.first.click()
    await expect(page.locator("#when")).not_to_have_text("Choose a time")


async def test_a_time_on_the_start_page_that_passes_the_notice_is_not_called_taken(
    open_page: Open, pool: Pool
) -> None:
    zone = factories.zone_at(10)  # late in the evening, the first time would be at midnight
    await factories.instructor(
        pool, "Anna", notice_minutes=60, hours=("00:00", "24:00"), time_zone=zone
    )
    page = await open_page("about:blank", silent=True)
    await page.clock.install()
    await page.goto("/")
    await stop_clock(page)
    first = page.locator(".next .time").first
    await expect(first).to_have_attribute("data-state", "free")
    await page.clock.fast_forward("31:00")
    await expect(first).to_have_attribute("aria-label", re.compile("too soon to book$"))


async def test_at_midnight_a_time_of_tomorrow_on_the_start_page_is_called_today(
    open_page: Open, pool: Pool
) -> None:
    await factories.instructor(
        pool, "Anna", hours=("12:00", "18:00"), time_zone=factories.zone_at(20)
    )
    page = await open_page("about:blank", silent=True)
    await page.clock.install()
    await page.goto("/")
    await stop_clock(page)
    first = page.locator(".next .time").first
    await expect(first).to_have_text("Tomorrow 12:00 pm")
    await page.clock.fast_forward("05:00:00")
    await expect(first).to_have_text("Today 12:00 pm")
    await expect(first).to_have_attribute("aria-label", re.compile("^Today 12:00 pm"))


async def test_a_lesson_cancelled_by_the_instructor_disappears_from_the_students_open_page(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna Diaz")
    ben = await factories.student(pool, "Ben Ode")
    first = await book(pool, anna, anna.at("09:00"), ben.id)
    await book(pool, anna, anna.at("10:00"), ben.id)
    page = await open_page("/lessons", ben)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await expect(page.locator(".row")).to_have_count(2)
    # Open details, typed text and the focus on another row stay.
    other = page.locator(".row").nth(1)
    await other.locator("summary", has_text="Cancel").click()
    await other.get_by_label("Reason").fill("I am not sure")
    await cancellation.cancel(pool, anna.id, first.id, reason="Ill", now=utc_now())
    await expect(page.locator(".row")).to_have_count(1)
    await expect(page.get_by_label("Reason")).to_have_value("I am not sure")
    await expect(page.get_by_label("Reason")).to_be_focused()
    await expect(page.locator("#announcements")).to_contain_text("was cancelled")


async def test_bookings_in_quick_succession_are_announced_together(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna Diaz")
    ben = await factories.student(pool, "Ben Ode")
    page = await timed_page(open_page, "/teach", anna)
    await page.evaluate(RECORD_BOOKING_EVENTS)
    await book(pool, anna, anna.at("09:00"), ben.id)
    await book(pool, anna, anna.at("10:00"), ben.id)
    await page.wait_for_function("() => bookingEvents.length === 2")
    await expect(page.locator(".entry")).to_have_count(2)
    await expect(page.locator("#announcements")).to_be_empty()
    await page.clock.run_for(1_000)
    await expect(page.locator("#announcements")).to_have_text("2 lessons were just booked.")
