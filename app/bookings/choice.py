"""What a visitor has chosen on an instructor's page: which service, for how long, which week and which start. Read from the page's
address, generously: what makes no sense there is left out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from app import wire, wording
from app.availability.start_times import HORIZON
from app.catalog.instructor import Instructor
from app.catalog.service import Service

SHOWN = 7  # days of a week
KNOWN = 35  # days the page knows, so that it can tell the next free time and turn to the next weeks


@dataclass(frozen=True)
class Choice:
    instructor: Instructor
    service: Service
    minutes: int
    start: datetime | None
    first: date
    today: date

    @property
    def zone(self) -> str:
        return self.instructor.time_zone

    @property
    def last(self) -> date:
        return self.first + timedelta(days=SHOWN - 1)

    @property
    def week(self) -> list[date]:
        return [self.first + timedelta(days=count) for count in range(SHOWN)]

    @property
    def cents(self) -> int:
        return wording.price(self.service.hourly_rate_cents, self.minutes)

    @property
    def known_from(self) -> date:
        """The first of the days to know: the week's, or the chosen time's if it is not too long before."""
        day = wording.local_day(self.start, self.zone) if self.start else self.first
        return (
            day if timedelta() < self.first - day <= timedelta(days=KNOWN - SHOWN) else self.first
        )

    def address(self, **change: Any) -> str:
        """This page with another choice."""
        other = replace(self, **change)
        if other.service.id != self.service.id:
            other = replace(other, minutes=_length(other.service, str(self.minutes)), start=None)
        return wording.address(
            f"/instructors/{self.instructor.id}",
            service=other.service.id,
            minutes=other.minutes,
            **{"from": other.first},
            start=wire.instant(other.start) if other.start else None,
        )


def read(instructor: Instructor, given: Mapping[str, str], now: datetime) -> Choice | None:
    """The choice in a page's query, or in a booking form that was refused. None where there is nothing to choose."""
    services = instructor.offered
    if not services:
        return None
    wanted = given.get("service_id") or given.get("service")
    service = next((service for service in services if str(service.id) == wanted), services[0])
    minutes = _length(service, given.get("duration_minutes") or given.get("minutes"))
    start = _instant(given.get("start"))
    today = wording.local_day(now, instructor.time_zone)
    day = _date(given.get("from")) or (
        wording.local_day(start, instructor.time_zone) if start else today
    )
    return Choice(instructor, service, minutes, start, week_of(day, today), today)


def week_of(day: date, today: date) -> date:
    """The first day of the week, counted from today, in which a day is shown."""
    latest = today + HORIZON
    return today + timedelta(days=(min(max(day, today), latest) - today).days // SHOWN * SHOWN)


def _length(service: Service, wanted: str | None) -> int:
    """The length that is wanted if it is offered; else an hour, since prices are per hour; else the shortest."""
    lengths = service.durations_minutes
    return next(
        (length for length in lengths if str(length) == wanted), 60 if 60 in lengths else lengths[0]
    )


def _instant(text: str | None) -> datetime | None:
    try:
        start = datetime.fromisoformat(text or "")
        return start.astimezone(UTC) if start.tzinfo and 1970 <= start.year <= 9000 else None
    except (ValueError, OverflowError):
        return None


def _date(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None
