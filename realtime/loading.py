"""Reads what the hub wants from the database: boards, the changes a calendar missed, where people stand. Each loop is one task, so
that a storm of watchers becomes a few queries at a time."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any
from uuid import UUID

from app import refusal
from app.bookings.booking import Booking
from app.db import Pool, statement
from realtime import messages, metrics
from realtime.calendar import HISTORY, Board, Calendar, Change, Window
from realtime.hub import Hub
from realtime.people import Account

# So many loops read boards, so that the live path never takes all connections of the pool.
BOARD_READERS = 3
# Calendars caught up by one query.
BATCH = 50
# What failed because Postgres is away is tried again after this.
RETRY_SECONDS = 1.0
# A board of another epoch than ours: the comparison that is under way will say which is right.
EPOCH_SECONDS = 0.2
_NEVER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _BoardMessage:
    epoch: str
    version: int
    message: str


@dataclass(frozen=True, slots=True)
class _Missed:
    epoch: str
    instructor_id: UUID
    present: int
    version: int | None
    days: dict[str, Any] | None
    events: list[dict[str, Any]] | None


@dataclass(frozen=True, slots=True)
class _Mark:
    student_id: UUID
    instructor_id: UUID
    versions: int
    newest: int


_board_message = statement("board_message", _BoardMessage)
_missed_changes = statement("missed_changes", _Missed)
_booking_marks = statement("booking_marks", _Mark)
_bookings_to_tell = statement("bookings_to_tell", Booking)


async def boards(hub: Hub, pool: Pool) -> None:
    """One of BOARD_READERS."""
    while True:
        calendar, window = await hub.wanted.next_board()
        try:
            read = await _read_board(pool, calendar, window) if hub.follows(calendar) else None
        except refusal.Unavailable:
            hub.unread(calendar)
            _later(RETRY_SECONDS, hub, calendar, window)
            continue
        finally:
            hub.wanted.board_done(calendar, window)
        if not hub.follows(calendar):
            continue
        if read is None:
            hub.gone(calendar)
        elif read.epoch != hub.epoch:
            hub.wanted.comparison.set()
            _later(EPOCH_SECONDS, hub, calendar, window)
        else:
            hub.board_read(calendar, window, read)


def _later(seconds: float, hub: Hub, calendar: Calendar, window: Window) -> None:
    def want() -> None:
        if hub.follows(calendar) and window in calendar.windows:
            hub.wanted.board(calendar, window)

    asyncio.get_running_loop().call_later(seconds, want)


async def _read_board(pool: Pool, calendar: Calendar, window: Window) -> Board | None:
    first = date.fromisoformat(window.first)
    row = await _board_message.first(pool, instructor=UUID(calendar.id), first=first, days=window.days)
    metrics.BOARDS.inc()
    return Board(row.epoch, row.version, messages.frame(row.message.encode())) if row else None


async def histories(hub: Hub, pool: Pool) -> None:
    """The one loop that catches calendars up."""
    while True:
        wanted = await hub.wanted.next_histories(BATCH)
        wanted = {calendar: since for calendar, since in wanted.items() if hub.follows(calendar)}
        try:
            rows = await _missed_changes.all(
                pool,
                instructors=[UUID(calendar.id) for calendar in wanted],
                versions=[_NEVER if since is None else since for since in wanted.values()],
                limit=HISTORY,
            )
        except refusal.Unavailable:
            for calendar, since in wanted.items():
                hub.unread(calendar)
                hub.wanted.history(calendar, since)
            await asyncio.sleep(RETRY_SECONDS)
            continue
        by_calendar = {str(key): list(group) for key, group in groupby(rows, lambda row: row.instructor_id)}
        for calendar, since in wanted.items():
            if hub.follows(calendar):
                _hand_over(hub, calendar, since, by_calendar.get(calendar.id))


def _hand_over(hub: Hub, calendar: Calendar, since: int | None, rows: Sequence[_Missed] | None) -> None:
    if not rows:
        hub.gone(calendar)
    elif rows[0].epoch != hub.epoch:
        hub.wanted.comparison.set()
        asyncio.get_running_loop().call_later(EPOCH_SECONDS, hub.wanted.history, calendar, calendar.version)
    else:
        changes = [
            Change(calendar.id, row.epoch, row.version, row.days, row.events)
            for row in rows
            if row.version is not None and row.days is not None and row.events is not None
        ]
        hub.history_read(calendar, since, rows[0].present, changes)


async def bookings(hub: Hub, pool: Pool) -> None:
    """The one loop that reads the bookings that messages are about: as they are now, which may be newer
    than the event."""
    while True:
        await hub.people.some_message.wait()
        await send_messages(hub, pool)


async def send_messages(hub: Hub, pool: Pool) -> None:
    """Sends one batch of queued booking messages."""
    queued = hub.people.next_messages(BATCH)
    try:
        rows = await _bookings_to_tell.all(pool, ids=[message.booking_id for message in queued])
    except refusal.Unavailable:
        rows = []
    by_id = {row.id: row for row in rows}
    for message in queued:
        hub.people.send(message, by_id.get(message.booking_id))


async def marks(hub: Hub, pool: Pool) -> None:
    """The one loop that learns where the bookings of people who come stand."""
    while True:
        await hub.wanted.marks.wait()
        hub.wanted.marks.clear()
        try:
            await mark(pool, [account for account in hub.people.accounts.values() if account.versions is None])
        except refusal.Unavailable:
            hub.wanted.marks.set()
            await asyncio.sleep(RETRY_SECONDS)


async def mark(pool: Pool, accounts: Collection[Account]) -> None:
    """Learns what the sum of the versions of these accounts' bookings is. Raises Unavailable."""
    for account in accounts:
        account.unmark()
    found: defaultdict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    if accounts:
        for row in await _booking_marks.all(pool, students=[UUID(account.id) for account in accounts]):
            found[str(row.student_id)][str(row.instructor_id)] = (row.versions, row.newest)
    for account in accounts:
        account.mark(found[account.id])
