"""A new instructor fills three months, with evenings off on Fridays and a holiday week, in few
actions by mouse or by keyboard alone, while a student's open board follows each save."""

import re
from datetime import date, timedelta

import pytest
from playwright.async_api import Locator, Page, expect

from app.availability import week
from app.db import Pool
from tests import factories
from tests.browser.board import expect_not_free, time_button
from tests.browser.calendar import next_monday, status
from tests.browser.conftest import Open

DAY, WEEK = timedelta(days=1), timedelta(days=7)
SATURDAY = 5
MAX_TABS = 80  # between two controls


class Mouse:
    """Counts clicks, selections and typed dates."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.actions = 0

    async def press(self, target: Locator) -> None:
        self.actions += 1
        await target.click()

    async def select(self, target: Locator, label: str) -> None:
        self.actions += 2  # opens the list, and picks
        await target.select_option(label)

    async def type_date(self, target: Locator, day: date) -> None:
        self.actions += 1
        await target.click(position={"x": 20, "y": 20})  # the month
        await self.page.keyboard.type(f"{day:%m%d%Y}")


class Keyboard:
    """Counts every key. Nothing is focused but by Tab."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.actions = 0

    async def press(self, target: Locator) -> None:
        await self._reach(target)
        role = await target.evaluate("(element) => element.type")
        await self._key("Space" if role == "checkbox" else "Enter")

    async def select(self, target: Locator, label: str) -> None:
        await self._reach(target)
        while await target.evaluate("(each) => each.selectedOptions[0].label.trim()") != label:
            await self._key("ArrowDown")

    async def type_date(self, target: Locator, day: date) -> None:
        await self._reach(target)
        for digit in f"{day:%m%d%Y}":
            await self._key(digit)

    async def _reach(self, target: Locator) -> None:
        for _ in range(MAX_TABS):
            if await target.evaluate("(element) => element === document.activeElement"):
                return
            is_before = await target.evaluate(
                "(each) => Boolean(document.activeElement.compareDocumentPosition(each) & 2)"
            )
            await self._key("Shift+Tab" if is_before else "Tab")
        raise AssertionError(f"{target} is not reached by Tab.")

    async def _key(self, key: str) -> None:
        self.actions += 1
        await self.page.keyboard.press(key)


@pytest.mark.parametrize(("means", "limit"), [(Mouse, 20), (Keyboard, 130)])
async def test_three_months_are_filled(
    open_page: Open, pool: Pool, means: type[Mouse | Keyboard], limit: int
) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    monday = next_monday(anna)
    ahead = (monday - anna.today).days
    board = await open_page(f"/instructors/{anna.id}?minutes=60&from={monday + WEEK}")
    await expect(board.locator("#live")).to_have_attribute("data-state", "live")
    page = await open_page("/teach", anna)
    hand = means(page)
    await hand.press(page.get_by_role("link", name="Calendar", exact=True))
    await expect(page.locator(".lane")).to_have_count(7)
    await expect(page).to_have_url(re.compile(r"\?week="))  # also on the next Monday
    if anna.today.weekday() < SATURDAY:  # at the weekend, the next week is shown at once
        await hand.press(page.get_by_role("link", name="Later week"))
    await expect(page.locator(f'.lane[data-date="{monday}"]')).to_have_count(1)

    dialog = page.locator("#range-dialog")
    await hand.press(page.get_by_role("button", name="Add hours on Monday"))
    await hand.select(dialog.get_by_label("To", exact=True), "9:00 pm")
    for days in (1, 2, 3):
        await hand.press(dialog.get_by_role("checkbox").nth(days))
    await hand.press(dialog.get_by_role("button", name="Done"))
    await hand.press(page.get_by_role("button", name="Add hours on Friday"))
    await hand.press(dialog.get_by_role("button", name="Done"))
    await hand.press(page.get_by_role("button", name="Save week"))
    await expect(status(page)).to_contain_text("Saved.")

    await hand.press(page.locator("#tool-apply > summary"))
    await hand.press(page.get_by_role("button", name="Preview"))
    preview = page.locator("#preview-dialog")
    await expect(preview).to_be_visible()
    await hand.press(preview.get_by_role("button", name="Apply"))
    await expect(status(page)).to_contain_text("days changed: from")
    second = anna.at("20:00", day=ahead + 7)
    await expect(time_button(board, second)).to_have_attribute("data-state", "free")

    await hand.press(page.locator("#tool-off > summary"))
    await hand.type_date(page.get_by_label("First day"), monday + WEEK)
    await hand.type_date(page.get_by_label("Last day"), monday + 2 * WEEK - DAY)
    await hand.press(page.get_by_role("button", name="Take these days off"))
    await expect(status(page)).to_contain_text("These days are off.")
    await expect_not_free(board, second)

    for days in range(0, 91, 7):
        stored = (await week.read(pool, anna.id, monday + timedelta(days=days))).days.values()
        assert [[(each["start"], each["end"]) for each in day] for day in stored] == [
            *[[("09:00", "21:00")]] * 4,
            [("09:00", "17:00")],
            [],
            [],
        ]
    assert hand.actions <= limit
