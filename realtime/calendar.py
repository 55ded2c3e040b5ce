"""A calendar as this process follows it: where it stands, its last changes, and who watches which days of it. No I/O here."""

from collections import deque
from collections.abc import Iterable
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from realtime import messages

if TYPE_CHECKING:
    from realtime.watcher import Watch

# So many of a calendar's last changes are kept; who is further behind gets a board.
HISTORY = 64
# Boards kept ready per calendar, for those who come next, as long as so few changes lead from them to the present.
BOARDS = 16
STEPS = 8


class Window(NamedTuple):
    """Consecutive local days, as they are written in messages."""

    first: str
    last: str
    days: int

    @staticmethod
    def of(first: date, days: int) -> "Window":
        return Window(first.isoformat(), (first + timedelta(days=days - 1)).isoformat(), days)


class Board(NamedTuple):
    """One snapshot of some days, as the frame that is sent."""

    epoch: str
    version: int
    frame: bytes


class Change:
    """One step of a calendar's version. Its frame is built once for all who see the same of it."""

    __slots__ = ("_frames", "days", "epoch", "events", "instructor", "version")

    def __init__(self, instructor: str, epoch: str, version: int, days: dict[str, Any], events: list[dict[str, Any]]) -> None:
        self.instructor = instructor
        self.epoch = epoch
        self.version = version
        self.days = days
        self.events = events
        self._frames: dict[tuple[str, ...], bytes] = {}

    @property
    def whole(self) -> bool:
        """Whether more than days changed, such as a setting: then only a fresh board tells it."""
        return not self.days and not self.events

    def frame(self, window: Window) -> bytes:
        seen = tuple(day for day in self.days if window.first <= day <= window.last)
        frame = self._frames.get(seen)
        if frame is None:
            days = self.days if len(seen) == len(self.days) else {day: self.days[day] for day in seen}
            frame = self._frames[seen] = messages.change(self.instructor, self.epoch, self.version, days)
        return frame

    def tells_the_same_as(self, other: "Change") -> bool:
        return self.days == other.days and self.events == other.events


class History:
    """The last changes of a calendar, each one version above the one before it."""

    __slots__ = ("_changes",)

    def __init__(self, changes: Iterable[Change] = ()) -> None:
        self._changes = deque(changes, HISTORY)
        assert all(after.version == before.version + 1 for before, after in pairwise(self._changes))

    def append(self, change: Change) -> None:
        self._changes.append(change)

    def extend_back(self, older: Iterable[Change]) -> None:
        """Puts older changes before those that are here, as far as they join and there is room."""
        for change in sorted(older, key=lambda change: change.version, reverse=True):
            if len(self._changes) < HISTORY and (not self._changes or change.version == self._changes[0].version - 1):
                self._changes.appendleft(change)

    def get(self, version: int) -> Change | None:
        if not self._changes:
            return None
        place = version - self._changes[0].version
        return self._changes[place] if 0 <= place < len(self._changes) else None

    def reaches(self, version: int, present: int) -> bool:
        """Whether all changes after `version` up to `present` are here."""
        return version == present or (version < present and self.get(version + 1) is not None)


class Calendar:
    """One followed calendar. `version` is None until the database has told it."""

    __slots__ = ("boards", "catching_up", "early", "history", "id", "owned", "version", "windows")

    def __init__(self, id: str) -> None:  # noqa: A002 — what it is called everywhere
        self.id = id
        self.version: int | None = None
        self.history = History()
        # Heard before their turn: the changes before them are being fetched.
        self.early: dict[int, Change] = {}
        self.windows: dict[Window, set[Watch]] = {}
        self.boards: dict[Window, Board] = {}
        # The instructor is here, and hears of the own bookings without watching a board.
        self.owned = False
        # Changes are known to be missing, and are being fetched.
        self.catching_up = False

    def watches(self) -> "list[Watch]":
        """All of them; the list stays as it is while they come and go."""
        return [watch for watches in self.windows.values() for watch in watches]

    @property
    def followed(self) -> bool:
        return bool(self.windows) or self.owned

    def ready_board(self, window: Window) -> Board | None:
        """A board from which the changes at hand lead to the present."""
        board = self.boards.get(window)
        if board is None or self.version is None or self.version - board.version > STEPS:
            return None
        later = [self.history.get(version) for version in range(board.version + 1, self.version + 1)]
        return None if any(change is None or change.whole for change in later) else board

    def keep(self, window: Window, board: Board) -> None:
        self.boards.pop(window, None)
        if len(self.boards) >= BOARDS:
            del self.boards[next(iter(self.boards))]
        self.boards[window] = board

    def wait_for_turn(self, change: Change) -> None:
        """Keeps a change that came before its turn. There is room for as many as the history holds: the newest."""
        self.early[change.version] = change
        if len(self.early) > HISTORY:
            del self.early[min(self.early)]

    def next_in_turn(self) -> Change | None:
        """The kept change whose turn it is."""
        if self.version is None or not self.early:
            return None
        for version in [version for version in self.early if version <= self.version]:
            del self.early[version]
        return self.early.pop(self.version + 1, None)

    def forget(self) -> None:
        """Nothing known of it can be relied on any more."""
        self.version = None
        self.history = History()
        self.early.clear()
        self.boards.clear()
        self.catching_up = False
