"""What a screen does with the messages of the live protocol: the contract's rules for clients, to the letter, without any I/O.
A `Screen` follows one board; an `Client` sorts what one socket hears to its screens."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

Message = dict[str, Any]

SILENCE_SECONDS = 45.0
# What a close code asks of a client: whether it may come back, and after how many seconds at least and at most.
_BACK_SOON = (0.5, 30.0)
_BACK_LATER = (30.0, 60.0)
_NEVER_BACK = frozenset({1009, 4400, 4401, 4403})


@dataclass
class Step:
    """Versions (`above`, `upto`] reached this screen at the instant `at` (seconds since 1970)."""

    above: int
    upto: int
    at: float


@dataclass
class Screen:
    """One board on somebody's screen: the window it asked for, and what it shows."""

    instructor: str
    first: str
    days: int
    epoch: str | None = None
    version: int = -1
    board: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    boards: int = 0
    gaps: int = 0
    # A watch has been sent and not been answered yet: what is missing meanwhile is on its way.
    pending: bool = False
    # The socket was away: what was missed then reached the screen as late as it came back, and is no measure of the server.
    away: bool = False

    def watch(self) -> Message:
        """The message that asks for this board, or for what was missed of it."""
        self.pending = True
        message: Message = {"type": "watch", "instructor": self.instructor, "first": self.first, "days": self.days}
        if self.epoch is not None:
            message |= {"epoch": self.epoch, "version": self.version}
        return message

    def receive(self, message: Message, at: float) -> Message | None:
        """Takes a message about this board; what to send, if anything."""
        if message["type"] == "board":
            self._replace(message, at)
            return None
        if self.epoch is None:
            return None  # the board that was asked for comes first
        if message["epoch"] != self.epoch:
            return self._forget()
        if message["type"] == "beacon":
            return self._check(message["versions"].get(self.instructor))
        version = message["version"]
        if version <= self.version:
            return None
        if version > self.version + 1:
            return self._gap()
        self._step(version, at)
        self.board.update(message["days"])
        return None

    def _check(self, version: int | None) -> Message | None:
        """A beacon names what has been answered, so it ends the answer to a resumed watch; and it reveals a lost last message."""
        if version is None:
            return None
        self.pending = self.away = False
        return self._gap() if version > self.version else None

    def _replace(self, message: Message, at: float) -> None:
        if self.epoch == message["epoch"]:
            self._step(message["version"], at)
        self.epoch, self.version = message["epoch"], message["version"]
        self.board = dict(message["days"])
        self.boards += 1
        self.pending = self.away = False

    def _step(self, version: int, at: float) -> None:
        if version > self.version and not self.away:
            self.steps.append(Step(self.version, version, at))
        self.version = max(self.version, version)

    def _gap(self) -> Message | None:
        if self.pending:
            return None
        self.gaps += 1
        return self.watch()

    def _forget(self) -> Message | None:
        """Another epoch: what is known may never have been."""
        if self.pending:
            return None
        self.epoch, self.version = None, -1
        return self.watch()


class Client:
    """All that one socket hears. `events` are its own bookings as (event, booking id), `refreshed` says some may be missing."""

    def __init__(self, screens: Sequence[Screen]) -> None:
        self.screens = {screen.instructor: screen for screen in screens}
        self.events: list[tuple[str, str]] = []
        self.refreshed = False
        self.errors: list[str] = []
        self.reconnect_delay: float | None = None

    def opened(self) -> list[Message]:
        """The socket is open (again): what to send first."""
        return [screen.watch() for screen in self.screens.values()]

    def lost(self) -> None:
        for screen in self.screens.values():
            screen.away = screen.version >= 0

    def receive(self, message: Message, at: float) -> list[Message]:
        """Takes one message; what to send."""
        kind = message["type"]
        if kind == "beacon":
            answers = [screen.receive(message, at) for screen in self.screens.values()]
            return [answer for answer in answers if answer is not None]
        if kind in {"board", "change"}:
            watched = self.screens.get(message["instructor"])
            answer = watched.receive(message, at) if watched is not None else None
            return [answer] if answer is not None else []
        if kind == "booking":
            self.events.append((message["event"], message["booking"]["id"]))
        elif kind == "refresh":
            self.refreshed = True
        elif kind == "bye":
            self.reconnect_delay = message["after_ms"] / 1000
        else:
            self.errors.append(str(message.get("code", kind)))
        return []

    def delay_after_close(self, code: int, random: Random) -> float | None:
        """Seconds until the socket is opened again, or None when it is not to come back."""
        said, self.reconnect_delay = self.reconnect_delay, None
        if code in _NEVER_BACK:
            return None
        if said is not None:
            return said * random.uniform(1, 1.5)
        return random.uniform(*(_BACK_LATER if code == 4429 else _BACK_SOON))
