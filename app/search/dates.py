"""The grammar of days in a search: "tomorrow", "mon or wed", "next weekend", "on May 3"."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any

from app.search.reading import Reading
from app.search.words import MONTHS, PARTS, SHORT_MONTHS, SHORT_WEEKDAYS, WEEKDAYS

SHORTEST_LESSON = timedelta(minutes=15)
# Numbers that name a day more years away than this are not read as a date.
MAX_YEARS = 5
# The longest range of days.
MAX_DAYS = 31
# The length of a range without an end, such as "from monday on".
OPEN_DAYS = 14

_MONTH = "|".join([*MONTHS, *SHORT_MONTHS])
_WEEKDAY = "|".join(WEEKDAYS)
_SHORT = "|".join(SHORT_WEEKDAYS)
_TO = r"(?:-|to|through|thru|until|till)"
_OR = r"(?:or|and|/|on|the|\|)"


@dataclass(frozen=True, slots=True)
class _Day:
    """A day in a query. With `weekday` (0 is Monday), it is the next one of that name; `is_next` is
    of next week. In the text a mark replaces it, so that several days in a row are read
    together."""

    date: date
    weekday: int | None = None
    is_next: bool = False

    @property
    def mark(self) -> str:
        weekday = "" if self.weekday is None else self.weekday
        return f"\x01{self.date.toordinal()},{weekday},{int(self.is_next)}\x01"


_PARTS_OF_MONTH = {
    "first week": (1, 7), "second week": (8, 14), "third week": (15, 21), "last week": (22, 31),
    "1 st week": (1, 7), "2 nd week": (8, 14), "3 rd week": (15, 21), "4 th week": (22, 28),
    "beginning": (1, 10), "start": (1, 10), "early": (1, 10), "middle": (11, 20), "mid": (11, 20),
    "end": (21, 31), "late": (21, 31),
}  # fmt: skip
# A day of the month, and no time, price or length.
_LISTED_DAY = (
    r"\b(?:[12]?\d|3[01])(?: (?:st|nd|rd|th))?\b"
    r"(?! ?(?:am|pm|oclock|dollar|buck|usd|\$|min|hour|hr|-|/|to\b))(?![:.])"
)
_MARK = r"\x01\d+,\d?,\d\x01"


def mark(reading: Reading) -> None:
    """Replaces the names of days by marks, before times are read: in "after dec 5", 5 is no
    hour."""
    _mark_dates(reading)
    _mark_relative_days(reading)
    _mark_weekdays(reading)


def read(reading: Reading) -> None:
    """Reads the marked days, weeks and months. Times must have been read: on a Saturday after 5 pm,
    "saturday at 5pm" is in a week."""
    reading.take(
        r"(?:\b(?P<limit>before|by|until|till|after|from|since|starting|week of|between) )?"
        r"(?P<next_before>\bnext week )?"
        rf"(?:\b(?:on|for) )?(?P<days>{_MARK}(?: (?:(?:{_OR}|{_TO}) )*{_MARK})*)"
        r"(?P<next_after> (?:of )?next week\b)?(?P<open> (?:onwards?|on(?= \||$))(?= |$))?",
        lambda m: _read_named(reading, m),
    )
    _read_weeks(reading)
    _read_months(reading)


def set_days(
    reading: Reading,
    match: re.Match[str],
    first: date,
    after: int,
    last: date | None = None,
) -> None:
    """Sets the days that `match` names: from `after` days after `first` to `last`."""
    first += timedelta(days=after)
    _set(reading, match, _range(first, last or first))


def _set(reading: Reading, match: re.Match[str], days: Sequence[date]) -> None:
    """Sets the days that `match` names. Days that an earlier rule has set stay; "or" or "and" adds
    others to them, as in "this weekend or next monday"."""
    values = reading.values
    if "date" in values:
        is_joined = re.search(r"\b(?:or|and)(?: \|)* $", match.string[: match.start()]) or re.match(
            r"(?: \|)* (?:or|and) \|", match.string[match.end() :]
        )
        if not is_joined:
            return
        last = values.pop("last_date", values["date"])
        days = [*days, *(values.pop("days", None) or _range(values["date"], last))]
    first = min(days)
    days = [day for day in sorted({*days}) if (day - first).days < MAX_DAYS]
    values["date"] = first
    if len(days) > 1:
        values["last_date"] = days[-1]
    if len(days) <= (days[-1] - first).days:
        values["days"] = tuple(days)


def _range(first: date, last: date) -> list[date]:
    count = min(max((last - first).days, 0) + 1, MAX_DAYS)
    return [first + timedelta(days=n) for n in range(count)]


def follows_month(match: re.Match[str]) -> bool:
    """Whether these numbers are days of a month, as in "dec 20-24" and "dec 3, 5 and 7"."""
    earlier = r"(?: \d{1,2}(?: (?:st|nd|rd|th))?)*" if " and " in match[0] else ""
    return bool(re.search(rf"\b(?:{_MONTH}){earlier} $", match.string[: match.start()]))


def precedes_month(match: re.Match[str]) -> bool:
    """Whether these numbers are days of a month, as in "5-7 december", but not "5-7 dec 3"."""
    following = match.string[match.end() :]
    return bool(re.match(rf" (?:of )?(?:{_MONTH})\b(?! {_LISTED_DAY})", following))


# ---- single days


def _mark(reading: Reading, pattern: str, read: Callable[[re.Match[str]], _Day | None]) -> None:
    """Replaces the matches that `read` understands by marks. A match may begin with a joining word
    (the group `joint`), which stays."""

    def replace(match: re.Match[str]) -> str:
        day = read(match)
        if day is None:
            return match[0]
        joint = match.groupdict().get("joint") or ""
        return f"{joint} {day.mark} "

    reading.text = re.sub(r"\s+", " ", re.sub(pattern, replace, reading.text)).strip()


def _mark_dates(reading: Reading) -> None:
    day = r"(\d{1,2})(?: ?(?:st|nd|rd|th))?"
    before = rf"(?:\b(?:{_WEEKDAY}|{_SHORT}) )?(?:\b(?:on )?(?:the )?)?"
    _mark(
        reading,
        r"\b(\d{4})-(\d\d)-(\d\d)\b",
        lambda m: _date(reading, int(m[1]), int(m[2]), int(m[3])),
    )
    _mark(
        reading,
        rf"{before}\b(\d{{1,2}}) ?/ ?(\d{{1,2}})(?: ?/ ?(\d{{2,4}}))?\b",
        lambda m: _date(reading, _year(m[3]), int(m[1]), int(m[2])),
    )
    # "dec 3, 5 and 7": the month belongs to each day.
    reading.text = re.sub(
        rf"\b({_MONTH}) ({_LISTED_DAY}(?: (?:(?:or|and) )?{_LISTED_DAY})+)",
        _repeat_month,
        reading.text,
    )
    # "5 and 7 december", but not "at 5 or 6 dec 3"
    month = rf"(?:of )?({_MONTH})( 20\d\d)?\b(?! {_LISTED_DAY})"
    reading.text = re.sub(
        rf"({_LISTED_DAY}(?: (?:(?:or|and) )?{_LISTED_DAY})* (?:or|and) {_LISTED_DAY}) {month}",
        lambda m: re.sub(r"(\d+(?: (?:st|nd|rd|th))?)", rf"{m[2]} \1{m[3] or ''}", m[1]),
        reading.text,
    )
    # "dec 1-5": the month belongs to both days.
    reading.text = re.sub(
        rf"\b({_MONTH}) {day} ?({_TO}) ?{day}( 20\d\d)?"
        r"(?! ?(?:am|pm|:|dollar|minute))(?![\d:.])\b",
        r"\1 \2\5 \3 \1 \4\5",
        reading.text,
    )
    # "1-5 december"
    reading.text = re.sub(
        rf"(?<![\d:.$])\b{day} ?({_TO}) ?{day} {month}",
        r"\4 \1\5 \2 \4 \3\5",
        reading.text,
    )
    _mark(
        reading,
        rf"{before}\b({_MONTH}) {day}(?: (\d{{4}}))?(?![\d:])\b",
        lambda m: _date(reading, _year(m[3]), _month(m[1]), int(m[2])),
    )
    _mark(
        reading,
        rf"{before}\b{day} (?:of )?({_MONTH})(?: (\d{{4}}))?\b",
        lambda m: _date(reading, _year(m[3]), _month(m[2]), int(m[1])),
    )
    # "feb 30": the number is not a price either.
    reading.take(
        rf"\b(?:{_MONTH}) (?:29|30|31)\b(?! ?(?:am|pm|:))|"
        rf"\b(?:29|30|31)(?: (?:st|th))? (?:of )?(?:{_MONTH})\b",
        lambda m: reading.ignored.append(m[0]),
    )
    _mark(
        reading,
        rf"{before}\b(\d{{1,2}}) (?:st|nd|rd|th)\b(?! (?:grade|week)\b)",
        lambda m: _day_of_month(reading, int(m[1])),
    )


def _repeat_month(match: re.Match[str]) -> str:
    month, days = match[1], match[2]
    if not re.search("or|and", days) and len(re.findall(r"\d+", days)) == 2:
        return match[0]  # in "dec 3 5", 5 may be an hour
    return re.sub(r"(\d+)", rf"{month} \1", days)


def _day_of_month(reading: Reading, day: int) -> _Day | None:
    """The next date with this day of the month."""
    for month in range(reading.today.month, reading.today.month + 3):
        with suppress(ValueError):
            value = date(reading.today.year + (month - 1) // 12, (month - 1) % 12 + 1, day)
            if value >= reading.today:
                return _Day(value)
    return None


def _mark_relative_days(reading: Reading) -> None:
    def day_after(days: int) -> _Day:
        return _Day(reading.today + timedelta(days=days))

    _mark(reading, r"\b(?:the )?day after tomorrow\b", lambda _: day_after(2))
    _mark(reading, r"\btoday\b", lambda _: day_after(0))
    _mark(reading, r"\b(?:tomorrow|tmrw|tmr|tomorow)\b", lambda _: day_after(1))
    _mark(reading, r"\bin (\d{1,2}) days?\b", lambda m: day_after(int(m[1])))
    _mark(reading, r"\bin (?:a|1) week\b", lambda _: day_after(7))
    _mark(reading, r"\bin (\d{1,2}) weeks?\b", lambda m: day_after(7 * int(m[1])))


def _mark_weekdays(reading: Reading) -> None:
    def day(match: re.Match[str]) -> _Day:
        groups = match.groupdict()
        return _weekday(reading, match["name"], is_next=groups.get("which") == "next")

    which = r"(?P<which>this|next|coming|every|each)"
    _mark(reading, rf"\b(?:{which} )?(?P<name>{_WEEKDAY})s?\b", day)
    # "sat" alone may be the SAT, an exam.
    _mark(reading, rf"\b(?:(?:on )?{which}|on) (?P<name>{_SHORT})\b", day)
    _mark(reading, r"\b(?P<name>mon|tues?|weds?|thur?s?|fri)s?\b", day)
    joint = rf"(?: (?:or|and|/|{_TO}))"
    for _ in range(2):  # "sat or sun": the second is marked first
        _mark(reading, rf"\b(?P<name>sat|sun)\b(?={joint} (?:\x01|sun\b))", day)
        _mark(reading, rf"(?<=\x01)(?P<joint>{joint}) (?P<name>sat|sun)\b", day)
    clock = r"\d{1,2}(?:[:.]\d\d)? ?(?:am|pm)\b|noon\b"
    _mark(
        reading,
        rf"\b(?P<name>sat|sun)\b(?= (?:at|after|before|around|between|from|\||{clock}))",
        day,
    )
    _mark(reading, r"(?<=\| )(?P<name>sat|sun)\b", day)


def _date(reading: Reading, year: int | None, month: int, day: int) -> _Day | None:
    """The date, by default the next one; None if there is none, or it is too far away."""
    try:
        value = date(year or reading.today.year, month, day)
        if year is None and value < reading.today:
            value = date(reading.today.year + 1, month, day)
    except ValueError:
        return None
    if abs(value.year - reading.today.year) > MAX_YEARS:
        return None
    return _Day(value)


def _weekday(reading: Reading, name: str, *, is_next: bool) -> _Day:
    number = SHORT_WEEKDAYS[name] if name in SHORT_WEEKDAYS else WEEKDAYS.index(name)
    ahead = (number - reading.today.weekday()) % 7
    if is_next:
        ahead = 7 - reading.today.weekday() + number
    return _Day(reading.today + timedelta(days=ahead), number, is_next)


def _has_starts_left(reading: Reading, day: date) -> bool:
    """Whether a lesson can still start on this day, at the query's time."""
    last_start = datetime.combine(day, time(), reading.now.tzinfo) + _last_start(reading.values)
    return reading.now <= last_start


def _last_start(values: Mapping[str, Any]) -> timedelta:
    """The time of the day by which a lesson at the query's time must start."""
    begin, end = (_time_of_day(values.get(name)) for name in ("from_time", "to_time"))
    if begin is not None and begin == end:
        return begin
    if end is None:
        end = timedelta(hours=PARTS[values["part_of_day"]][1] if "part_of_day" in values else 24)
        evening_end = timedelta(hours=PARTS["evening"][1])
        if begin is not None and begin < evening_end:
            # "After 6pm" means the evening.
            end = min(end, evening_end)
    return end - SHORTEST_LESSON


def _time_of_day(clock: str | None) -> timedelta | None:
    return timedelta(hours=int(clock[:2]), minutes=int(clock[3:])) if clock else None


# ---- several days


def _read_named(reading: Reading, match: re.Match[str]) -> None:
    """Reads marked days, and the days between them in "monday to friday"."""
    days: list[date] = []
    previous: _Day | None = None
    is_next = bool(match["next_before"] or match["next_after"])
    for joint, ordinal, weekday, mark_is_next in re.findall(
        r"([^\x01]*)\x01(\d+),(\d?),(\d)\x01", match["days"]
    ):
        day = _Day(date.fromordinal(int(ordinal)), int(weekday) if weekday else None)
        is_next = is_next or mark_is_next == "1"
        if is_next and day.weekday is not None:
            day = _weekday(reading, WEEKDAYS[day.weekday], is_next=True)
        elif day.weekday is not None and day.date == reading.today:
            is_over = not _has_starts_left(reading, day.date)
            day = replace(day, date=day.date + timedelta(days=7 if is_over else 0))
        to = "and" if match["limit"] == "between" else _TO
        if previous and re.search(rf"(?:^| ){to}(?: |$)", joint):
            days[-1:] = _from_to(reading, previous, day)
        elif previous and not re.search("or|and|/", joint) and _is_same(previous, day):
            days[-1] = day.date if day.weekday is None else previous.date
        else:
            days.append(day.date)
        previous = day
    limit = "since" if match["open"] else match["limit"]
    if limit == "between" or (limit == "from" and len(days) > 1):
        limit = None
    if limit:
        days = _range(*_limits(reading, min(days), limit))
    _set(reading, match, days)


def _limits(reading: Reading, day: date, limit: str) -> tuple[date, date]:
    """The first and last day of "before friday", "after dec 1" and the like."""
    earlier, later = timedelta(days=1), timedelta(days=OPEN_DAYS - 1)
    match limit:
        case "by" | "until" | "till":
            return min(reading.today, day), day
        case "before":
            return min(reading.today, day), max(reading.today, day - earlier)
        case "after":
            return day + earlier, day + earlier + later
        case "week of":
            return day, day + timedelta(days=6)
        case _:
            return day, day + later


def _is_same(one: _Day, other: _Day) -> bool:
    """Whether two adjacent days name one day, as in "tomorrow, sunday"."""
    return (one.weekday is None) != (other.weekday is None)


def _from_to(reading: Reading, first: _Day, last: _Day) -> list[date]:
    """The days from one to another. A range of weekdays may have begun already."""
    begin, end = first.date, last.date
    if first.weekday is not None and last.weekday is not None:
        length = timedelta(days=(last.weekday - first.weekday) % 7)
        begin = max(end - length, reading.today)
    return _range(begin, end)


# ---- weeks and months


def _read_weeks(reading: Reading) -> None:
    today = reading.today
    monday = today - timedelta(days=today.weekday())
    reading.take(
        r"\b(?:(?:on|over|at) )?(?:(this|next|the|coming) )?weekends?\b",
        lambda m: _weekend(reading, m, monday, is_next=m[1] == "next"),
    )
    reading.take(
        r"\b(?:(this|next) )?weekdays?\b",
        lambda m: _weekdays(reading, m, monday, is_next=m[1] == "next"),
    )
    reading.take(
        r"\b(?:later )?this week\b",
        lambda m: set_days(reading, m, today, 0, monday + timedelta(days=6)),
    )
    reading.take(
        r"\b(?:(?:in|within|over|during|for) )?(?:the )?(?:next|coming|following) "
        r"(\d{1,2}|few|couple(?: of)?) (day|week)s?\b|"
        r"\bwithin (?:the |a |one )?(?:next )?(\d{0,2}) ?(day|week)s?\b",
        lambda m: _coming(reading, m, m[1] or m[3], m[2] or m[4]),
    )
    reading.take(
        r"\bnext week\b", lambda m: set_days(reading, m, monday, 7, monday + timedelta(days=13))
    )


def _coming(reading: Reading, match: re.Match[str], number: str, unit: str) -> None:
    count = int(number) if number.isdigit() else {"few": 3, "": 1}.get(number, 2)
    days = min(max(count * (7 if unit == "week" else 1), 1), MAX_DAYS)
    set_days(reading, match, reading.today, 0, reading.today + timedelta(days=days - 1))


def _weekend(reading: Reading, match: re.Match[str], monday: date, *, is_next: bool) -> None:
    saturday = monday + timedelta(days=5)
    if is_next or not _has_starts_left(reading, saturday + timedelta(days=1)):
        saturday += timedelta(days=7)
    set_days(reading, match, saturday, 0, saturday + timedelta(days=1))


def _weekdays(reading: Reading, match: re.Match[str], monday: date, *, is_next: bool) -> None:
    friday = monday + timedelta(days=4)
    if is_next or reading.today > friday:
        set_days(reading, match, monday, 7, friday + timedelta(days=7))
    else:
        set_days(reading, match, reading.today, 0, friday)


def _read_months(reading: Reading) -> None:
    unambiguous = "|".join(name for name in MONTHS if name not in {"march", "may"})
    reading.take(r"\b(?:later )?this month\b", lambda m: _whole_month(reading, m, 0))
    reading.take(r"\bnext month\b", lambda m: _whole_month(reading, m, 1))
    reading.take(
        rf"\b(?:before|by|until|till) ({_MONTH})\b",
        lambda m: set_days(
            reading,
            m,
            reading.today,
            0,
            _first_of(reading, _ahead(reading, m[1])) - timedelta(days=1),
        ),
    )
    part = "|".join(_PARTS_OF_MONTH)
    reading.take(
        rf"(?:\b(?:the )?({part}) (?:of |in )?)?(?:\b(?:in|during|for) )?\b({unambiguous})\b|"
        rf"(?:\b(?:the )?({part}) of |\b(?:in|during) |\bfor (?=m))({_MONTH})\b",
        lambda m: _whole_month(
            reading,
            m,
            _ahead(reading, m[2] or m[4]),
            _PARTS_OF_MONTH.get(m[1] or m[3] or "", (1, 31)),
        ),
    )


def _whole_month(
    reading: Reading, match: re.Match[str], ahead: int, days: tuple[int, int] = (1, 31)
) -> None:
    """Days of a month, from today on. `ahead`: months from now."""
    begin = _first_of(reading, ahead)
    end = (begin + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    first = max(begin.replace(day=days[0]), reading.today)
    last = max(first, min(end, begin + timedelta(days=days[1] - 1)))
    set_days(reading, match, first, 0, last)


def _ahead(reading: Reading, month: str) -> int:
    """Months from now to the next month of this name."""
    return (_month(month) - reading.today.month) % 12


def _first_of(reading: Reading, ahead: int) -> date:
    years, month = divmod(reading.today.month - 1 + ahead, 12)
    return date(reading.today.year + years, month + 1, 1)


def _year(text: str | None) -> int | None:
    if not text:
        return None
    return int(text) + (2000 if len(text) == 2 else 0)


def _month(text: str) -> int:
    return SHORT_MONTHS.get(text) or MONTHS.index(text) + 1
