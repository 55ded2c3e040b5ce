"""The selection on an instructor's page: service, length, week and start. It is read from the
page's address; invalid values are ignored."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from app import formatting, wire
from app.availability.start_times import HORIZON
from app.catalog.instructor import Instructor
from app.catalog.service import Service

WEEK_DAYS = 7
# The board that the page loads, for the next free time and for turning to the next weeks.
BOARD_DAYS = 35


@dataclass(frozen=True)
class Selection:
    """`first` is the first day of the week that the page shows."""

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
        return self.first + timedelta(days=WEEK_DAYS - 1)

    @property
    def week(self) -> list[date]:
        return [self.first + timedelta(days=n) for n in range(WEEK_DAYS)]

    @property
    def cents(self) -> int:
        return formatting.price(self.service.hourly_rate_cents, self.minutes)

    @property
    def board_first(self) -> date:
        """The first day to load: of the week, or of the selected start if that is shortly before
        the week."""
        day = formatting.local_day(self.start, self.zone) if self.start else self.first
        reach = timedelta(days=BOARD_DAYS - WEEK_DAYS)
        return day if timedelta() < self.first - day <= reach else self.first

    def address(self, **changes: Any) -> str:
        """The address of this page with another selection."""
        other = replace(self, **changes)
        if other.service.id != self.service.id:
            other = replace(other, minutes=_minutes(other.service, str(self.minutes)), start=None)
        return formatting.address(
            f"/instructors/{self.instructor.id}",
            service=other.service.id,
            minutes=other.minutes,
            **{"from": other.first},
            start=wire.instant(other.start) if other.start else None,
        )


def read(instructor: Instructor, fields: Mapping[str, str], now: datetime) -> Selection | None:
    """The selection in a page's query, or in the fields of a refused booking form. None if the
    instructor has no services."""
    services = instructor.services
    if not services:
        return None
    service_id = fields.get("service_id") or fields.get("service")
    service = next((service for service in services if str(service.id) == service_id), services[0])
    return of_service(instructor, service, fields, now)


def of_service(
    instructor: Instructor, service: Service, fields: Mapping[str, str], now: datetime
) -> Selection:
    minutes = _minutes(service, fields.get("duration_minutes") or fields.get("minutes"))
    start = _instant(fields.get("start"))
    today = formatting.local_day(now, instructor.time_zone)
    start_day = formatting.local_day(start, instructor.time_zone) if start else today
    day = _date(fields.get("from")) or start_day
    return Selection(instructor, service, minutes, start, first_of_week(day, today), today)


def first_of_week(day: date, today: date) -> date:
    """The first day of the week that shows `day`. Weeks are counted from today."""
    last = today + HORIZON
    return today + timedelta(
        days=(min(max(day, today), last) - today).days // WEEK_DAYS * WEEK_DAYS
    )


def _minutes(service: Service, requested: str | None) -> int:
    """The requested length if it is offered; else an hour, since prices are per hour; else the
    shortest."""
    lengths = service.durations_minutes
    default = 60 if 60 in lengths else lengths[0]
    return next((length for length in lengths if str(length) == requested), default)


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
