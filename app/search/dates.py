"""The grammar of days in a search: "tomorrow", "next weekend", "on May 3"."""

import re
from datetime import date, datetime, time, timedelta

from app.search.reading import Reading
from app.search.words import MONTHS, PARTS, SHORT_MONTHS, SHORT_WEEKDAYS, WEEKDAYS

# A lesson takes at least this long.
SHORTEST_LESSON = timedelta(minutes=15)
# Years from now; beyond them, numbers are no date.
MAX_YEARS = 5


def read(reading: Reading) -> None:
    today = reading.today
    month = "|".join([*MONTHS, *SHORT_MONTHS])
    of_week = "|".join(WEEKDAYS)
    short = "|".join(SHORT_WEEKDAYS)
    day = r"(\d{1,2})(?: ?(?:st|nd|rd|th))?"
    reading.take(
        r"\b(\d{4})-(\d\d)-(\d\d)\b", lambda m: _date(reading, int(m[1]), int(m[2]), int(m[3]))
    )
    reading.take(
        r"\b(?:on )?(\d{1,2}) ?/ ?(\d{1,2})(?: ?/ ?(\d{2,4}))?\b",
        lambda m: _date(reading, _year(m[3]), int(m[1]), int(m[2])),
    )
    reading.take(
        rf"\b(?:(?:{of_week}|{short}) )?(?:on )?({month}) {day}(?: (\d{{4}}))?(?![\d:])\b",
        lambda m: _date(reading, _year(m[3]), _month(m[1]), int(m[2])),
    )
    reading.take(
        rf"\b(?:on )?(?:the )?{day} (?:of )?({month})(?: (\d{{4}}))?\b",
        lambda m: _date(reading, _year(m[3]), _month(m[2]), int(m[1])),
    )
    reading.take(r"\b(?:the )?day after tomorrow\b", lambda _: set_days(reading, today, 2))
    reading.take(r"\b(?:for )?today\b", lambda _: set_days(reading, today, 0))
    reading.take(
        r"\b(?:for )?(?:tomorrow|tmrw|tmr|tomorow)\b", lambda _: set_days(reading, today, 1)
    )
    reading.take(r"\bin (\d{1,2}) days?\b", lambda m: set_days(reading, today, int(m[1])))
    reading.take(r"\bin (?:a|1) week\b", lambda _: set_days(reading, today, 7))
    reading.take(r"\bin (\d{1,2}) weeks?\b", lambda m: set_days(reading, today, 7 * int(m[1])))
    monday = today - timedelta(days=today.weekday())
    reading.take(
        r"\b(?:(?:on|over|at) )?(?:(this|next|the|coming) )?weekends?\b",
        lambda m: _weekend(reading, monday, is_next=m[1] == "next"),
    )
    reading.take(
        r"\b(?:on )?(?:saturdays? (?:or|and|/) sundays?|sat (?:or|and|/|-) sun)\b",
        lambda _: _weekend(reading, monday, is_next=False),
    )
    reading.take(
        rf"\b(?:on )?(?:(this|next|coming) )?({of_week})s?(?: (?:or|and|/) ({of_week})s?)?\b",
        lambda m: _weekday(reading, m),
    )
    # "sat" alone may be the SAT, an exam.
    reading.take(
        rf"\b(?:(?:on )?(this|next|coming)|on) ({short})\b()|"
        rf"\b()({short})\b()(?= (?:at|after|before|around|between|from|\|))|"
        rf"(?<=\| )()({short})\b()|\b()(mon|tues?|weds?|thu|thurs?|fri)\b()",
        lambda m: _weekday(reading, m),
    )
    reading.take(
        r"\b(?:(this|next) )?weekdays?\b",
        lambda m: _weekdays(reading, monday, is_next=m[1] == "next"),
    )
    reading.take(
        r"\bthis week\b", lambda _: set_days(reading, today, 0, monday + timedelta(days=6))
    )
    reading.take(
        r"\bnext week\b",
        lambda _: set_days(reading, monday, 7, monday + timedelta(days=13)),
    )


def _date(reading: Reading, year: int | None, month: int, day: int) -> bool | None:
    try:
        value = date(year or reading.today.year, month, day)
        if year is None and value < reading.today:
            value = date(reading.today.year + 1, month, day)
    except ValueError:
        return False
    if abs(value.year - reading.today.year) > MAX_YEARS:
        return False
    reading.set("date", value)
    return None


def set_days(reading: Reading, first: date, after: int, last: date | None = None) -> None:
    """`after` days after `first`, up to `last`."""
    if "date" not in reading.values:
        reading.values["date"] = first + timedelta(days=after)
        if last is not None and last != reading.values["date"]:
            reading.values["last_date"] = last


def _weekend(reading: Reading, monday: date, *, is_next: bool) -> None:
    saturday = monday + timedelta(days=5)
    if is_next or not _has_starts_left(reading, saturday + timedelta(days=1)):
        saturday += timedelta(days=7)
    set_days(reading, saturday, 0, saturday + timedelta(days=1))


def _has_starts_left(reading: Reading, day: date) -> bool:
    """Whether a lesson can still start on this day, within the query's part of the day."""
    end_hour = PARTS[reading.values["part_of_day"]][1] if "part_of_day" in reading.values else 24
    end = datetime.combine(day, time(), reading.now.tzinfo) + timedelta(hours=end_hour)
    return reading.now + SHORTEST_LESSON <= end


def _weekday(reading: Reading, match: re.Match[str]) -> None:
    groups = [group for group in match.groups() if group is not None]
    which, first, second = (*groups, "", "", "")[:3] if match[1] is not None else ("", "", "")
    if match[1] is None:
        names = [group for group in groups if group]
        first, second = names[0], names[1] if len(names) > 1 else ""
    ahead = (_weekday_number(first) - reading.today.weekday()) % 7
    if which == "next":
        ahead = 7 - reading.today.weekday() + _weekday_number(first)
    elif ahead == 0 and not _has_starts_left(reading, reading.today):
        ahead = 7
    start = reading.today + timedelta(days=ahead)
    consecutive = second and (_weekday_number(second) - _weekday_number(first)) % 7 == 1
    set_days(reading, start, 0, start + timedelta(days=1) if consecutive else None)


def _weekdays(reading: Reading, monday: date, *, is_next: bool) -> None:
    friday = monday + timedelta(days=4)
    if is_next or reading.today > friday:
        set_days(reading, monday, 7, friday + timedelta(days=7))
    else:
        set_days(reading, reading.today, 0, friday)


def _year(text: str | None) -> int | None:
    if not text:
        return None
    return int(text) + (2000 if len(text) == 2 else 0)


def _month(text: str) -> int:
    return SHORT_MONTHS.get(text) or MONTHS.index(text) + 1


def _weekday_number(text: str) -> int:
    return SHORT_WEEKDAYS[text] if text in SHORT_WEEKDAYS else WEEKDAYS.index(text)
