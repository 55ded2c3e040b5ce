"""The next bookable start: of one calendar, of a page of calendars, and the soonest of all.

The table `next_start` stores a lower bound per calendar and length. A bound that is still free is
the next start. Otherwise the start is computed from the calendar's free ranges and stored, unless
time was freed in the meantime. Reading in the order of the bounds therefore finds the soonest
calendars without reading the others, and a booking does not have to update the table."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app import refusal
from app.availability import start_times
from app.availability.start_times import HORIZON
from app.db import Db, Pool
from app.statements import PUBLIC_SECONDS, statement

# Nearly every calendar has free time within NEAR_DAYS; the others are read to their end.
NEAR_DAYS = 15
ALL_DAYS = 733
# The days to read, with the rows per statement, so that a statement ends within its timeout.
BATCHES = ((NEAR_DAYS, 200), (ALL_DAYS, 20))
# The rows that each round of a search reads, as multiples of the first round's. After the last one
# the search returns its best ranking: more bounds are outdated only shortly after a half-hour,
# until `refresh` has computed them again.
ROUNDS = (1, 4, 16)

Pair = tuple[UUID, int]  # a calendar and a lesson's minutes


@dataclass(frozen=True, slots=True)
class NextStart:
    """The calendar, length and service of a card, with the next start; None if there is none within
    the horizon. `catalog_service` and `category` are slugs."""

    instructor_id: UUID
    minutes: int
    service_id: UUID
    catalog_service: str
    category: str
    start: datetime | None


@dataclass(frozen=True, slots=True)
class _Bound:
    instructor_id: UUID
    minutes: int
    start: datetime | None
    is_exact: bool


@dataclass(frozen=True, slots=True)
class _Candidate:
    instructor_id: UUID
    minutes: int
    service_id: UUID
    catalog_service: str
    category: str
    start: datetime | None
    is_exact: bool


@dataclass(frozen=True, slots=True)
class _FreeTimes:
    instructor_id: UUID
    minutes: int
    revision: int | None
    time_zone: str
    min_advance_minutes: int
    edges: list[datetime]

    def next(self, now: datetime) -> datetime | None:
        """The next start, without the horizon."""
        earliest = now + timedelta(minutes=self.min_advance_minutes)
        ranges = [span for span in start_times.pairs(self.edges) if span[1] > earliest]
        starts = start_times.of_ranges(ranges, self.minutes, self.time_zone)
        return next((start for start in starts if start >= earliest), None)


@dataclass(frozen=True, slots=True)
class _Key:
    instructor_id: UUID
    minutes: int


_next_starts = statement("next_starts", _Bound, seconds=PUBLIC_SECONDS)
_free_next = statement("free_next", _Candidate, seconds=PUBLIC_SECONDS)
_free_times = statement("free_times", _FreeTimes, seconds=PUBLIC_SECONDS)
_store = statement("store_next_starts", int)
_outdated = statement("outdated_next_starts", _Key)


async def of(db: Db, pairs: Iterable[Pair], *, now: datetime) -> dict[Pair, datetime | None]:
    """The next start of each calendar and length; None where there is none within the horizon."""
    instructors, minutes = _columns(set(pairs))
    bounds = await _next_starts.all(
        db, instructors=instructors, minutes=minutes, now=now, latest=now + HORIZON
    )
    starts = {(row.instructor_id, row.minutes): row.start for row in bounds}
    stale = [(row.instructor_id, row.minutes) for row in bounds if not row.is_exact]
    return starts | await _compute(db, stale, now)


async def soonest(db: Db, *, limit: int, now: datetime) -> list[NextStart]:
    """The instructors by their next start, each once, with the service and length of the card.
    Those without a start within the horizon come last."""
    computed: dict[Pair, datetime | None] = {}
    for factor in ROUNDS:
        rows = 2 * limit * factor
        candidates = await _free_next.all(db, limit=rows, now=now, latest=now + HORIZON)
        stale = [
            pair
            for row in candidates
            if not row.is_exact and (pair := (row.instructor_id, row.minutes)) not in computed
        ]
        computed |= await _compute(db, stale, now)
        ranking = _ranking(candidates, computed)
        if len(candidates) < rows:
            break
        bound = candidates[-1].start  # no calendar beyond these rows is free earlier
        if len(ranking) >= limit and _order(ranking[limit - 1].start) <= _order(bound):
            break
    return ranking[:limit]


async def refresh(db: Pool, *, limit: int, now: datetime) -> int:
    """Computes up to `limit` unknown or outdated rows and returns their number."""
    rows = await _outdated.all(db, now=now, limit=limit)
    await _compute(db, [(row.instructor_id, row.minutes) for row in rows], now)
    return len(rows)


def _ranking(
    candidates: list[_Candidate], computed: dict[Pair, datetime | None]
) -> list[NextStart]:
    starts = [
        NextStart(
            row.instructor_id,
            row.minutes,
            row.service_id,
            row.catalog_service,
            row.category,
            row.start if row.is_exact else computed[row.instructor_id, row.minutes],
        )
        for row in candidates
    ]
    starts.sort(key=lambda row: (*_order(row.start), row.instructor_id, row.service_id))
    first_of: dict[UUID, NextStart] = {}
    for row in starts:
        first_of.setdefault(row.instructor_id, row)
    return list(first_of.values())


def _order(start: datetime | None) -> tuple[bool, float]:
    return start is None, start.timestamp() if start else 0


async def _compute(db: Db, pairs: Sequence[Pair], now: datetime) -> dict[Pair, datetime | None]:
    """The next starts, computed from the calendars. They are stored batch by batch, so that even a
    page of the longest calendars makes progress over several attempts."""
    starts: dict[Pair, datetime | None] = dict.fromkeys(sorted(pairs))
    for days, size in BATCHES:
        open_pairs = [pair for pair, start in starts.items() if start is None]
        for n in range(0, len(open_pairs), size):
            rows = await _read(db, open_pairs[n : n + size], days, now)
            next_of = [(row, row.next(now)) for row in rows]
            starts |= {(row.instructor_id, row.minutes): start for row, start in next_of}
            with suppress(refusal.Unavailable):
                await _store_starts(db, [row for row in next_of if row[1] or days == ALL_DAYS])
    latest = now + HORIZON
    return {pair: start if start and start <= latest else None for pair, start in starts.items()}


async def _read(db: Db, pairs: Sequence[Pair], days: int, now: datetime) -> list[_FreeTimes]:
    instructors, minutes = _columns(pairs)
    return await _free_times.all(db, instructors=instructors, minutes=minutes, days=days, now=now)


async def _store_starts(db: Db, starts: list[tuple[_FreeTimes, datetime | None]]) -> None:
    """Stores the starts of lengths on offer, which have a row."""
    stored = [(row, start) for row, start in starts if row.revision is not None]
    notices = [timedelta(minutes=row.min_advance_minutes) for row, _ in stored]
    await _store.run(
        db,
        instructors=[row.instructor_id for row, _ in stored],
        minutes=[row.minutes for row, _ in stored],
        revisions=[row.revision for row, _ in stored],
        starts=[start for _, start in stored],
        valid_until=[
            start - notice if start else None
            for (_, start), notice in zip(stored, notices, strict=True)
        ],
    )


def _columns(pairs: Iterable[Pair]) -> tuple[list[UUID], list[int]]:
    rows = list(pairs)
    return [instructor_id for instructor_id, _ in rows], [minutes for _, minutes in rows]
