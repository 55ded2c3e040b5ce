"""Assistive technology can use every page."""

from typing import Any

from app.db import Pool
from tests.browser.axe import COLOR_RULES, load, run
from tests.browser.conftest import Open
from tests.browser.every_page import town, visit_all

# Pages list all areas and services, and axe takes seconds for hundreds of them.
SMALL_CATALOG = """
delete from area_term where area !~ '^b' and area not in (select area from instructor_area);
delete from area where slug !~ '^b' and slug not in (select area from instructor_area);
delete from catalog_term
where catalog_service !~ '^p' and catalog_service not in (select catalog_service from service);
delete from catalog_service
where slug !~ '^p' and slug not in (select catalog_service from service)"""

OPEN = "(all) => all.forEach((details) => { details.open = true; })"


async def test_axe_finds_nothing(open_page: Open, pool: Pool) -> None:
    """On a wide and a narrow screen, far from the instructor. Colors are the same on both."""
    anna, ben = await town(pool)
    await pool.execute(SMALL_CATALOG)
    all_violations: list[Any] = []
    async for path, page in visit_all(open_page, pool, anna, ben, timezone_id="UTC"):
        await page.locator("details").evaluate_all(OPEN)
        await load(page)
        looks: tuple[tuple[int, Any, tuple[str, ...]], ...] = (
            (390, "light", ()),
            (1280, "light", ()),
            (1280, "dark", COLOR_RULES),
        )
        for width, theme, rules in looks:
            await page.set_viewport_size({"width": width, "height": 800})
            await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            await page.evaluate("new Promise(requestAnimationFrame)")  # listeners of the width
            all_violations += [
                (path, width, theme, v["id"], [node["target"] for node in v["nodes"]][:3])
                for v in await page.evaluate(run(*rules))
            ]
        await page.emulate_media(color_scheme="light", reduced_motion="reduce")
    assert all_violations == [], "\n".join(map(str, all_violations))
