"""How pages and mails write times, money, places and names, for readers in New York. Instants are
aware datetimes, zones are IANA names, money is cents. Some docstrings are
examples of the result. app/static/formatting.js mirrors this module."""

from contextvars import ContextVar
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlencode
from zlib import crc32
from zoneinfo import ZoneInfo

# For this long, a new lesson can be cancelled for free and a move undone (cancellation_grace in
# SQL).
GRACE = timedelta(minutes=5)
PLACES = {
    "student": "At your place",
    "instructor": "At the instructor’s place",
    "public": "In a public place",
}
# The same places, from the instructor's point of view.
PLACES_FOR_INSTRUCTOR = {
    "student": "At the student’s place",
    "instructor": "At your place",
    "public": "In a public place",
}
STATES = {
    "held": "being booked",
    "confirmed": "confirmed",
    "completed": "completed",
    "cancelled": "cancelled",
    "no_show": "no-show",
    "expired": "expired",
}


def directions(location_type: str, location: str) -> str:
    """A map with the way to a lesson, or with the student's own address."""
    if location_type == "student":
        return address("https://www.google.com/maps/search/", api=1, query=location)
    return address("https://www.google.com/maps/dir/", api=1, destination=location)


def place(location_type: str, instructor_name: str) -> str:
    """At Anna’s place: where a lesson is, for its student."""
    if location_type == "instructor":
        return f"At {first_name(instructor_name)}’s place"
    return PLACES[location_type]


# Those that browsers write, too.
_ABBREVIATIONS = {f"{zone}{kind}T" for zone in ("E", "C", "M", "P", "AK", "H") for kind in "SD"}

# The clock of the reader, per request or mail: "12" or "24" hours.
_clock_hours: ContextVar[str] = ContextVar("clock_hours", default="12")


def use_clock(hours: str) -> None:
    """Writes times of day for this reader from here on: with a clock of "12" or "24" hours."""
    _clock_hours.set(hours)


def clock_hours() -> str:
    """The reader's clock: "12" or "24"."""
    return _clock_hours.get()


def clock(instant: datetime, zone: str) -> str:
    """9:00 am; 09:00 with a 24-hour clock; 1:00 am EST in the hour that occurs twice when clocks go
    back"""
    local = instant.astimezone(ZoneInfo(zone))
    if local.replace(fold=1 - local.fold).utcoffset() == local.utcoffset():
        return _clock(local)
    return f"{_clock(local)} {zone_abbreviation(instant, zone)}"


def _clock(local: datetime) -> str:
    return _time(local.hour, f"{local.minute:02}")


def _time(hour: int, minute: str) -> str:
    if clock_hours() == "24":
        return f"{hour:02}:{minute}"
    return f"{hour % 12 or 12}:{minute} {'am' if hour < 12 else 'pm'}"


def zone_abbreviation(instant: datetime, zone: str) -> str:
    """EST; GMT+1 in zones that have no such name in the United States"""
    local = instant.astimezone(ZoneInfo(zone))
    name, offset = local.strftime("%Z"), local.strftime("%z")
    if name in _ABBREVIATIONS:
        return name
    hours, minutes = f"{offset[0]}{int(offset[1:3])}", offset[3:5]
    return f"GMT{hours}" + (f":{minutes}" if minutes != "00" else "") if int(offset) else "GMT"


def span(start: datetime, end: datetime, zone: str) -> str:
    """9–10 am, 11:30 am–12:30 pm; 09:00–10:00 with a 24-hour clock; 1:00 am EST–1:30 am EST"""
    texts = [clock(instant, zone) for instant in (start, end)]
    bare = [_clock(instant.astimezone(ZoneInfo(zone))) for instant in (start, end)]
    return _span(*bare) if texts == bare else "–".join(texts)


def _span(start: str, end: str) -> str:
    if clock_hours() == "24":
        return f"{start}–{end}"
    first, last = start.replace(":00", ""), end.replace(":00", "")
    if first[-2:] == last[-2:]:
        first = first[:-3]
    return f"{first}–{last}"


def wall_clock(text: str) -> str:
    """9:00 am for "09:00", midnight for "24:00"; unchanged with a 24-hour clock."""
    hour = int(text[:2])
    if hour == 24 and clock_hours() == "12":
        return "midnight"
    return _time(hour, text[3:])


def wall_span(start: str, end: str) -> str:
    """9 am–5 pm for "09:00" and "17:00"; 8 pm–midnight."""
    return _span(wall_clock(start), wall_clock(end))


def local_day(instant: datetime, zone: str) -> date:
    return instant.astimezone(ZoneInfo(zone)).date()


def wall_minutes(instant: datetime, zone: str) -> int:
    """Wall-clock minutes since midnight."""
    local = instant.astimezone(ZoneInfo(zone))
    return local.hour * 60 + local.minute


def long_day(day: date) -> str:
    """Tuesday, November 24"""
    return f"{day:%A}, {day:%B} {day.day}"


def short_day(day: date) -> str:
    """Tue, Nov 24"""
    return f"{day:%a}, {day:%b} {day.day}"


def moment(instant: datetime, zone: str, now: datetime | None = None) -> str:
    """Tue, Nov 24, 9:00 am; with the year if it is more than half a year away."""
    day = local_day(instant, zone)
    far = now is not None and day.year != now.year and abs(instant - now) > timedelta(days=180)
    return f"{short_day(day)}{f', {day.year}' if far else ''}, {clock(instant, zone)}"


def hint(instant: datetime, zone: str, own: str) -> str:
    """The time in the viewer’s own zone if it differs: 6:00 am, Wed 1:00 am; else empty."""
    if not own:
        return ""
    here, there = instant.astimezone(ZoneInfo(own)), instant.astimezone(ZoneInfo(zone))
    if here.replace(tzinfo=None) == there.replace(tzinfo=None):
        return ""
    return f"{'' if here.date() == there.date() else f'{here:%a} '}{_clock(here)}"


def clock_with_hint(instant: datetime, zone: str, own: str) -> str:
    """8:11 pm (2:11 am your time)"""
    own_time = hint(instant, zone, own)
    return clock(instant, zone) + (f" ({own_time} your time)" if own_time else "")


PARTS = ("morning", "afternoon", "evening")


def part_of_day(instant: datetime, zone: str) -> str:
    """One of PARTS. The afternoon begins at noon, the evening at 5 pm."""
    hour = instant.astimezone(ZoneInfo(zone)).hour
    return PARTS[(hour >= 12) + (hour >= 17)]


def near_day(day: date, today: date) -> str:
    """Today, Tomorrow, or empty for any other day."""
    return {0: "Today", 1: "Tomorrow"}.get((day - today).days, "")


def soon(day: date, today: date) -> str:
    """Today, Tomorrow, Tue, Dec 3: as short as possible without being ambiguous."""
    weekday = f"{day:%a}" if (day - today).days < 7 else f"{day:%b} {day.day}"
    return near_day(day, today) or weekday


def days(first: date, last: date) -> str:
    """November 23 – 29, November 27 – December 3"""
    end = f"{last.day}" if first.month == last.month else f"{last:%B} {last.day}"
    return f"{first:%B} {first.day} – {end}"


def count(number: int, word: str) -> str:
    """1 instructor, 2 instructors"""
    return f"{number} {word}{'' if number == 1 else 's'}"


def alternatives(names: list[str]) -> str:
    """Piano, Piano or Violin, Piano, Violin or 3 others"""
    if len(names) > 3:
        names = [*names[:2], f"{len(names) - 2} others"]
    return " or ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def quoted(names: list[str]) -> str:
    """“evening”; “Brooklyn” and “evening”; “Piano”, “Brooklyn” and “evening”"""
    return together([f"“{name.strip('“”')}”" for name in names])


def together(names: list[str]) -> str:
    """Piano; Piano and Violin; Piano, Violin and Guitar"""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def length(minutes: int) -> str:
    """90 minutes, 24 hours, 3 days"""
    for unit, word in ((1440, "day"), (60, "hour")):
        if minutes % unit == 0 and minutes >= 2 * unit:
            return count(minutes // unit, word)
    return count(minutes, "minute")


def duration(seconds: int) -> str:
    """5 minutes, 90 seconds"""
    return count(seconds // 60, "minute") if seconds % 60 == 0 else count(seconds, "second")


def short_length(minutes: int) -> str:
    """30 min, 1 h, 1 h 30 min"""
    hours, rest = divmod(minutes, 60)
    return " ".join(part for part in (hours and f"{hours} h", rest and f"{rest} min") if part)


def hours(minutes: int) -> str:
    """1 hour, 12.5 hours"""
    number = minutes / 60
    return f"{number:,.1f}".removesuffix(".0") + (" hour" if number == 1 else " hours")


def money(cents: int) -> str:
    """$75, $37.50"""
    return f"${cents // 100:,}" if cents % 100 == 0 else f"${cents / 100:,.2f}"


def price(hourly_rate_cents: int, minutes: int) -> int:
    """The price of a lesson in cents, rounded half up as in the database."""
    return (hourly_rate_cents * minutes + 30) // 60


def cancelling(start: datetime, hours: int, zone: str, now: datetime) -> str:
    """The cancellation policy of a lesson booked now."""
    until = start - timedelta(hours=hours)
    return f"{free_to_cancel(until, zone, now)}. After that, it counts as late."


def free_to_cancel(until: datetime, zone: str, now: datetime) -> str:
    """Free to cancel until Mon, Nov 23, 9:00 pm: for a lesson that is booked now."""
    if until <= now + GRACE:
        return f"Free to cancel for {duration(GRACE.seconds)} after booking"
    return f"Free to cancel until {moment(until, zone)}"


def initials(name: str) -> str:
    words = name.split()
    return (words[0][0] + (words[-1][0] if len(words) > 1 else "")).upper() if words else "?"


HUES = 6


def hue(name: str) -> int:
    """The color of the initials: always the same for a name. app/static/layout.css has HUES."""
    return crc32(name.encode()) % HUES


def first_name(name: str) -> str:
    return name.split(maxsplit=1)[0] if name.split() else name


def zone_name(zone: str) -> str:
    """New York time"""
    return f"{zone.rpartition('/')[2].replace('_', ' ')} time"


def small_print(zone: str) -> str:
    """Explains the hints in the viewer’s own zone."""
    place = zone.rpartition("/")[2].replace("_", " ")
    return f"Times in small print are in your time zone ({place})."


def instant_of(text: str) -> datetime:
    """An instant in the API’s format."""
    return datetime.fromisoformat(text).astimezone(UTC)


def address(path: str, **query: object) -> str:
    """A path with a query string. Parameters that are None or empty are left out."""
    parameters = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(parameters)}" if parameters else path
