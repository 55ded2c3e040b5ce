"""The dot shows the state of the connection, and a page that was offline catches up."""

import re
from datetime import timedelta

from playwright.async_api import expect

from app import formatting
from app.db import Pool
from app.web import utc_now
from tests import factories
from tests.browser.axe import violations
from tests.browser.board import book, expect_not_free, selected_time, time_button
from tests.browser.conftest import Open
from tests.processes import Running, Starter


async def test_a_page_goes_offline_and_is_live_again(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    page = await open_page(f"/instructors/{anna.id}?minutes=30")
    dot = page.locator("#live")
    await expect(dot).to_have_attribute("data-state", "live")
    await page.context.set_offline(True)
    await expect(dot).to_have_attribute("data-state", "offline")
    await expect(dot).to_contain_text(re.compile(r"offline · as of \d+:\d\d [ap]m"))
    await expect(page.locator("#announcements")).to_contain_text("Connection lost.")
    await book(pool, anna, anna.at("09:00"), ben.id)
    await page.context.set_offline(False)
    await expect(dot).to_have_attribute("data-state", "live")
    await expect(page.locator("#announcements")).to_contain_text("Connected again.")
    await expect_not_free(page, anna.at("09:00"))


async def test_an_offline_page_says_how_old_it_is_in_the_time_zone_it_names(
    open_page: Open, pool: Pool
) -> None:
    """A viewer in Los Angeles looks at a board in New York time."""
    anna = await factories.instructor(pool, "Anna")
    page = await open_page(f"/instructors/{anna.id}", timezone_id="America/Los_Angeles")
    dot = page.locator("#live")
    await expect(dot).to_have_attribute("data-state", "live")
    await page.context.set_offline(True)
    await expect(dot).to_have_attribute("data-state", "offline")
    now = utc_now()
    times = [
        formatting.clock(now - timedelta(minutes=minutes), "America/New_York")
        for minutes in range(3)
    ]
    pattern = re.compile(f"offline · as of ({'|'.join(times)}) · New York time")
    await expect(dot).to_contain_text(pattern)


async def test_a_page_reconnects_to_a_restarted_server_and_misses_nothing(
    open_page: Open, pool: Pool, server: Running, start: Starter
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    board, list_ = (
        await open_page(f"/instructors/{anna.id}?minutes=30"),
        await open_page("/teach", anna),
    )
    for page in (board, list_):
        await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    port = server.url.rpartition(":")[2]
    server.kill()
    for page in (board, list_):
        await expect(page.locator("#live")).to_have_attribute("data-state", "offline")
    await book(pool, anna, anna.at("09:00"), ben.id)
    start("serve", "--host", "127.0.0.1", "--port", port)
    for page in (board, list_):
        await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await expect_not_free(board, anna.at("09:00"))
    await expect(time_button(board, anna.at("10:00"))).to_have_attribute("data-state", "free")
    await expect(list_.locator(".entry.new")).to_contain_text("Ben")


async def test_an_offline_page_refreshes_every_minute(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    # A network that blocks WebSockets, but not HTTP.
    page = await open_page("about:blank", blocked=True)
    await page.clock.install()
    await page.goto(f"/instructors/{anna.id}?minutes=30")
    await page.clock.run_for(5_000)
    await expect(page.locator("#live")).to_have_attribute("data-state", "offline")
    await book(pool, anna, anna.at("09:00"), ben.id)
    await page.clock.run_for(61_000)
    await expect_not_free(page, anna.at("09:00"))


async def test_a_session_that_is_revoked_elsewhere_is_announced(
    open_page: Open, pool: Pool
) -> None:
    ben = await factories.student(pool, "Ben")
    page = await open_page("/lessons", ben)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await pool.execute("update session set revoked_at = now()")
    await expect(page.get_by_role("link", name="Sign in again")).to_be_visible()
    await expect(page.locator("#live")).to_have_attribute("data-state", "offline")


async def test_after_signing_out_in_another_tab_nothing_personal_stays_in_sight(
    open_page: Open, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    lesson = await book(pool, anna, anna.at("10:00", day=3), ben.id)
    lessons = await open_page("/lessons", ben)
    pages = [lessons]
    for path in ("/", f"/book/{lesson.id}"):
        pages.append(await lessons.context.new_page())
        await pages[-1].goto(path)
    for page in pages:
        await expect(page.locator("#live")).to_have_attribute("data-state", "live")
        await expect(page.locator("main")).to_contain_text("Piano")
    await lessons.get_by_role("link", name=re.compile("^Move Piano with Anna")).click()
    dialog = lessons.get_by_role("dialog", name="Move your lesson")
    await expect(dialog.locator(".time").first).to_be_visible()

    first = await lessons.context.new_page()
    await first.goto("/services")
    await first.get_by_role("button", name="Sign out").click()
    for page in pages:
        await expect(page.locator("#session-ended")).to_be_visible()
        for personal in await page.locator("[data-personal]").all():
            await expect(personal).to_be_hidden()
        await expect(page.get_by_role("banner")).not_to_contain_text(
            "Sign out", use_inner_text=True
        )
        text = await page.locator("main").inner_text()
        assert "12 Main St" not in text
    assert "Piano" not in await lessons.locator("main").inner_text()
    assert await violations(lessons) == []
    await lessons.get_by_role("link", name="Sign in again").click()
    await expect(lessons).to_have_url(re.compile(r"/login\?next=%2Flessons"))


async def test_back_online_the_card_no_longer_says_that_the_server_is_unreachable(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    page = await selected_time(open_page, anna, ben)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await page.context.set_offline(True)
    await expect(page.locator("#live")).to_have_attribute("data-state", "offline")
    await page.locator("#hold-button").click()
    await expect(page.locator("#form-error")).to_contain_text("Try again. You won’t hold it twice.")
    await book(pool, anna, anna.at("11:00"), cleo.id)
    await page.context.set_offline(False)
    await expect(page.locator("#unavailable")).to_contain_text("This time has just been taken.")
    await expect(page.locator("#form-error")).to_be_empty()
