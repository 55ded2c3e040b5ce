"""Many days at once on /teach/calendar, the keyboard, the phone, and assistive technology."""

from datetime import date, timedelta
from typing import Literal

from playwright.async_api import Page, expect

from app.availability import blackout, week
from app.db import Pool
from app.web import utc_now
from tests import factories
from tests.browser.axe import COLOR_RULES, load, run
from tests.browser.board import book
from tests.browser.calendar import (
    PHONE,
    calendar,
    drag,
    next_monday,
    phone_calendar,
    ranges,
    save,
    status,
)
from tests.browser.conftest import Open
from tests.browser.every_page import response_sizes
from tests.factories import Instructor

DAY, WEEK = timedelta(days=1), timedelta(days=7)
MAX_BYTES = 40_000  # of the page's scripts and styles without FullCalendar, as sent


async def stored(pool: Pool, anna: Instructor, day: date) -> list[tuple[str, str]]:
    days = (await week.read(pool, anna.id, day)).days
    return [(each["start"], each["end"]) for each in days[day.isoformat()]]


async def open_tool(page: Page, name: str) -> None:
    await page.locator(f"#tool-{name} > summary").click()


async def test_many_days_are_changed_after_a_preview(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    monday = next_monday(anna)
    saturday = monday + 5 * DAY
    page = await calendar(open_page, anna, monday)
    preview = page.locator("#preview-dialog")

    await open_tool(page, "presets")
    await page.get_by_label("Evenings 5–9").check()
    await page.locator("#tool-presets button").click()
    await expect(preview.locator("[data-summary]")).to_contain_text("91 days will change")
    await expect(preview.locator("tbody tr")).to_have_count(7)
    await expect(preview.locator("tbody tr").first).to_contain_text("Monday5–9 pm")
    await preview.get_by_role("button", name="Back").click()
    assert await stored(pool, anna, monday) == []
    await page.locator("#tool-presets button").click()
    await preview.get_by_role("button", name="Apply").click()
    await expect(status(page)).to_contain_text("91 days changed: from Mon, ")
    await expect(page.locator(".hours-range")).to_have_count(7)
    assert await stored(pool, anna, saturday + 12 * WEEK) == [("17:00", "21:00")]

    # Unsaved changes are saved or discarded first.
    await drag(page, (saturday, 9.1), (saturday, 10.9))
    await open_tool(page, "copy")
    await page.locator("#tool-copy button").click()
    await page.get_by_role("button", name="Save and continue").click()
    await expect(preview.locator("[data-summary]")).to_contain_text("1 day will change")
    await preview.get_by_role("button", name="Apply").click()
    await expect(status(page)).to_contain_text("1 day changed: Sat, ")
    assert await stored(pool, anna, saturday + WEEK) == [("09:00", "11:00"), ("17:00", "21:00")]

    await open_tool(page, "apply")
    last = page.locator("#apply-last")
    await last.fill((monday + timedelta(days=500)).isoformat())
    await page.locator("#tool-apply button").click()
    await expect(last).to_be_focused()
    await expect(last).to_have_attribute("aria-invalid", "true")
    await expect(page.locator("#tool-apply .error")).to_have_text(
        "One change can span at most a year."
    )
    await last.fill((monday + 3 * WEEK - DAY).isoformat())
    await page.locator("#tool-apply button").click()
    await expect(preview.locator("[data-summary]")).to_contain_text("1 day will change")
    await preview.get_by_role("button", name="Apply").click()
    await expect(status(page)).to_contain_text("1 day changed: Sat, ")

    await open_tool(page, "clear")
    await page.get_by_role("button", name="Clear this week").click()
    await expect(page.locator(".hours-range")).to_have_count(0)
    await expect(status(page)).to_have_text("Unsaved changes on 7 days.")
    await page.get_by_role("button", name="Discard").click()
    await expect(page.locator(".hours-range")).to_have_count(8)


async def test_days_off_and_the_pattern_are_set_and_removed(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    monday = next_monday(anna)
    await week.replace_days(pool, anna.id, {monday: [(540, 1020)]}, now=utc_now())
    page = await calendar(open_page, anna, monday)
    await drag(page, (monday + DAY, 9.1), (monday + DAY, 10.9))

    await open_tool(page, "off")
    await page.get_by_label("First day").fill(monday.isoformat())
    await page.get_by_label("Last day (optional)").fill((monday + 2 * DAY).isoformat())
    await page.get_by_label("Reason").fill("Holiday")
    await page.get_by_role("button", name="Take these days off").click()
    await expect(page.locator(".off-day")).to_have_count(3)
    await expect(page.locator("#grid-area .off").first).to_have_text("Holiday")
    await expect(ranges(page, monday)).to_have_text("9 am–5 pm")
    await expect(status(page)).to_have_text("Unsaved changes on 1 day.")  # nothing typed is lost
    await save(page)

    await open_tool(page, "off")
    await page.get_by_label("Reopen some of").click()
    await page.get_by_role("button", name="All 3 days").click()
    await expect(page.locator(".off-day")).to_have_count(0)
    assert await blackout.list_of(pool, anna.id, after=anna.today, limit=9) == []

    await open_tool(page, "repeat")
    await page.get_by_role("button", name="Repeat for the next 12 weeks").click()
    await expect(page.locator("#edited")).to_contain_text("This week was edited by hand")
    assert await stored(pool, anna, monday + 11 * WEEK) == [("09:00", "17:00")]
    await page.get_by_role("link", name="Later week").click()
    await expect(page.locator("#edited p")).to_have_count(0)
    await open_tool(page, "repeat")
    await page.get_by_role("button", name="Stop repeating").click()
    await expect(page.get_by_text("Repeat weekly: off")).to_be_visible()


async def test_a_day_off_is_reopened_where_it_is_shown(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    monday = next_monday(anna)
    days = (monday, monday + DAY)
    for day in days:
        await blackout.add(pool, anna.id, day, day, reason="Holiday", now=utc_now())
    grid = await calendar(open_page, anna, monday)
    await expect(grid.locator(".off-day")).to_have_count(2)
    phone = await phone_calendar(open_page, anna, monday)
    await grid.locator("#grid-area").get_by_role("button", name="Reopen Monday").click()
    await expect(grid.locator(".off-day")).to_have_count(1)
    await expect(grid.locator(f'.add-hours[data-of="{monday}"]')).to_be_focused()
    await expect(status(grid)).to_contain_text("is open again")
    # The other window shows it, too.
    phone_days = phone.locator("#days")
    await expect(phone_days.get_by_role("button", name="Reopen Monday")).to_have_count(0)
    await phone_days.get_by_role("button", name="Reopen Tuesday").click()
    await expect(phone_days.locator(".off")).to_have_count(0)
    await expect(phone.locator(f"#day-{days[1]} [data-add]")).to_be_focused()
    assert await blackout.list_of(pool, anna.id, after=anna.today, limit=9) == []


async def test_everything_works_by_keyboard_alone(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    monday = next_monday(anna)
    page = await calendar(open_page, anna, monday)
    keys = page.keyboard
    await expect(page.get_by_text("No hours this week yet")).to_be_visible()
    await page.get_by_role("button", name=f"Add hours on {monday:%A}").focus()
    await keys.press("Enter")
    dialog = page.locator("#range-dialog")
    await expect(dialog.get_by_label("From")).to_be_focused()
    await keys.press("Tab")
    await keys.press("ArrowDown")  # until 5:30 pm
    await keys.press("Tab")
    await keys.press("Tab")
    await keys.press("Space")  # on Tuesday, too
    await keys.press("Enter")
    await expect(ranges(page, monday)).to_have_text("9 am–5:30 pm")
    await expect(ranges(page, monday)).to_be_focused()
    await expect(ranges(page, monday + DAY)).to_have_text("9 am–5:30 pm")
    await keys.press("Enter")
    await expect(dialog).to_be_visible()
    await keys.press("Escape")
    await expect(ranges(page, monday)).to_be_focused()
    await keys.press("Delete")
    await expect(ranges(page, monday)).to_have_count(0)
    await expect(page.get_by_role("button", name=f"Add hours on {monday:%A}")).to_be_focused()
    await expect(page.get_by_text("No hours this week yet")).to_be_hidden()

    await page.get_by_role("button", name="List").focus()
    await keys.press("Enter")
    tuesday = page.locator(f"#day-{monday + DAY}")
    await tuesday.get_by_label("From").focus()
    await keys.press("ArrowUp")
    await expect(tuesday.get_by_label("From")).to_be_focused()
    await expect(tuesday.get_by_label("From")).to_have_value("08:30")
    await tuesday.get_by_role("button", name="Add hours on").focus()
    await keys.press("Enter")
    await expect(tuesday.get_by_label("From").nth(1)).to_be_focused()
    await tuesday.get_by_role("button", name="Remove").nth(1).focus()
    await keys.press("Enter")
    await expect(tuesday.get_by_role("button", name="Add hours on")).to_be_focused()
    await page.get_by_role("button", name="Save week").focus()
    await keys.press("Enter")
    await expect(status(page)).to_contain_text("Saved.")
    await expect(status(page)).to_be_focused()  # the button that was pressed is gone
    assert await stored(pool, anna, monday + DAY) == [("08:30", "17:30")]


async def test_a_phone_has_the_same_powers(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    monday = next_monday(anna)
    wednesday = monday + 2 * DAY
    page = await phone_calendar(open_page, anna, monday)
    await expect(page.locator("script[src*=fullcalendar]")).to_have_count(0)
    await expect(page.locator("#views")).to_be_hidden()
    day = page.locator(f"#day-{monday}")
    await day.get_by_role("button", name="Add hours on").click()
    await day.get_by_label("To").select_option("12:00 pm")
    await day.get_by_role("button", name="Other days").click()
    await page.get_by_label(f"{wednesday:%a}, {wednesday:%b}").check()
    await page.get_by_role("button", name="Done").click()
    await expect(status(page)).to_have_text("Unsaved changes on 2 days.")
    await save(page)
    assert await stored(pool, anna, wednesday) == [("09:00", "12:00")]
    await open_tool(page, "off")
    await page.get_by_label("First day").fill(monday.isoformat())
    await page.get_by_role("button", name="Take these days off").click()
    await expect(day.locator(".off")).to_have_text("Day off")
    await open_tool(page, "copy")
    await page.locator("#tool-copy button").click()
    await page.locator("#preview-dialog").get_by_role("button", name="Apply").click()
    await expect(status(page)).to_contain_text("2 days changed: from Mon, ")
    assert await stored(pool, anna, wednesday + WEEK) == [("09:00", "12:00")]
    assert await page.evaluate("document.documentElement.scrollWidth") == 390


async def test_axe_finds_nothing_in_any_state(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    ben = await factories.student(pool, "Ben Ode")
    monday = next_monday(anna)
    page = await calendar(open_page, anna, monday)
    await expect_no_violations(page, "empty")
    await week.replace_days(pool, anna.id, {monday: [(540, 1020)]}, now=utc_now())
    await book(pool, anna, anna.at("10:00", day=(monday - anna.today).days), ben.id)
    await blackout.add(pool, anna.id, monday, monday + DAY, reason="Holiday", now=utc_now())
    await expect(page.locator(".lesson")).to_have_count(1)
    await expect(page.locator(".off-day")).to_have_count(2)
    await expect_no_violations(page, "grid with a lesson and days off")
    await ranges(page, monday).click()
    await expect_no_violations(page, "range")
    await page.get_by_role("button", name="Remove", exact=True).click()
    await expect_no_violations(page, "unsaved")
    await page.get_by_role("link", name="Later week").click()
    await expect_no_violations(page, "leaving")
    await page.get_by_role("button", name="Keep editing").click()
    await week.replace_days(pool, anna.id, {monday + DAY: [(540, 600)]}, now=utc_now())
    await page.get_by_role("button", name="Save week").click()
    await expect(page.locator("#conflict-dialog .differs")).to_have_count(2)
    await expect_no_violations(page, "conflict")
    await page.get_by_role("button", name="Keep mine").click()
    await expect(status(page)).to_contain_text("Saved.")
    for tool in ("presets", "apply", "off", "repeat", "clear"):
        await open_tool(page, tool)
        await expect_no_violations(page, tool)
    await open_tool(page, "presets")
    await page.locator("#tool-presets button").click()
    await expect(page.locator("#preview-dialog tbody tr")).to_have_count(5)
    await expect_no_violations(page, "preview")
    await page.get_by_role("button", name="Back").click()
    await page.set_viewport_size(PHONE)
    await expect(page.locator("#grid-area")).to_be_hidden()
    await expect_no_violations(page, "phone")


async def expect_no_violations(page: Page, state: str) -> None:
    """In both themes; the colors alone in the dark one."""
    await load(page)
    themes: tuple[tuple[Literal["light", "dark"], tuple[str, ...]], ...] = (
        ("light", ()),
        ("dark", COLOR_RULES),
    )
    for scheme, rules in themes:
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        violations = await page.evaluate(run(*rules))
        texts = [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in violations]
        assert texts == [], (state, scheme)
    await page.emulate_media(color_scheme="light", reduced_motion="reduce")


VIOLATIONS = """addEventListener("securitypolicyviolation", ({ violatedDirective }) =>
  document.documentElement.setAttribute("data-violation", violatedDirective))"""


async def test_the_page_is_below_40_kilobytes_and_keeps_to_the_content_security_policy(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    monday = next_monday(anna)
    page = await open_page("about:blank", anna, viewport={"width": 1280, "height": 1100})
    await page.add_init_script(VIOLATIONS)
    sizes = await response_sizes(page, f"/teach/calendar?week={monday}")
    await expect(page.locator(".lane")).to_have_count(7)
    await drag(page, (monday, 9.1), (monday, 11.9))
    await drag(page, (monday, 10), (monday + DAY, 11))
    await expect(ranges(page, monday + DAY)).to_have_count(1)
    await expect(page.locator("html[data-violation]")).to_have_count(0)
    files = {
        url: size
        for url, size in sizes.items()
        if url.partition("?")[0].endswith((".js", ".css")) and "/vendor/" not in url
    }
    assert any("/calendar.js" in url for url in files)
    assert any("/vendor/fullcalendar/fullcalendar.js" in url for url in sizes)
    assert 10_000 < sum(files.values()) < MAX_BYTES, files


async def test_the_focus_stays_on_a_button_of_a_day_when_another_day_is_closed_elsewhere(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    monday = next_monday(anna)
    await blackout.add(pool, anna.id, monday, monday, reason="Holiday", now=utc_now())
    grid = await calendar(open_page, anna, monday)
    await expect(grid.locator(".off-day")).to_have_count(1)
    buttons = (f'.add-hours[data-of="{monday + DAY}"]', f'.reopen-day[data-of="{monday}"]')
    for number, button in enumerate(buttons, 2):
        await grid.locator(button).focus()
        other = monday + (number + 1) * DAY
        await blackout.add(pool, anna.id, other, other, reason="", now=utc_now())
        await expect(grid.locator(".off-day")).to_have_count(number)
        await expect(grid.locator(button)).to_be_focused()
