"""Who is free next: the cards of the start page, each with an instructor, one of their services and its next few start times."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from app import wire
from app.availability import start_times
from app.availability.start_times import HORIZON
from app.db import Db, statement

DAYS = 14  # how far ahead a card looks
TIMES = 3  # how many times it offers
CARDS = 12


@dataclass(frozen=True, slots=True)
class Taught:
    """An instructor, one service of theirs, and the board of the days from `first` on. `areas` are names."""

    instructor_id: UUID
    name: str
    headline: str
    areas: list[str]
    service_id: UUID
    service_name: str
    hourly_rate_cents: int
    durations_minutes: list[int]
    first: date
    epoch: str
    version: int
    time_zone: str
    min_advance_minutes: int
    days: Any

    @property
    def minutes(self) -> int:
        """The length a card offers: an hour where there is one, since prices are per hour."""
        return 60 if 60 in self.durations_minutes else self.durations_minutes[0]

    def next(self, now: datetime) -> list[datetime]:
        """The next few starts that can be booked."""
        limits = start_times.Limits.at(now, self.min_advance_minutes)
        offered: list[datetime] = []
        for day in sorted(self.days):
            offered += start_times.free_of_day(self.days[day], self.minutes, zone=self.time_zone, limits=limits)
            if len(offered) >= TIMES:
                break
        return offered[:TIMES]


@dataclass(frozen=True, slots=True)
class Card:
    taught: Taught
    times: list[datetime]

    def as_json(self) -> dict[str, Any]:
        """What app/static/home.js goes on from."""
        taught = self.taught
        return {
            "instructor": str(taught.instructor_id),
            "name": taught.name,
            "service": {
                "id": str(taught.service_id),
                "name": taught.service_name,
                "hourly_rate_cents": taught.hourly_rate_cents,
            },
            "minutes": taught.minutes,
            "first": str(taught.first),
            "board": {
                "epoch": taught.epoch,
                "version": taught.version,
                "time_zone": taught.time_zone,
                "min_advance_minutes": taught.min_advance_minutes,
                "days": taught.days,
            },
        }


_teaching_now = statement("teaching_now", Taught)


async def cards(db: Db, *, words: str, category: str | None, service: str | None, now: datetime) -> list[Card]:
    """The instructors that match, whoever is free next first."""
    found = await _teaching_now.all(
        db, words=words.lower().split(), category=category, service=service, now=now, days=DAYS, limit=2 * CARDS
    )
    made = [Card(taught, taught.next(now)) for taught in found]
    made.sort(key=lambda card: (*(card.times[:1] or [now + HORIZON]), card.taught.name))
    return made[:CARDS]


def data(shown: list[Card], now: datetime) -> dict[str, Any]:
    return {"now": wire.instant(now), "days": DAYS, "times": TIMES, "cards": [card.as_json() for card in shown]}
