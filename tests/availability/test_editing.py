"""Days, single ranges, bulk changes, whole weeks, presets, the standing pattern, gaps and
blackouts. Each call is one step of the calendar and one change for its watchers."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.availability import filling, week
from app.db import Pool
from tests import factories
from tests.factories import Instructor

MORNING = {"start": "09:00", "end": "12:00"}
AFTERNOON = {"start": "13:00", "end": "17:00"}
WEEK = timedelta(days=7)
NOW = datetime.now(UTC)


def span(start: str, end: str) -> dict[str, str]:
    return {"start": start, "end": end}


def minutes(*ranges: dict[str, str]) -> list[week.Range]:
    return [(week.minute(part["start"]), week.minute(part["end"])) for part in ranges]


async def days_of(pool: Pool, anna: Instructor, monday: date) -> list[Any]:
    """The ranges of the seven days from a Monday."""
    return list((await week.read(pool, anna.id, monday)).days.values())


async def version_of(pool: Pool, anna: Instructor) -> int:
    version: int = await pool.fetchval(
        "select version from calendar where instructor_id = $1", anna.id
    )
    changes = await pool.fetchval("select count(*) from outbox where instructor_id = $1", anna.id)
    assert changes == version, "each step is one change for the watchers"
    return version


def expect(response: httpx.Response, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    return response.json() if response.content else None


# ---- days and ranges


async def test_a_day_is_shown_and_replaced(
    as_anna: httpx.AsyncClient, monday: date, pool: Pool, anna: Instructor
) -> None:
    path = f"/api/availability/days/{monday}"
    empty = {"date": monday.isoformat(), "ranges": [], "version": 0}
    assert expect(await as_anna.get(path)) == empty
    saved = expect(await as_anna.put(path, json={"ranges": [AFTERNOON, MORNING]}))
    assert saved == {"date": monday.isoformat(), "ranges": [MORNING, AFTERNOON], "version": 1}
    # Without `ranges`, it is not taken for a form without rows.
    expect(await as_anna.put(path, json={"date": monday.isoformat()}), 422)
    assert await days_of(pool, anna, monday) == [[MORNING, AFTERNOON], *[[]] * 6]


async def test_an_outdated_save_of_a_day_gets_the_fresh_day(
    as_anna: httpx.AsyncClient, monday: date, pool: Pool, anna: Instructor
) -> None:
    path = f"/api/availability/days/{monday}"
    expect(await as_anna.put(path, json={"ranges": [MORNING], "version": 0}))
    refused = expect(await as_anna.put(path, json={"ranges": [], "version": 0}), 409)
    assert refused["code"] == "VERSION_CONFLICT"
    assert refused["day"] == {"date": monday.isoformat(), "ranges": [MORNING], "version": 1}
    assert await version_of(pool, anna) == 1


async def test_ranges_are_merged_and_split(
    as_anna: httpx.AsyncClient, monday: date, pool: Pool, anna: Instructor
) -> None:
    async def change(method: str, start: str, end: str) -> list[Any]:
        body = {"date": monday.isoformat(), **span(start, end)}
        answer = expect(await as_anna.request(method, "/api/availability/ranges", json=body))
        ranges: list[Any] = answer["ranges"]
        return ranges

    assert await change("POST", "09:00", "11:00") == [span("09:00", "11:00")]
    assert await change("POST", "11:00", "12:00") == [span("09:00", "12:00")]
    assert await change("DELETE", "10:00", "10:15") == [
        span("09:00", "10:00"),
        span("10:15", "12:00"),
    ]
    assert await change("DELETE", "18:00", "19:00") == [
        span("09:00", "10:00"),
        span("10:15", "12:00"),
    ]
    assert await version_of(pool, anna) == 3  # removing what is not there is no step
    answer = await as_anna.delete(
        "/api/availability/ranges", params={"date": monday.isoformat(), **span("00:00", "24:00")}
    )
    assert expect(answer)["ranges"] == []


@pytest.mark.parametrize(
    "change",
    [
        span("12:00", "09:00"),
        span("09:00", "09:00"),
        span("09:05", "10:00"),
        span("24:00", "24:00"),
        span("22:00", "25:00"),
        {"start": "09:00"},
    ],
)
async def test_an_impossible_range_is_refused(
    as_anna: httpx.AsyncClient, monday: date, change: dict[str, str]
) -> None:
    body = {"date": monday.isoformat(), **change}
    refused = expect(await as_anna.post("/api/availability/ranges", json=body), 422)
    assert refused["code"] == "VALIDATION_ERROR"


async def test_the_past_and_the_far_future_cannot_be_changed(
    as_anna: httpx.AsyncClient, anna: Instructor, pool: Pool
) -> None:
    for day in (anna.today - timedelta(days=1), anna.today + timedelta(days=731)):
        body = {"date": day.isoformat(), **MORNING}
        expect(await as_anna.post("/api/availability/ranges", json=body), 422)
        expect(await as_anna.put(f"/api/availability/days/{day}", json={"ranges": [MORNING]}), 422)
        expect(
            await as_anna.post(
                "/api/availability/blackouts",
                json={"first": min(day, anna.today).isoformat(), "last": day.isoformat()},
            ),
            422,
        )
    assert await version_of(pool, anna) == 0


async def test_an_invalid_date_is_named_as_in_the_request(
    as_anna: httpx.AsyncClient, anna: Instructor
) -> None:
    async def field_of(method: str, path: str, **body: Any) -> Any:
        response = await as_anna.request(method, f"/api/availability/{path}", json=body)
        return expect(response, 422)["field"]

    past, far = str(anna.today - timedelta(days=1)), str(anna.today + timedelta(days=731))
    this_monday = anna.today - timedelta(days=anna.today.weekday())
    past_week, far_week = str(this_monday - WEEK), str(this_monday + 105 * WEEK)
    await as_anna.put(f"/api/availability/days/{anna.today}", json={"ranges": [MORNING]})
    source, weekend = str(this_monday), {"preset": "weekends"}
    for path in ("days/today", "blackouts/today"):
        assert await field_of("DELETE" if "blackouts" in path else "PUT", path) == "date"
    for day in (past, far):
        assert await field_of("PUT", f"days/{day}", ranges=[MORNING]) == "ranges"
        assert await field_of("POST", "blackouts", first=day) == "first"
    skipped = {"ranges": [span("01:00", "02:30")]}
    assert await field_of("PUT", f"days/{anna.spring_day}", **skipped) == "ranges.0.end"
    assert await field_of("POST", "blackouts", first=str(anna.today), last=far) == "last"
    assert await field_of("POST", "week/clear", start=past_week) == "start"
    for target in (past_week, far_week):
        assert await field_of("POST", "week/copy", **{"from": source, "to": target}) == "to"
    assert await field_of("POST", "presets", first=past, last=past, **weekend) == "last"
    last = str(anna.today + timedelta(days=738))
    assert await field_of("POST", "presets", first=far, last=last, **weekend) == "last"


async def test_of_two_editors_with_one_version_exactly_one_saves(
    as_anna: httpx.AsyncClient, monday: date, pool: Pool, anna: Instructor
) -> None:
    path = f"/api/availability/days/{monday}"
    edits = [[MORNING], [AFTERNOON], [span("18:00", "20:00")]]
    answers = await asyncio.gather(
        *(as_anna.put(path, json={"ranges": ranges, "version": 0}) for ranges in edits)
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    (saved,) = (answer.json() for answer in answers if answer.status_code == 200)
    refused = [answer.json() for answer in answers if answer.status_code == 409]
    assert [error["day"] for error in refused] == [saved, saved]
    assert await version_of(pool, anna) == 1


# ---- bulk changes


def bulk(*changes: tuple[str, date, str, str]) -> dict[str, Any]:
    return {
        "changes": [
            {"action": action, "date": day.isoformat(), "start": start, "end": end}
            for action, day, start, end in changes
        ]
    }


async def test_bulk_changes_are_made_in_order_as_one_step(
    as_anna: httpx.AsyncClient, monday: date, pool: Pool, anna: Instructor
) -> None:
    changes = bulk(
        ("add", monday, "09:00", "17:00"),
        ("remove", monday, "12:00", "13:00"),
        ("add", monday + WEEK, "09:00", "12:00"),
    )
    preview = expect(await as_anna.post("/api/availability/bulk/preview", json=changes))
    assert preview == {
        "results": [{"index": n, "ok": True} for n in range(3)],
        "days": {
            monday.isoformat(): [MORNING, AFTERNOON],
            (monday + WEEK).isoformat(): [MORNING],
        },
    }
    assert await version_of(pool, anna) == 0
    saved = expect(await as_anna.post("/api/availability/bulk", json=changes))
    assert saved == {"results": [{"index": n, "ok": True} for n in range(3)], "version": 1}
    assert await days_of(pool, anna, monday) == [[MORNING, AFTERNOON], *[[]] * 6]
    assert await version_of(pool, anna) == 1


async def test_one_impossible_change_prevents_all_and_each_is_named(
    as_anna: httpx.AsyncClient, monday: date, pool: Pool, anna: Instructor
) -> None:
    changes = bulk(
        ("add", monday, "09:00", "12:00"),
        ("add", monday, "12:00", "11:00"),
        ("add", anna.today - timedelta(days=1), "09:00", "12:00"),
        ("swap", monday, "09:00", "12:00"),
    )
    refused = expect(await as_anna.post("/api/availability/bulk", json=changes), 422)
    assert [failure["index"] for failure in refused["failures"]] == [1, 2, 3]
    assert {failure["code"] for failure in refused["failures"]} == {"VALIDATION_ERROR"}
    assert all(failure["detail"] for failure in refused["failures"])
    preview = expect(await as_anna.post("/api/availability/bulk/preview", json=changes))
    assert [result["ok"] for result in preview["results"]] == [True, False, False, False]
    assert preview["days"][monday.isoformat()] == [MORNING]
    assert await version_of(pool, anna) == 0


async def test_a_call_makes_at_most_a_thousand_changes(
    as_anna: httpx.AsyncClient, monday: date, pool: Pool, anna: Instructor
) -> None:
    change = ("add", monday, "09:00", "12:00")
    expect(await as_anna.post("/api/availability/bulk", json=bulk(*[change] * 1000)))
    expect(await as_anna.post("/api/availability/bulk", json=bulk(*[change] * 1001)), 422)
    assert await version_of(pool, anna) == 1


# ---- weeks, presets


async def test_a_week_is_cleared_copied_and_applied_as_one_step_each(
    as_anna: httpx.AsyncClient, monday: date, pool: Pool, anna: Instructor
) -> None:
    await week.replace_days(
        pool,
        anna.id,
        {
            monday: minutes(MORNING, AFTERNOON),
            monday + timedelta(days=5): minutes(MORNING),
            monday + WEEK: minutes(span("20:00", "24:00")),
        },
        now=NOW,
    )
    copy = {"from": monday.isoformat(), "to": (monday + WEEK).isoformat()}
    preview = expect(
        await as_anna.post("/api/availability/week/copy", json={**copy, "preview": True})
    )
    assert preview == {
        "days": {
            (monday + WEEK).isoformat(): [MORNING, AFTERNOON],
            (monday + WEEK + timedelta(days=5)).isoformat(): [MORNING],
        },
        "days_changed": 2,
    }
    assert await version_of(pool, anna) == 1
    copied = expect(await as_anna.post("/api/availability/week/copy", json=copy))
    assert copied == {"days_changed": 2, "version": 2}
    assert await days_of(pool, anna, monday + WEEK) == await days_of(pool, anna, monday)

    first, last = monday + 2 * WEEK, monday + 10 * WEEK
    applied = expect(
        await as_anna.post(
            "/api/availability/week/apply",
            json={
                "from": monday.isoformat(),
                "first": first.isoformat(),
                "last": last.isoformat(),
            },
        )
    )
    assert applied == {"days_changed": 17, "version": 3}
    assert await days_of(pool, anna, first) == await days_of(pool, anna, monday)
    assert await days_of(pool, anna, last) == [[MORNING, AFTERNOON], *[[]] * 6]

    cleared = expect(
        await as_anna.post("/api/availability/week/clear", json={"start": monday.isoformat()})
    )
    assert cleared == {"days_changed": 2, "version": 4}
    assert await days_of(pool, anna, monday) == [[]] * 7
    assert await version_of(pool, anna) == 4


async def test_the_current_week_changes_from_today_on(
    as_anna: httpx.AsyncClient, pool: Pool, anna: Instructor
) -> None:
    this_monday = anna.today - timedelta(days=anna.today.weekday())
    yesterday = anna.today - timedelta(days=1)
    await week.replace_days(
        pool,
        anna.id,
        {this_monday + timedelta(days=n): minutes(MORNING) for n in range(7)},
        now=NOW - 2 * WEEK,
    )
    cleared = expect(
        await as_anna.post("/api/availability/week/clear", json={"start": str(this_monday)})
    )
    assert cleared["days_changed"] == 7 - anna.today.weekday()
    past_week = {"start": str(this_monday - WEEK)}
    expect(await as_anna.post("/api/availability/week/clear", json=past_week), 422)
    if yesterday >= this_monday:
        assert (await days_of(pool, anna, this_monday))[yesterday.weekday()] == [MORNING]


async def test_presets_replace_the_days_they_touch(
    as_anna: httpx.AsyncClient, monday: date, pool: Pool, anna: Instructor
) -> None:
    def body(preset: str) -> dict[str, str]:
        last = monday + timedelta(days=6)
        return {"preset": preset, "first": monday.isoformat(), "last": last.isoformat()}

    for preset, expected in (
        ("weekdays", [[span("09:00", "17:00")]] * 5 + [[]] * 2),
        ("evenings", [[span("17:00", "21:00")]] * 7),
        ("weekends", [[]] * 5 + [[span("10:00", "16:00")]] * 2),
    ):
        expect(await as_anna.post("/api/availability/presets", json=body(preset)))
        assert await days_of(pool, anna, monday) == expected
    expect(await as_anna.post("/api/availability/presets", json=body("nights")), 422)


@pytest.mark.parametrize(("days", "status"), [(365, 200), (366, 422), (-1, 422)])
async def test_a_change_spans_at_most_a_year(
    as_anna: httpx.AsyncClient, monday: date, days: int, status: int
) -> None:
    dates = {"first": monday.isoformat(), "last": (monday + timedelta(days=days)).isoformat()}
    for path, body in (
        ("/api/availability/presets", {"preset": "weekdays"}),
        ("/api/availability/week/apply", {"from": monday.isoformat()}),
        ("/api/availability/blackouts", {"reason": "A year off"}),
    ):
        success = 201 if path.endswith("blackouts") else 200
        answer = await as_anna.post(path, json=body | dates)
        expect(answer, success if status == 200 else status)


# ---- the standing pattern


async def test_a_standing_pattern_fills_twelve_weeks_but_none_edited_by_hand(
    as_anna: httpx.AsyncClient, monday: date, pool: Pool, anna: Instructor
) -> None:
    await week.replace_days(pool, anna.id, {monday: minutes(AFTERNOON)}, now=NOW)
    expect(await as_anna.get("/api/availability/pattern"), 404)
    days = {"tuesday": [MORNING, AFTERNOON], "sunday": [span("20:00", "24:00")]}
    saved = expect(await as_anna.put("/api/availability/pattern", json={"days": days}))
    assert saved == {"days": {name: [] for name in filling.DAY_NAMES} | days}
    assert expect(await as_anna.get("/api/availability/pattern")) == saved
    filled = [[], [MORNING, AFTERNOON], [], [], [], [], [span("20:00", "24:00")]]
    assert await days_of(pool, anna, monday) == [[AFTERNOON], *[[]] * 6]
    this_monday = anna.today - timedelta(days=anna.today.weekday())
    assert await days_of(pool, anna, monday + WEEK) == filled
    assert await days_of(pool, anna, this_monday + 12 * WEEK) == filled
    assert await days_of(pool, anna, this_monday + 13 * WEEK) == [[]] * 7
    assert await version_of(pool, anna) == 2

    assert await filling.fill_standing_patterns(pool, now=NOW + WEEK) == 2
    assert await days_of(pool, anna, this_monday + 13 * WEEK) == filled
    assert await filling.fill_standing_patterns(pool, now=NOW + WEEK) == 0
    assert await version_of(pool, anna) == 3

    expect(await as_anna.delete("/api/availability/pattern"), 204)
    assert await filling.fill_standing_patterns(pool, now=NOW + 5 * WEEK) == 0
    assert await days_of(pool, anna, monday + WEEK) == filled


# ---- gaps and blackouts


async def test_gaps_are_the_free_time_between_lessons(
    as_anna: httpx.AsyncClient, monday: date, pool: Pool, anna: Instructor
) -> None:
    await week.replace_days(pool, anna.id, {monday: minutes(span("09:00", "18:00"))}, now=NOW)
    days = (monday - anna.today).days

    async def gaps() -> list[Any]:
        answer = await as_anna.get("/api/availability/gaps", params={"date": monday.isoformat()})
        between: list[Any] = expect(answer)["gaps"]
        return between

    assert await gaps() == []
    for number, start in enumerate(("09:30", "12:00", "15:00")):
        ben = await factories.student(pool, f"Ben {number}")
        await factories.lesson(pool, ben.id, anna.service_id, anna.at(start, day=days))
    assert await gaps() == [
        {"start": "10:30", "end": "12:00", "minutes": 90},
        {"start": "13:00", "end": "15:00", "minutes": 120},
    ]


async def test_a_blackout_hides_free_time_and_its_removal_brings_it_back(
    as_anna: httpx.AsyncClient, monday: date, pool: Pool, anna: Instructor
) -> None:
    days = {monday + timedelta(days=n): minutes(MORNING) for n in range(3)}
    await week.replace_days(pool, anna.id, days, now=NOW)
    board = "select board_days($1, array[$2::date]) -> $2::date::text -> 'free' <> '[]'"
    first, last = monday, monday + timedelta(days=1)
    body = {"first": first.isoformat(), "last": last.isoformat(), "reason": "Holiday"}
    expect(await as_anna.post("/api/availability/blackouts", json=body), 201)
    listed = expect(await as_anna.get("/api/availability/blackouts", params={"limit": 1}))
    assert listed["items"] == [{"date": first.isoformat(), "reason": "Holiday"}]
    listed = expect(
        await as_anna.get("/api/availability/blackouts", params={"cursor": listed["next_cursor"]})
    )
    assert listed["items"] == [{"date": last.isoformat(), "reason": "Holiday"}]
    assert not await pool.fetchval(board, anna.id, first)
    assert (await days_of(pool, anna, monday))[0] == [MORNING]
    assert await version_of(pool, anna) == 2

    # A save from before the blackout is a conflict.
    outdated = {"ranges": [], "version": 1}
    refused = await as_anna.put(f"/api/availability/days/{monday}", json=outdated)
    assert expect(refused, 409)["code"] == "VERSION_CONFLICT"

    for _ in range(2):
        expect(await as_anna.delete(f"/api/availability/blackouts/{first}"), 204)
    assert await pool.fetchval(board, anna.id, first)
    assert await version_of(pool, anna) == 3

    # A further day is a step of its own, a day that is closed already none.
    for body in ({"first": str(last + timedelta(days=1))}, {"first": str(last)}):
        expect(await as_anna.post("/api/availability/blackouts", json=body), 201)
    assert await version_of(pool, anna) == 4


async def test_a_student_may_not_read_or_edit_availability(
    client: httpx.AsyncClient, pool: Pool, settings: Any, monday: date
) -> None:
    ben = await factories.student(pool)
    client.headers["Authorization"] = f"Bearer {await factories.token_of(pool, ben.id, settings)}"
    for method, path in (
        ("GET", f"days/{monday}"), ("POST", "ranges"), ("POST", "bulk"), ("POST", "presets"),
        ("GET", "pattern"), ("GET", "blackouts"), ("POST", "week/clear"),
    ):  # fmt: skip
        answer = await client.request(method, f"/api/availability/{path}", json={})
        assert expect(answer, 403)["code"] == "NOT_ALLOWED"
