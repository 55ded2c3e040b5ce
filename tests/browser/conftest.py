"""A real Chromium and a real server. No page that a test opens may have script errors, or break the
content security policy."""

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
    Error,
    Page,
    async_playwright,
    expect,
)

from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.cluster import PATIENCE
from tests.conftest import connected
from tests.databases import Databases
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
# Chromium reports refused and failed requests as errors. Tests cause them on purpose.
EXPECTED_ERRORS = (
    "Failed to load resource",
    "WebSocket connection to",
    "net::ERR_INTERNET_DISCONNECTED",
)
TIMEOUT = 1_000 * PATIENCE
expect.set_options(timeout=TIMEOUT)

Open = Callable[..., Awaitable[Page]]


def chromium() -> str | None:
    """The path of the system's browser, or None to use Playwright's own headless shell. A page in a
    headless shell takes a fifth of the CPU that it takes in the whole browser."""
    if path := os.environ.get("CHROMIUM"):
        return path
    programs = map(shutil.which, ("chromium-headless-shell", "chromium", "google-chrome"))
    return next(filter(None, programs), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser belongs to one event loop, so its tests share that loop."""
    here = Path(__file__).parent
    for item in items:
        if item.path.parent == here and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(loop_scope="session")
async def database_url(databases: Databases) -> AsyncIterator[str]:
    async with databases.one() as url:
        yield url


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database_url: str) -> AsyncIterator[Pool]:
    async with connected(database_url) as pool:
        yield pool


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One per worker; each page has a context of its own."""
    async with async_playwright() as playwright:
        try:
            browser = await playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        except Error as error:
            if "Executable doesn't exist" not in error.message:
                raise
            pytest.fail(
                "The browser tests need Chromium (on Debian and Ubuntu: apt install chromium).",
                pytrace=False,
            )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(
    browser: Browser, server: Running, pool: Pool, settings: Settings
) -> AsyncIterator[Open]:
    """Opens `path` in a new browser context, for an account or a guest. With `silent`, the
    WebSocket opens and no message comes; with `blocked`, it is closed at once. Other arguments
    are Playwright's for a new context."""
    errors: list[str] = []
    contexts: list[BrowserContext] = []

    def on_console(message: ConsoleMessage) -> None:
        is_expected = any(error in message.text for error in EXPECTED_ERRORS)
        if message.type in {"error", "warning"} and not is_expected:
            errors.append(message.text)

    async def open_page(
        path: str,
        account: Account | None = None,
        *,
        silent: bool = False,
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
        contexts.append(context)
        context.set_default_timeout(TIMEOUT)
        if account is not None:
            token = await factories.token_of(pool, account.id, settings)
            await context.add_cookies([{"name": "session", "value": token, "url": server.url}])
        if silent:
            await context.route_web_socket("**/live", lambda _: None)
        if blocked:
            await context.route_web_socket("**/live", lambda socket: socket.close(code=1011))
        page = await context.new_page()
        page.on("console", on_console)
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.goto(path)
        return page

    yield open_page
    for context in contexts:
        await context.close()
    assert errors == []


async def timed_page(open_page: Open, path: str, viewer: Account | None = None) -> Page:
    """A connected page whose clock moves only when the test moves it, so that even a slow machine
    sees what is shown for seconds."""
    page = await open_page("about:blank", viewer)
    await page.clock.install()
    await page.goto(path)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await stop_clock(page)
    return page


async def stop_clock(page: Page) -> None:
    """Stops the page's installed clock ten seconds ahead. It cannot stop at a time that has passed
    when the call arrives."""
    await page.clock.pause_at(await page.evaluate("Date.now() / 1_000 + 10"))
