"""A wire that keeps what is written on it, and the calendars of a make-believe database, to look at the hub alone."""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import orjson

from app.accounts.session import SignedIn
from app.settings import Settings, read
from realtime import messages
from realtime.calendar import Calendar
from realtime.history import HISTORY, Board, Change, Event, Window
from realtime.hub import Hub
from realtime.watcher import Watcher

NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
FIRST = date(2026, 11, 23)
WEEK = Window.of(FIRST, 7)
EPOCH = "epoch"


class Paper:
    """Implements Wire. `broken` is what a client would complain about."""

    def __init__(self) -> None:
        self.last_received = asyncio.get_running_loop().time()
        self.frames: list[bytes] = []
        self.closed_with: tuple[int, str] | None = None
        self.aborted = False

    def write(self, frame: bytes) -> None:
        self.frames.append(frame)

    def keep(self, message: dict[str, Any]) -> None:
        """As if it had been told this before."""
        self.frames.append(messages.frame(json.dumps(message).encode()))

    def close(self, code: int, reason: str = "") -> None:
        self.closed_with = code, reason

    def abort(self) -> None:
        self.aborted = True

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(unframed(frame)) for frame in self.frames if frame != messages.PING]

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        return [message for message in self.told if message["type"] in kinds]

    def versions(self) -> list[int]:
        return [message["version"] for message in self.of("board", "change")]

    def shown(self) -> dict[str, Any]:
        """The board by the contract's rules. Fails on a gap."""
        board: dict[str, Any] = {}
        for message in self.of("board", "change"):
            if message["type"] == "board":
                board = message
                continue
            assert message["epoch"] == board["epoch"]
            assert message["version"] == board["version"] + 1, "a gap"
            board["version"] = message["version"]
            board["days"] |= message["days"]
        return board


def unframed(frame: bytes) -> bytes:
    start = 2 if frame[1] < 126 else 4 if frame[1] == 126 else 10
    return frame[start:]


def settings(**given: Any) -> Settings:
    return read(_env_file=None, **given)


def signed_in(account_id: UUID, *roles: str) -> SignedIn:
    return SignedIn(
        uuid4(), account_id, "a@example.com", "A", "America/New_York", frozenset(roles), frozenset()
    )


class Database:
    """One calendar's rows: what each day looks like at each version. It is the `Requests` of its hub and answers them as
    realtime/loader.py would, in any order."""

    def __init__(self, **given: Any) -> None:
        self.id = str(uuid4())
        self.versions: list[Change] = []
        self.days: dict[str, Any] = {}
        self.kept_from = 1  # older changes are gone
        self.boards_read = 0
        self.reconcile_requested = False
        self.announced: list[tuple[Event, tuple[str, ...]]] = []
        self._boards: dict[tuple[Calendar, Window], None] = {}
        self._reading: set[tuple[Calendar, Window]] = set()
        self._histories: dict[Calendar, int | None] = {}
        self._queries: list[Callable[[bool], None]] = []
        self.hub = Hub(settings(**given), self, now=lambda: NOW)
        self.hub.begin_epoch(EPOCH)
        self.hub.set_connected(True)

    # ---- Requests

    def board(self, calendar: Calendar, window: Window) -> None:
        if (calendar, window) not in self._reading:
            self._boards[calendar, window] = None

    def history(self, calendar: Calendar, since: int | None) -> None:
        before = self._histories.get(calendar)
        known = [version for version in (since, before) if version is not None]
        self._histories[calendar] = min(known) if known else None

    def bookings(self, events: Mapping[Event, Sequence[str]]) -> None:
        self.announced += [(event, tuple(accounts)) for event, accounts in events.items()]

    def totals(self) -> None:
        pass

    def reconcile(self) -> None:
        self.reconcile_requested = True

    # ---- rows

    @property
    def version(self) -> int:
        return len(self.versions)

    @property
    def histories_requested(self) -> int:
        return len(self._histories)

    def step(self, days: Iterable[str] = (WEEK.first,), events: Sequence[Event] = ()) -> Change:
        content = {day: {"free": [[f"{self.version + 1}", day]], "held": []} for day in days}
        self.days |= content
        self.versions.append(Change(self.id, self.hub.epoch, self.version + 1, content, events))
        return self.change(self.version)

    def change(self, version: int) -> Change:
        """As it comes from Redis: a copy each time."""
        kept = self.versions[version - 1]
        days = {day: orjson.Fragment(content) for day, content in kept.days.items()}
        copy = Change(kept.instructor, kept.epoch, kept.version, days, kept.events)
        copy.whole = kept.whole
        return copy

    def _board(self, window: Window) -> Board:
        self.boards_read += 1
        days = {
            day: content for day, content in self.days.items() if window.first <= day <= window.last
        }
        message = {
            "type": "board",
            "instructor": self.id,
            "epoch": self.hub.epoch,
            "version": self.version,
            "days": days,
        }
        return Board(self.hub.epoch, self.version, messages.frame(json.dumps(message).encode()))

    # ---- answers

    def answer(self) -> None:
        """Everything the hub requests, until it requests nothing more."""
        while self.ask() or self._queries:
            self.reply()

    def ask(self, kind: int = 0) -> bool:
        """One query begins, and sees what is there now. False: nothing is requested."""
        if self._boards and (kind == 0 or not self._histories):
            calendar, window = next(iter(self._boards))
            del self._boards[calendar, window]
            self._reading.add((calendar, window))
            board = self._board(window)
            self._queries.append(lambda ok: self._hand_over_board(ok, calendar, window, board))
            return True
        if self._histories:
            calendar, since = self._histories.popitem()
            present, epoch = self.version, self.hub.epoch
            first = max(
                self.kept_from, present - HISTORY + 1, (present if since is None else since) + 1
            )
            changes = [self.change(version) for version in range(first, present + 1)]
            history = epoch, present, changes
            self._queries.append(lambda ok: self._hand_over_history(ok, calendar, since, history))
            return True
        return False

    def reply(self, which: int = 0, *, succeeds: bool = True) -> None:
        """One of the queries under way ends: 0 is the one that began first."""
        if self._queries:
            self._queries.pop(which % len(self._queries))(succeeds)

    def compare(self) -> None:
        """As realtime/reconciler.py does."""
        self.reconcile_requested = False
        for calendar in self.hub.calendars.values():
            if calendar.version is not None:
                calendar.compare(self.version)
        self.hub.settle_all()

    def _hand_over_board(
        self, succeeds: bool, calendar: Calendar, window: Window, board: Board
    ) -> None:
        self._reading.discard((calendar, window))
        if not self.hub.follows(calendar):
            return
        if not succeeds:
            self.hub.unavailable(calendar)
        elif board.epoch == self.hub.epoch:
            self.hub.board_loaded(calendar, window, board)
        else:
            self.board(calendar, window)

    def _hand_over_history(
        self,
        succeeds: bool,
        calendar: Calendar,
        since: int | None,
        history: tuple[str, int, list[Change]],
    ) -> None:
        epoch, present, changes = history
        if not self.hub.follows(calendar):
            return
        if not succeeds:
            self.hub.unavailable(calendar)
        elif epoch == self.hub.epoch:
            self.hub.history_loaded(calendar, since, present, changes)
        else:
            self.history(calendar, calendar.version)

    def watch(self, paper: Paper, window: Window = WEEK, **resume: Any) -> Watcher:
        watcher = self.hub.join(paper, None)
        self.hub.watch(watcher, self.id, window, **resume)
        return watcher
