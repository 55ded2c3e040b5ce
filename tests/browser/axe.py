"""axe-core, which finds obstacles for people who use assistive technology."""

import json
from pathlib import Path

from playwright.async_api import Page

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()
# Of axe's rules, those that depend on colors.
COLOR_RULES = ("color-contrast", "link-in-text-block")


def run(*rules: str) -> str:
    """An expression for the violations of these rules, or of all. Nothing else is described, which
    saves a third of the time. A frame is not examined: the only one shows a mail, without scripts.
    """
    options = {"iframes": False, "resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = list(rules)
    return f"axe.run({json.dumps(options)}).then((result) => result.violations)"


async def load(page: Page) -> None:
    if await page.evaluate("typeof axe") == "undefined":
        await page.evaluate(AXE)


async def violations(page: Page) -> list[str]:
    """The rules that the page breaks, as it looks now."""
    await load(page)
    return [violation["id"] for violation in await page.evaluate(run())]
