"""The data of a calendar: windows of days, boards, changes, and the history of the last changes. No
screens and no I/O."""

import sys
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

import orjson
import structlog

from realtime import messages

log = structlog.get_logger("history")

# The changes kept per calendar, and their bytes. A screen that is further behind gets a board.
HISTORY = 64
HISTORY_BYTES = 128 * 1024
# Screens get a new board instead of a change of more days than this.
MAX_DAYS = 60


class Window(NamedTuple):
    """Consecutive local days: the first and the last as in messages, and their number."""

    first: str
    last: str
    days: int

    @staticmethod
    def of(first: date, days: int) -> "Window":
        return Window(first.isoformat(), (first + timedelta(days=days - 1)).isoformat(), days)


class Board(NamedTuple):
    """One snapshot of the days of a window, as the frame to send."""

    epoch: str
    version: int
    frame: bytes

    def after(self, changes: "Sequence[Change]", window: Window) -> "Board":
        """The board of the same window after these changes, which follow its version."""
        message = orjson.loads(messages.text_of(self.frame))
        for change in changes:
            message["version"] = change.version
            message["days"] |= {
                day: orjson.Fragment(content)
                for day, content in change.days.items()
                if window.first <= day <= window.last
            }
        frame = messages.frame(orjson.dumps(message))
        return Board(self.epoch, message["version"], frame)


class Event(NamedTuple):
    """What happened to a booking in a change. `previous_version`: the booking's version before
    it."""

    name: messages.BookingEvent
    booking_id: str
    student_id: str
    instructor_id: str
    previous_version: int


class Change:
    """One step of a calendar's version. `days` holds the new content of each altered day as JSON.
    The constructor's `days`, and `events`, are None if another release wrote them and this one
    cannot read them."""

    __slots__ = ("days", "epoch", "events", "instructor", "needs_board", "version")

    def __init__(
        self,
        instructor: str,
        epoch: str,
        version: int,
        days: Mapping[str, Any] | None,
        events: Sequence[Event] | None,
    ) -> None:
        self.instructor = instructor
        self.epoch = epoch
        self.version = version
        self.events = events
        # Screens need a new board after a changed setting, a change of very many days, or one whose
        # days this release cannot read.
        is_setting = events is not None and not events and not days
        self.needs_board = is_setting or days is None or len(days) > MAX_DAYS
        content = {} if self.needs_board or days is None else days
        # A copy, because orjson's own bytes keep a buffer of 4 kB each.
        self.days = {
            sys.intern(day): bytes(memoryview(orjson.dumps(content[day]))) for day in content
        }

    @property
    def size(self) -> int:
        """Approximate bytes in memory."""
        return sum(100 + len(day) for day in self.days.values()) + 500 * (
            1 + len(self.events or ())
        )

    def frame(self, window: Window, frames: dict[tuple[str, ...], bytes]) -> bytes:
        """The message for this window. `frames` holds those already built for other windows."""
        names = tuple(day for day in self.days if window.first <= day <= window.last)
        frame = frames.get(names)
        if frame is None:
            days = {day: orjson.Fragment(self.days[day]) for day in names}
            frame = frames[names] = messages.change(self.instructor, self.epoch, self.version, days)
        return frame

    def equals(self, other: "Change") -> bool:
        """Whether it has the same content."""
        return (self.needs_board, self.days, self.events) == (
            other.needs_board,
            other.days,
            other.events,
        )


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
    # The first release put the whole booking into the event.
    booking = event.get("booking")
    return Event(
        event["event"],
        booking["id"] if booking else event["booking_id"],
        (booking or event)["student_id"],
        (booking or event)["instructor_id"],
        event["previous_version"],
    )


class History:
    """The last changes of a calendar: contiguous, and ending at `version`. Bounded by count and
    by bytes."""

    __slots__ = ("_bytes", "_changes", "version")

    def __init__(self, version: int, changes: Iterable[Change] = ()) -> None:
        """Keeps those of `changes` that lead up to `version` without a gap."""
        self.version = version
        self._changes: deque[Change] = deque()
        self._bytes = 0
        self.extend_back(changes)

    def append(self, change: Change) -> None:
        assert change.version == self.version + 1, "history has no gaps"
        self.version = change.version
        self._changes.append(change)
        self._bytes += change.size
        while self._full:
            self._bytes -= self._changes.popleft().size

    def extend_back(self, changes: Iterable[Change]) -> None:
        """Adds older changes before the first one, as long as they leave no gap and fit."""
        for change in sorted(changes, key=lambda change: change.version, reverse=True):
            if change.version != self.version - len(self._changes):
                continue
            self._changes.appendleft(change)
            self._bytes += change.size
            if self._full:
                self._bytes -= self._changes.popleft().size
                return

    def get(self, version: int) -> Change | None:
        index = len(self._changes) - 1 - (self.version - version)
        return self._changes[index] if 0 <= index < len(self._changes) else None

    @property
    def size(self) -> int:
        """Approximate bytes in memory."""
        return self._bytes

    def after(self, version: int) -> Sequence[Change]:
        """The changes after a version that it reaches."""
        return list(self._changes)[version - self.version :] if version < self.version else ()

    def reaches(self, version: int) -> bool:
        """Whether the history has every change after `version`."""
        return self.version - len(self._changes) <= version <= self.version

    @property
    def _full(self) -> bool:
        return len(self._changes) > HISTORY or self._bytes > HISTORY_BYTES
