"""How pages and mails write things."""

from datetime import UTC, datetime, timedelta

import pytest

from app import formatting
from app.notifications import phrases


def test_initials_have_varied_colors_and_a_name_always_the_same() -> None:
    names = [f"Anna {letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    assert {formatting.hue(name) for name in names} == set(range(formatting.HUES))
    assert formatting.hue("Anna Diaz") == formatting.hue("Anna Diaz")


@pytest.mark.parametrize(
    ("minutes", "text"),
    [
        (1, "1 minute"),
        (60, "60 minutes"),
        (90, "90 minutes"),
        (120, "2 hours"),
        (1_440, "24 hours"),
        (4_320, "3 days"),
    ],
)
def test_a_length_uses_the_largest_unit_that_fits_at_least_twice(minutes: int, text: str) -> None:
    assert formatting.length(minutes) == text


def test_a_reader_with_a_24_hour_clock_reads_every_time_in_it() -> None:
    start, end = datetime(2026, 11, 24, 14, tzinfo=UTC), datetime(2026, 11, 24, 20, 30, tzinfo=UTC)
    new_york = "America/New_York"
    formatting.use_clock("24")
    try:
        assert formatting.clock(start, new_york) == "09:00"
        assert formatting.span(start, end, new_york) == "09:00–15:30"
        assert formatting.moment(end, new_york) == "Tue, Nov 24, 15:30"
        assert formatting.hint(start, new_york, "Europe/Paris") == "15:00"
        hinted = formatting.clock_with_hint(start, new_york, "Europe/Paris")
        assert hinted == "09:00 (15:00 your time)"
        assert formatting.clock_with_hint(start, new_york, new_york) == "09:00"
        assert formatting.wall_span("08:00", "24:00") == "08:00–24:00"
        assert phrases.hours(start, end, new_york) == "09:00–15:30"
    finally:
        formatting.use_clock("12")
    assert formatting.clock(end, new_york) == "3:30 pm"
    assert phrases.hours(start, end, new_york) == "9:00 am–3:30 pm"


def test_the_hour_that_occurs_twice_is_written_with_the_zone_everywhere() -> None:
    new_york, london = "America/New_York", "Europe/London"
    first = datetime(2026, 11, 1, 5, 0, tzinfo=UTC)
    second, after = first + timedelta(hours=1), first + timedelta(hours=2)
    assert formatting.clock(first, new_york) == "1:00 am EDT"
    assert formatting.moment(second, new_york) == "Sun, Nov 1, 1:00 am EST"
    assert formatting.span(first, second, new_york) == "1:00 am EDT–1:00 am EST"
    assert formatting.span(second, after, new_york) == "1:00 am EST–2:00 am"
    assert formatting.span(after, after + timedelta(hours=1), new_york) == "2–3 am"
    assert phrases.hours(second, after, new_york) == "1:00 am EST–2:00 am"
    assert formatting.hint(second, new_york, london) == "6:00 am"
    autumn = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert formatting.clock(autumn, london) == "1:30 am GMT+1"
    assert formatting.clock(autumn + timedelta(hours=1), london) == "1:30 am GMT"
