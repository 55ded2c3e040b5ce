"""axe-core, which finds obstacles for people who use assistive technology."""

from pathlib import Path

from playwright.async_api import Page

AXE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text()


async def violations(page: Page) -> list[str]:
    """The rules that the page breaks, as it looks now."""
    await page.evaluate(AXE)
    rules: list[str] = await page.evaluate(
        "axe.run().then((result) => result.violations.map(({ id }) => id))"
    )
    return rules
