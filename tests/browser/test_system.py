"""/admin/system: charts that follow the numbers, and what it says when they cannot."""

from playwright.async_api import Route, expect

from app.db import Pool
from tests import factories
from tests.browser.conftest import Open

URL = "**/api/admin/system"


async def test_the_charts_are_live_and_say_when_they_are_not(open_page: Open, pool: Pool) -> None:
    ada, ben = await factories.admin(pool), await factories.student(pool, "Ben")
    page = await open_page("/admin/system", ada)
    status = page.locator("main [data-status]")
    await expect(status).to_have_text("Updated every 2 seconds.")
    failing = page.locator('[data-value="notifications.failing"]')
    await expect(failing.locator("dd span")).to_have_text("0")
    await pool.execute(
        """insert into notification (kind, recipient_id, due_at, attempts, last_error)
           values ('welcome', $1, now() + interval '1 hour', 3, 'The server is busy.')""",
        ben.id,
    )
    await expect(failing.locator("dd span")).to_have_text("1")
    heights = {
        point.partition(",")[2]
        for point in (await failing.locator("polyline").get_attribute("points") or "").split()
    }
    assert len(heights) == 2  # the line rises

    async def fail(route: Route) -> None:
        await route.abort()

    await page.route(URL, fail)
    await expect(status).to_have_text("Couldn’t update. Trying again.")
    await page.unroute(URL)
    await expect(status).to_have_text("Updated every 2 seconds.")

    await page.reload()
    await page.get_by_role("button", name="Try again now").click()
    await expect(page.get_by_role("heading", name="Failed mail")).to_be_visible()
    assert await pool.fetchval("select due_at <= now() from notification where attempts = 1")
