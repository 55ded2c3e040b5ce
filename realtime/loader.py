"""Reads data from Postgres for the hub: boards, the changes a calendar missed, bookings to send,
the totals of accounts. Requests are coalesced, so that thousands of new screens cause few queries.
After a failure, the next reconcile requests all missing data again."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any
from uuid import UUID

import structlog

from app import refusal
from app.bookings.booking import Booking
from app.db import Pool
from app.statements import statement
from realtime import messages, metrics
from realtime.accounts import Account
from realtime.calendar import Calendar, Requests
from realtime.history import HISTORY, Board, Change, Event, Window, change
from realtime.hub import Hub
from realtime.supervise import forever

log = structlog.get_logger("loader")

# Tasks that read boards, one query each at a time.
BOARD_READERS = 2
# Calendars, or bookings, per query.
BATCH = 50
# The most bookings that wait to be read. The accounts of older ones get a refresh.
WAITING_BOOKINGS = 2_000
# Everything is compared again this long after Postgres was unavailable, or after reading a board of
# another epoch.
RETRY_SECONDS = 1.0
EPOCH_SECONDS = 0.2
_AFTER_ANY_VERSION = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _BoardMessage:
    epoch: str
    version: int
    message: str


@dataclass(frozen=True, slots=True)
class _MissedChange:
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
_missed_changes = statement("missed_changes", _MissedChange)
_booking_totals = statement("booking_totals_by_calendar", _Total)
_bookings_to_send = statement("bookings_to_send", Booking)


class Loader:
    """The tasks that answer the requests of a hub."""

    def __init__(self, hub: Hub, requests: Requests, pool: Pool) -> None:
        self._hub = hub
        self._requests = requests
        self._pool = pool

    async def run(self) -> None:
        """Answers requests. Does not return."""
        async with asyncio.TaskGroup() as group:
            for _ in range(BOARD_READERS):
                group.create_task(forever("boards", self._load_boards))
            group.create_task(forever("histories", self._load_histories))
            group.create_task(forever("bookings", self._load_bookings))
            group.create_task(forever("totals", self._load_totals))

    async def _load_boards(self) -> None:
        while True:
            calendar, window = await self._requests.boards.get()
            if window not in calendar.views:  # every screen has closed it meanwhile
                self._requests.board_done(calendar, window)
                continue
            writes = calendar.writes
            try:
                board = await self._read_board(calendar, window)
            except Exception as error:  # noqa: BLE001 — a screen must get an answer
                self._failed("board", error, [calendar])
                continue
            finally:
                self._requests.board_done(calendar, window)
            if not self._hub.follows(calendar):
                continue
            if board is None:
                self._hub.calendar_not_found(calendar)
            elif board.epoch != self._hub.epoch:
                self._requests.reconcile_later(EPOCH_SECONDS)
            else:
                self._hub.board_loaded(calendar, window, board, writes)

    async def _read_board(self, calendar: Calendar, window: Window) -> Board | None:
        row = await _board_message.first(
            self._pool,
            instructor=UUID(calendar.id),
            first=date.fromisoformat(window.first),
            days=window.days,
        )
        metrics.BOARDS.inc()
        return Board(row.epoch, row.version, messages.frame(row.message.encode())) if row else None

    async def _load_histories(self) -> None:
        while True:
            await self._requests.history_requested.wait()
            batch = self._requests.take_histories(BATCH)
            batch = {calendar: batch[calendar] for calendar in batch if self._hub.follows(calendar)}
            try:
                await self._load_history(batch)
            except Exception as error:  # noqa: BLE001 — a screen must get an answer
                self._failed("history", error, batch)

    async def _load_history(self, batch: Mapping[Calendar, int | None]) -> None:
        rows = await _missed_changes.all(
            self._pool,
            instructors=[UUID(calendar.id) for calendar in batch],
            versions=[_AFTER_ANY_VERSION if since is None else since for since in batch.values()],
            limit=HISTORY,
        )
        by_calendar = {
            str(key): list(group) for key, group in groupby(rows, lambda row: row.instructor_id)
        }
        for calendar, since in batch.items():
            if self._hub.follows(calendar):
                try:
                    self._answer_history(calendar, since, by_calendar.get(calendar.id))
                except Exception as error:  # noqa: BLE001 — one of a batch
                    self._failed("history", error, [calendar])

    def _answer_history(
        self, calendar: Calendar, since: int | None, rows: Sequence[_MissedChange] | None
    ) -> None:
        if rows is None:
            self._hub.calendar_not_found(calendar)
        elif rows[0].epoch != self._hub.epoch:
            self._requests.reconcile_later(EPOCH_SECONDS)
        else:
            self._hub.history_loaded(calendar, since, rows[0].present, _changes(rows))

    async def _load_bookings(self) -> None:
        while True:
            await self._requests.booking_requested.wait()
            await self.load_bookings()

    async def load_bookings(self) -> None:
        """Sends the bookings that were requested, BATCH at most."""
        dropped, batch = self._requests.take_bookings(BATCH, WAITING_BOOKINGS)
        for _, account_ids in dropped:
            self._hub.accounts.refresh(account_ids)
        try:
            ids = {UUID(event.booking_id) for event, _ in batch}
            rows = await _bookings_to_send.all(self._pool, ids=list(ids))
        except Exception as error:  # noqa: BLE001 — its accounts read their lists instead
            self._failed("bookings", error, ())
            rows = []
        by_id = {str(row.id): row for row in rows}
        for event, account_ids in batch:
            self._send_booking(event, account_ids, by_id.get(event.booking_id))

    def _send_booking(
        self, event: Event, account_ids: Sequence[str], booking: Booking | None
    ) -> None:
        try:
            if booking is not None:
                self._hub.accounts.send(event, account_ids, booking)
                return
        except Exception:  # such as a row of a newer release: the lists are read instead
            log.exception("booking_not_sent", booking_event=event.name)
        self._hub.accounts.refresh(account_ids)

    async def _load_totals(self) -> None:
        while True:
            await self._requests.totals_requested.wait()
            self._requests.totals_requested.clear()
            accounts = [account for account in self._hub.accounts if account.total is None]
            try:
                await self.load_totals(accounts)
            except Exception as error:  # noqa: BLE001 — requested again after the next reconcile
                self._failed("totals", error, ())

    async def load_totals(self, accounts: Collection[Account]) -> None:
        """Reads the sums of the versions of these accounts' bookings. Raises Unavailable."""
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

    def _failed(self, task: str, error: Exception, calendars: Iterable[Calendar]) -> None:
        """Handles an unavailable Postgres or our own bug. The screens keep waiting; the next
        reconcile requests all missing data again."""
        for calendar in calendars:
            self._hub.unavailable(calendar)
        if isinstance(error, refusal.Unavailable):
            self._requests.reconcile_later(RETRY_SECONDS)
        else:
            log.error("load_failed", task=task, exc_info=error)


def _changes(rows: Sequence[_MissedChange]) -> list[Change]:
    return [
        change(str(row.instructor_id), row.epoch, row.version, row.days, row.events)
        for row in rows
        if row.version is not None and row.days is not None and row.events is not None
    ]
