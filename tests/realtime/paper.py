"""A wire that keeps what is written on it, and the calendars of a make-believe database, to look at the hub alone."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

from app.accounts.session import SignedIn
from app.settings import Settings, read
from realtime import messages
from realtime.calendar import HISTORY, Board, Calendar, Change, Window
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


def make_hub(**given: Any) -> Hub:
    hub = Hub(settings(**given), now=lambda: NOW)
    hub.epoch = EPOCH
    hub.deaf = False
    return hub


def signed_in(account_id: UUID, *roles: str) -> SignedIn:
    return SignedIn(uuid4(), account_id, "a@example.com", "A", "America/New_York", frozenset(roles), frozenset())


class Database:
    """One calendar's rows: what each day looks like at each version. It answers what the hub wants, as realtime/loading.py would."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.id = str(uuid4())
        self.versions: list[Change] = []
        self.days: dict[str, Any] = {}
        self.kept_from = 1  # older changes are gone
        self.boards_read = 0
        self._asked: deque[Callable[[], None]] = deque()

    @property
    def version(self) -> int:
        return len(self.versions)

    def step(self, days: Iterable[str] = (WEEK.first,), events: list[dict[str, Any]] | None = None) -> Change:
        content = {day: {"free": [[f"{self.version + 1}", day]], "held": []} for day in days}
        self.days |= content
        self.versions.append(Change(self.id, self.hub.epoch, self.version + 1, content, events or []))
        return self.change(self.version)

    def change(self, version: int) -> Change:
        """As it comes from Redis: a copy each time."""
        kept = self.versions[version - 1]
        return Change(kept.instructor, kept.epoch, kept.version, dict(kept.days), list(kept.events))

    def board(self, window: Window) -> Board:
        self.boards_read += 1
        days = {day: content for day, content in self.days.items() if window.first <= day <= window.last}
        message = {"type": "board", "instructor": self.id, "epoch": self.hub.epoch, "version": self.version, "days": days}
        return Board(self.hub.epoch, self.version, messages.frame(json.dumps(message).encode()))

    def answer(self) -> None:
        """Everything the hub wants, until it wants nothing more."""
        while self.ask():
            self.reply()

    def ask(self) -> bool:
        """One query begins, and sees what is there now. False: nothing is wanted."""
        wanted = self.hub.wanted
        if not wanted._queue.empty():
            calendar, window = wanted._queue.get_nowait()
            board = self.board(window)
            self._asked.append(lambda: self._hand_over_board(calendar, window, board))
        elif wanted._histories:
            calendar, since = wanted._histories.popitem()
            present, epoch = self.version, self.hub.epoch
            first = max(self.kept_from, present - HISTORY + 1, (present if since is None else since) + 1)
            changes = [self.change(version) for version in range(first, present + 1)]
            self._asked.append(lambda: self._hand_over_history(calendar, since, epoch, present, changes))
        return bool(self._asked)

    def reply(self) -> None:
        """The query that has been under way longest ends."""
        if self._asked:
            self._asked.popleft()()

    def _hand_over_board(self, calendar: Calendar, window: Window, board: Board) -> None:
        self.hub.wanted.board_done(calendar, window)
        if not self.hub.follows(calendar):
            return
        if board.epoch == self.hub.epoch:
            self.hub.board_read(calendar, window, board)
        elif window in calendar.windows:
            self.hub.wanted.board(calendar, window)

    def _hand_over_history(
        self, calendar: Calendar, since: int | None, epoch: str, present: int, changes: list[Change]
    ) -> None:
        if not self.hub.follows(calendar):
            return
        if epoch == self.hub.epoch:
            self.hub.history_read(calendar, since, present, changes)
        else:
            self.hub.wanted.history(calendar, calendar.version)

    def watch(self, paper: Paper, window: Window = WEEK, **resume: Any) -> Watcher:
        watcher = self.hub.join(paper, None)
        self.hub.watch(watcher, self.id, window, **resume)
        return watcher
