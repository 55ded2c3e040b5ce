"""Start times: the half-hours of the calendar's local time and the first start of a free range, if
the whole lesson fits within one local day. This is the only definition on the server; SQL returns
free ranges. app/static/start_times.js mirrors it: the server renders a page first, the script
updates it, and both must offer the same starts."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Span = tuple[datetime, datetime]

ALIGNMENT = timedelta(minutes=15)
HORIZON = timedelta(days=90)  # how far ahead lessons can be booked
_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that a board does not contain: a start lies between `earliest` (now plus the
    minimum notice) and `latest` (the horizon), and outside the viewer's own lessons (`busy`)."""

    earliest: datetime
    latest: datetime
    busy: Sequence[Span] = ()

    @classmethod
    def at(cls, now: datetime, min_advance_minutes: int, busy: Sequence[Span] = ()) -> "Limits":
        """The limits of a calendar at `now`."""
        return cls(now + timedelta(minutes=min_advance_minutes), now + HORIZON, busy)

    def allow(self, start: datetime) -> bool:
        return self.earliest <= start <= self.latest


def of_ranges(free: Iterable[Span], minutes: int, zone: str) -> Iterator[datetime]:
    """The start times in free ranges, in order. The ranges may span local midnights."""
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
    selected: datetime | None = None,
) -> dict[datetime, str]:
    """The starts to show for a day of a board, in order, with their state: `free`, `held` (someone
    is booking it) or `busy` (the viewer has a lesson then). If `selected` fits, it is included even
    between the half-hours."""
    lesson = timedelta(minutes=minutes)
    states: dict[datetime, str] = {}
    free_starts = list(_grid(free, lesson, zone))
    if selected and fits(selected, free, minutes, limits):
        free_starts.append(selected)
    for start in free_starts:
        states[start] = "busy" if overlaps((start, start + lesson), limits.busy) else "free"
    for start in [*_grid(_union([*free, *held]), lesson, zone), *(begin for begin, _ in held)]:
        if start not in states and overlaps((start, start + lesson), held):
            states[start] = "held"
    return {start: states[start] for start in sorted(states) if limits.allow(start)}


def spans(wire_ranges: Iterable[Sequence[str]]) -> list[Span]:
    """Ranges from the wire format of a board."""
    return [
        (datetime.fromisoformat(begin), datetime.fromisoformat(end)) for begin, end in wire_ranges
    ]


def pairs(edges: Sequence[datetime]) -> list[Span]:
    """Ranges from SQL's `edges`: begin, end, begin, end."""
    return list(zip(edges[::2], edges[1::2], strict=True))


def fits(start: datetime, free: Iterable[Span], minutes: int, limits: Limits) -> bool:
    """Whether a lesson can be booked at exactly this start."""
    end = start + timedelta(minutes=minutes)
    return (
        start.minute % 15 == 0
        and limits.allow(start)
        and any(begin <= start and end <= free_until for begin, free_until in free)
        and not overlaps((start, end), limits.busy)
    )


def nearest(start: datetime, starts: Iterable[datetime], limit: int = 5) -> list[datetime]:
    """The nearest starts, nearest first."""
    return sorted(starts, key=lambda other: (abs(other - start), other))[:limit]


def overlaps(span: Span, others: Iterable[Span]) -> bool:
    """Whether a span overlaps any of the others."""
    return any(begin < span[1] and span[0] < end for begin, end in others)


def without_own_holds(
    free: Sequence[Span], held: Sequence[Span], holds: Sequence[Span]
) -> tuple[list[Span], list[Span]]:
    """The free and the held ranges of a day for a viewer whose own holds are `holds`: a new hold
    replaces them, so their time counts as free."""
    own = [
        (max(begin, first), min(end, last))
        for begin, end in held
        for first, last in holds
        if begin < last and first < end
    ]
    others = list(held)
    for first, last in own:
        before = [(begin, min(end, first)) for begin, end in others]
        after = [(max(begin, last), end) for begin, end in others]
        others = sorted((begin, end) for begin, end in before + after if begin < end)
    return _union([*free, *own]), others


def _grid(ranges: Iterable[Span], lesson: timedelta, zone: str) -> Iterator[datetime]:
    """The first start of each range and the local half-hours, if a whole lesson fits."""
    local = ZoneInfo(zone)
    for begin, end in ranges:
        start = first = _aligned(begin)
        while start + lesson <= end:
            if start == first or start.astimezone(local).minute % 30 == 0:
                yield start
            start += ALIGNMENT


def _aligned(instant: datetime) -> datetime:
    """Rounds up to a quarter of an hour."""
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
