"""/teach/calendar without scripts: a form per day, and forms that change many days."""

from datetime import UTC, date, datetime, timedelta

import httpx
import pytest

from app import formatting
from app.availability import blackout, filling, week
from app.db import Pool
from app.settings import Settings
from app.web import utc_now
from tests import factories
from tests.conftest import visiting
from tests.factories import Instructor
from tests.forms import Form, Page
from tests.pages.visitor import book, sign_in, visit

WEEK = timedelta(days=7)
NINE_TO_FIVE = {"start": "09:00", "end": "17:00"}


@pytest.fixture
async def anna(pool: Pool, client: httpx.AsyncClient) -> Instructor:
    """An instructor without hours, signed in."""
    anna = await factories.instructor(pool, "Anna", days=0)
    await sign_in(client, anna)
    return anna


@pytest.fixture
def monday(anna: Instructor) -> date:
    """A Monday in two weeks."""
    return anna.today + timedelta(days=14 - anna.today.weekday())


def day_form(page: Page, day: date) -> Form:
    return page.form(f"/api/availability/days/{day}")


def tool_form(page: Page, action: str, method: str = "POST") -> Form:
    """The form of a tool; several share an action."""
    return next(
        form
        for form in page.forms
        if form.action == action and form.fields.get("_method") == method
    )


async def ranges_of(pool: Pool, anna: Instructor, day: date) -> list[dict[str, str]]:
    stored = await week.read(pool, anna.id, day)
    return list(stored.days[day.isoformat()])


async def test_a_day_is_edited_by_its_form(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor, monday: date
) -> None:
    path = f"/teach/calendar?week={monday}"
    form = day_form(await visit(client, path), monday)
    response = await form.send(
        client,
        **{"ranges.0.start": "13:00", "ranges.0.end": "17:00"},
        **{"ranges.1.start": "09:00", "ranges.1.end": "12:00"},
    )
    assert (response.status_code, response.headers["location"]) == (303, f"{path}#day-{monday}")
    assert await ranges_of(pool, anna, monday) == [
        {"start": "09:00", "end": "12:00"},
        {"start": "13:00", "end": "17:00"},
    ]
    response = await client.get(path)
    assert response.text.count(" selected>") == 4
    empty = {f"ranges.{index}.{edge}": "" for index in (0, 1) for edge in ("start", "end")}
    await day_form(Page(response), monday).send(client, **empty)
    assert await ranges_of(pool, anna, monday) == []


async def test_an_impossible_range_is_explained_at_its_field_and_nothing_typed_is_lost(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor, monday: date
) -> None:
    form = day_form(await visit(client, f"/teach/calendar?week={monday}"), monday)
    response = await form.send(
        client,
        **{"ranges.0.start": "09:00", "ranges.0.end": "10:15"},
        **{"ranges.2.start": "17:00", "ranges.2.end": "16:00"},
    )
    assert response.status_code == 422
    page = Page(response)
    assert "The end must be after the start." in page.text
    _, _, after = response.text.partition('name="ranges.1.end"')
    assert 'aria-invalid="true"' in after.partition(">")[0]
    for value in ("09:00", "10:15", "17:00", "16:00"):
        assert f'<option value="{value}" selected>' in response.text
    assert await ranges_of(pool, anna, monday) == []


async def test_a_time_that_the_clocks_skip_is_explained_at_its_field(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor
) -> None:
    march = date(anna.today.year + 1, 3, 8)
    sunday = march + timedelta(days=6 - march.weekday())  # the second Sunday of March
    form = day_form(await visit(client, f"/teach/calendar?week={sunday}"), sunday)
    response = await form.send(client, **{"ranges.0.start": "02:30", "ranges.0.end": "04:00"})
    assert response.status_code == 422
    assert f"On Sunday, March {sunday.day}, the clocks skip that time." in Page(response).text
    form_text = response.text.partition(f"/api/availability/days/{sunday}")[2]
    start = form_text.partition('name="ranges.0.start"')[2].partition(">")[0]
    assert 'aria-invalid="true"' in start
    assert await ranges_of(pool, anna, sunday) == []


async def test_of_two_windows_the_second_sees_what_the_first_saved_and_keeps_its_own_times(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor, monday: date
) -> None:
    page = await visit(client, f"/teach/calendar?week={monday}")
    await week.replace_days(pool, anna.id, {monday: [(600, 660)]}, now=utc_now())
    times = {"ranges.0.start": "14:00", "ranges.0.end": "15:00"}
    response = await day_form(page, monday).send(client, **times)
    assert response.status_code == 409
    again = Page(response)
    assert "10–11 am" in again.text
    assert '<option value="14:00" selected>' in response.text
    assert await ranges_of(pool, anna, monday) == [{"start": "10:00", "end": "11:00"}]
    await day_form(again, monday).send(client, **times)
    assert await ranges_of(pool, anna, monday) == [{"start": "14:00", "end": "15:00"}]


async def test_many_days_are_filled_copied_and_cleared_by_forms(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor, monday: date
) -> None:
    page = await visit(client, f"/teach/calendar?week={monday}")
    form = tool_form(page, "/api/availability/presets")
    assert form.fields["first"] == monday.isoformat()
    response = await form.send(client, preset="weekdays", last=(monday + timedelta(6)).isoformat())
    assert response.headers["location"] == f"/teach/calendar?week={monday}"
    assert await ranges_of(pool, anna, monday) == [NINE_TO_FIVE]

    await tool_form(page, "/api/availability/week/copy").send(client)
    assert await ranges_of(pool, anna, monday + WEEK) == [NINE_TO_FIVE]
    assert await ranges_of(pool, anna, monday + 2 * WEEK) == []
    await tool_form(page, "/api/availability/week/apply").send(client)
    assert await ranges_of(pool, anna, monday + 12 * WEEK) == [NINE_TO_FIVE]
    assert await ranges_of(pool, anna, monday + 13 * WEEK) == []
    await tool_form(page, "/api/availability/week/clear").send(client)
    assert await ranges_of(pool, anna, monday) == []


async def test_a_refused_tool_stays_open_with_its_entries(
    client: httpx.AsyncClient, anna: Instructor, monday: date
) -> None:
    page = await visit(client, f"/teach/calendar?week={monday}")
    form = tool_form(page, "/api/availability/week/apply")
    response = await form.send(client, first="2026-13-01", last="")
    assert response.status_code == 422
    assert "A date looks like 2026-11-23." in Page(response).text
    assert 'id="tool-apply" open' in response.text
    again = tool_form(Page(response), "/api/availability/week/apply")
    assert again.fields["first"] == "2026-13-01"


async def test_days_off_are_marked_and_their_hours_come_back(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor, monday: date
) -> None:
    await week.replace_days(pool, anna.id, {monday: [(600, 660)]}, now=utc_now())
    path = f"/teach/calendar?week={monday}"
    page = await visit(client, path)
    tuesday = monday + timedelta(days=1)
    await tool_form(page, "/api/availability/blackouts").send(
        client, first=monday.isoformat(), last=tuesday.isoformat(), reason="Holiday"
    )
    page = await visit(client, path)
    assert page.text.count("Day off : Holiday") == 2 or page.text.count("Day off: Holiday") == 2
    assert await ranges_of(pool, anna, monday) == [{"start": "10:00", "end": "11:00"}]
    for day in (monday, tuesday):
        forms = [form for form in page.forms if form.action == f"/api/availability/blackouts/{day}"]
        await forms[-1].send(client)
    assert "Day off" not in (await visit(client, path)).text
    assert await blackout.list_of(pool, anna.id, after=anna.today, limit=9) == []


async def test_a_pattern_is_repeated_and_weeks_edited_by_hand_say_so(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor, monday: date
) -> None:
    path = f"/teach/calendar?week={monday}"
    await week.replace_days(pool, anna.id, {monday: [(540, 1020)]}, now=utc_now())
    page = await visit(client, path)
    assert "edited by hand" not in page.text.lower().replace("that you edit by hand", "")
    await tool_form(page, "/api/availability/pattern", "PUT").send(client)
    assert await ranges_of(pool, anna, monday + WEEK) == [NINE_TO_FIVE]
    page = await visit(client, path)
    assert "This week was edited by hand; the repeating pattern leaves it alone." in page.text
    assert page.links[f"week of {formatting.short_day(monday)[5:]}"] == path
    assert (
        "This week was edited"
        not in (await visit(client, f"/teach/calendar?week={monday + WEEK}")).text
    )
    await tool_form(page, "/api/availability/pattern", "DELETE").send(client)
    assert await filling.standing_pattern(pool, anna.id) is None
    assert await ranges_of(pool, anna, monday + WEEK) == [NINE_TO_FIVE]


async def test_the_week_shows_lessons_and_past_days_have_no_form(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor, monday: date
) -> None:
    await week.replace_days(pool, anna.id, {monday: [(540, 1020)]}, now=utc_now())
    ahead = (monday - anna.today).days
    await book(pool, anna, await factories.student(pool, "Ben Ode"), day=ahead)
    page = await visit(client, f"/teach/calendar?week={monday}")
    assert "10–11 am Ben Ode, Piano" in page.text
    past = anna.today - timedelta(days=7)
    page = await visit(client, f"/teach/calendar?week={past}")
    assert not any("/availability/days/" in form.action for form in page.forms)
    for unreadable in ("x", "1999-01-01", "8999-01-01", "2026-02-30"):
        page = await visit(client, f"/teach/calendar?week={unreadable}")
        assert any("/availability/days/" in form.action for form in page.forms)


async def test_the_start_page_sums_up_the_next_seven_days(
    client: httpx.AsyncClient, pool: Pool, anna: Instructor
) -> None:
    in_ten_days = {anna.day(10): [(540, 600)]}
    await week.replace_days(pool, anna.id, in_ten_days, now=utc_now())
    page = await visit(client, "/teach")
    assert "You have no hours in the next seven days" in page.text
    assert page.links["Set your hours"] == "/teach/calendar"
    tomorrow, later = anna.day(1), anna.day(2)
    await week.replace_days(
        pool, anna.id, {tomorrow: [(540, 720), (1200, 1440)], later: [(540, 600)]}, now=utc_now()
    )
    await blackout.add(pool, anna.id, later, later, reason="Dentist", now=utc_now())
    page = await visit(client, "/teach")
    assert "Tomorrow 9 am–12 pm, 8 pm–midnight" in page.text
    assert "Day off: Dentist" in page.text
    assert page.links["Open the calendar"] == "/teach/calendar"


async def test_at_the_weekend_without_hours_the_next_week_is_shown(
    settings: Settings, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    saturday = datetime.now(UTC) + timedelta(days=(5 - datetime.now(UTC).weekday()) % 7)
    noon = saturday.replace(hour=17, minute=0)
    monday = noon.date() - timedelta(days=5)
    async with visiting(settings, now=lambda: noon) as client:
        await sign_in(client, anna)
        page = await visit(client, "/teach/calendar")
        assert formatting.days(monday + WEEK, monday + 2 * WEEK - timedelta(1)) in page.text
        page = await visit(client, f"/teach/calendar?week={monday}")
        assert formatting.days(monday, monday + WEEK - timedelta(1)) in page.text
        await week.replace_days(pool, anna.id, {noon.date(): [(900, 1200)]}, now=noon)
        page = await visit(client, "/teach/calendar")
        assert formatting.days(monday, monday + WEEK - timedelta(1)) in page.text
