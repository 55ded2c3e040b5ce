"""An instructor sets hours and offers services on /teach, and open boards follow."""

import re
from datetime import timedelta

from playwright.async_api import Page, expect

from app.availability import week
from app.db import Pool
from app.web import utc_now
from tests import factories
from tests.browser.board import expect_not_free, time_button
from tests.browser.conftest import Open
from tests.factories import Instructor


async def next_week(open_page: Open, anna: Instructor) -> Page:
    """The page /teach with the hours of next week."""
    page = await open_page("/teach", anna)
    await expect(page.locator("#hours [data-week]")).not_to_be_empty()
    before = await page.locator("#hours [data-week]").inner_text()
    await page.get_by_role("button", name="Later week").click()
    await expect(page.locator("#hours [data-week]")).not_to_have_text(before)
    return page


async def test_changed_hours_appear_on_open_boards(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", days=1)
    monday = anna.today + timedelta(days=7 - anna.today.weekday())
    ahead = (monday - anna.today).days
    board = await open_page(f"/instructors/{anna.id}?minutes=60&from={monday}")
    await expect(board.locator("#live")).to_have_attribute("data-state", "live")

    page = await next_week(open_page, anna)
    save = page.get_by_role("button", name="Save this week")
    await expect(save).to_have_attribute("aria-disabled", "true")
    await page.get_by_role("button", name=f"Add hours on {monday:%A}").click()
    await expect(page.locator("#hours [data-status]")).to_have_text("Not saved yet.")
    day = page.locator(f'[data-of="{monday}"]')
    await day.get_by_label("From", exact=True).select_option("10:00 am")
    await day.get_by_label("To", exact=True).select_option("12:00 pm")
    await save.click()
    await expect(page.locator("#hours [data-status]")).to_contain_text("Saved.")
    await expect(time_button(board, anna.at("10:00", day=ahead))).to_have_class(re.compile("freed"))
    await expect(time_button(board, anna.at("11:00", day=ahead))).to_have_attribute(
        "data-state", "free"
    )

    await day.get_by_role("button", name="Remove 10:00 am to 12:00 pm").click()
    await save.click()
    await expect_not_free(board, anna.at("10:00", day=ahead))


async def test_after_a_conflict_either_version_can_be_kept(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", days=1)
    monday = anna.today + timedelta(days=7 - anna.today.weekday())
    page = await next_week(open_page, anna)
    await page.get_by_role("button", name=f"Add hours on {monday:%A}").click()
    await week.replace_days(pool, anna.id, {monday: [(600, 660)]}, now=utc_now())
    await page.get_by_role("button", name="Save this week").click()
    await expect(page.get_by_role("button", name="Show the current week")).to_be_focused()
    await page.get_by_role("button", name="Keep mine").click()
    await expect(page.locator("#hours [data-status]")).to_contain_text("Saved.")
    saved = await week.read(pool, anna.id, monday)
    assert saved.days[str(monday)] == [{"start": "09:00", "end": "17:00"}]


async def test_a_service_is_offered_and_withdrawn_without_scripts(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    page = await open_page("/teach", anna, java_script_enabled=False)
    await page.get_by_text("Add another service").click()
    await page.get_by_label("Service", exact=True).select_option("Violin")
    await page.get_by_label("Price per hour").select_option("$85")
    await page.get_by_role("button", name="Add this service").click()
    await expect(page.get_by_text("$85 an hour · 30, 60 min")).to_be_visible()
    await page.get_by_role("button", name="Withdraw Violin").click()
    await expect(page.get_by_text("$85 an hour")).to_have_count(0)
