"""An instructor offers services on /teach."""

from playwright.async_api import expect

from app.db import Pool
from tests import factories
from tests.browser.conftest import Open


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
