"""Pages on narrow screens, in the dark, with assistive technology, and without scripts."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Page, Request, expect

from app import wire
from app.bookings import cancellation
from app.db import Pool
from app.web import utc_now
from tests import factories
from tests.browser.axe import AXE, COLOR_RULES, run
from tests.browser.board import book, hold, time_button
from tests.browser.conftest import Open
from tests.factories import Account, Instructor

MAX_BYTES = 100_000  # of a page with everything it loads, compressed


async def town(pool: Pool) -> tuple[Instructor, Account]:
    """An instructor with lessons, a held time and two services, and her student."""
    anna = await factories.instructor(pool, "Anna Diaz", durations=(30, 60, 90))
    await factories.service_of(pool, anna.id, "music-theory")
    await pool.execute(
        """update instructor
           set headline = 'Patient with beginners', bio = 'We start with a piece you love.'"""
    )
    ben, cleo = await factories.student(pool, "Ben Ode"), await factories.student(pool, "Cleo Park")
    await book(pool, anna, anna.at("10:00"), ben.id)
    await book(pool, anna, anna.at("10:00", day=9), ben.id)
    await hold(pool, anna, anna.at("13:00"), cleo.id)
    current = await book(pool, anna, anna.at("10:00", day=10), cleo.id)
    await pool.execute(
        """update booking set during = span, blocked = span
           from (select tstzrange(now() - interval '10 min', now() + interval '20 min') as span)
           where id = $1""",
        current.id,
    )
    # Ben has not confirmed his address, and is about to turn on a second factor.
    await pool.execute("update account set verified_at = null where id = $1", ben.id)
    await pool.execute(
        "insert into totp (account_id, secret) values ($1, 'JBSWY3DPEHPK3PXP')", ben.id
    )
    # Ben has a lost hold, a hold and a cancelled lesson, each with its page.
    await hold(pool, anna, anna.at("15:00"), ben.id)
    await hold(pool, anna, anna.at("14:00"), ben.id)
    lesson = await book(pool, anna, anna.at("16:00"), ben.id)
    await cancellation.cancel(pool, ben.id, lesson.id, reason="A cold.", now=utc_now())
    await pool.execute(
        """insert into dev_mail (sender, recipient, subject, body_text, body_html)
           values ('InstaInstru <lessons@example.com>', 'ben.ode@example.com',
                   'Confirmed: Piano', 'Hello', '<p>Hello</p>')"""
    )
    return anna, ben


async def pages(pool: Pool, anna: Instructor, ben: Account) -> list[tuple[str, Account | None]]:
    ids = await pool.fetch(
        "select distinct on (state) id from booking where student_id = $1", ben.id
    )
    lesson, cancelled = [
        await pool.fetchval(
            "select id from booking where student_id = $1 and state = $2 limit 1", ben.id, state
        )
        for state in ("confirmed", "cancelled")
    ]
    ada = await factories.admin(pool, "Ada Vale")
    free = f"/instructors/{anna.id}?minutes=30&start={wire.instant(anna.at('11:00'))}"
    held = f"/instructors/{anna.id}?minutes=30&start={wire.instant(anna.at('14:00'))}"
    unavailable = f"/instructors/{anna.id}?minutes=30&start={wire.instant(anna.at('10:00'))}"
    return [
        ("/", None), ("/services", None), ("/search?q=nothing+like+it", None), ("/", ben),
        ("/search?q=piano+tomorrow+under+$80", ben), ("/search?q=harp+in+queens", None),
        ("/dev/mail", None), ("/dev/mail/1", None), ("/login?next=/lessons", None),
        ("/register", None), ("/nowhere", None), (f"/instructors/{anna.id}", None),
        (free, None), (free, ben), (unavailable, ben), (held, ben),
        (f"/instructors/{anna.id}", anna), ("/lessons", ben), ("/lessons?scope=past", ben),
        ("/account", ben), ("/account", anna), ("/account/delete", ben), ("/account/delete", anna),
        ("/goodbye", None), ("/verify-email", ben), ("/reset-password", None),
        ("/verify-email?token=x", None), ("/teach", anna), ("/teach/calendar", anna),
        ("/teach/profile", anna), ("/teach/stats", anna),
        *((f"/book/{row['id']}", ben) for row in ids), (f"/lessons?cancelled={cancelled}", ben),
        ("/admin", ada), ("/admin/accounts", ada), ("/admin/accounts?q=x", ada),
        (f"/admin/accounts/{ben.id}", ada), (f"/admin/accounts/{ada.id}", ada),
        (f"/admin/bookings?account={ben.id}", ada), ("/admin/bookings?state=no_show", ada),
        (f"/admin/bookings/{lesson}", ada), (f"/admin/bookings/{cancelled}", ada),
        ("/admin/bookings/new", ada), ("/admin/notifications", ada), ("/admin/searches", ada),
        ("/admin/system", ada),
        (f"/admin/bookings/new?student={ben.id}&instructor={anna.id}", ada),
        (f"/lessons/{lesson}/move", ben), (f"/lessons/{lesson}/move{free[free.index('?'):]}", ben),
    ]  # fmt: skip


async def visit_all(
    open_page: Open, pool: Pool, anna: Instructor, ben: Account, **options: Any
) -> AsyncIterator[tuple[str, Page]]:
    """Every page, in one browser context per account, because a new context costs more than most
    pages."""
    opened: dict[Account | None, Page] = {}
    for path, account in await pages(pool, anna, ben):
        if account in opened:
            await opened[account].goto(path)
        else:
            opened[account] = await open_page(path, account, **options)
        yield path, opened[account]


# Pages list all areas and services, and axe takes seconds for hundreds of them.
SMALL_CATALOG = """
delete from area_term where area !~ '^b' and area not in (select area from instructor_area);
delete from area where slug !~ '^b' and slug not in (select area from instructor_area);
delete from catalog_term
where catalog_service !~ '^p' and catalog_service not in (select catalog_service from service);
delete from catalog_service
where slug !~ '^p' and slug not in (select catalog_service from service)"""


OPEN = "(all) => all.forEach((details) => { details.open = true; })"


@pytest.mark.parametrize(("width", "zone"), [(1280, "UTC"), (390, "America/New_York")])
async def test_axe_finds_nothing(open_page: Open, pool: Pool, width: int, zone: str) -> None:
    anna, ben = await town(pool)
    await pool.execute(SMALL_CATALOG)
    options = {
        "viewport": {"width": width, "height": 800},
        "timezone_id": zone,
        "reduced_motion": "reduce",
    }
    all_violations: list[Any] = []
    async for path, page in visit_all(open_page, pool, anna, ben, **options):
        await page.locator("details").evaluate_all(OPEN)
        await page.evaluate(AXE)
        for theme, rules in (("light", ()), ("dark", COLOR_RULES)):
            await page.emulate_media(
                color_scheme=theme,  # type: ignore[arg-type]
                reduced_motion="reduce",
            )
            violations = await page.evaluate(run(*rules))
            all_violations += [
                (path, theme, v["id"], [node["target"] for node in v["nodes"]][:3])
                for v in violations
            ]
        await page.emulate_media(color_scheme="light", reduced_motion="reduce")
    assert all_violations == [], "\n".join(map(str, all_violations))


LONG_NAME = "Maximiliana Wolfeschlegelsteinhausenbergerdorff-Featherstonehaugh" + "x" * 60


async def test_no_page_is_too_wide_even_with_long_names_and_targets_on_phones_are_large(
    open_page: Open, pool: Pool
) -> None:
    anna, ben = await town(pool)
    await pool.execute("update account set full_name = $1", LONG_NAME)
    await factories.instructor(pool, "Cora")
    async for path, page in visit_all(open_page, pool, anna, ben):
        for width in (1280, 768, 320):
            await page.set_viewport_size({"width": width, "height": 800})
            assert await page.evaluate(WIDTH) == width, path
            assert await page.evaluate(TOO_WIDE) == [], (path, width)
        assert await page.evaluate(SMALL_TARGETS) == [], path


# After the listeners of a changed width.
WIDTH = "new Promise(requestAnimationFrame).then(() => document.documentElement.scrollWidth)"
TOO_WIDE = """() => [...document.querySelectorAll(".card, .bar, .row, .entry, .profile, .hero")]
  .filter((element) => element.checkVisibility()
    && element.scrollWidth > element.clientWidth + 1)
  .map((element) => element.className)"""
SMALL_TARGETS = """() => [...document.querySelectorAll(
    "button, .btn, .pill, .time, .tabs a, .segments a, .strip a, .offer, summary," +
    ".check, input:not([type=radio]):not([type=checkbox]):not([type=hidden])")]
  .filter((element) => element.checkVisibility())
  .map((element) => [element.textContent.trim(), element.getBoundingClientRect()])
  .filter(([, box]) => box.height < 44).map(([text]) => text)"""


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
    page = await open_page(f"/instructors/{anna.id}?minutes=30", reduced_motion="reduce")
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


def brightness(color: str) -> float:
    """Of `rgb(27, 26, 23)`: 0 to 255."""
    red, green, blue = (int(part) for part in re.findall(r"\d+", color)[:3])
    return 0.299 * red + 0.587 * green + 0.114 * blue


async def test_a_page_loads_less_than_100_kilobytes(open_page: Open, pool: Pool) -> None:
    anna, ben = await town(pool)
    for path in ("/", "/search?q=piano", f"/instructors/{anna.id}", "/lessons"):
        page = await open_page("about:blank", ben)
        sizes = await response_sizes(page, path)
        assert 5_000 < sum(sizes.values()) < MAX_BYTES, (path, sizes)


async def response_sizes(page: Page, path: str) -> dict[str, int]:
    """The bytes of each response that the page loads."""
    requests: list[Request] = []

    def finished(request: Request) -> None:
        requests.append(request)

    page.on("requestfinished", finished)
    await page.goto(path)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await page.wait_for_load_state("networkidle")
    return {request.url: (await request.sizes())["responseBodySize"] for request in requests}


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
