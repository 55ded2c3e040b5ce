"""An instructor's first two minutes on /teach, and the page /teach/profile."""

from typing import Any

from playwright.async_api import Dialog, Locator, Page, expect

from app.catalog import instructor
from app.db import Pool
from tests import factories
from tests.browser.axe import load, run
from tests.browser.board import time_button
from tests.browser.conftest import Open


class Hand:
    """Clicks, and counts the clicks."""

    def __init__(self) -> None:
        self.clicks = 0

    async def click(self, target: Locator) -> None:
        self.clicks += 1
        await target.click()

    async def choose(self, select: Locator, option: str) -> None:
        self.clicks += 2  # the list and the option
        await select.select_option(option)


async def expect_good_looks(page: Page) -> None:
    """No finding of axe in either theme, and nothing wider than a narrow phone."""
    size = page.viewport_size
    assert size is not None
    for theme in ("light", "dark"):
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        await load(page)
        violations: list[Any] = await page.evaluate(run())
        assert [(v["id"], v["nodes"][0]["target"]) for v in violations] == []
    await page.set_viewport_size({"width": 320, "height": 640})
    assert await page.evaluate("document.documentElement.scrollWidth") == 320
    await page.set_viewport_size(size)


async def test_a_new_instructor_can_be_booked_after_ten_clicks(open_page: Open, pool: Pool) -> None:
    hand = Hand()
    page = await open_page("/register", timezone_id="Europe/London")
    await hand.click(page.get_by_text("Teach", exact=True))
    for label, text in (
        ("Your name", "Nora Field"),
        ("E-mail", "nora@example.com"),
        ("Password", factories.PASSWORD),
    ):
        await hand.click(page.get_by_label(label))
        await page.keyboard.type(text)
    await hand.click(page.get_by_role("button", name="Create account"))

    checklist = page.locator("#checklist")
    await expect(checklist).to_contain_text("0 of 3 done")
    await expect(page.get_by_label("Headline")).to_be_focused()
    await expect_good_looks(page)
    await page.keyboard.type("Cello, slowly")
    await hand.click(page.get_by_role("button", name="Save and continue"))

    await expect(checklist).to_contain_text("1 of 3 done")
    # The focus is on the next step.
    next_step = page.locator("summary", has_text="Offer your first service")
    await expect(next_step).to_be_focused()
    await page.goto("/lessons")
    await page.goto("/teach")  # returning resumes at the next step
    await expect_good_looks(page)
    await hand.choose(page.get_by_label("Service", exact=True), "Cello")
    await hand.click(page.get_by_role("button", name="Offer this service"))

    await expect(checklist).to_contain_text("2 of 3 done")
    await expect(page.locator("summary", has_text="Set your hours")).to_be_focused()
    await expect(page.get_by_label("Repeat for the next 12 weeks")).to_be_checked()
    await expect(checklist).to_contain_text("New York time")
    await expect_good_looks(page)
    await hand.click(page.get_by_role("button", name="Open these hours"))

    await expect(checklist.get_by_role("heading", name="You can be booked")).to_be_focused()
    assert hand.clicks <= 10
    await expect_good_looks(page)
    public_page = await checklist.get_by_role("link", name="See your page").get_attribute("href")
    await page.goto("/teach")
    await expect(checklist).to_have_count(0)

    assert public_page is not None
    ben = await open_page(public_page, await factories.student(pool, "Ben"))
    next_week = ben.get_by_role("link", name="Later")
    if await ben.locator(".time").count() == 0:
        await next_week.click()
    await ben.locator(".time").first.click()
    await ben.get_by_role("button", name="Review and book").first.click()
    await ben.get_by_label("Your address").fill("12 Oak Street")
    await ben.get_by_role("button", name="Book this lesson").click()
    await expect(ben.get_by_role("heading", name="You booked this lesson")).to_be_visible()
    lesson = await pool.fetchrow("select state, price_cents, service_name from booking")
    assert lesson is not None
    assert tuple(lesson) == ("confirmed", 6000, "Cello")
    await expect(page.locator("#lessons")).to_contain_text("Ben")


async def test_a_saved_profile_reaches_open_boards_and_unsaved_changes_are_guarded(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    booked = await factories.lesson(pool, ben.id, anna.service_id, anna.at("11:00"))
    board = await open_page(f"/instructors/{anna.id}?minutes=60")
    await expect(board.locator("#live")).to_have_attribute("data-state", "live")
    before = time_button(board, anna.at("10:00"))
    await expect(before).to_have_attribute("data-state", "free")

    page = await open_page("/teach/profile", anna)
    await page.get_by_label("Find an area").fill("harlem")
    await expect(page.locator(".areas .check:visible")).to_have_count(2)
    await page.get_by_label("Harlem", exact=True).check()
    await page.get_by_label("Find an area").fill("nowhere")
    await expect(page.get_by_text("No area has this name.")).to_be_visible()
    await expect(page.locator("#areas-selected")).to_have_text("Selected: Harlem")
    await page.get_by_label("Travel time between lessons").select_option("30 minutes")
    unsaved = page.locator("#profile [data-status]")
    await expect(unsaved).to_have_text("Unsaved changes")

    dialogs: list[str] = []

    async def stay(dialog: Dialog) -> None:
        dialogs.append(dialog.type)
        await dialog.dismiss()

    page.on("dialog", stay)
    await page.get_by_role("link", name="Today").click(no_wait_after=True)
    await expect(unsaved).to_have_text("Unsaved changes")
    assert dialogs == ["beforeunload"]

    await page.get_by_role("button", name="Save profile").click()
    await expect(page.get_by_text("Your profile is saved.")).to_be_visible()
    assert dialogs == ["beforeunload"]
    await expect(before.and_(board.locator('[data-state="free"]'))).to_have_count(0)
    stored = await instructor.own(pool, anna.id)
    assert (stored.areas, stored.travel_buffer_minutes) == (["harlem"], 30)
    blocked = await pool.fetchval("select upper(blocked) from booking where id = $1", booked.id)
    assert blocked == booked.ends_at


async def test_a_profile_sent_after_the_session_ended_is_still_typed_after_signing_in(
    open_page: Open, pool: Pool
) -> None:
    anna, dora = [await factories.instructor(pool, name) for name in ("Anna", "Dora")]
    page = await open_page("/teach/profile", anna)
    bio, unsaved = page.get_by_label("Bio"), page.locator("#profile [data-status]")
    for is_own in (False, True):  # Anna's page, then Dora's
        await bio.fill("A long text")
        await page.get_by_label("Harlem", exact=True).check()
        await page.get_by_label("Minimum notice").select_option("3 days")
        await page.context.clear_cookies()
        await page.get_by_role("button", name="Save profile").click()
        await page.get_by_label("E-mail").fill(dora.email)
        await page.get_by_label("Password").fill(factories.PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.locator("h1")).to_have_text("Profile and services")
        # Not what somebody else has typed on this computer.
        await expect(bio).to_have_value("A long text" if is_own else "")
        await expect(unsaved).to_have_text("Unsaved changes" if is_own else "")
    await expect(page.locator("#areas-selected")).to_have_text("Selected: Harlem")
    await page.get_by_role("button", name="Save profile").click()
    await expect(page.get_by_text("Your profile is saved.")).to_be_visible()
    stored = await instructor.own(pool, dora.id)
    assert (stored.bio, stored.areas) == ("A long text", ["harlem"])
    assert stored.min_advance_minutes == 3 * 24 * 60
    await page.goto("/teach/profile")
    await expect(unsaved).to_have_text("")


async def test_a_service_is_offered_withdrawn_and_offered_again_without_scripts(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    page = await open_page("/teach/profile", anna, java_script_enabled=False)
    await expect(page.get_by_label("Find an area")).to_be_hidden()
    await page.get_by_text("Add another service").click()
    new = page.locator("#new-service")
    await new.get_by_label("Service", exact=True).select_option("Violin")
    await new.get_by_label("Price per hour").fill("85")
    await new.get_by_label("30 min").check()
    await new.get_by_role("button", name="Add this service").click()
    await expect(page.get_by_text("$85 an hour · 30, 60 min")).to_be_visible()

    violin = page.locator(".service").filter(has_text="Violin")
    await violin.get_by_text("Edit").click()
    await violin.get_by_text("Withdraw…").click()
    await expect(violin.get_by_text("Withdraw Violin?")).to_be_visible()
    await violin.get_by_role("button", name="Yes, withdraw Violin").click()
    await expect(violin).to_have_count(0)
    await page.get_by_role("button", name="Undo").click()
    await expect(violin).to_contain_text("$85 an hour")
