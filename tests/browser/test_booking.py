"""The card "Your lesson" when a time is taken or a request fails: no typed text is lost, and
nothing is booked twice."""

import re

from playwright.async_api import Page, Route, expect

from app import wire
from app.db import Pool
from tests import factories
from tests.browser.board import NOTE, book, filled_form, time_button
from tests.browser.conftest import Open


async def expect_form_filled(page: Page) -> None:
    await expect(page.get_by_label("In a public place")).to_be_checked()
    await expect(page.get_by_label("Address or meeting point")).to_have_value("The library")
    await expect(page.get_by_label("A note to Anna")).to_have_value(NOTE)


# The distance in pixels between each element's text and its borders.
MARGINS = """elements => elements.map((element) => {
  const text = document.createRange();
  text.selectNodeContents(element);
  return (element.clientWidth - text.getBoundingClientRect().width) / 2;
})"""


async def test_when_the_selected_time_is_taken_others_are_offered(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    page = await filled_form(open_page, anna, ben)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    assert f"start={wire.instant(anna.at('11:00')).replace(':', '%3A')}" in page.url

    await book(pool, anna, anna.at("11:00"), cleo.id)
    button = page.locator("#book-button")
    await expect(button).to_have_text("This time was just taken")
    await expect(button).to_have_attribute("aria-disabled", "true")
    await expect(page.locator("#alternatives a")).to_have_count(5)
    assert min(await page.locator("#alternatives a").evaluate_all(MARGINS)) >= 4
    await expect_form_filled(page)

    await button.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#alternatives a").first).to_be_focused()
    await page.keyboard.press("Enter")  # 10:30, the nearest
    await expect(button).to_have_text("Book this time")
    await expect(page.locator("#when")).to_contain_text("10:30 am")
    await expect_form_filled(page)
    await button.click()
    await expect(page).to_have_url(re.compile("/lessons#booking-"))
    assert await pool.fetchval("select note from booking where student_id = $1", ben.id) == NOTE


async def test_a_link_to_a_taken_time_does_not_say_that_it_was_just_taken(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    await book(pool, anna, anna.at("11:00"), cleo.id)
    start = wire.instant(anna.at("11:00"))
    page = await open_page(f"/instructors/{anna.id}?minutes=30&start={start}", ben)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await expect(page.locator("#reason")).to_have_text("This time isn’t available.")
    await expect(page.locator("#alternatives a")).to_have_count(5)


async def test_a_time_taken_without_a_message_is_refused_in_place(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    page = await filled_form(open_page, anna, ben, silent=True)
    await book(pool, anna, anna.at("11:00"), cleo.id)
    button = page.locator("#book-button")
    await button.click()
    await expect(page.locator("#unavailable")).to_contain_text("Someone else just booked that time")
    await expect(button).to_have_text("This time was just taken")
    await expect(page.locator("#alternatives a")).to_have_count(5)
    await expect_form_filled(page)
    await page.locator("#alternatives a").first.click()
    await button.click()
    await expect(page).to_have_url(re.compile("/lessons#booking-"))


async def test_a_double_click_books_once_and_a_lost_response_can_be_requested_again(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    page = await filled_form(open_page, anna, ben, silent=True)
    keys = await lose_the_first_response(page)
    await page.locator("#book-button").dblclick()
    await expect(page.locator("#form-error")).to_contain_text("You won’t be booked twice")
    await expect_form_filled(page)
    await page.locator("#book-button").click()
    await expect(page).to_have_url(re.compile("/lessons#booking-"))
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert await pool.fetchval("select count(*) from booking") == 1


async def lose_the_first_response(page: Page) -> list[str]:
    """The server books, but the first response is lost. Returns the keys of the requests, also of
    later ones."""
    keys: list[str] = []

    async def lose(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            await route.fetch()
            await route.abort()
        else:
            await route.continue_()

    await page.route("**/api/bookings", lose)
    return keys


async def test_the_live_connection_replaces_a_lost_response(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    page = await filled_form(open_page, anna, ben)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await lose_the_first_response(page)
    await page.locator("#book-button").click()
    await expect(page).to_have_url(re.compile("/lessons#booking-"))
    assert await pool.fetchval("select count(*) from booking") == 1


async def test_a_guest_signs_in_and_returns_to_the_same_selection(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    await factories.student(pool, "Ben")
    page = await open_page(f"/instructors/{anna.id}")
    await page.locator("#durations").get_by_text("30 min").click()
    await page.locator("#later").click()
    await time_button(page, anna.at("11:30", day=8)).click()
    await page.get_by_role("link", name="Sign in to book").click()
    await page.get_by_label("E-mail").fill("ben@example.com")
    await page.get_by_label("Password").fill(factories.PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator("#what")).to_have_text("Piano, 30 min")
    await expect(page.locator("#when")).to_contain_text("11:30 am")
    await expect(time_button(page, anna.at("11:30", day=8))).to_have_attribute(
        "aria-pressed", "true"
    )


async def test_typed_text_survives_a_session_that_ends(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    page = await filled_form(open_page, anna, ben)
    await pool.execute("update session set revoked_at = now()")
    await page.locator("#book-button").click()
    await page.get_by_label("E-mail").fill("ben@example.com")
    await page.get_by_label("Password").fill(factories.PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator("#when")).to_contain_text("11:00 am")
    await expect_form_filled(page)


async def test_after_a_wrong_password_the_page_can_be_reloaded(open_page: Open, pool: Pool) -> None:
    ben = await factories.student(pool, "Ben")
    page = await open_page("/login?next=/lessons")
    address = page.url
    await page.get_by_label("E-mail").fill(ben.email)
    await page.get_by_label("Password").fill("not the password")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text(
        "The e-mail address or password is wrong."
    )
    await expect(page.get_by_label("Password")).to_be_focused()
    await expect(page.get_by_label("E-mail")).to_have_value(ben.email)
    await expect(page).to_have_url(address)
    response = await page.reload()
    assert response is not None
    assert (response.status, response.request.method) == (200, "GET")


async def test_times_at_the_students_own_lessons_are_marked_busy(
    open_page: Open, pool: Pool
) -> None:
    anna, cora = await factories.instructor(pool, "Anna"), await factories.instructor(pool, "Cora")
    ben = await factories.student(pool, "Ben")
    page = await open_page(f"/instructors/{cora.id}?minutes=30", ben)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    nine = time_button(page, cora.at("09:00"))
    await book(pool, anna, anna.at("09:00"), ben.id)
    await expect(nine).to_have_attribute("data-state", "busy")
    await expect(nine).to_have_attribute(
        "aria-label", re.compile("you have a lesson at that time$")
    )
    await page.reload()
    await expect(nine).to_contain_text("you’re busy")
