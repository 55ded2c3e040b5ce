"""The card "Your lesson" when things go wrong, or someone is quicker: nothing typed is lost, nothing is booked twice."""

import re
from typing import Any

from playwright.async_api import Page, Route, expect

from app import wire
from app.db import Pool
from tests import factories
from tests.browser.conftest import Open
from tests.browser.test_board import take, time
from tests.factories import Account, Instructor

NOTE = "I can read music.\nAnd I have a keyboard."


async def choosing(open_page: Open, teacher: Instructor, who: Account, **options: Any) -> Page:
    """A page on which 11:00 is chosen and the fields are filled in."""
    page = await open_page(f"/instructors/{teacher.id}?minutes=30", who, **options)
    await time(page, teacher.at("11:00")).click()
    await page.get_by_label("In a public place").check()
    await page.get_by_label("Address or meeting point").fill("The library")
    await page.get_by_label("A note to Anna").fill(NOTE)
    return page


async def still_there(page: Page) -> None:
    await expect(page.get_by_label("In a public place")).to_be_checked()
    await expect(page.get_by_label("Address or meeting point")).to_have_value("The library")
    await expect(page.get_by_label("A note to Anna")).to_have_value(NOTE)


async def test_the_chosen_time_dies_under_the_hands_and_others_are_offered(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    page = await choosing(open_page, anna, ben)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    assert f"start={wire.instant(anna.at('11:00')).replace(':', '%3A')}" in page.url

    await take(pool, anna, anna.at("11:00"), cleo.id)
    button = page.locator("#book-button")
    await expect(button).to_have_text("This time was just taken")
    await expect(button).to_have_attribute("aria-disabled", "true")
    await expect(page.locator("#instead a")).to_have_count(5)
    await still_there(page)

    await button.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#instead a").first).to_be_focused()
    await page.keyboard.press("Enter")  # half past ten, the nearest
    await expect(button).to_have_text("Book this time")
    await expect(page.locator("#when")).to_contain_text("10:30 am")
    await still_there(page)
    await button.click()
    await expect(page).to_have_url(re.compile("/lessons#booking-"))
    assert await pool.fetchval("select note from booking where student_id = $1", ben.id) == NOTE


async def test_a_time_taken_unseen_is_refused_in_place(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    # This browser hears nothing: its socket opens, and stays silent.
    page = await choosing(open_page, anna, ben, deaf=True)
    await take(pool, anna, anna.at("11:00"), cleo.id)
    button = page.locator("#book-button")
    await button.click()
    await expect(page.locator("#why")).to_contain_text("Someone else just booked that time")
    await expect(button).to_have_text("This time was just taken")
    await expect(page.locator("#instead a")).to_have_count(5)
    await still_there(page)
    await page.locator("#instead a").first.click()
    await button.click()
    await expect(page).to_have_url(re.compile("/lessons#booking-"))


async def test_a_double_click_books_once_and_a_lost_answer_may_be_asked_for_again(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    page = await choosing(open_page, anna, ben, deaf=True)
    keys = await losing_the_first_answer(page)
    await page.locator("#book-button").dblclick()
    await expect(page.locator("#wrong")).to_contain_text("You won’t be booked twice")
    await still_there(page)
    await page.locator("#book-button").click()
    await expect(page).to_have_url(re.compile("/lessons#booking-"))
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert await pool.fetchval("select count(*) from booking") == 1


async def losing_the_first_answer(page: Page) -> list[str]:
    """The server books, and the page does not hear of it. Returns the keys of the requests, as they come."""
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


async def test_a_lost_answer_is_made_good_by_the_live_connection(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    page = await choosing(open_page, anna, ben)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await losing_the_first_answer(page)
    await page.locator("#book-button").click()
    await expect(page).to_have_url(re.compile("/lessons#booking-"))
    assert await pool.fetchval("select count(*) from booking") == 1


async def test_a_guest_signs_in_and_comes_back_to_exactly_this_choice(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    await factories.student(pool, "Ben")
    page = await open_page(f"/instructors/{anna.id}")
    await page.locator("#durations").get_by_text("30 min").click()
    await page.locator("#later").click()
    await time(page, anna.at("11:30", day=8)).click()
    await page.get_by_role("link", name="Sign in to book").click()
    await page.get_by_label("E-mail").fill("ben@example.com")
    await page.get_by_label("Password").fill(factories.PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator("#what")).to_have_text("Piano, 30 min")
    await expect(page.locator("#when")).to_contain_text("11:30 am")
    await expect(time(page, anna.at("11:30", day=8))).to_have_attribute("aria-pressed", "true")


async def test_a_session_that_ends_meanwhile_loses_nothing_typed(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    page = await choosing(open_page, anna, ben)
    await pool.execute("update session set revoked_at = now()")
    await page.locator("#book-button").click()
    await page.get_by_label("E-mail").fill("ben@example.com")
    await page.get_by_label("Password").fill(factories.PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.locator("#when")).to_contain_text("11:00 am")
    await still_there(page)


async def test_after_a_wrong_password_the_page_can_be_loaded_again(
    open_page: Open, pool: Pool
) -> None:
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


async def test_ones_own_lesson_is_in_the_way_and_says_so(open_page: Open, pool: Pool) -> None:
    anna, cora = await factories.instructor(pool, "Anna"), await factories.instructor(pool, "Cora")
    ben = await factories.student(pool, "Ben")
    page = await open_page(f"/instructors/{cora.id}?minutes=30", ben)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    nine = time(page, cora.at("09:00"))
    await take(pool, anna, anna.at("09:00"), ben.id)
    await expect(nine).to_have_attribute("data-state", "busy")
    await expect(nine).to_have_attribute(
        "aria-label", re.compile("you have a lesson at that time$")
    )
    await page.reload()
    await expect(nine).to_contain_text("you’re busy")
