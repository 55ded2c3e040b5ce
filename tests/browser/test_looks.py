"""Pages on narrow screens, in the dark, and without scripts."""

import re

import pytest
from playwright.async_api import Page, expect

from app import wire
from app.bookings import booking
from app.db import Pool
from app.notifications import message
from app.web import utc_now
from tests import factories
from tests.browser.board import book, time_button
from tests.browser.conftest import Open
from tests.browser.every_page import LONG_NAME, response_sizes, town
from tests.factories import Account

MAX_BYTES = 100_000  # of a page with everything it loads, compressed


async def test_cards_in_a_row_have_equal_heights_and_aligned_times(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna Diaz")
    await factories.instructor(pool, "Cora Lind")
    await pool.execute("update account set full_name = $2 where id = $1", anna.id, LONG_NAME)
    await pool.execute(
        "update instructor set headline = $2 where id = $1", anna.id, "many words " * 30
    )
    page = await open_page("/")
    heights, tops = await page.evaluate(
        """() => ["article", "article .next"].map((part) =>
             [...document.querySelectorAll(part)].map((element) => {
               const { top, height } = element.getBoundingClientRect();
               return part === "article" ? Math.round(height) : Math.round(top);
             }))"""
    )
    assert len(heights) == 2
    assert len(set(heights)) == len(set(tops)) == 1, (heights, tops)


async def test_a_figure_on_a_phone_stays_on_one_line(open_page: Open, pool: Pool) -> None:
    anna, _ = await town(pool)
    page = await open_page("/teach", anna, viewport={"width": 390, "height": 844})
    await pool.execute("update booking set price_cents = 14000050")
    await page.reload()
    figure = page.locator(".stats dd").last
    await expect(figure).to_contain_text("$")
    lines = """(dd) => {
      const range = document.createRange();
      range.selectNodeContents(dd);
      return range.getClientRects().length;
    }"""
    assert await figure.evaluate(lines) == 1
    assert await figure.evaluate("(dd) => dd.scrollWidth <= dd.clientWidth")
    assert await page.evaluate("document.documentElement.scrollWidth") == 390


async def test_a_disabled_button_does_not_change_under_the_pointer(
    open_page: Open, pool: Pool
) -> None:
    anna, _ = await town(pool)
    page = await open_page(f"/instructors/{anna.id}?minutes=30")
    disabled = [
        page.locator("#earlier"),
        page.locator('.time[data-state="held"]').first,
    ]
    for button in disabled:
        await expect(button).to_have_attribute("aria-disabled", "true")
        before = await button.evaluate(COLORS)
        await button.hover()
        assert await button.evaluate(COLORS) == before
    later = page.locator("#later")
    before = await later.evaluate(COLORS)
    await later.hover()
    assert await later.evaluate(COLORS) != before


COLORS = """(element) => {
  const { backgroundColor, borderColor } = getComputedStyle(element);
  return [backgroundColor, borderColor];
}"""


async def test_the_selection_is_visible_in_forced_colors(open_page: Open, pool: Pool) -> None:
    anna, ben = await town(pool)
    path = f"/instructors/{anna.id}?minutes=30&start={wire.instant(anna.at('11:00'))}"
    page = await open_page(path, ben, forced_colors="active")
    await expect(time_button(page, anna.at("11:00"))).to_have_attribute("aria-pressed", "true")
    for selected, other in (
        (time_button(page, anna.at("11:00")), time_button(page, anna.at("11:30"))),
        (
            page.locator("#durations [aria-current]"),
            page.locator("#durations a:not([aria-current])").first,
        ),
        (page.locator(".offer[aria-current]"), page.locator(".offer:not([aria-current])").first),
    ):
        assert (await selected.evaluate(COLORS))[0] != (await other.evaluate(COLORS))[0]
    await page.locator("#hold-button").click()
    await expect(page.locator("#confirm")).to_be_visible()
    outline = "(label) => getComputedStyle(label).outlineStyle"
    assert await page.locator(".pick:has(:checked)").evaluate(outline) == "solid"
    assert await page.locator(".pick:not(:has(:checked))").first.evaluate(outline) == "none"


@pytest.mark.parametrize("width", [390, 1280])
async def test_mornings_afternoons_and_evenings_begin_at_the_same_height(
    open_page: Open, pool: Pool, width: int
) -> None:
    anna = await factories.instructor(pool, "Anna", hours=("10:00", "19:00"))
    cleo = await factories.student(pool, "Cleo")
    await book(pool, anna, anna.at("10:00", day=7), cleo.id, minutes=60)
    page = await open_page(
        f"/instructors/{anna.id}?minutes=60&from={anna.day(7)}",
        viewport={"width": width, "height": 844},
    )
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    for part, first in (("morning", "10:00 am"), ("afternoon", "12:00 pm"), ("evening", "5:00 pm")):
        column = page.locator(f'#day-{anna.day(8)} .times[data-part="{part}"] .time')
        await expect(column.first).to_have_text(first)
        tops = await page.locator(f'.times[data-part="{part}"] .time:first-child').evaluate_all(
            "(times) => times.map((time) => Math.round(time.getBoundingClientRect().top))"
        )
        assert len(tops) == 7
        assert len(set(tops)) == 1, part
        await expect(page.locator(f'.part[data-part="{part}"]')).to_be_visible()
    # On the night the clocks go back, the zone is part of a time.
    time = page.locator(f"#day-{anna.day(8)} .time").first
    is_inside = await time.evaluate(
        """(time) => {
          time.textContent = "10:00 am EDT";
          const { right } = time.closest(".day").getBoundingClientRect();
          return time.getBoundingClientRect().right <= right
            && time.scrollWidth <= time.clientWidth;
        }"""
    )
    assert is_inside


async def test_a_part_of_the_day_without_times_has_no_label(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", hours=("09:00", "12:00"))
    page = await open_page(f"/instructors/{anna.id}?minutes=60&from={anna.day(7)}")
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await expect(page.locator('.part[data-part="morning"]')).to_be_visible()
    await expect(page.locator('.part[data-part="evening"]')).to_be_hidden()


async def test_an_empty_day_says_so_below_the_first_label(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", hours=("13:00", "17:00"))
    day = anna.day(8)
    await pool.execute("insert into blackout (instructor_id, day) values ($1, $2)", anna.id, day)
    page = await open_page(f"/instructors/{anna.id}?minutes=60&from={anna.day(7)}")
    await expect(page.locator('.part[data-part="morning"]')).to_be_hidden()
    label = await page.locator('.part[data-part="afternoon"] span').bounding_box()
    text = await page.locator(f"#day-{day} .nothing-free span").bounding_box()
    assert label is not None
    assert text is not None
    assert text["y"] >= label["y"] + label["height"]


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_a_mail_is_readable_in_both_themes(open_page: Open, pool: Pool, theme: str) -> None:
    """The frame is transparent where the mail has the theme of the page."""
    await pool.execute(
        """insert into dev_mail (sender, recipient, subject, body_text, body_html)
           values ('a@example.com', 'b@example.com', 'Hello', 'Hello',
                   '<meta name="color-scheme" content="light dark"><p>Hello</p>')"""
    )
    page = await open_page("/dev/mail/1", color_scheme=theme)
    frame = page.locator("iframe.mail")
    text = page.frame_locator("iframe.mail").locator("p")
    color = await text.evaluate("(element) => getComputedStyle(element).color")
    background = await frame.evaluate("(element) => getComputedStyle(element).backgroundColor")
    assert abs(brightness(color) - brightness(background)) > 128


async def test_a_mail_with_a_long_name_and_address_fits_a_phone(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, LONG_NAME)
    ben = await factories.student(pool, "Ben")
    await book(pool, anna, anna.at("10:00"), ben.id)
    lesson = await booking.find(pool, await pool.fetchval("select id from booking"), viewer=ben.id)
    mail = message.compose(
        "booking_confirmed", lesson, message.Recipient(ben.id, LONG_NAME, ben.email),
        actor_id=ben.id, site_url="http://127.0.0.1", mail_from="a@example.com", now=utc_now(),
    )  # fmt: skip
    page = await open_page("about:blank", viewport={"width": 390, "height": 800})
    await page.set_content(mail.html)
    assert await page.evaluate("document.documentElement.scrollWidth") == 390


def brightness(color: str) -> float:
    """Of `rgb(27, 26, 23)`: 0 to 255."""
    red, green, blue = (int(part) for part in re.findall(r"\d+", color)[:3])
    return 0.299 * red + 0.587 * green + 0.114 * blue


async def test_a_page_loads_less_than_100_kilobytes(open_page: Open, pool: Pool) -> None:
    anna, ben = await town(pool)
    page = await open_page("about:blank", ben)
    for path in ("/", "/search?q=piano", f"/instructors/{anna.id}", "/lessons"):
        sizes = await response_sizes(page, path)
        assert 5_000 < sum(sizes.values()) < MAX_BYTES, (path, sizes)


async def test_without_scripts_a_lesson_is_booked_and_cancelled(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    page = await open_page(f"/instructors/{anna.id}", java_script_enabled=False)
    await expect(page.locator("#live")).to_contain_text("as of")
    await page.get_by_role("link", name="30 min").click()
    await page.get_by_role("link", name="Later").click()
    await time_button(page, anna.at("09:30", day=8)).click()
    await expect(page.locator("#when")).to_contain_text("9:30 am")
    await page.get_by_role("link", name="Sign in to book").click()
    await sign_in(page, ben)
    await expect(page.locator("#when")).to_contain_text("9:30 am")
    await page.get_by_role("button", name="Review and book").dblclick()
    await expect(page.locator("#held-text")).to_contain_text("This time is yours until")
    await page.get_by_label("In a public place").check()
    await expect(page.locator(".for-student")).to_be_hidden()
    await page.get_by_label("Meeting point").fill("The library")
    await page.get_by_label("A note to Anna").fill("Hello")
    await page.get_by_role("button", name="Keep this time for another 5 minutes").click()
    await expect(page.get_by_role("button", name="Keep this time")).to_have_count(0)
    await expect(page.get_by_label("Meeting point")).to_have_value("The library")
    await expect(page.get_by_label("A note to Anna")).to_have_value("Hello")
    await page.get_by_role("button", name="Book this lesson").click()
    await expect(page.locator("h1")).to_have_text("You booked this lesson")
    await page.go_back()
    await expect(page.locator("body")).to_contain_text("You booked this lesson")
    await page.go_forward()
    await page.locator("#summary").get_by_role("link", name="My lessons").click()
    row = page.locator(".row")
    await expect(row).to_contain_text("Piano with Anna")
    await row.locator("summary", has_text="Cancel").click()
    await row.get_by_role("button", name="Cancel this lesson").click()
    await expect(page.locator("#notices")).to_contain_text("Cancelled: Piano with Anna")


async def sign_in(page: Page, account: Account) -> None:
    await page.get_by_label("E-mail").fill(account.email)
    await page.get_by_label("Password").fill(factories.PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
