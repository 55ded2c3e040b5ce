"""Start times: local half-hours and the first start of a free range, within one local day."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from app.availability import start_times

NEW_YORK = "America/New_York"


def at(text: str, zone: str = NEW_YORK) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def clock(starts: list[datetime], zone: str = NEW_YORK) -> list[str]:
    return [f"{start.astimezone(ZoneInfo(zone)):%a %H:%M}" for start in starts]


def test_a_range_offers_its_first_start_and_the_half_hours_after_it() -> None:
    free = [(at("2026-11-24 09:07"), at("2026-11-24 11:00"))]
    assert clock(list(start_times.of_ranges(free, 60, NEW_YORK))) == [
        "Tue 09:15",
        "Tue 09:30",
        "Tue 10:00",
    ]


def test_a_range_that_is_long_enough_but_off_the_quarters_offers_nothing() -> None:
    free = [(at("2026-11-24 09:07"), at("2026-11-24 10:10"))]
    assert list(start_times.of_ranges(free, 60, NEW_YORK)) == []


def test_no_lesson_crosses_midnight() -> None:
    free = [(at("2026-11-24 22:45"), at("2026-11-25 01:15"))]
    assert clock(list(start_times.of_ranges(free, 60, NEW_YORK))) == [
        "Tue 22:45",
        "Tue 23:00",
        "Wed 00:00",
    ]


def test_half_hours_are_those_of_the_wall_clock() -> None:
    free = [(at("2026-11-24 09:15", "Asia/Kathmandu"), at("2026-11-24 11:00", "Asia/Kathmandu"))]
    starts = list(start_times.of_ranges(free, 30, "Asia/Kathmandu"))
    assert clock(starts, "Asia/Kathmandu") == ["Tue 09:15", "Tue 09:30", "Tue 10:00", "Tue 10:30"]


@pytest.mark.parametrize("day", [date(2026, 3, 8), date(2026, 11, 1), date(2026, 11, 24)])
@pytest.mark.parametrize("zone", [NEW_YORK, "Australia/Lord_Howe", "America/Havana"])
def test_whole_ranges_offer_what_their_days_offer(day: date, zone: str) -> None:
    """Also where clocks change, and where they change at midnight."""
    local = ZoneInfo(zone)
    midnights = [
        datetime.combine(day + timedelta(days=n), datetime.min.time(), local).astimezone(UTC)
        for n in range(-1, 4)
    ]
    begin, end = midnights[0] + timedelta(hours=5, minutes=15), midnights[-1] - timedelta(hours=3)
    limits = start_times.Limits(begin, end)
    by_day = [
        start
        for first, last in pairwise(midnights)
        for start in start_times.of_day(
            [(max(begin, first), min(end, last))], [], 45, zone=zone, limits=limits
        )
    ]
    assert list(start_times.of_ranges([(begin, end)], 45, zone)) == by_day


def test_a_held_range_shows_as_held_where_a_lesson_would_meet_it() -> None:
    day = "2026-11-24"
    limits = start_times.Limits(at(f"{day} 00:00"), at(f"{day} 23:59"))
    held = [(at(f"{day} 16:00"), at(f"{day} 17:00"))]
    free = [(at(f"{day} 14:00"), at(f"{day} 16:00")), (at(f"{day} 17:00"), at(f"{day} 18:00"))]
    states = start_times.of_day(free, held, 60, zone=NEW_YORK, limits=limits)
    assert {clock([start])[0]: state for start, state in states.items()} == {
        "Tue 14:00": "free",
        "Tue 14:30": "free",
        "Tue 15:00": "free",
        "Tue 15:30": "held",
        "Tue 16:00": "held",
        "Tue 16:30": "held",
        "Tue 17:00": "free",
    }


def test_the_time_of_the_viewers_own_hold_counts_as_free() -> None:
    def hours(*edges: int) -> list[start_times.Span]:
        instants = [datetime(2026, 11, 24, hour, tzinfo=UTC) for hour in edges]
        return start_times.pairs(instants)

    free, held = hours(9, 10, 12, 13), hours(10, 12)
    assert start_times.without_own_holds(free, held, hours(10, 11)) == (
        hours(9, 11, 12, 13),
        hours(11, 12),
    )
    assert start_times.without_own_holds(free, held, hours(10, 12)) == (hours(9, 13), [])
    # The board decides: a hold that it does not show frees nothing.
    assert start_times.without_own_holds(free, [], hours(10, 11)) == (free, [])
    assert start_times.without_own_holds(free, held, []) == (free, held)
