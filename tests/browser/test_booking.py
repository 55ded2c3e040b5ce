"""The card "Your lesson": holding a time, and what it says when the time is taken or a request
fails. No time is held twice."""

import re

from playwright.async_api import expect

from app import formatting, wire
from app.db import Pool
from tests import factories
from tests.browser.board import (
    book,
    hold,
    lose_the_first_response,
    selected_time,
    time_button,
)
from tests.browser.conftest import Open

BOOK_PAGE = re.compile("/book/[0-9a-f-]{36}$")

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
    page = await selected_time(open_page, anna, ben)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    assert f"start={wire.instant(anna.at('11:00')).replace(':', '%3A')}" in page.url

    await book(pool, anna, anna.at("11:00"), cleo.id)
    button = page.locator("#hold-button")
    await expect(button).to_have_text("This time has just been taken")
    await expect(button).to_have_attribute("aria-disabled", "true")
    await expect(page.locator("#alternatives a")).to_have_count(5)
    assert min(await page.locator("#alternatives a").evaluate_all(MARGINS)) >= 4

    await button.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#alternatives a").first).to_be_focused()
    await page.keyboard.press("Enter")  # 10:30, the nearest
    await expect(button).to_have_text("Review and book")
    await expect(page.locator("#when")).to_contain_text("10:30 am")
    await button.click()
    await expect(page).to_have_url(BOOK_PAGE)


async def test_only_a_time_that_was_free_on_this_screen_is_called_taken_or_freed(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna Diaz", days=60)
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    lesson = await book(pool, anna, anna.at("09:00"), cleo.id)
    start = wire.instant(anna.at("09:00"))
    page = await open_page(f"/instructors/{anna.id}?minutes=30&start={start}", ben)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await expect(page.locator("#reason")).to_have_text("Anna isn’t free then.")
    await expect(page.locator("#alternatives a")).to_have_count(5)

    # The message disappears with another choice, and is not true of that either.
    await page.locator("#alternatives a").first.click()
    await expect(page.locator("#unavailable")).to_be_hidden()
    await expect(page.locator("#hold-button")).to_have_text("Review and book")

    # 9:15 was free before: the first start of a free range is not news, nor is its end.
    announcements = page.locator("#announcements")
    quarter = await book(pool, anna, anna.at("13:45"), cleo.id)
    await expect(time_button(page, anna.at("14:15"))).to_have_attribute("data-state", "free")
    await expect(announcements).to_contain_text("taken")
    await expect(announcements).not_to_contain_text("became free")
    await pool.execute("select refusal from cancel_booking($1, $2, '', now())", cleo.id, quarter.id)
    await expect(time_button(page, anna.at("14:15"))).to_have_count(0)
    await expect(announcements).to_contain_text("just became free")

    # The times of weeks that were not loaded are not news either.
    for _ in range(6):
        await page.locator("#later").click()
    await expect(time_button(page, anna.at("10:00", day=42))).to_have_attribute(
        "data-state", "free"
    )
    await expect(page.locator(".time.freed")).to_have_count(0)
    await pool.execute("select refusal from cancel_booking($1, $2, '', now())", cleo.id, lesson.id)


async def test_a_time_taken_without_a_message_is_refused_in_place(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    page = await selected_time(open_page, anna, ben, silent=True)
    await book(pool, anna, anna.at("11:00"), cleo.id)
    button = page.locator("#hold-button")
    await button.click()
    await expect(page.locator("#unavailable")).to_contain_text("This time has just been taken.")
    await expect(button).to_have_text("This time has just been taken")
    await expect(page.locator("#alternatives a")).to_have_count(5)
    await page.locator("#alternatives a").first.click()
    await button.click()
    await expect(page).to_have_url(BOOK_PAGE)


async def test_a_place_that_is_no_longer_offered_does_not_stop_the_booking(
    open_page: Open, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    page = await selected_time(open_page, anna, ben, silent=True)
    await pool.execute("update service set location_types = '{student,public}'")
    await page.locator("#hold-button").click()
    await expect(page.locator("#hold [name=location_type]")).to_have_value("student")
    await page.locator("#hold-button").click()
    await expect(page).to_have_url(BOOK_PAGE)
    await expect(page.get_by_label("At your place")).to_be_checked()


async def test_a_double_click_holds_once_and_a_lost_response_can_be_requested_again(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    page = await selected_time(open_page, anna, ben, silent=True)
    keys = await lose_the_first_response(page, "**/api/holds")
    await page.locator("#hold-button").dblclick()
    await expect(page.locator("#form-error")).to_contain_text("You won’t hold it twice")
    await page.locator("#hold-button").click()
    await expect(page).to_have_url(BOOK_PAGE)
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert await pool.fetchval("select count(*) from booking") == 1


async def test_the_live_connection_replaces_a_lost_response(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    page = await selected_time(open_page, anna, ben)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await lose_the_first_response(page, "**/api/holds")
    await page.locator("#hold-button").click()
    await expect(page).to_have_url(BOOK_PAGE)
    assert await pool.fetchval("select count(*) from booking") == 1


async def test_a_fourth_hold_is_refused_on_the_card_until_another_time_is_chosen(
    open_page: Open, pool: Pool
) -> None:
    ben = await factories.student(pool, "Ben")
    for name, clock in (("Cora", "09:00"), ("Dora", "12:00"), ("Eva", "15:00")):
        other = await factories.instructor(pool, name)
        await hold(pool, other, other.at(clock), ben.id)
    page = await selected_time(open_page, await factories.instructor(pool, "Anna"), ben, "10:00")
    await page.locator("#hold-button").click()
    error = page.locator("#form-error")
    await expect(error).to_contain_text("You can hold at most three times at once.")
    await expect(error.get_by_role("link")).to_have_attribute("href", "/lessons")
    await page.locator(".time[data-state=free]").last.click()
    await expect(error).to_be_empty()


async def test_a_lesson_elsewhere_that_the_page_does_not_know_is_named_with_a_link(
    open_page: Open, pool: Pool
) -> None:
    anna, cora = await factories.instructor(pool, "Anna"), await factories.instructor(pool, "Cora")
    ben = await factories.student(pool, "Ben")
    page = await selected_time(open_page, anna, ben, silent=True)
    lesson = await book(pool, cora, cora.at("11:00"), ben.id)
    await page.locator("#hold-button").click()
    error = page.locator("#form-error")
    await expect(error).to_contain_text("You already have a lesson at that time.")
    await expect(error.get_by_role("link")).to_have_attribute("href", f"/book/{lesson.id}")


async def test_from_a_card_of_the_start_page_to_a_lesson_by_keyboard(
    open_page: Open, pool: Pool
) -> None:
    """One continuous path: home, the chosen time, the card, signing in, the hold, the lesson."""
    anna = await factories.instructor(pool, "Anna Diaz", durations=(60,))
    ben = await factories.student(pool, "Ben Ode")
    page = await open_page("/", viewport={"width": 390, "height": 844})
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await page.locator(".next .time").nth(1).focus()
    await page.keyboard.press("Enter")
    card = page.locator("#lesson")
    await expect(card).to_be_focused()
    await expect(card).to_be_in_viewport(ratio=0.5)
    await expect(page.locator("#to-lesson")).to_be_hidden()
    selected = page.locator(".time[aria-pressed=true]")
    column = page.locator(".day").filter(has=selected)
    board = await page.locator("#board").bounding_box()
    day = await column.bounding_box()
    assert board is not None
    assert day is not None
    assert 0 <= day["x"] < board["x"] + board["width"]  # a phone shows the chosen day

    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Sign in to book")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.get_by_label("E-mail").fill(ben.email)
    await page.get_by_label("Password").fill(factories.PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.locator("#hold-button")).to_have_text("Review and book")
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    # Choosing another time is announced, and the next Tab reaches the card.
    await page.evaluate("scrollTo(0, 0)")  # away from the card
    other = time_button(page, anna.at("12:00", day=1))
    await other.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#announcements")).to_contain_text("12:00 pm, 60 minutes, $70")
    link = page.locator("#to-lesson")
    await expect(link).to_be_visible()
    await expect(link).to_have_text("Review and book · Tomorrow 12:00 pm · $70")
    await page.keyboard.press("Tab")
    await expect(card).to_be_focused()
    await expect(link).to_be_hidden()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(BOOK_PAGE)
    await page.get_by_label("At your place").check()
    await page.get_by_label("Your address").fill("350 5th Ave")
    await page.keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("You booked this lesson")


async def test_at_every_width_a_button_leads_to_the_card_while_it_is_out_of_sight(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", durations=(60,), hours=("06:00", "22:00"))
    page = await open_page("about:blank")
    for width in (390, 768, 1280):
        await page.set_viewport_size({"width": width, "height": 600})
        await page.goto(f"/instructors/{anna.id}?minutes=30")
        await page.locator("#durations a").first.click()
        await time_button(page, anna.at("06:00")).click()
        link = page.locator("#to-lesson")
        if width < 901:
            await expect(link).to_be_in_viewport(ratio=1)
            await expect(link).to_contain_text("Review and book · Tomorrow 6:00 am · $70")
            await link.click()
            await expect(page.locator("#lesson")).to_be_focused()
        await expect(page.locator("#lesson")).to_be_in_viewport(ratio=0.2)
        await expect(link).to_be_hidden()


async def test_after_going_back_the_hold_is_named_and_another_time_replaces_it(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    page = await selected_time(open_page, anna, ben)
    await page.locator("#hold-button").click()
    await expect(page).to_have_url(BOOK_PAGE)
    first = page.url
    other = await page.context.new_page()
    await other.goto(f"/instructors/{anna.id}?minutes=30")
    await expect(other.locator("#live")).to_have_attribute("data-state", "live")
    await page.go_back()
    await expect(page.locator("#own-text")).to_contain_text("You’re holding this time until")
    await expect(time_button(page, anna.at("11:00"))).to_contain_text("held for you")
    await time_button(page, anna.at("11:30")).click()
    when = formatting.moment(anna.at("11:00"), anna.time_zone)
    await expect(page.locator("#other-hold")).to_have_text(
        f"This replaces the time you’re holding, {when}."
    )
    await page.locator("#hold-button").click()
    await expect(page.locator("#summary")).to_contain_text("11:30 am")
    assert page.url != first
    # Another tab of the same student knows whose hold it is.
    await expect(time_button(other, anna.at("11:30"))).to_contain_text("held for you")
    await expect(time_button(other, anna.at("11:00"))).to_have_text("11:00 am")
    await other.wait_for_timeout(1_500)  # longer than announcements wait for each other
    await expect(other.locator("#announcements")).to_be_empty()
    states = await pool.fetch("select state from booking order by created_at")
    assert [row["state"] for row in states] == ["expired", "held"]


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
    await expect(page.locator("#lesson")).to_be_focused()
    await expect(time_button(page, anna.at("11:30", day=8))).to_have_attribute(
        "aria-pressed", "true"
    )


async def test_an_instructor_becomes_a_student_on_the_card_and_holds_the_time(
    open_page: Open, pool: Pool
) -> None:
    anna, dora = [await factories.instructor(pool, name) for name in ("Anna", "Dora")]
    page = await open_page(f"/instructors/{anna.id}", dora)
    await page.locator("#later").click()
    await time_button(page, anna.at("11:30", day=8)).click()
    await page.get_by_role("button", name="Become a student").click()
    await expect(page.locator("#when")).to_contain_text("11:30 am")
    await expect(page.locator("#lesson")).to_be_focused()
    await page.get_by_role("button", name="Review and book").click()
    await expect(page).to_have_url(BOOK_PAGE)


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
