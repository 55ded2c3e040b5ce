"""Numbers of searches per day and query, without visitors, rolled up every night."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.db import Db, Pool
from app.statements import statement

# A query of fewer visitors a day may contain personal data, so it counts in the totals only.
MIN_VISITORS = 3
QUERIES_A_DAY = 1000
# Missed days that one run adds.
CATCH_UP_DAYS = 14
DAYS = 30
LIMIT = 50


@dataclass(frozen=True, slots=True)
class Totals:
    """`empty`: searches without results; `clicked`, `booked`: searches followed by that."""

    searches: int
    empty: int
    clicked: int
    booked: int


@dataclass(frozen=True, slots=True)
class Query:
    query: str
    searches: int
    empty: int
    clicked: int
    booked: int


@dataclass(frozen=True, slots=True)
class Report:
    """The last DAYS whole days."""

    totals: Totals
    top: list[Query]
    without_results: list[Query]


_roll_up = statement("roll_up_searches", int)
_totals = statement("search_totals", Totals)
_top = statement("top_queries", Query)
_without_results = statement("queries_without_results", Query)


async def roll_up(pool: Pool, *, now: datetime) -> int:
    """Adds the days up to yesterday that are missing. Returns the number of new rows."""
    return await _roll_up.one(
        pool,
        today=now.astimezone(UTC).date(),
        days=CATCH_UP_DAYS,
        visitors=MIN_VISITORS,
        most=QUERIES_A_DAY,
    )


async def latest(db: Db, *, now: datetime) -> Report:
    first = now.astimezone(UTC).date() - timedelta(days=DAYS)
    return Report(
        await _totals.one(db, first=first),
        await _top.all(db, first=first, limit=LIMIT),
        await _without_results.all(db, first=first, limit=LIMIT),
    )
