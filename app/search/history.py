"""A visitor's searches, and what they did with the results. Both are written after the response
(app/write_behind.py); reads first wait for the pending writes of this process."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from app import refusal
from app.db import Db, Pool
from app.search.visitor import Visitor
from app.statements import statement
from app.write_behind import WriteBehind

# The number of searches in a visitor's history.
MAX_SEARCHES = 10

Kind = Literal["shown", "hovered", "clicked", "booked"]


@dataclass(frozen=True, slots=True)
class Search:
    """A search in a visitor's history, which has each query once, ignoring case."""

    id: UUID
    query: str
    searched_at: datetime


@dataclass(frozen=True, slots=True)
class _Record:
    search_id: UUID
    visitor: Visitor
    query: str
    count: int
    at: datetime


@dataclass(frozen=True, slots=True)
class _Interaction:
    search_id: UUID
    visitor: Visitor
    instructor_id: UUID
    kind: str
    at: datetime


@dataclass(frozen=True, slots=True)
class _BookedResult:
    account_id: UUID
    instructor_id: UUID
    at: datetime


@dataclass(frozen=True, slots=True)
class _Adoption:
    guest_id: UUID
    account_id: UUID


_record_searches = statement("record_searches", int)
_record_interactions = statement("record_interactions", int)
_record_booked_results = statement("record_booked_results", int)
_adopt_searches = statement("adopt_searches", int)
_recent_searches = statement("recent_searches", Search)
_delete_search = statement("delete_search", UUID)
_delete_searches = statement("delete_searches", int)


def record(
    writes: WriteBehind,
    visitor: Visitor,
    query: str,
    search_id: UUID,
    *,
    count: int,
    now: datetime,
) -> None:
    """Adds a search to the visitor's history; returns at once. An empty query is not recorded."""
    if query := " ".join(query.split()):
        writes.put(_write_searches, _Record(search_id, visitor, query, count, now))


def record_interaction(
    writes: WriteBehind,
    visitor: Visitor,
    search_id: UUID,
    instructor_id: UUID,
    kind: Kind,
    *,
    now: datetime,
) -> None:
    """Records that a result was shown, hovered, clicked or booked; returns at once."""
    interaction = _Interaction(search_id, visitor, instructor_id, kind, now)
    writes.put(_write_interactions, interaction)


def record_booking(
    writes: WriteBehind, account_id: UUID, instructor_id: UUID, *, now: datetime
) -> None:
    """Records that an account booked a result that it clicked before, perhaps as a guest; returns
    at once."""
    writes.put(_write_booked_results, _BookedResult(account_id, instructor_id, now))


def adopt(writes: WriteBehind, guest_id: UUID, account_id: UUID) -> None:
    """Moves a guest's searches to an account, after signing in; returns at once."""
    writes.put(_move_searches, _Adoption(guest_id, account_id))


async def recent(
    db: Db,
    writes: WriteBehind,
    visitor: Visitor,
    *,
    before: tuple[datetime, UUID] | None = None,
    limit: int = MAX_SEARCHES,
) -> list[Search]:
    """The visitor's newest searches, newest first."""
    await writes.flush()
    return await _recent_searches.all(
        db,
        visitor_id=visitor.id,
        before=before and before[0],
        before_id=before and before[1],
        limit=min(limit, MAX_SEARCHES),
    )


async def remove(db: Pool, writes: WriteBehind, visitor: Visitor, search_id: UUID) -> None:
    """Removes one search. Raises NotFound, also for another visitor's."""
    await writes.flush()
    if await _delete_search.first(db, visitor_id=visitor.id, id=search_id) is None:
        raise refusal.NotFound


async def clear(db: Pool, writes: WriteBehind, visitor: Visitor) -> None:
    """Removes all searches of the visitor."""
    await writes.flush()
    await _delete_searches.run(db, visitor_id=visitor.id)


async def _write_searches(db: Pool, records: list[_Record]) -> None:
    await _record_searches.run(
        db,
        visitor_ids=[row.visitor.id for row in records],
        are_guests=[row.visitor.is_guest for row in records],
        queries=[row.query for row in records],
        search_ids=[row.search_id for row in records],
        counts=[row.count for row in records],
        times=[row.at for row in records],
        newest=MAX_SEARCHES,
    )


async def _write_interactions(db: Pool, interactions: list[_Interaction]) -> None:
    await _record_interactions.run(
        db,
        search_ids=[row.search_id for row in interactions],
        visitor_ids=[row.visitor.id for row in interactions],
        are_guests=[row.visitor.is_guest for row in interactions],
        instructor_ids=[row.instructor_id for row in interactions],
        kinds=[row.kind for row in interactions],
        times=[row.at for row in interactions],
    )


async def _write_booked_results(db: Pool, bookings: list[_BookedResult]) -> None:
    await _record_booked_results.run(
        db,
        visitor_ids=[row.account_id for row in bookings],
        instructor_ids=[row.instructor_id for row in bookings],
        times=[row.at for row in bookings],
    )


async def _move_searches(db: Pool, adoptions: list[_Adoption]) -> None:
    for row in adoptions:
        await _adopt_searches.run(
            db, guest_id=row.guest_id, account_id=row.account_id, newest=MAX_SEARCHES
        )
