"""A real Chromium before real processes of ours. Every page a test opens must stay free of script errors and of anything the
content security policy had to stop."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    async_playwright,
    expect,
)

from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.factories import Account
from tests.processes import Running

FLAGS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)
# A refused request is an answer, not a fault; Chromium reports it as an error all the same.
ANSWERS = ("Failed to load resource", "WebSocket connection to", "net::ERR_INTERNET_DISCONNECTED")
PATIENCE = 15_000  # milliseconds a page may take to show what happened, on a machine that is busy with other tests
expect.set_options(timeout=PATIENCE)

Open = Callable[..., Awaitable[Page]]


def chromium() -> str | None:
    """The browser of the system where there is one; else playwright's own."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    return str(Path(found)) if found else None


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        executable = chromium() or playwright.chromium.executable_path
        if not Path(executable).is_file():
            pytest.fail(
                "The browser tests need Chromium (on Debian and Ubuntu: apt install chromium).",
                pytrace=False,
            )
        browser = await playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        yield browser
        await browser.close()


@pytest_asyncio.fixture
async def open_page(
    browser: Browser, server: Running, pool: Pool, settings: Settings
) -> AsyncIterator[Open]:
    """Opens `path` in a browser of its own, for a person or for a guest; `deaf` gives it a socket that stays silent,
    `blocked` none at all. Further arguments are Playwright's for a new context."""
    faults: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not any(
            answer in message.text for answer in ANSWERS
        ):
            faults.append(message.text)

    async def open_page(
        path: str,
        who: Account | None = None,
        *,
        deaf: bool = False,
        blocked: bool = False,
        **options: Any,
    ) -> Page:
        defaults: dict[str, Any] = {
            "viewport": {"width": 1280, "height": 900},
            "timezone_id": "America/New_York",
        }
        context: BrowserContext = await browser.new_context(
            base_url=server.url, **defaults | options
        )
        context.set_default_timeout(PATIENCE)
        if who is not None:
            token = await factories.token_of(pool, who.id, settings)
            await context.add_cookies([{"name": "session", "value": token, "url": server.url}])
        if deaf:
            await context.route_web_socket("**/live", lambda _: None)
        if blocked:
            await context.route_web_socket("**/live", lambda socket: socket.close(code=1011))
        page = await context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: faults.append(str(error)))
        await page.goto(path)
        return page

    yield open_page
    assert faults == []


async def timed_page(open_page: Open, path: str, viewer: Account | None = None) -> Page:
    """A live page whose clock moves only when the test moves it: what shows for seconds is seen on
    any machine."""
    page = await open_page("about:blank", viewer)
    await page.clock.install()
    await page.goto(path)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await stop_clock(page)
    return page


async def stop_clock(page: Page) -> None:
    """Stops the clock the test installed, ten seconds ahead: it cannot stop at a moment that has
    passed when the call arrives."""
    await page.clock.pause_at(await page.evaluate("Date.now() / 1_000 + 10"))
