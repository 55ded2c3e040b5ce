"""A real Chromium and a real server. No page that a test opens may have script errors, or break the
content security policy."""

import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import (
    Browser,
    BrowserContext,
    CDPSession,
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
from tests.processes import Running, Starter, reserved_port

FLAGS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    # One process for all pages of a context.
    "--renderer-process-limit=1",
    "--disable-site-isolation-trials",
)
# Chromium reports refused and failed requests as errors. Tests cause them on purpose.
EXPECTED_ERRORS = (
    "Failed to load resource",
    "WebSocket connection to",
    "net::ERR_INTERNET_DISCONNECTED",
)
# Of a new context. Transitions would draw dozens of frames after each click.
DEFAULTS = {
    "viewport": {"width": 1280, "height": 900},
    "timezone_id": "America/New_York",
    "reduced_motion": "reduce",
}
# Options that a page can change, so that it needs no context of its own.
PAGE_OPTIONS = ("viewport", "color_scheme", "reduced_motion", "forced_colors")
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


@pytest.fixture(scope="session")
def port() -> Iterator[int]:
    with reserved_port() as port:
        yield port


@pytest.fixture
def server(start: Starter, port: int) -> Running:
    """A web process and a relay. All servers of a worker have the same address, so that its
    browser needs to load static files only once."""
    web = start("serve", listen_on=port)
    start("relay")
    return web


@dataclass(frozen=True)
class Context:
    """A browser context. Its first page stays open, which keeps its process alive."""

    key: str
    playwright: BrowserContext
    devtools: CDPSession


class Contexts:
    """Browser contexts for one test after the other: a new one, its process and its empty cache
    cost more CPU than most pages."""

    MAX_IDLE = 6
    IS_UNCHANGED = """() => [Date, setTimeout, WebSocket, fetch]
      .every((global) => Function.prototype.toString.call(global).includes("[native code]"))"""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url
        self._idle: list[Context] = []

    async def take(self, options: dict[str, Any]) -> tuple[Context, Page]:
        """A context and an empty page in it."""
        key = json.dumps(options, sort_keys=True)
        for context in [idle for idle in self._idle if idle.key == key]:
            self._idle.remove(context)
            page = await context.playwright.new_page()
            # A test's fake clock stays in its context.
            if await page.evaluate(self.IS_UNCHANGED):
                return context, page
            await context.playwright.close()
        playwright = await self._browser.new_context(base_url=self._url, **options)
        playwright.set_default_timeout(TIMEOUT)
        devtools = await playwright.new_cdp_session(await playwright.new_page())
        return Context(key, playwright, devtools), await playwright.new_page()

    async def give_back(self, context: Context) -> None:
        """Closes the pages and forgets what they stored, but not the static files."""
        for page in context.playwright.pages[1:]:
            await page.close()
        await context.playwright.unroute_all()
        await context.playwright.set_offline(False)
        await context.playwright.clear_permissions()
        await context.playwright.clear_cookies()
        await context.devtools.send(
            "Storage.clearDataForOrigin", {"origin": self._url, "storageTypes": "all"}
        )
        self._idle.append(context)
        if len(self._idle) > self.MAX_IDLE:
            await self._idle.pop(0).playwright.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def contexts(browser: Browser, port: int) -> Contexts:
    return Contexts(browser, f"http://127.0.0.1:{port}")


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(
    contexts: Contexts, server: Running, pool: Pool, settings: Settings
) -> AsyncIterator[Open]:
    """Opens `path` in a browser context that no other page of the test has, for an account or a
    guest. With `silent`, the WebSocket opens and no message comes; with `blocked`, it is closed at
    once. Other arguments are Playwright's for a new context."""
    errors: list[str] = []
    used: list[Context] = []

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
        own = {name: options.pop(name) for name in PAGE_OPTIONS if name in options}
        context, page = await contexts.take(DEFAULTS | options)
        used.append(context)
        if account is not None:
            token = await factories.token_of(pool, account.id, settings)
            await page.context.add_cookies([{"name": "session", "value": token, "url": server.url}])
        if silent:
            await page.route_web_socket("**/live", lambda _: None)
        if blocked:
            await page.route_web_socket("**/live", lambda socket: socket.close(code=1011))
        page.on("console", on_console)
        page.on("pageerror", lambda error: errors.append(str(error)))
        if viewport := own.pop("viewport", None):
            await page.set_viewport_size(viewport)
        if own:
            await page.emulate_media(**own)
        if path != page.url:
            await page.goto(path)
        return page

    yield open_page
    for context in used:
        await contexts.give_back(context)
    assert errors == []


async def timed_page(open_page: Open, path: str, viewer: Account | None = None) -> Page:
    """A connected page whose clock moves only when the test moves it, so that even a slow machine
    sees what is shown for seconds. Its changes are animated, as for most visitors."""
    page = await open_page("about:blank", viewer, reduced_motion="no-preference")
    await page.clock.install()
    await page.goto(path)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await stop_clock(page)
    return page


async def stop_clock(page: Page) -> None:
    """Stops the page's installed clock ten seconds ahead. It cannot stop at a time that has passed
    when the call arrives."""
    await page.clock.pause_at(await page.evaluate("Date.now() / 1_000 + 10"))
