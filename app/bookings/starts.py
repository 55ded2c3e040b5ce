"""The start times a board offers. A mirror of app/static/starts.js: the server draws first, the script goes on from there, and both
must offer the same."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Span = tuple[datetime, datetime]

ALIGNMENT = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Limits:
    """The clock's part, which a board leaves out: a start lies between `earliest` (now and the minimum notice) and `latest` (the
    horizon), and outside what the viewer has already booked."""

    earliest: datetime
    latest: datetime
    busy: Sequence[Span] = ()

    def allow(self, start: datetime) -> bool:
        return self.earliest <= start <= self.latest


def of_day(
    free: Sequence[Span], held: Sequence[Span], minutes: int, *, zone: str, limits: Limits, chosen: datetime | None = None
) -> dict[datetime, str]:
    """Each start worth showing, in order, and whether it is `free`, `held` (someone is booking it) or `busy` (the viewer has a
    lesson then). `chosen` is shown too where it fits, though it be off the half-hours."""
    lesson = timedelta(minutes=minutes)
    found: dict[datetime, str] = {}
    for start in [*_grid(free, lesson, zone), *([chosen] if chosen and fits(chosen, free, minutes, limits) else [])]:
        found[start] = "busy" if meets((start, start + lesson), limits.busy) else "free"
    for start in [*_grid(_union([*free, *held]), lesson, zone), *(begins for begins, _ in held)]:
        if start not in found and meets((start, start + lesson), held):
            found[start] = "held"
    return {start: found[start] for start in sorted(found) if limits.allow(start)}


def free_of_day(day: Mapping[str, Any], minutes: int, *, zone: str, limits: Limits) -> list[datetime]:
    """Those starts of a board's day that can be booked."""
    found = of_day(spans(day["free"]), spans(day["held"]), minutes, zone=zone, limits=limits)
    return [start for start, state in found.items() if state == "free"]


def spans(wire_ranges: Iterable[Sequence[str]]) -> list[Span]:
    """Ranges as a board has them."""
    return [(datetime.fromisoformat(begins), datetime.fromisoformat(ends)) for begins, ends in wire_ranges]


def fits(start: datetime, free: Iterable[Span], minutes: int, limits: Limits) -> bool:
    """Whether a lesson can be booked at exactly this start."""
    end = start + timedelta(minutes=minutes)
    return (
        start.minute % 15 == 0
        and limits.allow(start)
        and any(begins <= start and end <= ends for begins, ends in free)
        and not meets((start, end), limits.busy)
    )


def nearest(start: datetime, offered: Iterable[datetime], limit: int = 5) -> list[datetime]:
    """Those of the starts that lie nearest, nearest first."""
    return sorted(offered, key=lambda other: (abs(other - start), other))[:limit]


def _grid(spans: Iterable[Span], lesson: timedelta, zone: str) -> Iterable[datetime]:
    """In each span its first start, and the half-hours of the wall clock at which a whole lesson still fits."""
    for begins, ends in spans:
        start = first = _aligned(begins)
        while start + lesson <= ends:
            if start == first or start.astimezone(ZoneInfo(zone)).minute % 30 == 0:
                yield start
            start += ALIGNMENT


def _aligned(instant: datetime) -> datetime:
    """The next quarter of an hour, or this one."""
    seconds = int(ALIGNMENT.total_seconds())
    return datetime.fromtimestamp(-(-instant.timestamp() // seconds) * seconds, UTC)


def _union(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for begins, ends in sorted(spans):
        if merged and begins <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(ends, merged[-1][1]))
        else:
            merged.append((begins, ends))
    return merged


def meets(span: Span, others: Iterable[Span]) -> bool:
    """Whether a span overlaps any of the others."""
    return any(begins < span[1] and span[0] < ends for begins, ends in others)
