"""The days of `/teach` as time lines: lessons, the breaks between them, and the current time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from app import formatting
from app.bookings.booking import Booking

DAYS = 7  # each has a time line; lessons after them are listed as later


@dataclass(frozen=True)
class Item:
    """A lesson, a break of some minutes between lessons, or only the current time. `is_present`:
    the current time is in it."""

    lesson: Booking | None = None
    break_minutes: int = 0
    is_present: bool = False


@dataclass(frozen=True)
class Timeline:
    """`without_outcome`: lessons of earlier days that are not marked as completed or missed.
    `changes_at`: see the function."""

    without_outcome: list[Booking]
    days: dict[date, list[Item]]
    later: list[Booking]
    changes_at: datetime

    def lessons(self, day: date) -> list[Booking]:
        return [item.lesson for item in self.days[day] if item.lesson]


def of(bookings: Sequence[Booking], zone: str, now: datetime) -> Timeline:
    """`bookings` are in order."""
    today = formatting.local_day(now, zone)
    days: dict[date, list[Booking]] = {today + timedelta(days=n): [] for n in range(DAYS)}
    without_outcome, later = [], []
    for booking in bookings:
        day = formatting.local_day(booking.starts_at, booking.time_zone)
        if day in days:
            days[day].append(booking)
        elif day > today:
            later.append(booking)
        elif booking.state == "confirmed":
            without_outcome.append(booking)
    return Timeline(
        without_outcome,
        {day: _items(lessons, now if day == today else None) for day, lessons in days.items()},
        later,
        changes_at(bookings, {zone}, now),
    )


def changes_at(bookings: Iterable[Booking], zones: Iterable[str], now: datetime) -> datetime:
    """When a list of lessons changes without any message: at the next start or end of a lesson or
    of its free cancellation, or at the next midnight of these zones."""
    edges = [
        edge
        for booking in bookings
        for edge in (booking.starts_at, booking.ends_at, booking.free_cancel_until)
    ]
    for zone in zones:
        tomorrow = formatting.local_day(now, zone) + timedelta(days=1)
        edges.append(datetime.combine(tomorrow, time(), ZoneInfo(zone)).astimezone(UTC))
    return min(edge for edge in edges if edge > now)


def _items(lessons: Sequence[Booking], now: datetime | None) -> list[Item]:
    """`now` is None except for today."""
    items = []
    end = None
    for lesson in lessons:
        is_present = now is not None and now < lesson.starts_at and (end is None or end <= now)
        gap = int((lesson.starts_at - end).total_seconds()) // 60 if end else 0
        if gap or is_present:
            items.append(Item(break_minutes=gap, is_present=is_present))
        is_running = now is not None and lesson.starts_at <= now < lesson.ends_at
        items.append(Item(lesson, is_present=is_running))
        end = lesson.ends_at
    if now is not None and end is not None and end <= now:
        items.append(Item(is_present=True))
    return items
