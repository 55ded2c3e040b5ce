"""Editing availability: a year filled by a weekly pattern, a week saved through HTTP, and the size
of the calendar's page."""

import re
import time
from datetime import UTC, datetime, timedelta

import httpx
import orjson

from app.accounts import session
from app.availability import filling, week
from loadtests.bench import accounts, client
from loadtests.bench.report import Result, say
from loadtests.bench.stack import Stack, Web
from loadtests.table import milliseconds, percentile

AIM_YEAR = 0.100
AIM_WEEK = 0.006
AIM_BYTES = 40_000
DAYS = 366

_HOURS = (("09:00", "11:00"), ("12:00", "15:00"), ("16:00", "19:00"))
_LATER = (("10:00", "11:30"), ("12:30", "15:30"), ("16:30", "20:00"))


def _pattern(hours: tuple[tuple[str, str], ...]) -> filling.Pattern:
    ranges = [{"start": start, "end": end} for start, end in hours]
    return {str(number): ranges for number in range(1, 8)}


async def editing(stack: Stack, *, quick: bool) -> list[Result]:
    """The time of a year's change in Postgres, and of a week's change through HTTP; every change
    alters every day."""
    (offer,) = await accounts.instructors(stack.pool, "editing", 1, first=accounts.today(), days=7)
    await stack.pool.execute("analyze")
    say("a year of availability at once")
    first = accounts.today() + timedelta(days=1)
    years, floors = [], []
    for nth in range(6 if quick else 20):
        started = time.perf_counter()
        filled = await filling.fill(
            stack.pool,
            offer.instructor_id,
            _pattern((_HOURS, _LATER)[nth % 2]),
            first,
            first + timedelta(days=DAYS - 1),
            now=datetime.now(UTC),
        )
        years.append(time.perf_counter() - started)
        assert filled.days_changed == DAYS
        floors.append(await _rewrite_seconds(stack))
    say("a week saved through HTTP")
    monday = first + timedelta(days=7 - first.weekday())
    weeks, weeks_floor = [], []
    token = await session.open(
        stack.pool, offer.instructor_id, stack.settings, now=datetime.now(UTC)
    )
    async with stack.product() as web:
        (connection,) = await client.connections(web, 1)
        for nth in range(60 if quick else 400):
            hours = (_HOURS, _LATER)[nth % 2]
            days = {
                monday + timedelta(days=n): [{"start": start, "end": end} for start, end in hours]
                for n in range(7)
            }
            request = _save_week(web, token, {"start": monday, "days": days})
            started = time.perf_counter()
            status, _ = await connection.ask(request)
            weeks.append(time.perf_counter() - started)
            assert status == 200
            started = time.perf_counter()
            await week.replace_days(
                stack.pool,
                offer.instructor_id,
                {monday + timedelta(days=n): [(600 + nth % 2 * 15, 720)] for n in range(7)},
                now=datetime.now(UTC),
            )
            weeks_floor.append(time.perf_counter() - started)
        connection.close()
        own_bytes = await _own_bytes(web, token)
    year, year_floor = percentile(years, 50), percentile(floors, 50)
    save, save_floor = percentile(weeks, 50), percentile(weeks_floor, 50)
    return [
        Result(
            f"a year applied ({DAYS} days, 3 ranges a day), p50",
            milliseconds(year), f"{milliseconds(year_floor)} (its rows written again)",
            f"{year / year_floor:.1f}×", f"≤ {milliseconds(AIM_YEAR)}", year <= AIM_YEAR,
        ),
        Result(
            "a week saved through HTTP, p50",
            milliseconds(save), f"{milliseconds(save_floor)} (direct)",
            f"{save / save_floor:.1f}×", f"≤ {milliseconds(AIM_WEEK)}", save <= AIM_WEEK,
        ),
        Result(
            "JavaScript and CSS of /teach/calendar as sent, without FullCalendar",
            f"{own_bytes / 1_000:.0f} kB", "", "", f"≤ {AIM_BYTES / 1_000:.0f} kB",
            own_bytes <= AIM_BYTES,
        ),
    ]  # fmt: skip


async def _rewrite_seconds(stack: Stack) -> float:
    """The time to delete and insert as many ranges in a table of the same kind."""
    async with stack.pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "create temp table floor_range on commit drop as select * from availability"
        )
        await connection.execute(
            "alter table floor_range add primary key (instructor_id, during without overlaps)"
        )
        started = time.perf_counter()
        rows = "select * from availability"
        await connection.execute("delete from floor_range")
        await connection.execute(f"insert into floor_range {rows}")
        return time.perf_counter() - started


def _save_week(web: Web, token: str, body: object) -> bytes:
    content = orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS)
    head = (
        f"PUT /api/availability/week HTTP/1.1\r\nHost: {web.host}:{web.port}\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def _own_bytes(web: Web, token: str) -> int:
    """The compressed scripts and styles that the page loads, with the modules that they import."""
    origin = f"http://{web.host}:{web.port}"
    headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "gzip"}
    async with httpx.AsyncClient(base_url=origin, headers=headers, timeout=10) as browser:
        page = (await browser.get("/teach/calendar")).raise_for_status()
        waiting = set(re.findall(r'"/static/([\w./-]+\.(?:js|css))', page.text))
        sizes: dict[str, int] = {}
        while names := {name for name in waiting if not name.startswith("vendor/")} - sizes.keys():
            name = names.pop()
            file = (await browser.get(f"/static/{name}")).raise_for_status()
            sizes[name] = file.num_bytes_downloaded
            waiting |= set(re.findall(r'"\./([\w-]+\.js)"', file.text))
    assert {"calendar.js", "calendar.css"} <= sizes.keys(), sizes
    return sum(sizes.values())
