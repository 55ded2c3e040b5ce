"""How pages stand up to narrow screens, the dark, assistive technology, and being without scripts."""

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Request, expect

from app import wire
from app.db import Pool
from tests import factories
from tests.browser.conftest import Open
from tests.browser.test_board import hold, take, time
from tests.factories import Account, Instructor

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
MOST = 100_000  # bytes of a page with all it loads, on the wire


async def town(pool: Pool) -> tuple[Instructor, Account]:
    """An instructor with lessons, a held time and two services, and her student."""
    anna = await factories.instructor(pool, "Anna Diaz", durations=(30, 60, 90))
    await factories.service_of(pool, anna.id, "music-theory")
    await pool.execute("update instructor set headline = 'Patient with beginners', bio = 'We start with a piece you love.'")
    ben, cleo = await factories.student(pool, "Ben Ode"), await factories.student(pool, "Cleo Park")
    await take(pool, anna, anna.at("10:00"), ben.id)
    await take(pool, anna, anna.at("10:00", day=9), ben.id)
    await hold(pool, anna, anna.at("13:00"), cleo.id)
    await pool.execute(
        """insert into dev_mail (sender, recipient, subject, body_text, body_html)
           values ('InstaInstru <lessons@example.com>', 'ben.ode@example.com', 'Confirmed: Piano', 'Hello', '<p>Hello</p>')"""
    )
    return anna, ben


def pages(anna: Instructor, ben: Account) -> list[tuple[str, Account | None]]:
    choice = f"/instructors/{anna.id}?minutes=30&start={wire.instant(anna.at('11:00'))}"
    dead = f"/instructors/{anna.id}?minutes=30&start={wire.instant(anna.at('10:00'))}"
    return [
        ("/", None), ("/?show=services", None), ("/?q=nothing+like+it", None), ("/", ben),
        ("/dev/mail", None), ("/dev/mail/1", None), ("/login?next=/lessons", None), ("/register", None), ("/nowhere", None),
        (f"/instructors/{anna.id}", None), (choice, None), (choice, ben), (dead, ben), (f"/instructors/{anna.id}", anna),
        ("/lessons", ben), ("/lessons?scope=past", ben), ("/teach", anna),
    ]  # fmt: skip


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "zone"), [(1280, "UTC"), (390, "America/New_York")])
async def test_axe_finds_nothing(open_page: Open, pool: Pool, theme: str, width: int, zone: str) -> None:
    anna, ben = await town(pool)
    look = {"color_scheme": theme, "viewport": {"width": width, "height": 800}, "timezone_id": zone, "reduced_motion": "reduce"}
    found: list[Any] = []
    for path, who in pages(anna, ben):
        page = await open_page(path, who, **look)
        for summary in await page.locator("summary").all():
            await summary.click()
        await page.evaluate(AXE)
        violations = await page.evaluate("axe.run().then((result) => result.violations)")
        found += [(path, v["id"], [node["target"] for node in v["nodes"]][:3]) for v in violations]
        await page.context.close()
    assert found == [], "\n".join(map(str, found))


async def test_nothing_is_wider_than_a_screen_of_320_pixels(open_page: Open, pool: Pool) -> None:
    anna, ben = await town(pool)
    for path, who in pages(anna, ben):
        page = await open_page(path, who, viewport={"width": 320, "height": 640})
        assert await page.evaluate("document.documentElement.scrollWidth") == 320, path
        small = await page.evaluate(
            """() => [...document.querySelectorAll("button, .btn, .pill, .time, .tabs a, .seg a, .strip a, .offer, summary, input:not([type=radio]):not([type=hidden])")]
                 .filter((element) => element.checkVisibility())
                 .map((element) => [element.textContent.trim(), element.getBoundingClientRect()])
                 .filter(([, box]) => box.height < 44).map(([words]) => words)"""
        )
        assert small == [], path
        await page.context.close()


async def test_a_page_weighs_less_than_100_kilobytes(open_page: Open, pool: Pool) -> None:
    anna, ben = await town(pool)
    for path in ("/", f"/instructors/{anna.id}", "/lessons"):
        page = await open_page("about:blank", ben)
        sizes = await weighed(page, path)
        assert 5_000 < sum(sizes.values()) < MOST, (path, sizes)


async def weighed(page: Page, path: str) -> dict[str, int]:
    """The bytes of each thing the page loads."""
    requests: list[Request] = []

    def finished(request: Request) -> None:
        requests.append(request)

    page.on("requestfinished", finished)
    await page.goto(path)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await page.wait_for_load_state("networkidle")
    return {request.url: (await request.sizes())["responseBodySize"] for request in requests}


async def test_without_scripts_a_lesson_is_booked_and_cancelled(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    page = await open_page(f"/instructors/{anna.id}", java_script_enabled=False)
    await expect(page.locator("#live")).to_contain_text("as of")
    await page.get_by_role("link", name="30 min").click()
    await page.get_by_role("link", name="Later").click()
    await time(page, anna.at("09:30", day=8)).click()
    await expect(page.locator("#when")).to_contain_text("9:30 am")
    await page.get_by_role("link", name="Sign in to book").click()
    await sign_in(page, ben)
    await expect(page.locator("#when")).to_contain_text("9:30 am")
    await page.get_by_label("A note to Anna").fill("Hello")
    await page.get_by_role("button", name="Book this time").click()
    row = page.locator(".row")
    await expect(row).to_contain_text("Piano with Anna")
    await row.locator("summary").click()
    await row.get_by_role("button", name="Cancel this lesson").click()
    await expect(page.locator(".row")).to_contain_text("cancelled")


async def sign_in(page: Page, who: Account) -> None:
    await page.get_by_label("E-mail").fill(who.email)
    await page.get_by_label("Password").fill(factories.PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
