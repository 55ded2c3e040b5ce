"""The account in a browser: its clock on live pages, and signing in with a code."""

import re

import pyotp
from playwright.async_api import expect

from app.db import Pool
from app.settings import Settings
from app.web import utc_now
from tests import factories
from tests.browser.axe import violations
from tests.browser.board import book
from tests.browser.conftest import Open


async def test_a_24_hour_clock_is_kept_by_live_pages(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    page = await open_page("/account", ben)
    await page.get_by_label("15:30").check()
    await page.get_by_role("button", name="Save profile").click()
    await expect(page.get_by_role("status").first).to_have_text("Your profile is saved.")
    await page.goto(f"/instructors/{anna.id}?minutes=60")
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    times = page.locator(".time")
    await expect(times.first).to_be_visible()
    await book(pool, anna, anna.at("14:00"), cleo.id)
    await expect(page.locator(".time[aria-disabled=true]").first).to_be_visible()
    texts = [text.strip() for text in await times.all_inner_texts()]
    assert texts
    assert all(re.match(r"\d\d:\d\d\b", text) for text in texts), texts
    assert not re.search(r"\d (am|pm)\b", await page.locator("main").inner_text())

    await pool.execute("update account set clock = '24' where id = $1", anna.id)
    teach = await open_page("/teach/calendar", anna)
    await expect(teach.get_by_text("09:00", exact=True).first).to_be_visible()
    assert not re.search(r"\d (am|pm)\b", await teach.locator("main").inner_text())


async def test_signing_in_with_a_code_and_with_a_recovery_code(
    open_page: Open, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    page = await open_page("/account", ben, permissions=["clipboard-read", "clipboard-write"])
    await page.get_by_role("button", name="Set it up").click()
    secret = (await page.locator("#second-factor code").inner_text()).replace(" ", "")
    await page.get_by_label("Code", exact=True).fill(pyotp.TOTP(secret).at(utc_now()))
    await page.keyboard.press("Enter")
    factor = page.get_by_role("region", name="Second factor")
    await expect(factor.get_by_role("status")).to_contain_text("Your second factor is set up.")
    await expect(factor).to_be_in_viewport()
    codes = (
        await factor.get_by_role("list", name="Recovery codes").locator("code").all_inner_texts()
    )
    assert len(codes) == 10
    assert await violations(page) == []
    await factor.get_by_role("button", name="Copy the codes").click()
    await expect(factor.get_by_role("button", name="Copied")).to_be_focused()
    assert await page.evaluate("navigator.clipboard.readText()") == "\n".join(codes)
    await page.reload()
    await expect(factor).to_contain_text("10 of 10 recovery codes are left")

    # The code above is used up; the current one would be the same.
    await pool.execute("update totp set last_step = last_step - 2")
    page = await open_page("/login?next=/account")

    async def enter_password() -> None:
        await page.get_by_label("E-mail").fill(ben.email)
        await page.get_by_label("Password").fill(factories.PASSWORD)
        await page.get_by_role("button", name="Sign in").click()

    await enter_password()
    code = page.get_by_label("Code", exact=True)
    await expect(code).to_be_focused()
    await expect(page.get_by_label("Password")).to_have_count(0)
    await code.fill("000000")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert").first).to_contain_text("That code isn’t right.")
    await code.fill(pyotp.TOTP(secret).at(utc_now()))
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Your account")).to_be_visible()
    await expect(page.get_by_text("This device")).to_be_visible()

    await page.get_by_role("button", name="Sign out", exact=True).first.click()
    await page.goto("/login?next=/account")
    await enter_password()
    await expect(code).to_be_focused()
    for _ in range(2):
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")  # No access to your app?
    await page.keyboard.press("Tab")
    await expect(page.get_by_label("Recovery code")).to_be_focused()
    assert await violations(page) == []
    await page.keyboard.type("aaaa-bbbb-cccc-dddd")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert").first).to_contain_text("works only once")
    await expect(page.get_by_label("Recovery code")).to_be_focused()
    await page.keyboard.type(codes[0])
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("region", name="Second factor")).to_contain_text(
        "9 of 10 recovery codes are left"
    )


async def test_the_address_typed_to_sign_in_is_there_to_reset_the_password(
    open_page: Open, pool: Pool
) -> None:
    page = await open_page("/login")
    await page.get_by_label("E-mail").fill("ben@example.com")
    await page.get_by_role("link", name="Forgot your password?").click()
    await expect(page.get_by_label("E-mail")).to_have_value("ben@example.com")
    assert page.url.endswith("/reset-password")
    await expect(page.locator("main")).to_contain_text("send you a link to set a new password")
    await page.reload()
    await expect(page.get_by_label("E-mail")).to_have_value("")
