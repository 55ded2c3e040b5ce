"""Tests use browser contexts one after the other, and find nothing of an earlier test in them."""

from tests.browser.conftest import Contexts
from tests.processes import Running

STORE = "() => { localStorage.setItem('view', 'list'); document.cookie = 'visitor=1'; }"
STORED = "[localStorage.length, document.cookie]"


async def test_a_context_forgets_what_a_test_stored_and_ends_with_its_clock(
    contexts: Contexts, server: Running
) -> None:
    options = {"locale": "en-US"}
    first, page = await contexts.take(options)
    await page.goto("/login")
    await page.evaluate(STORE)
    assert await page.evaluate(STORED) == [1, "visitor=1"]
    await first.playwright.set_offline(True)
    await contexts.give_back(first)

    second, page = await contexts.take(options)
    assert second is first
    await page.goto("/login")
    assert await page.evaluate(STORED) == [0, ""]
    await page.clock.install()
    await contexts.give_back(second)

    third, page = await contexts.take(options)
    assert third is not first
    await page.goto("/login")
    assert "[native code]" in await page.evaluate("setTimeout.toString()")
    await page.context.route_web_socket("**/live", lambda _: None)
    await contexts.give_back(third)

    fourth, _ = await contexts.take(options)
    assert fourth is not third
    await contexts.give_back(fourth)
