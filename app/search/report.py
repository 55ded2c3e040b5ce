"""Numbers of searches per day and query, without visitors, rolled up every night."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.db import Db, Pool
from app.statements import statement

# A query of fewer visitors in a day may contain personal data, so it counts only in the totals.
MIN_VISITORS = 3
MAX_QUERIES_PER_DAY = 1000
# The most days that one run adds.
CATCH_UP_DAYS = 14
# The days of a report, and the queries in each of its lists.
DAYS = 30
LIMIT = 50


@dataclass(frozen=True, slots=True)
class Totals:
    """Numbers of searches: all of them, those without results (`empty`), and those with a clicked
    or booked result."""

    searches: int
    empty: int
    clicked: int
    booked: int


@dataclass(frozen=True, slots=True)
class Query:
    """The numbers of one query, as in Totals."""

    query: str
    searches: int
    empty: int
    clicked: int
    booked: int


@dataclass(frozen=True, slots=True)
class Report:
    """Searches of the last DAYS whole days: in total, the most frequent queries, and those that
    most often had no results."""

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
        max_queries=MAX_QUERIES_PER_DAY,
    )


async def latest(db: Db, *, now: datetime) -> Report:
    """The report on the last DAYS whole days (UTC)."""
    first = now.astimezone(UTC).date() - timedelta(days=DAYS)
    return Report(
        await _totals.one(db, first=first),
        await _top.all(db, first=first, limit=LIMIT),
        await _without_results.all(db, first=first, limit=LIMIT),
    )
