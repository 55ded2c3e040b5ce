"""One followed calendar: its version, its last changes, the boards kept ready, and the screens
that show it. Synchronous and in memory. What is missing is requested (`Requests`), once."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Protocol

from realtime import metrics
from realtime.history import Board, Change, Event, History, Window

# Boards kept ready per calendar, while at most STEPS changes lead from them to the present.
BOARDS = 16
BOARDS_BYTES = 128 * 1024
STEPS = 8
# A screen that was paused and is further behind than this gets a board instead of every step.
PATIENCE = 8


class Requests(Protocol):
    """What the live path wants read from Postgres. A request is made once, however often it is
    repeated before the answer; one that fails is repeated after the next reconcile."""

    def board(self, calendar: "Calendar", window: Window) -> None: ...

    def history(self, calendar: "Calendar", since: int | None) -> None:
        """The changes after `since`; None: only the present version."""

    def bookings(self, events: Mapping[Event, Sequence[str]]) -> None:
        """The bookings of these events, each for some accounts."""

    def totals(self) -> None:
        """The totals of accounts that have none."""

    def reconcile(self) -> None:
        """Messages may be missing: compare everything with Postgres now."""


class Viewer(Protocol):
    """The connection a watch belongs to (realtime/watcher.py)."""

    @property
    def ready(self) -> bool: ...
    @property
    def write(self) -> Callable[[bytes], object]: ...
    def caught_up(self, watch: "Watch") -> None: ...


class View:
    """The screens that show the same window. Those in step have exactly the calendar's version;
    all others are apart: waiting for an answer, paused, or ahead by a newer board."""

    __slots__ = ("apart", "in_step", "window")

    def __init__(self, window: Window) -> None:
        self.window = window
        self.in_step: dict[Watch, Callable[[bytes], object]] = {}
        self.apart: dict[Watch, None] = {}


class Watch:
    """One calendar on one screen."""

    __slots__ = (
        "_sent",
        "answered",
        "calendar",
        "delayed",
        "in_step",
        "refreshes",
        "resumes",
        "view",
        "viewer",
    )

    def __init__(
        self,
        viewer: Viewer,
        calendar: "Calendar",
        view: View,
        since: int | None,
        *,
        refreshes: bool,
    ) -> None:
        self.viewer = viewer
        self.calendar = calendar
        self.view = view
        self._sent = since
        self.in_step = False
        # Got what it was opened for.
        self.answered = False
        # Goes on from a version, so its answer ends with a beacon.
        self.resumes = since is not None
        # Its account may have missed booking messages.
        self.refreshes = refreshes
        # Was told that its board takes longer.
        self.delayed = False

    @property
    def sent(self) -> int | None:
        """The version the screen has; None: it needs a board."""
        return self.calendar.version if self.in_step else self._sent

    @property
    def pending(self) -> bool:
        """Whether something is still to be sent, as far as is known."""
        if self.in_step or not self.answered or self.delayed:
            return False
        return self._sent is None or self._sent < (self.calendar.version or 0)

    def step_out(self, sent: int | None) -> None:
        self.in_step = False
        self.view.in_step.pop(self, None)
        self.view.apart[self] = None
        self._sent = sent

    def step_in(self) -> None:
        self.in_step = True
        self.view.apart.pop(self, None)
        self.view.in_step[self] = self.viewer.write

    def show(self, board: Board) -> None:
        self._sent = board.version
        self.resumes = False  # a board is the whole answer
        self.viewer.write(board.frame)

    def write(self, frame: bytes, version: int) -> None:
        self._sent = version
        self.viewer.write(frame)

    def delay(self) -> bool:
        """Its board takes longer. Whether its client is to be told so."""
        first = not self.answered and not self.delayed and self.viewer.ready
        self.delayed = True
        return first

    def settle(self) -> None:
        """It has what it needs for now."""
        self.answered = True
        self.delayed = False
        self.viewer.caught_up(self)
        self.resumes = self.refreshes = False


class Calendar:
    """`version` is None until Postgres has told it. `owned`: its instructor is connected here."""

    __slots__ = (
        "_boards",
        "_catching_up",
        "_history",
        "_newest",
        "_requests",
        "id",
        "owned",
        "views",
    )

    def __init__(self, id: str, requests: Requests) -> None:  # noqa: A002 — its name everywhere
        self.id = id
        self.views: dict[Window, View] = {}
        self.owned = False
        self._requests = requests
        self._history: History | None = None
        # The newest version ever heard of: above `version`, changes are missing.
        self._newest = 0
        self._catching_up = False
        self._boards: dict[Window, Board] = {}

    @property
    def version(self) -> int | None:
        return None if self._history is None else self._history.version

    @property
    def size(self) -> int:
        """About how many bytes it keeps."""
        boards = sum(len(board.frame) for board in self._boards.values())
        return boards + (self._history.size if self._history else 0)

    @property
    def followed(self) -> bool:
        return bool(self.views) or self.owned

    def watches(self) -> list[Watch]:
        """All of them; the list stays as it is while they come and go."""
        return [watch for view in self.views.values() for watch in (*view.in_step, *view.apart)]

    # ---- screens

    def own(self, owned: bool) -> None:
        """Follows it for its instructor, who hears of bookings without watching a board."""
        self.owned = owned
        if owned and self._history is None:
            self._requests.history(self, None)

    def open(
        self, viewer: Viewer, window: Window, since: int | None = None, *, refreshes: bool = False
    ) -> Watch:
        """A screen for this window, which may have a version already. `settle` answers it."""
        view = self.views.get(window)
        if view is None:
            view = self.views[window] = View(window)
        watch = Watch(viewer, self, view, since, refreshes=refreshes)
        view.apart[watch] = None
        return watch

    def close(self, watch: Watch) -> None:
        view = watch.view
        view.in_step.pop(watch, None)
        view.apart.pop(watch, None)
        if not view.in_step and not view.apart and self.views.get(view.window) is view:
            del self.views[view.window]

    def pause(self, watch: Watch) -> None:
        """Its connection takes no more."""
        if watch.in_step:
            watch.step_out(self.version)

    def resume(self, watch: Watch) -> None:
        """Its connection takes frames again."""
        behind = (self.version or 0) - (watch.sent or 0)
        if watch.answered and not watch.in_step and behind > PATIENCE:
            watch.step_out(None)
        self.settle(watch)

    def settle(self, watch: Watch) -> None:
        """Brings one screen up to date, as far as its connection takes frames and what it needs
        is here; what is not here is requested."""
        while watch.viewer.ready and not watch.in_step:
            history, sent = self._history, watch.sent
            if sent is None:
                board = self._ready_board(watch.view.window)
                if board is None:
                    self._requests.board(self, watch.view.window)
                    return
                watch.show(board)
            elif history is None or (watch.resumes and not history.reaches(sent)):
                known = sent if history is None else min(sent, history.version)
                self._requests.history(self, known)
                return
            elif sent >= history.version:
                if sent == history.version:
                    watch.step_in()
                watch.settle()
                return
            else:
                change = history.get(sent + 1)
                if change is None or change.whole:
                    watch.step_out(None)
                else:
                    watch.write(change.frame(watch.view.window, {}), change.version)

    def settle_all(self) -> None:
        """Brings up to date what is not, and requests again whatever is still missing."""
        if self._history is None and self.owned:
            self._requests.history(self, None)
        self._fetch_missing("reconcile")
        for view in self.views.values():
            for watch in tuple(view.apart):
                self.settle(watch)

    # ---- changes

    def contradicts(self, change: Change) -> bool:
        """Whether this version was told with another content: the database was rewound."""
        known = self._history.get(change.version) if self._history else None
        return known is not None and not known.equals(change)

    def take(self, change: Change) -> None:
        """A change that was published. Old ones do no harm; before one that comes too early, the
        missing ones are fetched, and itself with them."""
        self._newest = max(self._newest, change.version)
        if self._history is None:
            return
        if change.version == self._history.version + 1:
            self._advance(self._history, change)
        self._fetch_missing("message")

    def compare(self, present: int) -> None:
        """Postgres has this version."""
        self._newest = max(self._newest, present)
        self._fetch_missing("reconcile")

    def forget(self) -> None:
        """Another epoch: nothing that is known counts."""
        self._history = None
        self._newest = 0
        self._catching_up = False
        self._boards.clear()
        for watch in self.watches():
            watch.step_out(None)
        self.settle_all()

    def forget_boards(self) -> None:
        """Changes may pass unheard from now on."""
        self._boards.clear()

    def _fetch_missing(self, source: str) -> None:
        if self._history is None or self._newest <= self._history.version:
            return
        if not self._catching_up:
            self._catching_up = True
            metrics.GAPS.labels(source).inc()
        self._requests.history(self, self._history.version)

    def _advance(self, history: History, change: Change) -> None:
        history.append(change)
        frames: dict[tuple[str, ...], bytes] = {}
        for view in tuple(self.views.values()):
            if change.whole:
                for watch in tuple(view.in_step):
                    watch.step_out(None)
                    self.settle(watch)
            elif view.in_step:
                self._fan_out(view, change.frame(view.window, frames))
            for watch in tuple(view.apart):
                if watch.sent == change.version:
                    self.settle(watch)

    def _fan_out(self, view: View, frame: bytes) -> None:
        """The hot loop: one prebuilt frame to every screen that is in step. The copy is there
        because a connection may be paused by the very write."""
        writes = tuple(view.in_step.values())
        for write in writes:
            write(frame)
        metrics.FRAMES.inc(len(writes))

    # ---- what was read

    def board_loaded(self, window: Window, board: Board, *, keep: bool) -> None:
        """For all who wait for it. `keep`: changes are heard, so it can serve others later."""
        if self._history is None:
            self._history = History(board.version)
        self._newest = max(self._newest, board.version)
        if keep:
            self._keep_board(window, board)
        view = self.views.get(window)
        for watch in tuple(view.apart) if view else ():
            if watch.sent is None and watch.viewer.ready:
                watch.show(board)
            self.settle(watch)
        self._fetch_missing("board")

    def history_loaded(
        self, since: int | None, present: int, changes: Sequence[Change]
    ) -> tuple[Sequence[Change], bool]:
        """The newest changes after `since` up to `present`. Returns those that were missing, and
        whether others before them are lost for good."""
        self._catching_up = False
        self._newest = max(self._newest, present)
        history = self._history
        missing: Sequence[Change] = ()
        skipped = False
        if history is None:
            self._history = History(present, changes)
        elif present <= history.version:
            history.extend_back(changes)
        elif since is not None and since <= history.version:
            missing = [change for change in changes if change.version > history.version]
            skipped = not _leads(missing, history.version, present)
            if skipped:
                self._skip(present, changes)
            else:
                for change in missing:
                    self._advance(history, change)
                history.extend_back(changes)
        for view in tuple(self.views.values()):
            for watch in tuple(view.apart):
                self._settle_resumed(watch, since, present)
        self._fetch_missing("board")
        return missing, skipped

    def _settle_resumed(self, watch: Watch, since: int | None, present: int) -> None:
        """After a history came: a screen that it does not help needs a board."""
        history, sent = self._history, watch.sent
        assert history is not None
        if watch.resumes and since is not None and sent is not None and sent >= since:
            from_nowhere = sent > max(present, history.version)
            too_old = sent < history.version and not history.reaches(sent)
            if from_nowhere or too_old:
                watch.step_out(None)
        self.settle(watch)

    def _skip(self, present: int, changes: Sequence[Change]) -> None:
        """The changes in between are gone, so screens need boards."""
        for view in self.views.values():
            for watch in tuple(view.in_step):
                watch.step_out(None)
        self._history = History(present, changes)

    def _ready_board(self, window: Window) -> Board | None:
        """A board from which the changes at hand lead to the present."""
        board, history = self._boards.get(window), self._history
        if board is None or history is None or not history.reaches(board.version):
            return None
        later = range(board.version + 1, history.version + 1)
        if len(later) > STEPS or any(change.whole for change in map(history.get, later) if change):
            return None
        return board

    def _keep_board(self, window: Window, board: Board) -> None:
        self._boards.pop(window, None)
        self._boards[window] = board
        size = sum(len(board.frame) for board in self._boards.values())
        while len(self._boards) > BOARDS or size > BOARDS_BYTES:
            size -= len(self._boards.pop(next(iter(self._boards))).frame)


def _leads(changes: Sequence[Change], version: int, present: int) -> bool:
    """Whether these changes lead from `version` to `present` without a gap."""
    versions = [version, *(change.version for change in changes)]
    return versions[-1] == present and all(b == a + 1 for a, b in pairwise(versions))
