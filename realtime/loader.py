"""Reads what the hub requests from Postgres: boards, the changes a calendar missed, bookings to be
told, the totals of accounts. Requests are coalesced, so that a storm of screens becomes a few
queries at a time. Whatever fails is not lost: every reconcile requests again what is missing."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby, islice
from typing import Any
from uuid import UUID

import structlog

from app import refusal
from app.bookings.booking import Booking
from app.db import Pool
from app.statements import statement
from realtime import messages, metrics
from realtime.accounts import Account
from realtime.calendar import Calendar
from realtime.history import HISTORY, Board, Change, Event, Window
from realtime.hub import Hub
from realtime.supervise import forever

log = structlog.get_logger("loader")

# Tasks that read boards, one query each at a time.
BOARD_READERS = 2
# Calendars caught up, and bookings read, by one query.
BATCH = 50
# Bookings that wait to be read. Beyond that, their accounts are told to read their lists.
WAITING_BOOKINGS = 2_000
# After Postgres was away, or a board of another epoch came, everything is compared again.
RETRY_SECONDS = 1.0
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
class _Total:
    student_id: UUID
    instructor_id: UUID
    versions: int
    newest: int


_board_message = statement("board_message", _BoardMessage)
_missed_changes = statement("missed_changes", _Missed)
_booking_totals = statement("booking_totals_by_calendar", _Total)
_bookings_to_tell = statement("bookings_to_tell", Booking)


class Loader:
    """`Requests` of a hub, and the tasks that answer them."""

    def __init__(self, pool: Pool) -> None:
        self.reconcile_requested = asyncio.Event()
        self._pool = pool
        # Requested or being read. The queue is never longer than this.
        self._boards: set[tuple[Calendar, Window]] = set()
        self._board_queue: asyncio.Queue[tuple[Calendar, Window]] = asyncio.Queue()
        self._histories: dict[Calendar, int | None] = {}
        self._some_history = asyncio.Event()
        self._bookings: list[tuple[Event, Sequence[str]]] = []
        self._some_booking = asyncio.Event()
        self._totals_requested = asyncio.Event()

    # ---- requests

    def board(self, calendar: Calendar, window: Window) -> None:
        if (calendar, window) not in self._boards:
            self._boards.add((calendar, window))
            self._board_queue.put_nowait((calendar, window))

    def history(self, calendar: Calendar, since: int | None) -> None:
        before = self._histories.get(calendar)
        if since is None or before is None:
            self._histories[calendar] = before if since is None else since
        else:
            self._histories[calendar] = min(since, before)
        self._some_history.set()

    def bookings(self, events: Mapping[Event, Sequence[str]]) -> None:
        self._bookings += events.items()
        self._some_booking.set()

    def totals(self) -> None:
        self._totals_requested.set()

    def reconcile(self) -> None:
        self.reconcile_requested.set()

    def reconcile_later(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self.reconcile)

    # ---- the tasks

    async def run(self, hub: Hub) -> None:
        """Answers requests, for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(BOARD_READERS):
                group.create_task(forever("boards", lambda: self._load_boards(hub)))
            group.create_task(forever("histories", lambda: self._load_histories(hub)))
            group.create_task(forever("bookings", lambda: self._load_bookings(hub)))
            group.create_task(forever("totals", lambda: self._load_totals(hub)))

    async def _load_boards(self, hub: Hub) -> None:
        while True:
            calendar, window = await self._board_queue.get()
            if window not in calendar.views:  # every screen has left it meanwhile
                self._boards.discard((calendar, window))
                continue
            try:
                row = await self._read_board(calendar, window)
            except Exception as error:  # noqa: BLE001 — screens must not wait for ever
                self._failed("board", error, hub, [calendar])
                continue
            finally:
                self._boards.discard((calendar, window))
            if not hub.follows(calendar):
                continue
            if row is None:
                hub.gone(calendar)
            elif row.epoch != hub.epoch:
                self.reconcile_later(EPOCH_SECONDS)
            else:
                hub.board_loaded(calendar, window, row)

    async def _read_board(self, calendar: Calendar, window: Window) -> Board | None:
        row = await _board_message.first(
            self._pool,
            instructor=UUID(calendar.id),
            first=date.fromisoformat(window.first),
            days=window.days,
        )
        metrics.BOARDS.inc()
        return Board(row.epoch, row.version, messages.frame(row.message.encode())) if row else None

    async def _load_histories(self, hub: Hub) -> None:
        while True:
            await self._some_history.wait()
            batch = {calendar: self._histories.pop(calendar) for calendar in self._next_histories()}
            if not self._histories:
                self._some_history.clear()
            followed = {calendar: batch[calendar] for calendar in batch if hub.follows(calendar)}
            try:
                await self._load_history(hub, followed)
            except Exception as error:  # noqa: BLE001 — screens must not wait for ever
                self._failed("history", error, hub, followed)

    def _next_histories(self) -> list[Calendar]:
        return list(islice(self._histories, BATCH))

    async def _load_history(self, hub: Hub, batch: Mapping[Calendar, int | None]) -> None:
        rows = await _missed_changes.all(
            self._pool,
            instructors=[UUID(calendar.id) for calendar in batch],
            versions=[_NEVER if since is None else since for since in batch.values()],
            limit=HISTORY,
        )
        by_calendar = {
            str(key): list(group) for key, group in groupby(rows, lambda row: row.instructor_id)
        }
        for calendar, since in batch.items():
            if not hub.follows(calendar):
                continue
            read = by_calendar.get(calendar.id)
            try:
                if read is None:
                    hub.gone(calendar)
                elif read[0].epoch != hub.epoch:
                    self.reconcile_later(EPOCH_SECONDS)
                else:
                    hub.history_loaded(calendar, since, read[0].present, _changes(read))
            except Exception as error:  # noqa: BLE001 — the others of the batch are answered
                self._failed("history", error, hub, [calendar])

    async def _load_bookings(self, hub: Hub) -> None:
        while True:
            await self._some_booking.wait()
            await self.load_bookings(hub)

    async def load_bookings(self, hub: Hub) -> None:
        """Tells the bookings that were requested, BATCH at most."""
        lost, batch = self._bookings[:-WAITING_BOOKINGS], self._bookings[-WAITING_BOOKINGS:]
        batch, self._bookings = batch[:BATCH], batch[BATCH:]
        if not self._bookings:
            self._some_booking.clear()
        for _, account_ids in lost:
            hub.accounts.refresh(account_ids)
        try:
            ids = {UUID(event.booking_id) for event, _ in batch}
            rows = await _bookings_to_tell.all(self._pool, ids=list(ids))
        except Exception as error:  # noqa: BLE001 — its accounts read their lists instead
            self._failed("bookings", error, hub, ())
            rows = []
        by_id = {str(row.id): row for row in rows}
        for event, account_ids in batch:
            self._tell(hub, event, account_ids, by_id.get(event.booking_id))

    def _tell(
        self, hub: Hub, event: Event, account_ids: Sequence[str], row: Booking | None
    ) -> None:
        try:
            if row is not None:
                hub.booking_loaded(event, account_ids, row)
                return
        except Exception:  # such as a row of a newer release: the lists are read instead
            log.exception("booking_not_shown", booking_event=event.name)
        hub.accounts.refresh(account_ids)

    async def _load_totals(self, hub: Hub) -> None:
        while True:
            await self._totals_requested.wait()
            self._totals_requested.clear()
            try:
                await self.load_totals(
                    [account for account in hub.accounts if account.total is None]
                )
            except Exception as error:  # noqa: BLE001 — requested again after the next reconcile
                self._failed("totals", error, hub, ())

    async def load_totals(self, accounts: Collection[Account]) -> None:
        """Learns the sum of the versions of these accounts' bookings. Raises Unavailable."""
        for account in accounts:
            account.reset()
        totals: defaultdict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
        if accounts:
            students = [UUID(account.id) for account in accounts]
            for row in await _booking_totals.all(self._pool, students=students):
                by_calendar = totals[str(row.student_id)]
                by_calendar[str(row.instructor_id)] = row.versions, row.newest
        for account in accounts:
            account.start(totals[account.id])

    def _failed(self, task: str, error: Exception, hub: Hub, calendars: Iterable[Calendar]) -> None:
        """Postgres is away, or a fault of ours. Either way the screens keep waiting, and every
        reconcile requests again what is missing."""
        for calendar in calendars:
            hub.unavailable(calendar)
        if isinstance(error, refusal.Unavailable):
            self.reconcile_later(RETRY_SECONDS)
        else:
            log.error("load_failed", task=task, exc_info=error)


def change(
    instructor: str, epoch: str, version: int, days: Mapping[str, Any] | None, events: Sequence[Any]
) -> Change:
    """A change from the outbox. A part that another release wrote, and this one cannot read, is
    replaced by a new board or by a refresh."""
    try:
        readable = [_event(event) for event in events]
    except (KeyError, TypeError, AttributeError):
        log.warning("events_unreadable", instructor=instructor, version=version)
        readable = None
    if not isinstance(days, dict):
        log.warning("days_unreadable", instructor=instructor, version=version)
        days = None
    return Change(instructor, epoch, version, days, readable)


def _event(event: Mapping[str, Any]) -> Event:
    # Before events carried only ids, they carried the booking.
    booking = event.get("booking")
    return Event(
        event["event"],
        booking["id"] if booking else event["booking_id"],
        (booking or event)["student_id"],
        (booking or event)["instructor_id"],
        event["previous_version"],
    )


def _changes(rows: Sequence[_Missed]) -> list[Change]:
    return [
        change(str(row.instructor_id), row.epoch, row.version, row.days, row.events)
        for row in rows
        if row.version is not None and row.days is not None and row.events is not None
    ]
