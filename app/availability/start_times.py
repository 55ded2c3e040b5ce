"""Which start times there are: the half-hours of the calendar's wall clock and the first start of a
free range, where the whole lesson fits within one local day. Nothing else on the server knows this
grid; SQL tells free ranges only. app/static/start_times.js is its mirror: the server draws a page
first, the script goes on from there, and both must offer the same."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Span = tuple[datetime, datetime]

ALIGNMENT = timedelta(minutes=15)
HORIZON = timedelta(days=90)  # a lesson starts at most so far ahead
_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """The clock's part, which a board leaves out: a start lies between `earliest` (now and the
    minimum notice) and `latest` (the horizon), and outside what the viewer has already booked."""

    earliest: datetime
    latest: datetime
    busy: Sequence[Span] = ()

    @classmethod
    def at(cls, now: datetime, min_advance_minutes: int, busy: Sequence[Span] = ()) -> "Limits":
        """The limits of a calendar at this moment."""
        return cls(now + timedelta(minutes=min_advance_minutes), now + HORIZON, busy)

    def allow(self, start: datetime) -> bool:
        return self.earliest <= start <= self.latest


def of_ranges(free: Iterable[Span], minutes: int, zone: str) -> Iterator[datetime]:
    """The start times in free ranges that are not cut at local midnights, in their order."""
    lesson, local = timedelta(minutes=minutes), ZoneInfo(zone)
    for begin, end in free:
        within_day = _date(begin, local) == _date(end - _MOMENT, local)
        for start in _grid([(begin, end)], lesson, zone):
            if within_day or _date(start, local) == _date(start + lesson - _MOMENT, local):
                yield start


def of_day(
    free: Sequence[Span],
    held: Sequence[Span],
    minutes: int,
    *,
    zone: str,
    limits: Limits,
    chosen: datetime | None = None,
) -> dict[datetime, str]:
    """Each start worth showing of a board's day, in order, and whether it is `free`, `held` (someone
    is booking it) or `busy` (the viewer has a lesson then). `chosen` is shown too where it fits,
    though it be off the half-hours."""
    lesson = timedelta(minutes=minutes)
    states: dict[datetime, str] = {}
    offered = list(_grid(free, lesson, zone))
    if chosen and fits(chosen, free, minutes, limits):
        offered.append(chosen)
    for start in offered:
        states[start] = "busy" if meets((start, start + lesson), limits.busy) else "free"
    for start in [*_grid(_union([*free, *held]), lesson, zone), *(begin for begin, _ in held)]:
        if start not in states and meets((start, start + lesson), held):
            states[start] = "held"
    return {start: states[start] for start in sorted(states) if limits.allow(start)}


def free_of_day(day: Mapping[str, Any], minutes: int, *, zone: str, limits: Limits) -> list[datetime]:
    """Those starts of a board's day that can be booked."""
    states = of_day(spans(day["free"]), spans(day["held"]), minutes, zone=zone, limits=limits)
    return [start for start, state in states.items() if state == "free"]


def spans(wire_ranges: Iterable[Sequence[str]]) -> list[Span]:
    """Ranges as a board has them."""
    return [(datetime.fromisoformat(begin), datetime.fromisoformat(end)) for begin, end in wire_ranges]


def pairs(edges: Sequence[datetime]) -> list[Span]:
    """Ranges as SQL's `edges` tells them: begin, end, begin, end."""
    return list(zip(edges[::2], edges[1::2], strict=True))


def fits(start: datetime, free: Iterable[Span], minutes: int, limits: Limits) -> bool:
    """Whether a lesson can be booked at exactly this start."""
    end = start + timedelta(minutes=minutes)
    return (
        start.minute % 15 == 0
        and limits.allow(start)
        and any(begin <= start and end <= free_until for begin, free_until in free)
        and not meets((start, end), limits.busy)
    )


def nearest(start: datetime, offered: Iterable[datetime], limit: int = 5) -> list[datetime]:
    """Those of the starts that lie nearest, nearest first."""
    return sorted(offered, key=lambda other: (abs(other - start), other))[:limit]


def meets(span: Span, others: Iterable[Span]) -> bool:
    """Whether a span overlaps any of the others."""
    return any(begin < span[1] and span[0] < end for begin, end in others)


def _grid(ranges: Iterable[Span], lesson: timedelta, zone: str) -> Iterator[datetime]:
    """In each range its first start, and the half-hours of the wall clock at which a whole lesson
    still fits."""
    local = ZoneInfo(zone)
    for begin, end in ranges:
        start = first = _aligned(begin)
        while start + lesson <= end:
            if start == first or start.astimezone(local).minute % 30 == 0:
                yield start
            start += ALIGNMENT


def _aligned(instant: datetime) -> datetime:
    """The next quarter of an hour, or this one."""
    seconds = int(ALIGNMENT.total_seconds())
    return datetime.fromtimestamp(-(-instant.timestamp() // seconds) * seconds, UTC)


def _date(instant: datetime, local: ZoneInfo) -> Any:
    return instant.astimezone(local).date()


def _union(ranges: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for begin, end in sorted(ranges):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged
