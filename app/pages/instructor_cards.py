"""The cards of the start page and of search results: an instructor's service and its next free
times. app/static/cards.js keeps them up to date."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from app import formatting, wire
from app.availability import next_start
from app.availability.board_cache import BoardCache, CachedBoard, FreeStart
from app.availability.next_start import NextStart
from app.availability.start_times import HORIZON, Limits
from app.db import Db
from app.statements import PUBLIC_SECONDS, statement

LIMIT = 9  # on the start page
CANDIDATES = 3 * LIMIT  # from which cards of varied subjects are selected
DAYS = 7  # of each board
TIMES = 3  # per card
MIN_DISTANCE = timedelta(hours=1)
ZONE = "America/New_York"  # of the days and parts of the day among which cards vary


@dataclass(frozen=True, slots=True)
class Window:
    """The days and hours in which a lesson must lie: wall-clock minutes of the day. `is_start`: it
    must start at `from_minute`."""

    days: Sequence[date]
    from_minute: int = 0
    to_minute: int = 24 * 60
    is_start: bool = False

    def allows(self, start: FreeStart, minutes: int) -> bool:
        if start.day not in self.days:
            return False
        if self.is_start:
            return start.minute == self.from_minute
        return self.from_minute <= start.minute and start.minute + minutes <= self.to_minute

    def as_json(self) -> dict[str, Any]:
        return {
            "days": [str(day) for day in self.days],
            "from": self.from_minute,
            "to": self.to_minute,
            "is_start": self.is_start,
        }


@dataclass(frozen=True, slots=True)
class Pick:
    """A service to show with lessons of `minutes`, and its next start."""

    service_id: UUID
    instructor_id: UUID
    minutes: int
    start: datetime | None


@dataclass(frozen=True, slots=True)
class CardRow:
    """A service, its instructor, and the board of DAYS days from `first` on, or None if the
    cached board is current. `areas` are names; `minutes` is the length that the card offers."""

    service_id: UUID
    instructor_id: UUID
    name: str
    headline: str
    areas: list[str]
    service_name: str
    hourly_rate_cents: int
    minutes: int
    location_types: list[str]
    first: date
    epoch: str
    version: int
    time_zone: str
    min_advance_minutes: int
    days: Any


def _rank(start: datetime, seed: int) -> int:
    """A pseudo-random rank. It depends on this start alone, so the selection of a start does not
    change when others are taken."""
    return (int(start.timestamp()) // 900 * 7919 + seed) % 10007


@dataclass(frozen=True, slots=True)
class Card:
    row: CardRow
    board: CachedBoard
    starts: list[datetime]
    window: Window | None = None

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
            "window": self.window.as_json() if self.window else None,
            "board": {
                "epoch": row.epoch,
                "version": row.version,
                "time_zone": row.time_zone,
                "min_advance_minutes": row.min_advance_minutes,
                "days": self.board.days,
            },
        }


_cards = statement("cards", CardRow, seconds=PUBLIC_SECONDS)


async def of(
    db: Db,
    picks: Sequence[Pick],
    *,
    boards: BoardCache,
    window: Window | None = None,
    now: datetime,
) -> list[Card]:
    """The cards of these services, in this order, with times within the window. A board begins
    today or with the window, or on the day of a next start beyond that."""
    begin = window.days[0] if window else formatting.local_day(now, ZONE)
    days = [formatting.local_day(pick.start or now, ZONE) for pick in picks]
    firsts = [day if (day - begin).days >= DAYS - 1 else begin for day in days]
    keys = [(pick.instructor_id, first, DAYS) for pick, first in zip(picks, firsts, strict=True)]
    cached = boards.find(keys)
    rows = await _cards.all(
        db,
        services=[pick.service_id for pick in picks],
        minutes=[pick.minutes for pick in picks],
        firsts=firsts,
        cached_firsts=[board and board.first for board in cached],
        cached_epochs=[board and board.epoch for board in cached],
        cached_versions=[board and board.version for board in cached],
        now=now,
        days=DAYS,
    )
    row_of = {row.service_id: row for row in rows}
    cards: list[Card] = []
    for pick, key, cached_board in zip(picks, keys, cached, strict=True):
        if row := row_of.get(pick.service_id):
            board = cached_board
            if board is None or row.days is not None:
                board = CachedBoard(row.first, row.epoch, row.version, row.time_zone, row.days)
                boards.store(key, board)
            cards.append(Card(row, board, _starts(row, board, now, window), window))
    return cards


def _starts(
    row: CardRow, board: CachedBoard, now: datetime, window: Window | None
) -> list[datetime]:
    """A few of the next starts that can be booked, among those of the first TIMES parts of days and
    the rest of the last one's day."""
    limits = Limits.at(now, row.min_advance_minutes)
    free: list[FreeStart] = []
    parts: set[tuple[date, str]] = set()
    for start in board.starts(row.minutes):
        if len(parts) >= TIMES and start.day != free[-1].day:
            break
        if limits.allow(start.start) and (window is None or window.allows(start, row.minutes)):
            free.append(start)
            parts.add((start.day, start.part))
    return spread(free, int(row.service_id.hex[-6:], 16))


def spread(free: Sequence[FreeStart], seed: int, limit: int = TIMES) -> list[datetime]:
    """Selects up to `limit` of some free starts in order: the soonest, and one of each later part
    of a day; then the soonest others, first those at least MIN_DISTANCE apart. So a card does not
    show three neighboring times. `seed` varies the selection, so that cards do not all show the
    same times. card_times.js mirrors it."""
    parts: dict[tuple[date, str], list[datetime]] = {}
    for each in free:
        parts.setdefault((each.day, each.part), []).append(each.start)
    selection = [
        min(starts, key=lambda start: _rank(start, seed)) if number else starts[0]
        for number, starts in enumerate([*parts.values()][:limit])
    ]
    for distance in (MIN_DISTANCE, timedelta(0)):
        for each in free:
            if len(selection) >= limit:
                break
            is_apart = all(abs(each.start - other) >= distance for other in selection)
            if each.start not in selection and is_apart:
                selection.append(each.start)
    return sorted(selection)


async def free_next(db: Db, *, boards: BoardCache, now: datetime) -> list[Card]:
    """Instructors of varied subjects by their next start."""
    ranking = await next_start.soonest(db, limit=CANDIDATES, now=now)
    selection = _varied(ranking)
    picks = [
        Pick(each.service_id, each.instructor_id, each.minutes, each.start) for each in selection
    ]
    cards = await of(db, picks, boards=boards, now=now)
    # The boards are read after the ranking, and end before the horizon.
    start_of = {each.service_id: each.start or now + HORIZON for each in selection}
    cards.sort(key=lambda card: (*card.starts, start_of[card.row.service_id])[0])
    return cards


def _varied(ranking: Sequence[NextStart]) -> list[NextStart]:
    """Selects up to LIMIT of a ranking, one after the other. Each is the one that resembles the
    earlier ones least in subject, category and the part of the day when it is free; of equal ones,
    the soonest."""
    rest = [each for each in ranking if each.start]
    selection: list[NextStart] = []
    counts: Counter[object] = Counter()

    def traits(each: NextStart) -> tuple[object, object, object]:
        assert each.start is not None
        part = formatting.part_of_day(each.start, ZONE)
        return each.catalog_service, each.category, (formatting.local_day(each.start, ZONE), part)

    def resemblance(each: NextStart) -> int:
        subject, category, part = traits_of[each.service_id]
        return counts[subject] + (counts[category] + counts[part]) // 3

    traits_of = {each.service_id: traits(each) for each in rest}
    while rest and len(selection) < LIMIT:
        best = min(rest, key=resemblance)
        rest.remove(best)
        selection.append(best)
        counts.update(traits_of[best.service_id])
    return [*selection, *(each for each in ranking if each.start is None)][:LIMIT]


def page_data(cards: Sequence[Card], now: datetime) -> dict[str, Any]:
    """The state with which app/static/cards.js starts."""
    return {
        "now": wire.instant(now),
        "days": DAYS,
        "times": TIMES,
        "cards": [card.as_json() for card in cards],
    }
