"""The live board under someone's hands: keyboard, focus, times that go, are held and come back."""

import re
from datetime import datetime, timedelta
from uuid import UUID

from playwright.async_api import Locator, Page, expect

from app import wire
from app.bookings import booking, cancellation
from app.bookings.booking import Booking
from app.db import Pool
from app.web import utc_now
from tests import factories
from tests.browser.conftest import Open, timed_page
from tests.factories import Instructor


def time(page: Page, start: datetime) -> Locator:
    return page.locator(f'.time[value="{wire.instant(start)}"]')


async def expect_not_free(page: Page, start: datetime) -> None:
    """The time goes: it is struck, and removed three seconds later, so a slow machine may see either."""
    await expect(page.locator(".day")).to_have_count(7)
    await expect(page.locator('.time[data-state="free"]').and_(time(page, start))).to_have_count(0)


async def take(
    pool: Pool, teacher: Instructor, start: datetime, student_id: UUID, minutes: int = 30
) -> Booking:
    return await booking.reserve(
        pool, student_id, service_id=teacher.service_id, start=start, minutes=minutes,
        location_type=None, location="", note="", now=utc_now(),
    )  # fmt: skip


async def live_board(open_page: Open, teacher: Instructor, **options: object) -> Page:
    page = await open_page(f"/instructors/{teacher.id}?minutes=30", **options)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    return page


async def test_arrow_keys_move_among_times_and_each_day_is_one_tab_stop(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    page = await live_board(open_page, anna)
    first = time(page, anna.at("09:00"))
    await expect(first).to_have_attribute(
        "aria-label", re.compile(r"^[A-Z]\w+, [A-Z]\w+ \d+, 9:00 am, 30 minutes, \$35$")
    )
    await first.focus()
    for key, start in (
        ("ArrowDown", anna.at("09:30")),
        ("ArrowRight", anna.at("09:30", day=2)),
        ("ArrowUp", anna.at("09:00", day=2)),
        ("End", anna.at("16:30", day=2)),
        ("ArrowLeft", anna.at("16:30")),
        ("Home", anna.at("09:00")),
    ):
        await page.keyboard.press(key)
        await expect(time(page, start)).to_be_focused()
    for column in await page.locator(".day").all():
        assert await column.locator('.time[tabindex="0"]').count() == min(
            1, await column.locator(".time").count()
        )
    await page.keyboard.press("Tab")
    await expect(page.locator(f"#day-{anna.day(2)} .time:focus")).to_have_count(1)


async def test_a_time_that_goes_under_the_focus_stays_until_the_next_action_there(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    page = await timed_page(open_page, f"/instructors/{anna.id}?minutes=30")
    nine, half_past = time(page, anna.at("09:00")), time(page, anna.at("09:30"))
    await nine.focus()
    await take(pool, anna, anna.at("09:00"), ben.id)
    await expect(nine).to_have_attribute("data-state", "gone")
    await page.clock.run_for(1_000)
    await expect(page.locator("#announcements")).to_contain_text(
        re.compile(r"9:00 am on \w+ was just taken\.")
    )
    await page.clock.run_for(3_500)
    await expect(nine).to_be_focused()
    await page.keyboard.press(
        "Enter"
    )  # it cannot be chosen any more; the key is the next action there
    await expect(nine).to_have_count(0)
    await expect(half_past).to_be_focused()
    await expect(page.locator("#when")).to_have_text("Choose a time")


async def test_a_time_under_the_pointer_stays_too(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    page = await timed_page(open_page, f"/instructors/{anna.id}?minutes=30")
    nine = time(page, anna.at("09:00"))
    await time(page, anna.at("11:00")).hover()
    await take(pool, anna, anna.at("09:00"), ben.id)
    await expect(nine).to_have_attribute("data-state", "gone")
    await page.clock.run_for(3_500)
    await expect(nine).to_have_count(1)
    await page.locator("h1").hover()
    await expect(nine).to_have_count(0)


async def test_a_held_time_stays_and_comes_back_with_a_soft_mark(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    start = anna.at("09:00")
    page = await timed_page(open_page, f"/instructors/{anna.id}?minutes=30")
    await time(page, start).focus()
    await hold(pool, anna, start, ben.id)
    await expect(time(page, start)).to_have_attribute("data-state", "held")
    await expect(time(page, start)).to_have_attribute("aria-disabled", "true")
    await expect(time(page, start)).to_contain_text("being booked")
    await page.clock.run_for(1_000)
    await expect(page.locator("#announcements")).to_contain_text("is being booked by someone")
    await page.clock.run_for(3_500)
    await expect(time(page, start)).to_be_focused()

    await pool.execute("update booking set state = 'expired' where student_id = $1", ben.id)
    await pool.execute("select step($1, array[$2::date])", anna.id, anna.day())
    await expect(time(page, start)).to_have_attribute("data-state", "free")
    await expect(time(page, start)).to_have_class(re.compile("back"))
    await expect(time(page, start)).to_be_focused()


async def hold(pool: Pool, teacher: Instructor, start: datetime, student_id: UUID) -> None:
    """What a hold leaves in the database, as one step of the calendar."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "select from calendar where instructor_id = $1 for no key update", teacher.id
        )
        await connection.execute(
            """insert into booking (instructor_id, student_id, service_id, state, during, blocked, held_until, service_name,
                                    price_cents, location_type, free_cancel_until, version, created_at)
               select $1, $2, $3, 'held', tstzrange($4, $5), tstzrange($4, $5), now() + interval '1 hour', 'Piano',
                      3500, 'student', $4, version + 1, now() from calendar where instructor_id = $1""",
            teacher.id, student_id, teacher.service_id, start, start + timedelta(minutes=30),
        )  # fmt: skip
        await connection.execute("select step($1, array[$2::date])", teacher.id, teacher.day())


async def test_several_times_are_told_in_one_sentence(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    page = await live_board(open_page, anna)
    made = await take(pool, anna, anna.at("09:00"), ben.id, minutes=60)
    await expect(page.locator("#announcements")).to_contain_text(
        f"2 times on {anna.day():%A} were just taken."
    )
    await cancellation.cancel(pool, ben.id, made.id, reason="", now=utc_now())
    await expect(page.locator("#announcements")).to_contain_text(
        f"2 times on {anna.day():%A} just became free."
    )


async def test_a_time_that_has_come_too_near_leaves_by_the_clock(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", notice_minutes=60, hours=("00:00", "24:00"))
    page = await open_page("about:blank", deaf=True)
    await page.clock.install()
    await page.goto(f"/instructors/{anna.id}?minutes=30")
    first = page.locator('.time[data-state="free"]').first
    start = await first.get_attribute("value")
    await page.clock.fast_forward("31:00")
    await page.clock.run_for(11_000)
    near = page.locator(f'.time[value="{start}"]')
    await expect(near).to_have_count(0)
    await expect(page.locator("#announcements")).not_to_contain_text("taken")


async def test_an_empty_day_leads_to_the_next_free_time(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", days=1)
    await pool.execute(
        "insert into availability (instructor_id, during) values ($1, tstzrange($2, $3))",
        anna.id, anna.at("09:00", day=16), anna.at("12:00", day=16),
    )  # fmt: skip
    page = await live_board(open_page, anna)
    empty = page.locator(f"#day-{anna.day(3)}")
    await expect(empty).to_contain_text("Nothing free")
    link = empty.get_by_role("link", name=re.compile("Next: .* 9:00 am"))
    await link.click()
    await expect(time(page, anna.at("09:00", day=16))).to_be_focused()
    await expect(page.locator("#week")).to_contain_text(
        str(anna.day(16).day - 2) if anna.day(16).day > 2 else "–"
    )
    assert f"from={anna.day(14)}" in page.url


async def test_on_a_phone_three_days_show_and_a_chosen_day_takes_the_focus(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    page = await live_board(open_page, anna, viewport={"width": 390, "height": 844}, has_touch=True)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    day = page.locator(f"#day-{anna.day(5)}")
    await page.locator(f'#strip [data-day="{anna.day(5)}"]').click()
    await expect(time(page, anna.at("09:00", day=5))).to_be_focused()
    await expect(day).to_be_in_viewport(ratio=0.2)
    await page.wait_for_function(
        """() => [...document.querySelectorAll(".day")].filter((column) => {
             const { left, right } = column.getBoundingClientRect();
             return left >= 0 && right <= innerWidth;
           }).length === 3"""
    )


async def test_the_viewers_own_time_is_a_hint_where_it_differs(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna")
    abroad = await live_board(open_page, anna, timezone_id="Asia/Tokyo")
    nine = time(abroad, anna.at("09:00"))
    await expect(nine).to_have_attribute("data-hint", re.compile(r"^1[01]:00 pm$"))
    await expect(nine).to_have_attribute(
        "aria-label", re.compile(r"9:00 am, 30 minutes, \$35, 1[01]:00 pm your time$")
    )
    await expect(time(abroad, anna.at("12:00"))).to_have_attribute(
        "data-hint", re.compile(r"^\w{3} [12]:00 am$")
    )
    await expect(abroad.locator("#own-zone")).to_contain_text("in your time zone (Tokyo)")
    at_home = await live_board(open_page, anna)
    await expect(time(at_home, anna.at("09:00"))).not_to_have_attribute(
        "data-hint", re.compile(".")
    )
    await expect(at_home.locator("#own-zone")).to_be_hidden()


async def test_what_the_server_draws_is_what_the_script_would_draw(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", hours=("09:15", "16:45"), buffer_minutes=20)
    ben = await factories.student(pool, "Ben")
    await take(pool, anna, anna.at("11:15"), ben.id, minutes=60)
    await hold(pool, anna, anna.at("14:00"), (await factories.student(pool, "Cleo")).id)
    path = f"/instructors/{anna.id}?minutes=60&from={anna.day(7)}&start={wire.instant(anna.at('10:45', day=8))}"
    for address in (path, f"/instructors/{anna.id}"):
        drawn = await open_page(address, ben, java_script_enabled=False)
        plain = await drawn.locator("#board").inner_html()
        alive = await open_page(address, ben)
        await expect(alive.locator("#live")).to_have_attribute("data-state", "live")
        assert shape(await alive.locator("#board").inner_html()) == shape(plain)


def shape(html: str) -> list[str]:
    """What a person meets of a board: its elements, names and words, but not what only a script needs."""
    html = re.sub(r' (tabindex|data-day|href|class)="[^"]*"', "", html)
    html = re.sub(r'<a hidden(="")?>[^<]*</a>', "", html)
    return [
        re.sub(r"\s+", " ", part) for part in re.findall(r"<[^>]*>|[^<]+", html) if part.strip()
    ]
