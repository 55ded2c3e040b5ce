"""From the search box on the start page to a booked lesson, and results that stay true."""

import asyncio
import re

from playwright.async_api import expect

from app import formatting
from app.db import Pool
from tests import factories
from tests.browser.axe import violations
from tests.browser.board import book
from tests.browser.conftest import Open
from tests.cluster import PATIENCE

LINES = """(element) => {
  const range = document.createRange();
  range.selectNodeContents(element);
  return range.getClientRects().length;
}"""
PHRASE = "paino under $80 tomorrow evening in brooklyn"


async def test_a_typed_wish_becomes_a_lesson_in_three_actions(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna Diaz", hours=("09:00", "21:00"))
    await factories.instructor(pool, "Gil Guitar", service="guitar", hours=("09:00", "21:00"))
    await pool.execute("insert into instructor_area select id, 'park-slope' from instructor")
    ben = await factories.student(pool, "Ben Ode")
    page = await open_page("/", ben)
    # 1. Type and press Enter.
    await page.get_by_role("combobox").fill(PHRASE)
    await page.keyboard.press("Enter")
    # 2. Press a time.
    await expect(page.locator("article")).to_have_count(1)
    time = page.locator(".next .time").nth(1)
    await expect(time).to_have_accessible_name(re.compile(r"^Tomorrow 6:00 pm, Piano with Anna"))
    await time.click()
    # 3. Confirm.
    await page.get_by_role("button", name="Book this lesson").click()
    await expect(page.locator("h1")).to_have_text("You booked this lesson")
    row = await pool.fetch("select state, lower(during) as start from booking")
    assert [tuple(each) for each in row] == [("confirmed", anna.at("18:00"))]
    # What the student saw and pressed was reported, too.
    async with asyncio.timeout(PATIENCE):
        while await reported_kinds(pool) < {"shown", "clicked"}:
            await asyncio.sleep(0.1)


async def reported_kinds(pool: Pool) -> set[str]:
    return {row["kind"] for row in await pool.fetch("select kind from search_interaction")}


async def test_suggestions_lead_to_results_whose_times_are_live(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna Diaz", durations=(60,), hours=("09:00", "22:00"))
    ben, cleo = await factories.student(pool, "Ben Ode"), await factories.student(pool, "Cleo")
    page = await open_page("/", ben)
    box = page.get_by_role("combobox", name="What do you want to learn?")
    await box.press_sequentially("pian")
    options = page.get_by_role("option")
    await expect(options.first).to_be_visible()
    await expect(box).to_have_attribute("aria-expanded", "true")
    await box.press("ArrowDown")
    await expect(options.first).to_have_attribute("aria-selected", "true")
    await expect(box).to_have_attribute("aria-activedescendant", "suggestion-0")
    assert await violations(page) == []
    first = await box.input_value()
    await box.press("ArrowUp")  # back to what was typed
    await expect(box).to_have_value("pian")
    await box.press("ArrowDown")
    await box.press("Escape")
    await expect(options).to_have_count(0)
    await expect(box).to_have_value("pian")
    await box.fill(f"{first} tomorrow evening")
    await box.press("Enter")

    # Of the evening's times, the taken one is replaced by another one of the evening.
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    times = page.locator(".next .time")
    await expect(times).to_have_text(["Tomorrow 5:00 pm", "Tomorrow 6:00 pm", "Tomorrow 7:00 pm"])
    start = formatting.instant_of(await times.nth(1).get_attribute("value") or "")
    await book(pool, anna, start, cleo.id, minutes=60)
    await expect(times).to_have_text(["Tomorrow 5:00 pm", "Tomorrow 7:00 pm", "Tomorrow 8:00 pm"])
    assert await violations(page) == []
    await times.nth(2).click()
    await expect(page.locator("h1")).to_have_text("Review and book")


async def test_on_a_phone_a_student_removes_searches_and_books_from_the_start_page(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna Diaz", durations=(30, 60))
    ben = await factories.student(pool, "Ben Ode")
    page = await open_page("/", ben, viewport={"width": 390, "height": 844})
    long = "guitar lessons for beginners on the upper west side tomorrow evening"
    for query in ("yoga", "piano", long):
        await page.goto(f"/search?q={query}")
    await page.goto("/")
    recent = page.get_by_role("region", name="Recent searches")
    await expect(recent.get_by_role("heading")).to_be_in_viewport()
    # Also the button that removes a long search is in sight.
    await expect(recent.get_by_role("button").first).to_be_in_viewport(ratio=1)
    assert await violations(page) == []
    await recent.get_by_role("button").first.click()
    await expect(recent.get_by_role("link")).to_have_text(["piano", "yoga"])
    await expect(recent.get_by_role("link").first).to_be_focused()
    announcements = page.locator("#announcements")
    await expect(announcements).to_have_text(f"Removed “{long}”.")
    assert await page.evaluate("scrollY") == 0
    await recent.get_by_role("button").last.click()
    await expect(recent.get_by_role("link", name="piano")).to_be_focused()
    await recent.get_by_role("button").click()
    box = page.get_by_role("combobox")
    await expect(box).to_be_focused()
    await expect(announcements).to_contain_text("Removed “piano”.")
    # The kind of a suggestion stays whole beside a long one.
    await box.fill(f"{long} in brook")
    kind = page.get_by_role("option").locator("small").first
    await expect(kind).to_have_text("Area")
    assert await kind.evaluate(LINES) == 1
    await box.fill("")
    # A time on a card is held at once, for the length that results have.
    time = page.locator(".next .time").first
    await expect(time).to_have_accessible_name(re.compile("Piano with Anna Diaz, 30 minutes"))
    await time.click()
    await expect(page.locator("h1")).to_have_text("Review and book")
    assert await pool.fetchval("select instructor_id from booking where state = 'held'") == anna.id
    # There, it does not look like a booked lesson.
    await page.goto("/")
    lessons = page.get_by_role("region", name="Your next lessons")
    await expect(lessons.get_by_text("on hold for you")).to_be_visible()


async def test_the_first_free_times_of_the_start_page_are_in_sight_without_scrolling(
    open_page: Open, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna Diaz"), await factories.student(pool, "Ben")
    for day in (1, 2, 3):
        await book(pool, anna, anna.at("12:00", day=day), ben.id)
    await pool.execute(
        """update booking set state = 'completed',
                  during = tstzrange(lower(during) - interval '9 days',
                                     upper(during) - interval '9 days'),
                  blocked = tstzrange(lower(blocked) - interval '9 days',
                                      upper(blocked) - interval '9 days')
           where lower(during) = $1""",
        anna.at("12:00", day=3),
    )
    for account in (None, ben):
        page = await open_page("about:blank", account)
        for query in ("piano under $80 tomorrow evening in brooklyn", "guitar", "yoga"):
            await page.goto(f"/search?q={query}")
        for width, height in ((1280, 720), (390, 844)):
            await page.set_viewport_size({"width": width, "height": height})
            await page.goto("/")
            await expect(page.locator(".next .time").first).to_be_in_viewport(ratio=1)
            await expect(page.locator("h1")).to_be_in_viewport(ratio=1)
    for heading in ("Your next lessons", "Book again", "Recent searches"):
        await expect(page.get_by_role("heading", name=heading)).to_be_in_viewport(ratio=1)


async def test_services_are_filtered_as_one_types(open_page: Open, pool: Pool) -> None:
    await factories.instructor(pool, "Anna Diaz")
    page = await open_page("/services", viewport={"width": 390, "height": 844})
    services = page.locator(".groups li:visible")
    assert await services.count() > 270
    await page.get_by_label("Filter").fill("saxo")
    await expect(services).to_have_text([re.compile("Saxophone")])
    await expect(page.locator("#filter-result")).to_contain_text("1 of ")
    assert await violations(page) == []
    await page.get_by_label("Filter").fill("zzz")
    await expect(page.get_by_role("link", name="Search instead")).to_have_attribute(
        "href", "/search?q=zzz"
    )
    await page.get_by_label("Filter").fill("piano")
    await services.first.get_by_role("link").click()
    await expect(page.locator("article")).to_contain_text("Anna Diaz")
