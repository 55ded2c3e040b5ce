"""One followed calendar: its version, its last changes, its cached boards, and the screens that
show it. Synchronous and in memory; `Requests` holds requests for missing data."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from realtime import metrics
from realtime.history import Board, Change, Event, History, Window

# The cached boards of a calendar and their bytes.
MAX_BOARDS = 16
BOARDS_BYTES = 128 * 1024
# The bytes that all calendars of a process may cache.
CACHE_BYTES = 64 * 1024 * 1024
# A screen that was paused and is further behind than this gets a board instead of every step.
MAX_STEPS_AFTER_PAUSE = 8


class Requests:
    """Requests for data from Postgres, which realtime/loader.py reads. A repeated request is stored
    once. One that fails is made again after the next reconcile."""

    def __init__(self) -> None:
        self.boards: asyncio.Queue[tuple[Calendar, Window]] = asyncio.Queue()
        self.histories: dict[Calendar, int | None] = {}
        self.bookings: list[tuple[Event, Sequence[str]]] = []
        self.history_requested = asyncio.Event()
        self.booking_requested = asyncio.Event()
        self.totals_requested = asyncio.Event()
        self.reconcile_requested = asyncio.Event()
        # Queued or being read.
        self._open_boards: set[tuple[Calendar, Window]] = set()

    def board(self, calendar: "Calendar", window: Window) -> None:
        if (calendar, window) not in self._open_boards:
            self._open_boards.add((calendar, window))
            self.boards.put_nowait((calendar, window))

    def board_done(self, calendar: "Calendar", window: Window) -> None:
        """The board was read, or reading it failed."""
        self._open_boards.discard((calendar, window))

    def history(self, calendar: "Calendar", since: int | None) -> None:
        """Requests the changes after `since`; None: only the current version."""
        versions = (since, self.histories.get(calendar))
        self.histories[calendar] = min((v for v in versions if v is not None), default=None)
        self.history_requested.set()

    def take_histories(self, limit: int) -> "dict[Calendar, int | None]":
        calendars = list(islice(self.histories, limit))
        batch = {calendar: self.histories.pop(calendar) for calendar in calendars}
        if not self.histories:
            self.history_requested.clear()
        return batch

    def announce(self, events: Mapping[Event, Sequence[str]]) -> None:
        """Requests the bookings of these events, each for some accounts."""
        self.bookings += events.items()
        self.booking_requested.set()

    def take_bookings(
        self, limit: int, max_waiting: int
    ) -> tuple[list[tuple[Event, Sequence[str]]], list[tuple[Event, Sequence[str]]]]:
        """Takes the next `limit` events. If more than `max_waiting` wait, drops the oldest ones
        first. Returns the dropped and the taken ones."""
        dropped, rest = self.bookings[:-max_waiting], self.bookings[-max_waiting:]
        batch, self.bookings = rest[:limit], rest[limit:]
        if not self.bookings:
            self.booking_requested.clear()
        return dropped, batch

    def totals(self) -> None:
        """Requests the totals of accounts that have none."""
        self.totals_requested.set()

    def reconcile(self) -> None:
        """Requests a reconcile now, because messages may be missing."""
        self.reconcile_requested.set()

    def reconcile_later(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self.reconcile)


class View:
    """The screens that show the same window. Those in step have exactly the calendar's version. The
    others wait for a response, are paused, or are ahead because they got a newer board."""

    __slots__ = ("in_step", "out_of_step", "window")

    def __init__(self, window: Window) -> None:
        self.window = window
        self.in_step: dict[Watch, Callable[[bytes], object]] = {}
        self.out_of_step: dict[Watch, None] = {}


@dataclass(slots=True, eq=False)
class Watch:
    """One calendar on one screen. `Calendar.catch_up` sends what the screen needs, and then calls
    `caught_up(resumed)`."""

    calendar: "Calendar"
    view: View
    _sent: int | None  # at first, the version that the screen already has
    writes: int  # of this process to the calendar, before the watch: its board must have them
    write: Callable[[bytes], object]
    caught_up: Callable[[bool], None]
    ready: bool = True  # its connection accepts frames
    in_step: bool = False
    answered: bool = False  # has its first response
    resumes: bool = False  # continues from a version, so its first response ends with a beacon
    _delayed: bool = False

    def __post_init__(self) -> None:
        self.resumes = self._sent is not None
        self.view.out_of_step[self] = None

    @property
    def sent(self) -> int | None:
        """The version the screen has; None: it needs a board."""
        return self.calendar.version if self.in_step else self._sent

    @property
    def pending(self) -> bool:
        """Whether something is known that has yet to be sent."""
        if self.in_step or not self.answered or self._delayed:
            return False
        return self._sent is None or self._sent < (self.calendar.version or 0)

    def pause(self) -> None:
        """Its connection accepts no more frames."""
        self.ready = False
        if self.in_step:
            self.mark_out_of_step(self.sent)

    def resume(self) -> None:
        """Its connection accepts frames again."""
        self.ready = True
        behind = (self.calendar.version or 0) - (self.sent or 0)
        if self.answered and not self.in_step and behind > MAX_STEPS_AFTER_PAUSE:
            self.mark_out_of_step(None)
        self.calendar.catch_up(self)

    def close(self) -> None:
        self.view.in_step.pop(self, None)
        self.view.out_of_step.pop(self, None)
        self.calendar.close(self.view)

    def mark_out_of_step(self, sent: int | None) -> None:
        """The screen does not follow the calendar's version for now; it has version `sent`."""
        self.in_step = False
        self.view.in_step.pop(self, None)
        self.view.out_of_step[self] = None
        self._sent = sent

    def mark_in_step(self) -> None:
        """The screen has exactly the calendar's version, and gets each change from now on."""
        self.in_step = True
        self.view.out_of_step.pop(self, None)
        self.view.in_step[self] = self.write

    def show(self, board: Board) -> None:
        self.resumes = False  # a board is the whole response
        self.send(board.frame, board.version)

    def send(self, frame: bytes, version: int) -> None:
        self._sent = version
        self.write(frame)

    def delay(self, error: bytes) -> None:
        """Its board is delayed. A screen without its first response gets the error, once."""
        if self.ready and not self.answered and not self._delayed:
            self.write(error)
        self._delayed = True

    def mark_caught_up(self) -> None:
        """The screen has what it needs for now."""
        self.answered = True
        self._delayed = False
        resumed, self.resumes = self.resumes, False
        self.caught_up(resumed)


class Calendar:
    """`version` is None until it was read. `instructor_connected`: its instructor has a socket in
    this process."""

    def __init__(self, id: str, requests: Requests) -> None:  # noqa: A002 — its name everywhere
        self.id = id
        self.views: dict[Window, View] = {}
        self.instructor_connected = False
        self._requests = requests
        self._history: History | None = None
        # The newest version in any message or read. If it is above `version`, changes are missing.
        self._newest = 0
        self._gap_reported = False
        self._boards: dict[Window, Board] = {}
        self.writes = 0  # of this process, while the calendar is followed

    @property
    def version(self) -> int | None:
        return None if self._history is None else self._history.version

    @property
    def size(self) -> int:
        """Approximate bytes of its cached boards and its history."""
        boards = sum(len(board.frame) for board in self._boards.values())
        return boards + (self._history.size if self._history else 0)

    @property
    def followed(self) -> bool:
        return bool(self.views) or self.instructor_connected

    def watches(self) -> list[Watch]:
        """A copy, so that watches may open and close meanwhile."""
        return [
            watch for view in self.views.values() for watch in (*view.in_step, *view.out_of_step)
        ]

    # ---- screens

    def follow_for_instructor(self, connected: bool) -> None:
        """Follows the calendar for its instructor, who gets booking messages without watching a
        board, or ends that."""
        self.instructor_connected = connected
        if connected and self._history is None:
            self._requests.history(self, None)

    def view(self, window: Window) -> View:
        """The view of this window, which may be new."""
        view = self.views.get(window)
        if view is None:
            view = self.views[window] = View(window)
        return view

    def close(self, view: View) -> None:
        """Drops a view without watches."""
        if not view.in_step and not view.out_of_step and self.views.get(view.window) is view:
            del self.views[view.window]

    def catch_up(self, watch: Watch) -> None:
        """Brings one screen up to date while its connection accepts frames. Requests missing
        data."""
        while watch.ready and not watch.in_step:
            history, sent = self._history, watch.sent
            if sent is None:
                board = self._cached_board(watch.view.window)
                if board is None:
                    self._requests.board(self, watch.view.window)
                    return
                watch.show(board)
            elif history is None or (watch.resumes and not history.reaches(sent)):
                self._requests.history(self, min(sent, history.version) if history else sent)
                return
            elif sent >= history.version:
                if sent == history.version:
                    watch.mark_in_step()
                watch.mark_caught_up()
                return
            else:
                change = history.get(sent + 1)
                if change is None or change.needs_board:
                    watch.mark_out_of_step(None)
                else:
                    watch.send(change.frame(watch.view.window, {}), change.version)

    def catch_up_all(self) -> None:
        """Brings every screen up to date, and requests all missing data again."""
        if self._history is None and self.instructor_connected:
            self._requests.history(self, None)
        self._fetch_missing("reconcile")
        for view in self.views.values():
            for watch in tuple(view.out_of_step):
                self.catch_up(watch)

    # ---- changes

    def contradicts(self, change: Change) -> bool:
        """Whether this version was published with other content: the database was rewound."""
        earlier = self._history.get(change.version) if self._history else None
        return earlier is not None and not earlier.equals(change)

    def receive(self, change: Change) -> None:
        """Applies a published change. Ignores an old one; after a gap, requests all missing
        ones."""
        self._newest = max(self._newest, change.version)
        if self._history is None:
            return
        if change.version == self._history.version + 1:
            self._advance(self._history, change)
        self._fetch_missing("message")

    def compare(self, present: int) -> None:
        """Requests the missing changes up to `present`, the version in Postgres."""
        self._newest = max(self._newest, present)
        self._fetch_missing("reconcile")

    def forget(self) -> None:
        """Another epoch began: every screen needs a board."""
        self._history = None
        self._newest = 0
        self._gap_reported = False
        self._boards.clear()
        for watch in self.watches():
            watch.mark_out_of_step(None)
        self.catch_up_all()

    def forget_boards(self) -> None:
        """Drops the cached boards, because changes may be lost from now on."""
        self._boards.clear()

    def written(self) -> None:
        """This process has written a change, which is yet to be received. Boards that lack it, also
        those that are being read, are not for later watches."""
        self.writes += 1
        self._boards.clear()

    def drop_cache(self) -> None:
        """Keeps only the version. Screens that reconnect get boards."""
        self._boards.clear()
        if self._history is not None:
            self._history = History(self._history.version)

    def _fetch_missing(self, source: str) -> None:
        if self._history is None or self._newest <= self._history.version:
            return
        if not self._gap_reported:
            self._gap_reported = True
            metrics.GAPS.labels(source).inc()
        self._requests.history(self, self._history.version)

    def _advance(self, history: History, change: Change) -> None:
        history.append(change)
        frames: dict[tuple[str, ...], bytes] = {}
        for view in tuple(self.views.values()):
            if change.needs_board:
                for watch in tuple(view.in_step):
                    watch.mark_out_of_step(None)
                    self.catch_up(watch)
            elif view.in_step:
                self._fan_out(view, change.frame(view.window, frames))
            for watch in tuple(view.out_of_step):
                if watch.sent == change.version:
                    self.catch_up(watch)

    def _fan_out(self, view: View, frame: bytes) -> None:
        """The hot loop: writes one prebuilt frame to every screen that is in step. It needs a copy,
        because a write may pause its connection."""
        writes = tuple(view.in_step.values())
        for write in writes:
            write(frame)
        metrics.FRAMES.inc(len(writes))

    # ---- data from the loader

    def board_loaded(self, window: Window, board: Board, writes: int, *, keep: bool) -> None:
        """Shows the board on every screen that waits for it. `writes`: those before the read began.
        `keep`: changes are received, so the board can be cached for other screens."""
        if self._history is None:
            self._history = History(board.version)
        self._newest = max(self._newest, board.version)
        if keep and writes == self.writes:
            self._keep_board(window, board)
        view = self.views.get(window)
        for watch in tuple(view.out_of_step) if view else ():
            if watch.sent is None and watch.ready and watch.writes <= writes:
                watch.show(board)
            self.catch_up(watch)
        self._fetch_missing("board")

    def history_loaded(
        self, since: int | None, present: int, changes: Sequence[Change]
    ) -> tuple[Sequence[Change], bool]:
        """Adds the newest changes after `since` up to `present`. Returns those that were missing,
        and whether earlier ones are missing that the outbox no longer has."""
        self._gap_reported = False
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
            skipped = not _is_contiguous(missing, history.version, present)
            if skipped:
                self._skip(present, changes)
            else:
                for change in missing:
                    self._advance(history, change)
                history.extend_back(changes)
        for view in tuple(self.views.values()):
            for watch in tuple(view.out_of_step):
                self._catch_up_resumed(watch, since, present)
        self._fetch_missing("board")
        return missing, skipped

    def _catch_up_resumed(self, watch: Watch, since: int | None, present: int) -> None:
        """After reading a history: a screen whose version it does not reach needs a board."""
        history, sent = self._history, watch.sent
        assert history is not None
        if watch.resumes and since is not None and sent is not None and sent >= since:
            is_unknown = sent > max(present, history.version)
            is_too_old = sent < history.version and not history.reaches(sent)
            if is_unknown or is_too_old:
                watch.mark_out_of_step(None)
        self.catch_up(watch)

    def _skip(self, present: int, changes: Sequence[Change]) -> None:
        """Continues at `present` without the changes in between, so screens need boards."""
        for view in self.views.values():
            for watch in tuple(view.in_step):
                watch.mark_out_of_step(None)
        self._history = History(present, changes)

    def _cached_board(self, window: Window) -> Board | None:
        """The cached board, brought up to date by the history."""
        board, history = self._boards.get(window), self._history
        if board is None or history is None or not history.reaches(board.version):
            return None
        later = history.after(board.version)
        if any(change.needs_board for change in later):
            return None
        if later:
            board = board.after(later, window)
            self._keep_board(window, board)
        return board

    def _keep_board(self, window: Window, board: Board) -> None:
        self._boards.pop(window, None)
        self._boards[window] = board
        size = sum(len(board.frame) for board in self._boards.values())
        while len(self._boards) > MAX_BOARDS or size > BOARDS_BYTES:
            size -= len(self._boards.pop(next(iter(self._boards))).frame)


class Cache:
    """The bytes that all calendars cache. Above the limit, the calendars that changed longest ago
    drop their histories and boards."""

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self.size = 0
        self._limit = limit
        self._sizes: OrderedDict[Calendar, int] = OrderedDict()

    def changed(self, calendar: Calendar) -> None:
        """Counts this calendar's bytes again."""
        self.remove(calendar)
        self._sizes[calendar] = calendar.size
        self.size += calendar.size
        while self.size > self._limit:
            oldest = next(iter(self._sizes))
            self.remove(oldest)
            oldest.drop_cache()

    def remove(self, calendar: Calendar) -> None:
        """Stops counting a calendar that caches nothing, or that nobody follows."""
        self.size -= self._sizes.pop(calendar, 0)


def _is_contiguous(changes: Sequence[Change], version: int, present: int) -> bool:
    """Whether these changes lead from `version` to `present` without a gap."""
    versions = [version, *(change.version for change in changes)]
    return versions[-1] == present and all(b == a + 1 for a, b in pairwise(versions))
