"""An instructor's week: read, replaced, refused."""

import asyncio
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.factories import Instructor

MORNING = {"start": "09:00", "end": "12:00"}


async def put(
    client: httpx.AsyncClient, start: date, days: dict[date, Any], **more: Any
) -> httpx.Response:
    body = {
        "start": start.isoformat(),
        "days": {day.isoformat(): ranges for day, ranges in days.items()},
        **more,
    }
    return await client.put("/api/availability/week", json=body)


async def get(client: httpx.AsyncClient, start: date) -> dict[str, Any]:
    answer = await client.get("/api/availability/week", params={"start": start.isoformat()})
    assert answer.status_code == 200
    week: dict[str, Any] = answer.json()
    return week


async def test_a_new_week_is_empty(as_anna: httpx.AsyncClient, monday: date) -> None:
    assert await get(as_anna, monday) == {
        "start": monday.isoformat(),
        "time_zone": "America/New_York",
        "version": 0,
        "days": {(monday + timedelta(days=n)).isoformat(): [] for n in range(7)},
    }


async def test_an_omitted_day_stays_and_adjacent_ranges_are_merged(
    as_anna: httpx.AsyncClient, monday: date
) -> None:
    tuesday, wednesday = monday + timedelta(days=1), monday + timedelta(days=2)
    await put(as_anna, monday, {monday: [MORNING], tuesday: [{"start": "22:00", "end": "24:00"}]})
    answer = await put(
        as_anna,
        monday,
        {
            wednesday: [
                {"start": "12:00", "end": "13:00"},
                {"start": "00:00", "end": "02:00"},
                {"start": "11:00", "end": "12:00"},
                {"start": "12:30", "end": "14:15"},
            ]
        },
    )
    assert answer.status_code == 200
    week = answer.json()
    assert week["version"] == 2
    assert week["days"][monday.isoformat()] == [MORNING]
    assert week["days"][tuesday.isoformat()] == [{"start": "22:00", "end": "24:00"}]
    assert week["days"][wednesday.isoformat()] == [
        {"start": "00:00", "end": "02:00"},
        {"start": "11:00", "end": "14:15"},
    ]
    assert await get(as_anna, monday) == week


async def test_ranges_are_merged_across_midnight_and_split_again(
    as_anna: httpx.AsyncClient, pool: Pool, monday: date
) -> None:
    tuesday = monday + timedelta(days=1)
    await put(as_anna, monday, {monday: [{"start": "22:00", "end": "24:00"}]})
    await put(as_anna, monday, {tuesday: [{"start": "00:00", "end": "02:00"}]})
    assert await pool.fetchval("select count(*) from availability") == 1
    await put(as_anna, monday, {tuesday: []})
    week = await get(as_anna, monday)
    assert week["days"][monday.isoformat()] == [{"start": "22:00", "end": "24:00"}]
    assert week["days"][tuesday.isoformat()] == []


async def test_saving_an_unchanged_week_makes_no_step(
    as_anna: httpx.AsyncClient, pool: Pool, monday: date
) -> None:
    await put(as_anna, monday, {monday: [MORNING]})
    again = await put(
        as_anna,
        monday,
        {monday: [{"start": "09:00", "end": "10:00"}, {"start": "10:00", "end": "12:00"}]},
        version=0,
    )
    assert again.status_code == 409
    again = await put(
        as_anna,
        monday,
        {monday: [{"start": "09:00", "end": "10:00"}, {"start": "10:00", "end": "12:00"}]},
        version=1,
    )
    assert (again.status_code, again.json()["version"]) == (200, 1)
    assert await pool.fetchval("select count(*) from outbox") == 1


async def test_a_save_is_one_step_with_the_changed_days_board(
    as_anna: httpx.AsyncClient, pool: Pool, anna: Instructor, monday: date
) -> None:
    days = [monday + timedelta(days=n) for n in range(7)]
    await put(as_anna, monday, {days[1]: [MORNING]})
    await put(as_anna, monday, {days[0]: [MORNING], days[1]: [MORNING], days[6]: [MORNING]})
    change = await pool.fetchrow(
        "select version, days, events from outbox order by version desc limit 1"
    )
    assert change is not None
    assert change["version"] == 2
    assert set(change["days"]) == {days[0].isoformat(), days[6].isoformat()}
    board = await pool.fetchrow("select days from board($1, $2, 7)", anna.id, monday)
    assert board is not None
    assert board["days"] | change["days"] == board["days"]
    assert change["events"] == []


async def test_an_edit_of_an_outdated_version_is_refused_with_the_current_week(
    as_anna: httpx.AsyncClient, monday: date
) -> None:
    tuesday = monday + timedelta(days=1)
    await put(as_anna, monday, {monday: [MORNING]})
    answer = await put(as_anna, monday, {tuesday: [MORNING]}, version=0)
    assert (answer.status_code, answer.json()["code"]) == (409, "VERSION_CONFLICT")
    assert answer.json()["version"] == 1
    assert answer.json()["week"] == await get(as_anna, monday)
    assert (await put(as_anna, monday, {tuesday: [MORNING]}, version=1)).json()["version"] == 2
    assert (await put(as_anna, monday, {tuesday: []}, version=99)).status_code == 409


async def test_validation_errors_come_before_version_conflicts(
    as_anna: httpx.AsyncClient, monday: date
) -> None:
    await put(as_anna, monday, {monday: [MORNING]})
    past = monday - timedelta(days=28)
    answer = await put(as_anna, past, {past: [MORNING]}, version=0)
    assert (answer.status_code, answer.json()["field"]) == (422, f"days.{past}")


async def test_bookings_and_settings_do_not_count_as_changes(
    as_anna: httpx.AsyncClient, pool: Pool, anna: Instructor, monday: date
) -> None:
    await put(as_anna, monday, {monday: [MORNING]})
    ben = await factories.student(pool, "Ben")
    await factories.lesson(
        pool, ben.id, anna.service_id, anna.at("09:00", day=(monday - anna.today).days)
    )
    await as_anna.put("/api/instructors/me", json={"min_advance_minutes": 30})
    answer = await put(as_anna, monday, {monday: []}, version=1)
    assert (answer.status_code, answer.json()["version"]) == (200, 4)
    assert await pool.fetchval("select state from booking") == "confirmed"


async def test_past_days_cannot_be_changed(
    as_anna: httpx.AsyncClient, pool: Pool, anna: Instructor
) -> None:
    last_monday = anna.today - timedelta(days=anna.today.weekday() + 7)
    await pool.execute(
        "insert into availability values ($1, tstzrange($2, $2::timestamptz + interval '3 hours'))",
        anna.id, anna.at("09:00", day=(last_monday - anna.today).days),
    )  # fmt: skip
    assert (await put(as_anna, last_monday, {last_monday: [MORNING]})).status_code == 200
    answer = await put(as_anna, last_monday, {last_monday: []})
    assert (answer.status_code, answer.json()["field"]) == (422, f"days.{last_monday}")
    assert len((await get(as_anna, last_monday))["days"][last_monday.isoformat()]) == 1


async def test_availability_reaches_730_days(as_anna: httpx.AsyncClient, anna: Instructor) -> None:
    last = anna.day(730)
    monday = last - timedelta(days=last.weekday())
    assert (await put(as_anna, monday, {last: [MORNING]})).status_code == 200
    beyond = anna.day(731)
    monday = beyond - timedelta(days=beyond.weekday())
    answer = await put(as_anna, monday, {beyond: [MORNING]})
    assert (answer.status_code, answer.json()["field"]) == (422, f"days.{beyond}")


@pytest.mark.parametrize(
    ("ranges", "field"),
    [
        ([{"start": "9:00", "end": "12:00"}], "0.start"),
        ([{"start": "09:00:00", "end": "12:00"}], "0.start"),
        ([{"start": "24:00", "end": "24:00"}], "0.start"),
        ([{"start": "25:00", "end": "26:00"}], "0.start"),
        ([{"start": "٠٩:00", "end": "12:00"}], "0.start"),
        ([{"start": 540, "end": "12:00"}], "0.start"),
        ([{"start": "09:10", "end": "12:00"}], "0.start"),
        ([MORNING, {"start": "13:00", "end": "13:00"}], "1.end"),
        ([MORNING, {"start": "13:00", "end": "12:00"}], "1.end"),
        ([{"start": "09:00", "end": "24:15"}], "0.end"),
        ([{"start": "09:00", "end": "12:59"}], "0.end"),
        ([{"start": "09:00"}], "0.end"),
        ([{"start": "09:00", "end": None}], "0.end"),
        (["09:00-12:00"], "0"),
        ({"start": "09:00", "end": "12:00"}, ""),
        (None, ""),
        ([MORNING] * 97, ""),
    ],
)
async def test_an_invalid_range_is_named(
    as_anna: httpx.AsyncClient, monday: date, ranges: Any, field: str
) -> None:
    answer = await put(as_anna, monday, {monday: ranges})
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_ERROR")
    assert answer.json()["field"] == f"days.{monday}.{field}".rstrip(".")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"days": {}}, "start"),
        ({"start": "2026-11-24", "days": {}}, "start"),
        ({"start": "2026-11-23T00:00:00", "days": {}}, "start"),
        ({"start": "0001-01-01", "days": {}}, "start"),
        ({"start": "9999-12-27", "days": {}}, "start"),
        ({"start": 1, "days": {}}, "start"),
        ({"start": "2026-11-23"}, "days"),
        ({"start": "2026-11-23", "days": []}, "days"),
        ({"start": "2026-11-23", "days": {"2026-11-30": []}}, "days.2026-11-30"),
        ({"start": "2026-11-23", "days": {"2026-02-30": []}}, "days.2026-02-30"),
        ({"start": "2026-11-23", "days": {"monday": []}}, "days.monday"),
        ({"start": "2026-11-23", "days": {}, "version": -1}, "version"),
        ({"start": "2026-11-23", "days": {}, "version": "one"}, "version"),
        ({"start": "2026-11-23", "days": {}, "version": 2**63}, "version"),
    ],
)
async def test_an_invalid_week_is_named(
    as_anna: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    answer = await as_anna.put("/api/availability/week", json=body)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (
        422,
        "VALIDATION_ERROR",
        field,
    )


@pytest.mark.parametrize(
    "start", ["", "2026-11-24", "0001-01-01", "9999-12-27", "today", "2026-11-23Z", "%00"]
)
async def test_an_invalid_week_start_is_refused(as_anna: httpx.AsyncClient, start: str) -> None:
    answer = await as_anna.get(f"/api/availability/week?start={start}")
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_ERROR")


@pytest.mark.parametrize("start", ["1970-01-05", "8999-12-30"])
async def test_a_week_in_the_far_future_is_empty(as_anna: httpx.AsyncClient, start: str) -> None:
    days = (await get(as_anna, date.fromisoformat(start)))["days"]
    assert list(days.values()) == [[]] * 7


async def test_only_an_instructor_has_a_week(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    client.headers["Authorization"] = f"Bearer {await factories.token_of(pool, ben.id, settings)}"
    for answer in (
        await client.get("/api/availability/week"),
        await client.put("/api/availability/week", content=b"{"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "NOT_ALLOWED")


async def test_of_two_saves_from_one_version_one_wins(
    as_anna: httpx.AsyncClient, monday: date
) -> None:
    days = [monday + timedelta(days=n) for n in range(7)]
    answers = await asyncio.gather(
        *(put(as_anna, monday, {day: [MORNING]}, version=0) for day in days)
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 6
    week = await get(as_anna, monday)
    assert week["version"] == 1
    assert sum(map(bool, week["days"].values())) == 1


async def test_weeks_that_were_changed_count_as_edited_by_hand(
    as_anna: httpx.AsyncClient, pool: Pool, anna: Instructor, monday: date
) -> None:
    next_monday = monday + timedelta(days=7)
    sunday = monday + timedelta(days=6)
    await put(as_anna, monday, {sunday: [MORNING]})
    await put(as_anna, next_monday, {next_monday: []})  # as it was
    rows = await pool.fetch("select instructor_id, monday from edited_week")
    assert [tuple(row) for row in rows] == [(anna.id, monday)]
