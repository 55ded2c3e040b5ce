"""Clock changes in different zones: at two, at midnight, by half an hour, before midnight."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import refusal
from app.availability import filling, week
from app.availability.week import Range
from app.db import Pool
from tests import factories

ZONES = [
    "America/New_York",  # 02:00 → 03:00 and back
    "Australia/Lord_Howe",  # 02:00 → 02:30 and back: half an hour
    "America/Havana",  # 00:00 → 01:00, and 01:00 → 00:00
    "Africa/Cairo",  # 00:00 → 01:00, and 24:00 → 23:00
    "America/Santiago",  # 24:00 → 01:00, and 24:00 → 23:00
    "America/Nuuk",  # late in the evening
    "Europe/London",  # 01:00 → 02:00 and back
    "Asia/Kathmandu",  # never, but an offset of 5 h 45 min
    "Pacific/Chatham",  # 02:45 → 03:45 and back
]
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def nights(zone: str) -> list[date]:
    """The days of 2026 and 2027 without exactly 24 hours."""
    tz = ZoneInfo(zone)
    days = [date(2026, 1, 5) + timedelta(days=n) for n in range(725)]
    return [day for day in days if hours(day, tz) != 24] or days[:2]


def hours(day: date, tz: ZoneInfo) -> float:
    starts = [
        datetime(on.year, on.month, on.day, tzinfo=tz).astimezone(UTC)
        for on in (day, day + timedelta(days=1))
    ]
    return (starts[1] - starts[0]) / timedelta(hours=1)


def walk(day: date, zone: str) -> Iterator[tuple[datetime, int]]:
    """An independent model of a local day: each quarter-hour as an instant and local minutes."""
    tz = ZoneInfo(zone)
    instant = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=1)
    while (local := instant.astimezone(tz)).date() <= day:
        if local.date() == day:
            yield instant, local.hour * 60 + local.minute
        instant += timedelta(minutes=15)


def edge(minute: int, quarters: list[tuple[datetime, int]]) -> datetime | None:
    """The first instant with this local time; 1440 is the end of the day."""
    if minute == 24 * 60:
        return quarters[-1][0] + timedelta(minutes=15)
    return next((instant for instant, wall in quarters if wall == minute), None)


def end_edge(minute: int, quarters: list[tuple[datetime, int]]) -> datetime | None:
    """An end exactly at a clock change is the change itself."""
    instant = edge(minute, quarters)
    if instant is not None:
        return instant
    return next(
        (instant + timedelta(minutes=15) for instant, wall in quarters if wall + 15 == minute), None
    )


def ranges(first: int, last: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    """Ranges between two quarters of the day."""
    return st.lists(
        st.integers(first, last - 1).flatmap(
            lambda a: st.tuples(st.just(a), st.integers(a + 1, last))
        ),
        max_size=4,
    )


# Hours with clock changes are tested as often as all others.
RANGES = st.one_of(ranges(0, 96), ranges(0, 17), ranges(86, 96))


@pytest.mark.parametrize("zone", ZONES)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(choice=st.integers(0, 3), beside=st.integers(-1, 1), drawn=RANGES)
async def test_a_week_with_a_clock_change_is_saved_in_local_time(
    pool: Pool, zone: str, choice: int, beside: int, drawn: list[tuple[int, int]]
) -> None:
    """Compares with the model: an instant is covered if its first local time is in a range, a
    skipped edge is refused by name, and saving the week as read changes nothing."""
    anna = (
        await pool.fetchval("select instructor_id from calendar")
        or (await factories.instructor(pool, "Anna", days=0, time_zone=zone)).id
    )
    days = nights(zone)
    await check(
        pool,
        anna,
        zone,
        days[choice % len(days)] + timedelta(days=beside),
        [(a * 15, b * 15) for a, b in drawn],
    )


async def check(pool: Pool, instructor: Any, zone: str, day: date, ranges: list[Range]) -> None:
    quarters = list(walk(day, zone))
    edges = [(edge(start, quarters), end_edge(end, quarters)) for start, end in ranges]
    wrong = [
        (index, "start" if a is None else "end")
        for index, (a, b) in enumerate(edges)
        if a is None or b is None
    ]
    if wrong:
        with pytest.raises(refusal.ValidationError) as refused:
            await week.replace_days(pool, instructor, {day: ranges}, now=NOW)
        assert refused.value.field == f"days.{day}.{wrong[0][0]}.{wrong[0][1]}"
        return
    await week.replace_days(pool, instructor, {day: ranges}, now=NOW)
    expected = {
        instant for instant, _ in quarters if any(a <= instant < b for a, b in edges if a and b)
    }
    rows = await pool.fetch(
        """select r from availability a,
             lateral generate_series(
               lower(during), upper(during) - interval '1 minute', '15 minutes'
             ) as r
           where instructor_id = $1 and during && day_span($2, $3) and r <@ day_span($2, $3)""",
        instructor, day, zone,
    )  # fmt: skip
    assert {row["r"] for row in rows} == expected, (day, ranges)

    monday = day - timedelta(days=day.weekday())
    before = await week.read(pool, instructor, monday)
    same_days = {
        date.fromisoformat(text): [
            (week.minute(span["start"]), week.minute(span["end"])) for span in spans
        ]
        for text, spans in before.days.items()
    }
    again = await week.replace(pool, instructor, monday, same_days, base=before.version, now=NOW)
    assert again == before, (day, ranges)


@pytest.mark.parametrize(
    ("zone", "day", "times", "minutes"),
    [
        ("America/New_York", "2026-11-01", ("01:00", "03:00"), 180),
        ("America/New_York", "2026-11-01", ("00:00", "01:30"), 90),
        ("America/New_York", "2026-11-01", ("01:30", "02:00"), 90),
        ("America/New_York", "2027-03-14", ("01:00", "02:00"), 60),
        ("America/New_York", "2027-03-14", ("01:00", "03:30"), 90),
        ("America/New_York", "2027-03-14", ("00:00", "24:00"), 23 * 60),
        ("Australia/Lord_Howe", "2026-10-04", ("01:00", "02:00"), 60),
        ("Australia/Lord_Howe", "2026-10-04", ("02:30", "03:00"), 30),
        ("Australia/Lord_Howe", "2026-04-05", ("01:00", "02:00"), 90),
        ("America/Havana", "2026-11-01", ("00:00", "01:00"), 120),
        ("Africa/Cairo", "2026-04-24", ("01:00", "24:00"), 23 * 60),
        ("Africa/Cairo", "2026-04-23", ("22:00", "24:00"), 120),
        ("Africa/Cairo", "2026-10-29", ("22:00", "24:00"), 180),
    ],
)  # fmt: skip
async def test_known_clock_changes(
    pool: Pool, zone: str, day: str, times: tuple[str, str], minutes: int
) -> None:
    anna = await factories.instructor(pool, "Anna", days=0, time_zone=zone)
    on = date.fromisoformat(day)
    await week.replace_days(
        pool, anna.id, {on: [(week.minute(times[0]), week.minute(times[1]))]}, now=NOW
    )
    read = await week.read(pool, anna.id, on - timedelta(days=on.weekday()))
    assert read.days[day] == [{"start": times[0], "end": times[1]}]
    length = await pool.fetchval("select upper(during) - lower(during) from availability")
    assert length == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("zone", "day", "times", "edge"),
    [
        ("America/New_York", "2027-03-14", ("02:00", "04:00"), "start"),
        ("America/New_York", "2027-03-14", ("01:00", "02:30"), "end"),
        ("Australia/Lord_Howe", "2026-10-04", ("02:15", "03:00"), "start"),
        ("Australia/Lord_Howe", "2026-10-04", ("01:00", "02:15"), "end"),
        ("America/Havana", "2026-03-08", ("00:00", "03:00"), "start"),
        ("Africa/Cairo", "2026-04-24", ("00:30", "03:00"), "start"),
    ],
)
async def test_a_skipped_edge_is_refused_by_name(
    pool: Pool, zone: str, day: str, times: tuple[str, str], edge: str
) -> None:
    anna = await factories.instructor(pool, "Anna", days=0, time_zone=zone)
    fine = (week.minute("08:00"), week.minute("09:00"))
    with pytest.raises(refusal.ValidationError) as refused:
        await week.replace_days(
            pool,
            anna.id,
            {
                date.fromisoformat(day): [
                    fine,
                    (week.minute(times[0]), week.minute(times[1])),
                ]
            },
            now=NOW,
        )
    assert refused.value.field == f"days.{day}.1.{edge}"
    assert await pool.fetchval("select count(*) from availability") == 0


async def test_a_year_at_once_is_one_step(pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    days = {NOW.date() + timedelta(days=n): [(540, 720), (780, 1020)] for n in range(1, 366)}
    assert await week.replace_days(pool, anna.id, days, now=NOW) == (365, 1)
    assert await pool.fetchval("select count(*) from availability") == 730


@pytest.mark.parametrize(
    "zone", ["America/New_York", "Europe/London", "Australia/Lord_Howe", "Asia/Kathmandu"]
)
async def test_a_year_filled_by_a_week_keeps_its_clock_times(pool: Pool, zone: str) -> None:
    """Through both clock changes: in the night of a change, the ranges contain just the quarter
    hours that the clock shows, so repeated time lasts longer and skipped time is left out."""
    anna = await factories.instructor(pool, "Anna", days=0, time_zone=zone, now=NOW)
    monday = date(2026, 1, 5)
    night, work = (60, 240), (540, 1020)
    week_days = {monday + timedelta(days=n): [night, work] for n in range(7)}
    await week.replace_days(pool, anna.id, week_days, now=NOW)
    first = monday + timedelta(days=7)
    filled = await filling.fill(pool, anna.id, monday, first, first + timedelta(days=363), now=NOW)
    assert (filled.days_changed, filled.version) == (364, 2)
    for day in (first, *(night for night in nights(zone) if night.year == 2026 and night > first)):
        rows = await pool.fetch(
            """select r from availability a,
                 lateral generate_series(
                   lower(during), upper(during) - interval '1 minute', '15 minutes') as r
               where instructor_id = $1 and r <@ day_span($2, $3)""",
            anna.id, day, zone,
        )  # fmt: skip
        assert {row["r"] for row in rows} == {
            instant
            for instant, minute in walk(day, zone)
            if any(start <= minute < end for start, end in (night, work))
        }, day
