"""An instructor edits a week in the grid of /teach/calendar: dragging, saving, leaving, two
windows, an unreachable server."""

import asyncio
from datetime import timedelta

import pytest
from playwright.async_api import Dialog, Page, expect

from app.availability import week
from app.db import Pool
from app.web import utc_now
from tests import factories
from tests.browser.board import book, expect_not_free, time_button
from tests.browser.calendar import (
    calendar,
    drag,
    next_monday,
    phone_calendar,
    ranges,
    save,
    status,
)
from tests.browser.conftest import Open

DAY = timedelta(days=1)


async def test_hours_are_dragged_and_open_boards_follow_each_save(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    monday = next_monday(anna)
    tuesday, ahead = monday + DAY, (monday - anna.today).days
    board = await open_page(f"/instructors/{anna.id}?minutes=60&from={monday}")
    await expect(board.locator("#live")).to_have_attribute("data-state", "live")
    page = await calendar(open_page, anna, monday)
    saves: list[str] = []
    page.on("request", lambda each: saves.append(each.url) if each.method == "PUT" else None)

    async def expect_free(day: int, *times: str) -> None:
        for time in times:
            await expect(time_button(board, anna.at(time, day=ahead + day))).to_have_attribute(
                "data-state", "free"
            )

    await drag(page, (monday, 9.1), (monday, 11.9))
    await expect(ranges(page, monday)).to_have_text("9 am–12 pm")
    await expect(status(page)).to_have_text("Unsaved changes on 1 day.")
    await save(page)
    await expect_free(0, "09:00", "11:00")

    await drag(page, (monday, 10), (tuesday, 14))  # moves
    await expect(ranges(page, tuesday)).to_have_text("1–4 pm")
    await drag(page, (tuesday, 15.95), (tuesday, 17.75))  # resizes
    await expect(ranges(page, tuesday)).to_have_text("1–6 pm")
    await expect(status(page)).to_have_text("Unsaved changes on 2 days.")
    await save(page)
    await expect_free(1, "13:00", "17:00")
    await expect_not_free(board, anna.at("09:00", day=ahead))

    await ranges(page, tuesday).click()
    await page.get_by_role("button", name="Remove", exact=True).click()
    await save(page)
    await expect_not_free(board, anna.at("13:00", day=ahead + 1))
    await page.get_by_role("button", name="Undo").click()
    await expect(status(page)).to_have_text("The last save was undone.")
    await expect_free(1, "13:00", "17:00")
    assert len(saves) == 4


async def test_quarter_hours_stay_and_lessons_arrive_over_the_hours(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    ben = await factories.student(pool, "Ben Ode")
    monday = next_monday(anna)
    page = await calendar(open_page, anna, monday)
    await week.replace_days(pool, anna.id, {monday: [(555, 675)]}, now=utc_now())
    await expect(ranges(page, monday)).to_have_text("9:15–11:15 am")
    await drag(page, (monday, 10), (monday, 11))
    await expect(ranges(page, monday)).to_have_text("10:15 am–12:15 pm")
    await save(page)

    await drag(page, (monday, 14.1), (monday, 15.9))
    ahead = (monday - anna.today).days
    await book(pool, anna, anna.at("10:30", day=ahead), ben.id)
    await expect(page.locator(".lesson")).to_have_text("10:30–11 am Ben Ode, Piano")
    await expect(page.locator("#announcements")).to_contain_text("Ben Ode just booked Piano")
    await expect(status(page)).to_have_text("Unsaved changes on 1 day.")  # the edit stays
    await save(page)  # a booking is no conflict
    await page.get_by_role("button", name="List").click()
    await expect(page.locator(f"#day-{monday} .day-lessons")).to_contain_text("Ben Ode, Piano")
    assert (await week.read(pool, anna.id, monday)).days[str(monday)] == [
        {"start": "10:15", "end": "12:15"},
        {"start": "14:00", "end": "16:00"},
    ]


async def test_the_past_is_shown_and_cannot_be_changed(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    monday = next_monday(anna) - timedelta(days=14)
    await pool.execute(
        """insert into availability (instructor_id, during)
           values ($1, tstzrange($2, $3))""",
        anna.id,
        *(anna.at(time, day=(monday - anna.today).days) for time in ("10:00", "12:00")),
    )
    page = await calendar(open_page, anna, monday)
    await expect(ranges(page, monday)).to_have_text("10 am–12 pm")
    await expect(page.locator(".past-time")).to_have_count(7)
    await expect(page.locator(".add-hours")).to_have_count(0)
    await drag(page, (monday, 11), (monday, 14))
    await drag(page, (monday, 15.1), (monday, 16.9))
    await expect(page.locator(".hours-range")).to_have_count(1)
    await expect(ranges(page, monday)).to_have_text("10 am–12 pm")
    await expect(page.locator("#save-bar")).to_be_hidden()


# The contrast of a range's text with its background, both below what is drawn over the past.
CONTRAST_BELOW_THE_PAST = """() => {
  const style = (selector) => getComputedStyle(document.querySelector(selector));
  const rgb = (color) => color.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const { color, backgroundColor } = style(".hours-range");
  const cover = style(".past-time");
  const opacity = Number(cover.opacity);
  const below = (each) => rgb(each).map(
    (value, index) => value * (1 - opacity) + rgb(cover.backgroundColor)[index] * opacity,
  );
  const linear = (value) => value / 255 <= 0.04045
    ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4;
  const luminance = (each) => below(each).reduce(
    (sum, value, index) => sum + [0.2126, 0.7152, 0.0722][index] * linear(value), 0,
  );
  const [dark, light] = [luminance(color), luminance(backgroundColor)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}"""


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_past_hours_can_be_read(open_page: Open, pool: Pool, color_scheme: str) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    await pool.execute(
        "insert into availability (instructor_id, during) values ($1, tstzrange($2, $3))",
        anna.id, anna.at("10:00", day=-7), anna.at("12:00", day=-7),
    )  # fmt: skip
    page = await calendar(
        open_page, anna, next_monday(anna) - timedelta(14), color_scheme=color_scheme
    )
    await expect(page.locator(".hours-range")).to_have_count(1)
    assert await page.evaluate(CONTRAST_BELOW_THE_PAST) >= 4.5


async def test_unsaved_changes_are_guarded_on_leaving(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    monday = next_monday(anna)
    page = await calendar(open_page, anna, monday)
    heading = page.locator("#week")
    name = await heading.inner_text()
    later = page.get_by_role("link", name="Later week")
    await drag(page, (monday, 9.1), (monday, 11.9))
    await later.click()
    await page.get_by_role("button", name="Keep editing").click()
    await expect(heading).to_have_text(name)
    await expect(status(page)).to_have_text("Unsaved changes on 1 day.")

    async def stay(dialog: Dialog) -> None:
        await dialog.dismiss()

    async with page.expect_event("dialog") as question:
        page.once("dialog", stay)
        await page.evaluate("setTimeout(() => location.assign('/teach'))")
    assert (await question.value).type == "beforeunload"

    await later.click()
    await page.get_by_role("button", name="Save and continue").click()
    await expect(heading).not_to_have_text(name)
    await expect(later).to_be_focused()
    saved = await week.read(pool, anna.id, monday)
    assert saved.days[str(monday)] == [{"start": "09:00", "end": "12:00"}]

    second = monday + timedelta(days=7)
    await drag(page, (second, 9.1), (second, 11.9))
    await page.go_back()
    await page.get_by_role("button", name="Discard changes").click()
    await expect(heading).to_have_text(name)
    await expect(ranges(page, monday)).to_have_text("9 am–12 pm")
    await expect(status(page)).to_be_empty()


async def test_of_two_windows_one_saves_and_the_other_loses_nothing(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    monday = next_monday(anna)
    one = await calendar(open_page, anna, monday)
    other = await calendar(open_page, anna, monday)
    await drag(one, (monday, 9.1), (monday, 11.9))
    await drag(other, (monday, 13.1), (monday, 15.9))
    wednesday = monday + 2 * DAY
    await drag(one, (wednesday, 9.1), (wednesday, 10.9))
    await drag(other, (monday + 3 * DAY, 9.1), (monday + 3 * DAY, 10.9))
    await asyncio.gather(
        *(page.get_by_role("button", name="Save week").click() for page in (one, other))
    )
    loser = await first_with_a_conflict(one, other)
    winner = other if loser is one else one
    texts = {one: "9 am–12 pm", other: "1–4 pm"}
    await expect(status(winner)).to_have_text("Saved. Students see your new hours now.")
    conflict = loser.locator("#conflict-dialog")
    await expect(conflict.locator(".differs")).to_have_count(3)
    await expect(conflict.locator(".differs .tag")).to_contain_text(
        ["changed in both", *sorted(["changed by you", "changed there"], reverse=loser is other)]
    )
    await expect(conflict.locator(".differs td").nth(0)).to_have_text(texts[loser])
    await expect(conflict.locator(".differs td").nth(1)).to_have_text(texts[winner])

    await conflict.get_by_role("button", name="Go on editing").click()
    await expect(ranges(loser, monday)).to_have_text(texts[loser])
    tuesday = monday + DAY
    await drag(loser, (tuesday, 9.1), (tuesday, 10.9))
    await loser.get_by_role("button", name="Save week").click()
    await expect(conflict.locator(".differs")).to_have_count(4)
    await conflict.get_by_role("button", name="Keep mine").click()
    await expect(status(loser)).to_have_text("Saved. Students see your new hours now.")
    await expect(ranges(winner, monday)).to_have_text(texts[loser])
    for day in (tuesday, wednesday, monday + 3 * DAY):
        await expect(ranges(winner, day)).to_have_text("9–11 am")

    await drag(winner, (tuesday, 12.1), (tuesday, 13.9))
    await week.replace_days(pool, anna.id, {monday: []}, now=utc_now())
    await winner.get_by_role("button", name="Save week").click()
    await winner.get_by_role("button", name="Take the saved week").click()
    await expect(ranges(winner, monday)).to_have_count(0)
    await expect(ranges(winner, tuesday)).to_have_text("9–11 am")


async def first_with_a_conflict(*pages: Page) -> Page:
    for _ in range(200):
        for page in pages:
            if await page.locator("#conflict-dialog").is_visible():
                return page
        await asyncio.sleep(0.05)
    raise AssertionError("No window shows a conflict.")


async def test_unsaved_changes_survive_signing_in_again(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    monday = next_monday(anna)
    page = await calendar(open_page, anna, monday)
    await page.get_by_role("link", name="Later").click()
    later = monday + 7 * DAY
    await expect(ranges(page, later)).to_have_count(0)
    await drag(page, (later, 9.1), (later, 11.9))
    await expect(ranges(page, later)).to_have_text("9 am–12 pm")
    for is_told in (False, True):
        if is_told:
            await pool.execute("update session set revoked_at = now()")
        else:  # the live connection goes on
            await page.context.clear_cookies()
            await page.get_by_role("button", name="Save week").click()
        await page.get_by_role("link", name="Sign in again").click()
        await page.get_by_label("E-mail").fill(anna.email)
        await page.get_by_label("Password").fill(factories.PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await expect(ranges(page, later)).to_have_text("9 am–12 pm")
    await save(page)
    await page.reload()
    await expect(ranges(page, later)).to_have_text("9 am–12 pm")
    await expect(page.get_by_role("button", name="Save week")).to_be_hidden()


async def test_an_edge_that_the_clocks_skip_is_marked_where_it_was_entered(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    night = anna.spring_day
    page = await phone_calendar(open_page, anna, night - night.weekday() * DAY)
    item = page.locator(f"#days [data-day='{night}']")
    for count, (start, end) in enumerate((("10:00", "16:00"), ("01:00", "02:30"))):
        await item.locator("[data-add]").click()
        row = item.locator(".range").nth(count)
        await row.locator("[data-edge=end]").select_option(end)
        await row.locator("[data-edge=start]").select_option(start)
    await page.get_by_role("button", name="Save week").click()
    await expect(item.locator(".error")).to_contain_text("the clocks skip that time")
    invalid = item.locator("[aria-invalid]")
    await expect(invalid).to_have_count(1)
    await expect(invalid).to_have_value("02:30")


async def test_without_the_grid_the_list_does_the_same(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    monday = next_monday(anna)
    page = await open_page("about:blank", anna)
    await page.route("**/fullcalendar.js*", lambda route: route.abort())
    await page.goto(f"/teach/calendar?week={monday}")
    await expect(page.locator("#save-bar")).to_contain_text("The list below does the same.")
    day = page.locator(f"#day-{monday}")
    await day.get_by_role("button", name="Add hours on").click()
    # A list of times that is open stays while lessons arrive.
    await day.get_by_label("From").evaluate("(select) => { window.select = select; }")
    ben = await factories.student(pool, "Ben Ode")
    tuesday = monday + DAY
    await pool.execute(
        """insert into availability (instructor_id, during) values ($1, tstzrange($2, $3))""",
        anna.id,
        *(anna.at(time, day=(tuesday - anna.today).days) for time in ("10:00", "12:00")),
    )
    await book(pool, anna, anna.at("10:00", day=(tuesday - anna.today).days), ben.id)
    await expect(page.locator(f"#day-{tuesday} .day-lessons")).to_contain_text("Ben Ode")
    assert await page.evaluate("window.select.isConnected")
    await save(page)


async def test_while_the_server_is_unreachable_nothing_is_lost(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    monday = next_monday(anna)
    page = await calendar(open_page, anna, monday)
    await drag(page, (monday, 9.1), (monday, 11.9))
    await page.context.set_offline(True)
    await page.get_by_role("button", name="Save week").click()
    error = page.locator("#save-bar [data-error]")
    await expect(error).to_contain_text("We couldn’t reach the server.")
    await expect(ranges(page, monday)).to_have_text("9 am–12 pm")
    await page.context.set_offline(False)
    await save(page)
    await expect(error).to_be_hidden()
