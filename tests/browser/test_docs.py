"""The API's documentation page."""

import pytest
from playwright.async_api import expect

from tests.browser.axe import violations
from tests.browser.conftest import Open


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
async def test_a_call_is_found_by_typing_and_by_its_address(
    open_page: Open, width: int, scheme: str
) -> None:
    page = await open_page(
        "/docs#postBookings", viewport={"width": width, "height": 900}, color_scheme=scheme
    )
    call = page.locator("#postBookings")
    await expect(call.get_by_text("SLOT_TAKEN")).to_be_visible()
    await expect(call.get_by_text('curl -X POST "$SITE/api/bookings"')).to_be_visible()
    assert await violations(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.get_by_label("Find a call").fill("week put")
    await expect(page.locator(".call:visible")).to_have_count(1)
    await expect(page.locator("#putAvailabilityWeek")).to_be_visible()
    await page.goto("/docs#model-Booking")
    await expect(page.locator("#model-Booking pre")).to_contain_text("held_until")


async def test_without_javascript_every_call_can_be_opened(open_page: Open) -> None:
    page = await open_page("/docs", java_script_enabled=False)
    await page.locator("#getSearch summary").click()
    await expect(page.locator("#getSearch pre").last).to_contain_text("relaxed")
