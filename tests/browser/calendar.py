"""The page /teach/calendar: how tests look at it and drag in its grid."""

from datetime import date, timedelta

from playwright.async_api import Locator, Page, ViewportSize, expect

from tests.browser.conftest import Open
from tests.factories import Instructor

PHONE: ViewportSize = {"width": 390, "height": 844}
Point = tuple[date, float]  # a day and its hour


def next_monday(anna: Instructor) -> date:
    return anna.today + timedelta(days=7 - anna.today.weekday())


async def calendar(open_page: Open, anna: Instructor, monday: date, **options: object) -> Page:
    """The week as a grid, connected."""
    options.setdefault("viewport", {"width": 1280, "height": 1100})
    page = await open_page(f"/teach/calendar?week={monday}", anna, **options)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await expect(page.locator(".lane")).to_have_count(7)
    return page


async def phone_calendar(open_page: Open, anna: Instructor, monday: date) -> Page:
    """The week as a list, connected."""
    page = await open_page(f"/teach/calendar?week={monday}", anna, viewport=PHONE)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    return page


def ranges(page: Page, day: date) -> Locator:
    """The ranges of a day in the grid."""
    return page.locator(f'.lane[data-date="{day}"] .hours-range:not(.mirror)')


def status(page: Page) -> Locator:
    return page.locator("#save-bar [data-status]")


async def drag(page: Page, start: Point, end: Point) -> None:
    """Drags from a point of the grid to another."""
    await page.mouse.move(*await _position(page, start))
    await page.mouse.down()
    await page.mouse.move(*await _position(page, (end[0], end[1] - 0.2)), steps=5)
    await page.mouse.move(*await _position(page, end), steps=5)
    await page.mouse.up()


async def _position(page: Page, point: Point) -> tuple[float, float]:
    day, hour = point
    box = await page.locator(f'.lane[data-date="{day}"]').bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] * hour / 24


async def save(page: Page) -> None:
    await page.get_by_role("button", name="Save week").click()
    await expect(status(page)).to_have_text("Saved. Students see your new hours now.")
