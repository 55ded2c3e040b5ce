"""The cards of the start page: instructors with one of their services and its next free times."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from app import wire
from app.availability import next_start, start_times
from app.availability.start_times import HORIZON
from app.db import Db
from app.statements import PUBLIC_SECONDS, statement

LIMIT = 12
DAYS = 14  # of each board, from today
TIMES = 3  # per card


@dataclass(frozen=True, slots=True)
class CardRow:
    """A service, its instructor, and the board of DAYS days from `first` on. `areas` are names;
    `minutes` is the length that the card offers."""

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

    def next_starts(self, now: datetime) -> list[datetime]:
        """The next few starts that can be booked."""
        limits = start_times.Limits.at(now, self.min_advance_minutes)
        starts: list[datetime] = []
        for day in sorted(self.days):
            starts += start_times.free_of_day(
                self.days[day], self.minutes, zone=self.time_zone, limits=limits
            )
            if len(starts) >= TIMES:
                break
        return starts[:TIMES]


@dataclass(frozen=True, slots=True)
class Card:
    row: CardRow
    starts: list[datetime]

    def as_json(self) -> dict[str, Any]:
        row = self.row
        return {
            "instructor": str(row.instructor_id),
            "name": row.name,
            "service": {
                "id": str(row.service_id),
                "name": row.service_name,
                "hourly_rate_cents": row.hourly_rate_cents,
            },
            "minutes": row.minutes,
            "first": str(row.first),
            "board": {
                "epoch": row.epoch,
                "version": row.version,
                "time_zone": row.time_zone,
                "min_advance_minutes": row.min_advance_minutes,
                "days": row.days,
            },
        }


_cards = statement("cards", CardRow, seconds=PUBLIC_SECONDS)


async def cards(
    db: Db,
    *,
    words: str = "",
    category: str | None = None,
    service: str | None = None,
    now: datetime,
) -> list[Card]:
    """The matching instructors by their next start."""
    soonest = await next_start.soonest(
        db,
        words=words.lower().split(),
        category=category,
        service=service,
        limit=LIMIT,
        now=now,
    )
    rows = await _cards.all(db, services=[row.service_id for row in soonest], now=now, days=DAYS)
    row_of = {row.service_id: row for row in rows}
    pairs = [
        (Card(row, row.next_starts(now)), ranked.start)
        for ranked in soonest
        if (row := row_of.get(ranked.service_id))
    ]
    # The boards are read after the ranking, and end before the horizon.
    pairs.sort(key=lambda pair: pair[0].starts[0] if pair[0].starts else pair[1] or now + HORIZON)
    return [card for card, _ in pairs]


def page_data(cards: list[Card], now: datetime) -> dict[str, Any]:
    """The state with which app/static/home.js starts."""
    return {
        "now": wire.instant(now),
        "days": DAYS,
        "times": TIMES,
        "cards": [card.as_json() for card in cards],
    }
