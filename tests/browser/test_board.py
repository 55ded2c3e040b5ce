"""The live board: keyboard and focus, and times that are taken, held and freed."""

import re

from playwright.async_api import expect

from app import formatting, wire
from app.availability import week
from app.bookings import cancellation
from app.db import Pool
from app.web import utc_now
from tests import factories
from tests.browser.board import book, hold, live_board, time_button
from tests.browser.conftest import Open, timed_page


async def test_arrow_keys_move_among_times_and_each_day_is_one_tab_stop(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    page = await live_board(open_page, anna)
    first = time_button(page, anna.at("09:00"))
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
        await expect(time_button(page, start)).to_be_focused()
    for column in await page.locator(".day").all():
        assert await column.locator('.time[tabindex="0"]').count() == min(
            1, await column.locator(".time").count()
        )
    await page.keyboard.press("Tab")
    await expect(page.locator(f"#day-{anna.day(2)} .time:focus")).to_have_count(1)


async def test_a_taken_time_with_the_focus_stays_until_the_next_action_in_its_day(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    page = await timed_page(open_page, f"/instructors/{anna.id}?minutes=30")
    nine, half_past = time_button(page, anna.at("09:00")), time_button(page, anna.at("09:30"))
    await nine.focus()
    await book(pool, anna, anna.at("09:00"), ben.id)
    await expect(nine).to_have_attribute("data-state", "gone")
    await page.clock.run_for(1_000)
    await expect(page.locator("#announcements")).to_contain_text(
        re.compile(r"9:00 am on \w+ was just taken\.")
    )
    await page.clock.run_for(3_500)
    await expect(nine).to_be_focused()
    # The time can no longer be selected. The key is the next action in its day.
    await page.keyboard.press("Enter")
    await expect(nine).to_have_count(0)
    await expect(half_past).to_be_focused()
    await expect(page.locator("#when")).to_have_text("Choose a time")


async def test_a_taken_time_stays_while_the_pointer_is_in_its_day(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    page = await timed_page(open_page, f"/instructors/{anna.id}?minutes=30")
    nine = time_button(page, anna.at("09:00"))
    await time_button(page, anna.at("11:00")).hover()
    await book(pool, anna, anna.at("09:00"), ben.id)
    await expect(nine).to_have_attribute("data-state", "gone")
    await page.clock.run_for(3_500)
    await expect(nine).to_have_count(1)
    await page.locator("h1").hover()
    await expect(nine).to_have_count(0)


async def test_a_struck_through_time_disappears_when_the_length_changes(
    open_page: Open, pool: Pool
) -> None:
    """The timer that would have removed it finds it gone; the fixture fails for script errors."""
    anna, cleo = await factories.instructor(pool, "Anna"), await factories.student(pool, "Cleo")
    page = await timed_page(open_page, f"/instructors/{anna.id}?minutes=30")
    await book(pool, anna, anna.at("10:00"), cleo.id)
    await expect(time_button(page, anna.at("10:00"))).to_have_attribute("data-state", "gone")
    await page.get_by_role("link", name="60 min").click()
    await expect(time_button(page, anna.at("10:00"))).to_have_count(0)
    await page.clock.run_for(4_000)


async def test_a_held_time_stays_and_is_marked_when_it_is_freed(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    start = anna.at("09:00")
    page = await timed_page(open_page, f"/instructors/{anna.id}?minutes=30")
    await time_button(page, start).focus()
    await hold(pool, anna, start, ben.id)
    await expect(time_button(page, start)).to_have_attribute("data-state", "held")
    await expect(time_button(page, start)).to_have_attribute("aria-disabled", "true")
    await expect(time_button(page, start)).to_contain_text("being booked")
    await page.clock.run_for(1_000)
    await expect(page.locator("#announcements")).to_contain_text("is being booked by someone")
    await page.clock.run_for(3_500)
    await expect(time_button(page, start)).to_be_focused()

    await pool.execute("update booking set state = 'expired' where student_id = $1", ben.id)
    await pool.execute("select step($1, array[$2::date])", anna.id, anna.day())
    await expect(time_button(page, start)).to_have_attribute("data-state", "free")
    await expect(time_button(page, start)).to_have_class(re.compile("freed"))
    await expect(time_button(page, start)).to_be_focused()


async def test_several_times_are_announced_in_one_sentence(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    page = await live_board(open_page, anna)
    lesson = await book(pool, anna, anna.at("09:00"), ben.id, minutes=60)
    await expect(page.locator("#announcements")).to_contain_text(
        f"2 times on {anna.day():%A} were just taken."
    )
    await cancellation.cancel(pool, ben.id, lesson.id, reason="", now=utc_now())
    await expect(page.locator("#announcements")).to_contain_text(
        f"2 times on {anna.day():%A} just became free."
    )


async def test_a_time_within_the_minimum_notice_is_removed_without_a_message(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", notice_minutes=60, hours=("00:00", "24:00"))
    page = await open_page("about:blank", silent=True)
    await page.clock.install()
    await page.goto(f"/instructors/{anna.id}?minutes=30")
    first = page.locator('.time[data-state="free"]').first
    start = await first.get_attribute("value")
    await page.clock.fast_forward("31:00")
    await page.clock.run_for(11_000)
    button = page.locator(f'.time[value="{start}"]')
    await expect(button).to_have_count(0)
    await expect(page.locator("#announcements")).not_to_contain_text("taken")


async def test_an_empty_day_and_an_empty_week_link_to_the_next_free_time(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", days=2)
    await pool.execute(
        "insert into availability (instructor_id, during) values ($1, tstzrange($2, $3))",
        anna.id, anna.at("09:00", day=16), anna.at("12:00", day=16),
    )  # fmt: skip
    page = await live_board(open_page, anna)
    empty = page.locator(f"#day-{anna.day(3)}")
    await expect(empty).to_contain_text("Nothing free")
    link = empty.get_by_role("link", name=re.compile("Next: .* 9:00 am"))
    await page.locator("#later").click()
    sentence = page.locator("#empty-week")
    await expect(sentence).to_contain_text("Nothing is free")
    await expect(empty).not_to_be_attached()
    await expect(page.locator(".day .nothing-free:visible")).to_have_count(0)
    # A range that opens ends the sentence, and its removal brings the sentence back.
    await week.replace_days(pool, anna.id, {anna.day(9): [(600, 660)]}, now=utc_now())
    await expect(time_button(page, anna.at("10:00", day=9))).to_be_visible()
    await expect(sentence).to_be_hidden()
    await week.replace_days(pool, anna.id, {anna.day(9): []}, now=utc_now())
    await expect(sentence).to_be_visible()
    moment = f"{formatting.short_day(anna.day(16))}, 9:00 am"
    link = sentence.get_by_role("link", name=f"Next free: {moment}")
    await link.click()
    await expect(time_button(page, anna.at("09:00", day=16))).to_be_focused()
    await expect(page.locator("#week")).to_contain_text(
        str(anna.day(16).day - 2) if anna.day(16).day > 2 else "–"
    )
    assert f"from={anna.day(14)}" in page.url


async def test_an_emptied_week_links_to_a_free_time_beyond_the_loaded_days(
    open_page: Open, pool: Pool
) -> None:
    """Only the server knows the times after five weeks."""
    anna = await factories.instructor(pool, "Anna", days=1)
    days = {anna.day(0): [], anna.day(1): [(540, 600)], anna.day(50): [(540, 600)]}
    await week.replace_days(pool, anna.id, days, now=utc_now())
    page = await live_board(open_page, anna)
    await expect(time_button(page, anna.at("09:00"))).to_be_visible()
    await week.replace_days(pool, anna.id, {anna.day(1): []}, now=utc_now())
    sentence = page.locator("#empty-week")
    moment = f"Next free: {formatting.short_day(anna.day(50))}, 9:00 am"
    link = sentence.get_by_role("link", name=moment)
    await expect(link).to_be_visible(timeout=15_000)
    await expect(page.locator("#announcements")).to_contain_text(moment)
    await link.click()
    await expect(time_button(page, anna.at("09:00", day=50))).to_be_visible()
    await expect(page.locator(f"#day-{anna.day(50)}")).to_be_focused()
    # That time is taken as well: no link leads to it anymore.
    await week.replace_days(pool, anna.id, {anna.day(50): []}, now=utc_now())
    await expect(sentence).to_be_visible()
    await expect(link).to_be_hidden()


async def test_a_week_that_empties_as_time_passes_asks_for_a_free_time_beyond_the_loaded_days(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", days=2)
    page = await timed_page(open_page, f"/instructors/{anna.id}?minutes=30")
    await expect(time_button(page, anna.at("09:00"))).to_be_visible()
    async with page.expect_request(
        lambda request: request.resource_type == "fetch" and str(anna.id) in request.url
    ):
        await page.clock.fast_forward("48:00:00")
        await page.clock.run_for(16_000)


async def test_a_week_that_empties_on_an_open_page_says_so_at_once(
    open_page: Open, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna", days=1), await factories.student(pool)
    days = {anna.day(0): [], anna.day(1): [(540, 570)], anna.day(9): [(540, 600)]}
    await week.replace_days(pool, anna.id, days, now=utc_now())
    page = await live_board(open_page, anna)
    nine, sentence = time_button(page, anna.at("09:00")), page.locator("#empty-week")
    await expect(page.get_by_role("link", name="Sign in to book")).to_be_visible()
    await nine.focus()
    await book(pool, anna, anna.at("09:00"), ben.id)

    # The focus keeps the time that was taken. The sentence stands below it.
    next_free = f"Next free: {formatting.short_day(anna.day(9))}, 9:00 am"
    await expect(sentence).to_contain_text("Nothing is free")
    await expect(sentence.get_by_role("link", name=next_free)).to_be_visible()
    await expect(nine).to_be_focused()
    time_box, sentence_box = await nine.bounding_box(), await sentence.bounding_box()
    assert time_box is not None
    assert sentence_box is not None
    assert sentence_box["y"] >= time_box["y"] + time_box["height"]
    announcements = page.locator("#announcements")
    await expect(announcements).to_contain_text(re.compile(f"Nothing is free .*{next_free}"))

    # The card invites nobody to choose one of no times, nor does it after a reload.
    for _ in range(2):
        await expect(page.locator("#when")).to_have_text(re.compile(r"^Nothing free\s\w+\s\d+\s–"))
        await expect(page.get_by_role("link", name="Sign in to book")).to_be_hidden()
        await page.reload()
        await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await page.locator("#later").click()
    await expect(page.locator("#when")).to_have_text("Choose a time")
    await expect(page.get_by_role("link", name="Sign in to book")).to_be_visible()


async def test_a_phone_shows_three_days_and_a_selected_day_gets_the_focus(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    page = await live_board(open_page, anna, viewport={"width": 390, "height": 844}, has_touch=True)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    day = page.locator(f"#day-{anna.day(5)}")
    await page.locator(f'#strip [data-day="{anna.day(5)}"]').click()
    await expect(time_button(page, anna.at("09:00", day=5))).to_be_focused()
    await expect(day).to_be_in_viewport(ratio=0.2)
    await page.wait_for_function(
        """() => [...document.querySelectorAll(".day")].filter((column) => {
             const { left, right } = column.getBoundingClientRect();
             return left >= 0 && right <= innerWidth;
           }).length === 3"""
    )


async def test_a_viewer_in_another_time_zone_sees_their_own_time_as_a_hint(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    abroad = await live_board(open_page, anna, timezone_id="Asia/Tokyo")
    nine = time_button(abroad, anna.at("09:00"))
    await expect(nine).to_have_attribute("data-hint", re.compile(r"^1[01]:00 pm$"))
    await expect(nine).to_have_attribute(
        "aria-label", re.compile(r"9:00 am, 30 minutes, \$35, 1[01]:00 pm your time$")
    )
    await expect(time_button(abroad, anna.at("12:00"))).to_have_attribute(
        "data-hint", re.compile(r"^\w{3} [12]:00 am$")
    )
    await expect(abroad.locator("#own-zone")).to_contain_text("in your time zone (Tokyo)")
    at_home = await live_board(open_page, anna)
    await expect(time_button(at_home, anna.at("09:00"))).not_to_have_attribute(
        "data-hint", re.compile(".")
    )
    await expect(at_home.locator("#own-zone")).to_be_hidden()


async def test_the_server_and_the_script_draw_the_same_board(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", hours=("09:15", "16:45"), buffer_minutes=20)
    ben = await factories.student(pool, "Ben")
    await book(pool, anna, anna.at("11:15"), ben.id, minutes=60)
    await hold(pool, anna, anna.at("14:00"), (await factories.student(pool, "Cleo")).id)
    start = wire.instant(anna.at("10:45", day=8))
    path = f"/instructors/{anna.id}?minutes=60&from={anna.day(7)}&start={start}"
    without_scripts = await open_page("about:blank", ben, java_script_enabled=False)
    page = await open_page("about:blank", ben)
    for address in (path, f"/instructors/{anna.id}"):
        await without_scripts.goto(address)
        from_server = await without_scripts.locator("#board").inner_html()
        await page.goto(address)
        await expect(page.locator("#live")).to_have_attribute("data-state", "live")
        assert shape(await page.locator("#board").inner_html()) == shape(from_server)


def shape(html: str) -> list[str]:
    """The elements, names and texts of a board, without what only scripts need."""
    html = re.sub(r' (tabindex|data-day|href|class)="[^"]*"', "", html)
    html = re.sub(r'<a hidden(="")?>[^<]*</a>', "", html)
    return [
        re.sub(r"\s+", " ", part) for part in re.findall(r"<[^>]*>|[^<]+", html) if part.strip()
    ]
