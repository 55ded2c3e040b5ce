"""Assistive technology can use every page, and no page is wider than its screen."""

from typing import Any

from playwright.async_api import Page

from app.db import Pool
from tests import factories
from tests.browser.axe import COLOR_RULES, run
from tests.browser.conftest import Open
from tests.browser.every_page import LONG_NAME, town, visit_all

# Pages list all areas and services, and axe takes seconds for hundreds of them. The longest names
# stay, because they decide how wide a page is.
SMALL_CATALOG = """
with area as (
  delete from area
  where slug !~ '^b' and slug not in (select area from instructor_area)
    and length(name) < (select max(length(name)) from area)
  returning slug
), service as (
  delete from catalog_service
  where slug !~ '^p' and slug not in (select catalog_service from service)
    and length(name) < (select max(length(name)) from catalog_service)
  returning slug
), area_term as (
  delete from area_term where area in (select slug from area)
)
delete from catalog_term where catalog_service in (select slug from service)"""


async def test_axe_finds_nothing_and_every_page_fits_its_screen(
    open_page: Open, pool: Pool
) -> None:
    """With long names, far from the instructor."""
    anna, ben = await town(pool)
    await pool.execute(SMALL_CATALOG)
    await pool.execute("update account set full_name = $1", LONG_NAME)
    await factories.instructor(pool, "Cora")
    all_violations: list[Any] = []
    async for path, page in visit_all(open_page, pool, anna, ben, timezone_id="UTC"):
        for width in (1280, 768, 320):
            await resize(page, width)
            assert await page.evaluate("document.documentElement.scrollWidth") == width, path
            assert await page.evaluate(TOO_WIDE) == [], (path, width)
            assert await page.evaluate(OFF_CENTER) < 1, (path, width)
        assert await page.evaluate(SMALL_TARGETS) == [], path
        all_violations += [(path, *violation) for violation in await violations(page)]
    assert all_violations == [], "\n".join(map(str, all_violations))


TOO_WIDE = """() => [...document.querySelectorAll(".card, .bar, .row, .entry, .profile, .hero")]
  .filter((element) => element.checkVisibility()
    && element.scrollWidth > element.clientWidth + 1)
  .map((element) => element.className)"""
# The distance in pixels between the middles of the account's link and its avatar.
OFF_CENTER = """() => Math.abs([...document.querySelectorAll(".top .account a, .top .avatar")]
  .map((element) => element.getBoundingClientRect())
  .reduce((sum, { top, bottom }) => (top + bottom) / 2 - sum, 0))"""
SMALL_TARGETS = """() => [...document.querySelectorAll(
    "button, .btn, .pill, .time, .tabs a, .segments a, .strip a, .offer, summary," +
    ".check, input:not([type=radio]):not([type=checkbox]):not([type=hidden])")]
  .filter((element) => element.checkVisibility())
  .map((element) => [element.textContent.trim(), element.getBoundingClientRect()])
  .filter(([, box]) => box.height < 44).map(([text]) => text)"""
OPEN = "(all) => all.forEach((details) => { details.open = true; })"


async def violations(page: Page) -> list[tuple[Any, ...]]:
    """What axe finds on a wide and a narrow screen. Colors are the same on both."""
    await page.locator("details").evaluate_all(OPEN)
    result: list[tuple[Any, ...]] = []
    looks: tuple[tuple[int, Any, tuple[str, ...]], ...] = (
        (390, "light", ()),
        (1280, "light", ()),
        (1280, "dark", COLOR_RULES),
    )
    for width, theme, rules in looks:
        await page.emulate_media(color_scheme=theme)
        await resize(page, width)
        result += [
            (width, theme, v["id"], [node["target"] for node in v["nodes"]][:3])
            for v in await page.evaluate(run(*rules))
        ]
    await page.emulate_media(color_scheme="light")
    return result


async def resize(page: Page, width: int) -> None:
    """Until the page's listeners have run."""
    await page.set_viewport_size({"width": width, "height": 800})
    await page.evaluate("new Promise(requestAnimationFrame)")
