"""The client rules of the live protocol (docs/live-protocol.md), without I/O. A `Screen` follows
one board; a `Client` passes the messages of one socket to its screens."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

Message = dict[str, Any]

SILENCE_SECONDS = 45.0
# Seconds until reconnecting, minimum and maximum; some close codes forbid it.
_RECONNECT_SOON = (0.5, 30.0)
_RECONNECT_LATER = (30.0, 60.0)
_NO_RECONNECT = frozenset({1009, 4400, 4401, 4403})


@dataclass
class Step:
    """Versions `above` < v ≤ `up_to` arrived at this screen at `at` (seconds since 1970)."""

    above: int
    up_to: int
    at: float


@dataclass
class Screen:
    """One open board: the requested window and its current content."""

    instructor: str
    first: str
    days: int
    epoch: str | None = None
    version: int = -1
    board: dict[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    boards: int = 0
    gaps: int = 0
    # A watch has no response yet; the response will contain the missing versions.
    pending: bool = False
    # The socket was lost, so the server did not cause the delay of the versions missed meanwhile.
    disconnected: bool = False

    def watch(self) -> Message:
        """The message that requests this board, or its missed changes."""
        self.pending = True
        message: Message = {
            "type": "watch",
            "instructor": self.instructor,
            "first": self.first,
            "days": self.days,
        }
        if self.epoch is not None:
            message |= {"epoch": self.epoch, "version": self.version}
        return message

    def receive(self, message: Message, at: float) -> Message | None:
        """Handles a message about this board; returns the message to send, if any."""
        if message["type"] == "board":
            self._replace(message, at)
            return None
        if self.epoch is None:
            return None  # wait for the requested board
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
        """A beacon ends the response to a resumed watch, and reveals a lost last message."""
        if version is None:
            return None
        self.pending = self.disconnected = False
        return self._gap() if version > self.version else None

    def _replace(self, message: Message, at: float) -> None:
        if self.epoch == message["epoch"]:
            self._step(message["version"], at)
        self.epoch, self.version = message["epoch"], message["version"]
        self.board = dict(message["days"])
        self.boards += 1
        self.pending = self.disconnected = False

    def _step(self, version: int, at: float) -> None:
        if version > self.version and not self.disconnected:
            self.steps.append(Step(self.version, version, at))
        self.version = max(self.version, version)

    def _gap(self) -> Message | None:
        if self.pending:
            return None
        self.gaps += 1
        return self.watch()

    def _forget(self) -> Message | None:
        """In another epoch, earlier versions may never have existed."""
        if self.pending:
            return None
        self.epoch, self.version = None, -1
        return self.watch()


class Client:
    """The state of one socket. `events` are the account's bookings as (event, booking id);
    `refreshed` means that some may be missing."""

    def __init__(self, screens: Sequence[Screen]) -> None:
        self.screens = {screen.instructor: screen for screen in screens}
        self.events: list[tuple[str, str]] = []
        self.refreshed = False
        self.errors: list[str] = []
        self.reconnect_delay: float | None = None

    def opened(self) -> list[Message]:
        """The messages to send when the socket opens or reopens."""
        return [screen.watch() for screen in self.screens.values()]

    def lost(self) -> None:
        for screen in self.screens.values():
            screen.disconnected = screen.version >= 0

    def receive(self, message: Message, at: float) -> list[Message]:
        """Handles one message; returns the messages to send."""
        kind = message["type"]
        if kind == "beacon":
            answers = [screen.receive(message, at) for screen in self.screens.values()]
            return [answer for answer in answers if answer is not None]
        if kind in {"board", "change"}:
            screen = self.screens.get(message["instructor"])
            answer = screen.receive(message, at) if screen is not None else None
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
        """Seconds until reconnecting; None if the client must not reconnect."""
        delay, self.reconnect_delay = self.reconnect_delay, None
        if code in _NO_RECONNECT:
            return None
        if delay is not None:
            return delay * random.uniform(1, 1.5)
        return random.uniform(*(_RECONNECT_LATER if code == 4429 else _RECONNECT_SOON))
