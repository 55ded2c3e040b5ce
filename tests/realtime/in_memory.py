"""The hub without a network: a transport that records what is written to it, and a calendar whose
rows are in memory."""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import orjson

from app.accounts.session import SignedIn
from app.settings import Settings, read
from realtime import messages
from realtime.calendar import Calendar, Requests
from realtime.history import HISTORY, Board, Change, Event, Window
from realtime.hub import Hub
from realtime.watcher import Watcher

NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
FIRST = date(2026, 11, 23)
WEEK = Window.of(FIRST, 7)
EPOCH = "epoch"


class Recorder(asyncio.Transport):
    """Keeps the frames written to it, and reads them as a client does."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.frames.append(bytes(data))

    def abort(self) -> None:
        self.aborted = True

    def show(self, message: dict[str, Any]) -> None:
        """As if this message had been written before."""
        self.frames.append(messages.frame(json.dumps(message).encode()))

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(_content(frame)) for frame in self.frames if frame != messages.PING]

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]

    def of(self, *types: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] in types]

    def versions(self) -> list[int]:
        return [message["version"] for message in self.of("board", "change")]

    def board(self) -> dict[str, Any]:
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


def _content(frame: bytes) -> bytes:
    start = 2 if frame[1] < 126 else 4 if frame[1] == 126 else 10
    return frame[start:]


def settings(**changed: Any) -> Settings:
    return read(_env_file=None, **changed)


def signed_in(account_id: UUID, *roles: str) -> SignedIn:
    return SignedIn(
        uuid4(),
        account_id,
        "a@example.com",
        "A",
        "America/New_York",
        clock="12",
        is_verified=True,
        roles=frozenset(roles),
        permissions=frozenset(
            {"student": "view_own_bookings", "instructor": "view_incoming_bookings"}[role]
            for role in roles
        ),
    )


class Database:
    """One calendar's rows: the content of each day at each version. Answers the requests of its hub
    as realtime/loader.py does, in any order."""

    def __init__(self, **changed: Any) -> None:
        self.id = str(uuid4())
        self.versions: list[Change] = []
        self.days: dict[str, Any] = {}
        self.kept_from = 1  # older changes are gone
        self.boards_read = 0
        self.requests = Requests()
        self._queries: list[Callable[[bool], None]] = []
        self.hub = Hub(settings(**changed), self.requests, now=lambda: NOW)
        self.hub.begin_epoch(EPOCH)
        self.hub.set_connected(True)

    # ---- rows

    @property
    def version(self) -> int:
        return len(self.versions)

    def step(self, days: Iterable[str] = (WEEK.first,), events: Sequence[Event] = ()) -> Change:
        content = {day: {"free": [[f"{self.version + 1}", day]], "held": []} for day in days}
        self.days |= content
        self.versions.append(Change(self.id, self.hub.epoch, self.version + 1, content, events))
        return self.change(self.version)

    def change(self, version: int) -> Change:
        """As it comes from Redis: a copy each time."""
        row = self.versions[version - 1]
        days = {day: orjson.Fragment(content) for day, content in row.days.items()}
        copy = Change(row.instructor, row.epoch, row.version, days, row.events)
        copy.needs_board = row.needs_board
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
        """All requests, until there are none."""
        while self.query() or self._queries:
            self.reply()

    def query(self, kind: int = 0) -> bool:
        """One query begins, and reads the current rows. False: nothing is requested."""
        requests = self.requests
        if not requests.boards.empty() and (kind == 0 or not requests.histories):
            calendar, window = requests.boards.get_nowait()
            answer = self._board(window), calendar.writes
            self._queries.append(lambda ok: self._answer_board(ok, calendar, window, *answer))
            return True
        if requests.histories:
            [(calendar, since)] = requests.take_histories(1).items()
            present, epoch = self.version, self.hub.epoch
            first = max(
                self.kept_from, present - HISTORY + 1, (present if since is None else since) + 1
            )
            changes = [self.change(version) for version in range(first, present + 1)]
            history = epoch, present, changes
            self._queries.append(lambda ok: self._answer_history(ok, calendar, since, history))
            return True
        return False

    def reply(self, index: int = 0, *, succeeds: bool = True) -> None:
        """One of the running queries ends: 0 is the oldest."""
        if self._queries:
            self._queries.pop(index % len(self._queries))(succeeds)

    def compare(self) -> None:
        """As realtime/reconciler.py does."""
        self.requests.reconcile_requested.clear()
        for calendar in self.hub.calendars.values():
            if calendar.version is not None:
                calendar.compare(self.version)
        self.hub.catch_up()

    def _answer_board(
        self, succeeds: bool, calendar: Calendar, window: Window, board: Board, writes: int
    ) -> None:
        self.requests.board_done(calendar, window)
        if not self.hub.follows(calendar):
            return
        if not succeeds:
            self.hub.unavailable(calendar)
        elif board.epoch == self.hub.epoch:
            self.hub.board_loaded(calendar, window, board, writes)
        else:
            self.requests.board(calendar, window)

    def _answer_history(
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
            self.requests.history(calendar, calendar.version)

    def watch(self, recorder: Recorder, window: Window = WEEK, **resume: Any) -> Watcher:
        watcher = self.hub.join(recorder, None)
        self.hub.watch(watcher, self.id, window, **resume)
        return watcher
