"""Who is free next: the cards of the start page, each with an instructor, one of their services and its next few start times."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from app import wire
from app.availability import next_start, start_times
from app.availability.start_times import HORIZON
from app.db import Db
from app.statements import PUBLIC_SECONDS, statement

DAYS = 14  # how far ahead a card looks
TIMES = 3  # how many times it offers
CARDS = 12


@dataclass(frozen=True, slots=True)
class Taught:
    """A service and its instructor, and the board of the days from `first` on. `areas` are names;
    `minutes` is the length that a card offers."""

    service_id: UUID
    instructor_id: UUID
    name: str
    headline: str
    areas: list[str]
    service_name: str
    hourly_rate_cents: int
    minutes: int
    first: date
    epoch: str
    version: int
    time_zone: str
    min_advance_minutes: int
    days: Any

    def next(self, now: datetime) -> list[datetime]:
        """The next few starts that can be booked."""
        limits = start_times.Limits.at(now, self.min_advance_minutes)
        offered: list[datetime] = []
        for day in sorted(self.days):
            offered += start_times.free_of_day(
                self.days[day], self.minutes, zone=self.time_zone, limits=limits
            )
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


_cards = statement("cards", Taught, seconds=PUBLIC_SECONDS)


async def cards(
    db: Db, *, words: str, category: str | None, service: str | None, now: datetime
) -> list[Card]:
    """The instructors that match, whoever is free next first."""
    soonest = await next_start.soonest(
        db,
        words=words.lower().split(),
        category=category,
        service=service,
        limit=CARDS,
        now=now,
    )
    rows = await _cards.all(db, services=[row.service_id for row in soonest], now=now, days=DAYS)
    taught = {row.service_id: row for row in rows}
    shown = [(taught[row.service_id], row.start) for row in soonest if row.service_id in taught]
    cards = [(Card(row, row.next(now)), start) for row, start in shown]
    # The boards are a moment younger than the ranking, and end before the horizon.
    cards.sort(key=lambda pair: pair[0].times[0] if pair[0].times else pair[1] or now + HORIZON)
    return [card for card, _ in cards]


def data(shown: list[Card], now: datetime) -> dict[str, Any]:
    return {
        "now": wire.instant(now),
        "days": DAYS,
        "times": TIMES,
        "cards": [card.as_json() for card in shown],
    }
