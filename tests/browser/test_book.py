"""`/book/{id}`: a hold that is extended, lost and confirmed on the open page, and the moment
after."""

import re

from playwright.async_api import Page, expect

from app.bookings import cancellation
from app.db import Pool
from app.web import utc_now
from tests import factories
from tests.browser.axe import violations
from tests.browser.board import book, hold, lose_the_first_response, time_button
from tests.browser.conftest import Open
from tests.factories import Account, Instructor

NOTE = "I can read music.\nAnd I have a keyboard."


async def filled_page(open_page: Open, pool: Pool, anna: Instructor, ben: Account) -> Page:
    """The page of a hold of tomorrow at 11 for five minutes, with the form filled in. The test may
    move the page's clock."""
    held = await hold(pool, anna, anna.at("11:00"), ben.id, seconds=300)
    page = await open_page("about:blank", ben, viewport={"width": 390, "height": 844})
    await page.clock.install()
    await page.goto(f"/book/{held.id}")
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await fill(page)
    return page


async def fill(page: Page) -> None:
    await page.get_by_label("In a public place").check()
    await page.get_by_label("Meeting point").fill("The library")
    await page.get_by_label("A note to Anna").fill(NOTE)


async def expect_form_filled(page: Page) -> None:
    await expect(page.get_by_label("In a public place")).to_be_checked()
    await expect(page.get_by_label("Meeting point")).to_have_value("The library")
    await expect(page.get_by_label("A note to Anna")).to_have_value(NOTE)


async def test_a_hold_is_extended_lost_to_someone_else_and_another_time_is_booked(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    page = await filled_page(open_page, pool, anna, ben)
    await expect(page.locator("#countdown")).to_have_text(re.compile(r"^[45]:\d\d$"))
    await pool.execute("update booking set held_until = now() + interval '58 seconds'")
    await page.clock.fast_forward(242_000)

    # Amber under a minute. The time can be kept once.
    await expect(page.locator("#hold")).to_have_attribute("data-urgent", "")
    await expect(page.locator("#announcements")).to_contain_text("one more minute")
    for theme in ("dark", "light"):
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        assert await violations(page) == []
    await page.get_by_role("button", name="Keep it for another 5 minutes").click()
    await expect(page.locator("#extend")).to_have_count(0)
    await expect(page.locator("#countdown")).to_have_text(re.compile(r"^[45]:\d\d$"))
    await expect(page.locator("#hold")).not_to_have_attribute("data-urgent", "")
    await expect_form_filled(page)
    await page.reload()
    await expect(page.locator("#extend")).to_have_count(0)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await fill(page)

    # It runs out, and Cleo books the time.
    confirm = page.locator("#confirm")
    await confirm.focus()
    await pool.execute("update booking set held_until = now() - interval '1 second'")
    await book(pool, anna, anna.at("11:00"), cleo.id)
    await expect(confirm).to_have_text("This time has just been taken")
    await expect(confirm).to_have_attribute("aria-disabled", "true")
    await expect(confirm).to_be_focused()
    await expect(page.locator("h1")).to_have_text("Your hold ran out")
    await expect(page.locator("#announcements")).to_contain_text("Your hold ran out")
    await expect(page.locator("#give-up")).to_have_count(0)
    times = page.locator("#alternatives .time")
    await expect(times).to_have_count(5)
    assert await violations(page) == []
    await expect_form_filled(page)

    await page.keyboard.press("Enter")
    await expect(times.first).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("Review and book")
    await expect(page.locator("#summary")).to_contain_text("10:30–11 am")
    await expect_form_filled(page)
    await confirm.click()
    await expect(page.locator("h1")).to_have_text("You booked this lesson")
    row = await pool.fetchrow(
        "select location, note from booking where student_id = $1 and state = 'confirmed'", ben.id
    )
    assert row is not None
    assert (row["location"], row["note"]) == ("The library", NOTE)


async def test_a_hold_that_runs_out_is_offered_again_if_the_time_is_still_free(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    page = await filled_page(open_page, pool, anna, ben)
    await pool.execute("update booking set held_until = now()")
    await page.clock.fast_forward(300_000)
    await expect(page.locator("#confirm")).to_have_text("Your hold ran out")
    await expect(page.locator("#reason")).to_contain_text("It is still free.")
    await expect_form_filled(page)
    # The page stays true: somebody else takes the time, and gives it back.
    lesson = await book(pool, anna, anna.at("11:00"), cleo.id)
    await expect(page.locator("#reason")).to_contain_text("This time has just been taken.")
    await cancellation.cancel(pool, cleo.id, lesson.id, reason="", now=utc_now())
    await expect(page.locator("#reason")).to_contain_text("It is still free.")
    await page.locator("#alternatives .time").first.click()
    await expect(page.locator("h1")).to_have_text("Review and book")
    await expect(page.locator("#summary")).to_contain_text("11–11:30 am")
    await expect_form_filled(page)
    await page.get_by_role("button", name="Give up this time").click()
    await expect(page.locator("h1")).to_have_text("You gave up this time")
    await expect(page.locator("#reason")).to_contain_text("It is free again.")


async def test_after_booking_back_reload_another_tab_and_a_double_click_show_the_lesson(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", durations=(30,))
    ben = await factories.student(pool, "Ben")
    board = await open_page(f"/instructors/{anna.id}", ben)
    await time_button(board, anna.at("11:00")).click()
    await board.get_by_role("button", name="Review and book").dblclick()
    await expect(board.locator("h1")).to_have_text("Review and book")
    other = await board.context.new_page()
    await other.goto(board.url)
    await expect(other.locator("#live")).to_have_attribute("data-state", "live")

    requests = await lose_the_first_response(board, "**/confirmation")
    await board.get_by_label("At your place").check()
    await board.get_by_label("Your address").fill("12 Main St")
    await board.locator("#confirm").dblclick()
    for page in (board, other):
        title = page.locator("h1")
        await expect(title).to_have_text("You booked this lesson")
        await expect(page.locator("#summary")).to_contain_text("12 Main St")
        assert await violations(page) == []
    await expect(board.locator("h1")).to_be_focused()
    assert len(requests) == 1
    await board.reload()
    await expect(board.locator("h1")).to_have_text("You booked this lesson")
    await board.go_back()
    await expect(board.locator("#own-text")).to_have_text("You booked this lesson.")
    await expect(board.locator("#unavailable")).to_be_hidden()
    await board.get_by_role("link", name="See your lesson").click()
    await expect(board.locator("h1")).to_have_text("You booked this lesson")

    await board.get_by_role("button", name="Undo").click()
    for page in (board, other):
        await expect(page.locator("h1")).to_have_text("You undid this booking")
    assert await pool.fetchval("select count(*) from booking") == 1


async def test_typed_text_survives_a_session_that_ends_and_a_change_of_place(
    open_page: Open, pool: Pool
) -> None:
    anna, cora = await factories.instructor(pool, "Anna"), await factories.instructor(pool, "Cora")
    ben = await factories.student(pool, "Ben")
    await book(pool, cora, cora.at("09:00"), ben.id)  # at 12 Main St
    page = await filled_page(open_page, pool, anna, ben)
    await expect(page.locator("#countdown")).to_have_text(re.compile(r"^[1-5]:\d\d$"))
    await expect(page.locator("#extend")).to_be_hidden()
    await page.get_by_label("At your place").check()
    await expect(page.get_by_label("Your address")).to_have_value("12 Main St")
    await page.get_by_label("At Anna’s place").check()
    await expect(page.locator("#place")).to_be_hidden()
    await expect(page.locator("#details")).to_contain_text("You get Anna’s address once")
    await page.get_by_label("In a public place").check()
    await expect_form_filled(page)

    await page.get_by_label("Meeting point").fill("")
    await page.locator("#confirm").click()
    await expect(page.locator("#location-error")).to_have_text("Enter a meeting point.")
    await expect(page.get_by_label("Meeting point")).to_be_focused()
    await page.get_by_label("Meeting point").fill("The library")

    await pool.execute("update session set revoked_at = now()")
    await page.locator("#confirm").click()
    await page.get_by_label("E-mail").fill(ben.email)
    await page.get_by_label("Password").fill(factories.PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator("h1")).to_have_text("Review and book")
    await expect_form_filled(page)
    await page.locator("#confirm").click()
    await expect(page.locator("h1")).to_have_text("You booked this lesson")


async def test_the_time_on_the_device_is_shown_where_it_differs(
    open_page: Open, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    held = await hold(pool, anna, anna.at("11:00"), ben.id)
    for zone, words in (("America/New_York", ""), ("Asia/Tokyo", "your time")):
        page = await open_page(f"/book/{held.id}", ben, timezone_id=zone)
        await expect(page.locator("#live")).to_have_attribute("data-state", "live")
        await expect(page.locator("#when small")).to_have_count(1 if words else 0)
        await expect(page.locator("#when")).to_contain_text(words)
