"""The hub of a process: who watches what, and telling them. Everything here is synchronous and in memory. What must be read from the
database is put on `wanted` (realtime/loading.py reads it); what was missed is found by realtime/comparison.py."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from app import refusal
from app.accounts.session import SignedIn
from app.settings import Settings
from realtime import messages, metrics
from realtime.calendar import Board, Calendar, Change, History, Window
from realtime.people import People
from realtime.rota import Rota
from realtime.wanted import Wanted
from realtime.watcher import Watch, Watcher, Wire

log = structlog.get_logger("hub")

# A watcher that comes out of a pause further behind than this gets a board instead of every step.
PATIENCE = 8
# So many pings in STUCK_SECONDS.
PINGS = 2.5
# Resumes that come together need one refresh.
REFRESH_SECONDS = 1.0


class Hub:
    def __init__(self, settings: Settings, *, now: Callable[[], datetime]) -> None:
        self.max_sockets = settings.max_sockets
        self.draining = False
        # Messages may fail to come, as far as is known (realtime/feed.py). What is kept ready is not trusted then.
        self.deaf = True
        self.epoch = ""
        self.wanted = Wanted()
        self.watchers: set[Watcher] = set()
        self.paused: set[Watcher] = set()
        self.calendars: dict[str, Calendar] = {}
        self.people = People(self.pay)
        self.beacons: Rota[Watcher] = Rota(settings.beacon_seconds)
        self.pings: Rota[Watcher] = Rota(settings.stuck_seconds / PINGS)
        self._now = now
        self._clock = asyncio.get_running_loop().time

    @property
    def full(self) -> bool:
        return len(self.watchers) >= self.max_sockets

    # ---- sockets

    def join(self, wire: Wire, who: SignedIn | None) -> Watcher:
        """An open socket. A signed-in one hears of its own bookings from now on."""
        watcher = Watcher(wire, str(who.account_id) if who else None, who.session_id if who else None)
        self.watchers.add(watcher)
        self.beacons.join(watcher, self._clock())
        self.pings.join(watcher, self._clock())
        if who is not None:
            account_id = str(who.account_id)
            if self.people.join(account_id, watcher):
                self.wanted.marks.set()
            if "instructor" in who.roles:
                own = self._follow(account_id)
                own.owned = True
                if own.version is None:
                    self.wanted.history(own, None)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        watcher.closed = True
        watcher.ready = False
        self.watchers.discard(watcher)
        self.paused.discard(watcher)
        self.beacons.leave(watcher)
        self.pings.leave(watcher)
        for instructor in tuple(watcher.watches):
            self.unwatch(watcher, instructor)
        if watcher.account_id and self.people.leave(watcher.account_id, watcher):
            own = self.calendars.get(watcher.account_id)
            if own is not None:
                own.owned = False
                self._let_go(own)

    def watch(self, watcher: Watcher, instructor: str, window: Window, resume: tuple[str, int] | None = None) -> None:
        """Puts a board on the watcher's screen, in place of an earlier one of that calendar. `resume`: the epoch and version the
        screen has already. Answered at once if what is needed is here, else when it has been read."""
        self.unwatch(watcher, instructor)
        calendar = self._follow(instructor)
        watch = Watch(watcher, calendar, window)
        # Registered before anything is read, so that nothing in between is lost.
        watcher.watches[instructor] = watch
        calendar.windows.setdefault(window, set()).add(watch)
        if resume is not None:
            watch.refreshes = watcher.account_id is not None
            if resume[0] == self.epoch:
                watch.resumes = True
                watch.sent = resume[1]
                if calendar.version is None or not calendar.history.reaches(watch.sent, calendar.version):
                    self.wanted.history(calendar, watch.sent)
                    return
        self.settle(watch)

    def unwatch(self, watcher: Watcher, instructor: str) -> None:
        watch = watcher.watches.pop(instructor, None)
        if watch is None:
            return
        watcher.behind.discard(watch)
        watches = watch.calendar.windows[watch.window]
        watches.discard(watch)
        if not watches:
            del watch.calendar.windows[watch.window]
            self._let_go(watch.calendar)

    def pause(self, watcher: Watcher) -> None:
        """Its transport takes no more."""
        watcher.ready = False
        watcher.paused_at = self._clock()
        self.paused.add(watcher)

    def resume(self, watcher: Watcher) -> None:
        """Its transport takes frames again."""
        self.paused.discard(watcher)
        watcher.ready = not watcher.closed
        behind = tuple(watcher.behind)
        watcher.behind.clear()
        for watch in behind:
            present = watch.calendar.version
            if present is not None and watch.sent is not None and present - watch.sent > PATIENCE:
                watch.sent = None
            self.settle(watch)
        self.pay(watcher)

    def pay(self, watcher: Watcher) -> None:
        """Says what is owed beside changes, once nothing else is to be sent before it."""
        if not watcher.ready or watcher.behind:
            return
        if watcher.owes_beacon:
            answered = [watch for watch in watcher.watches.values() if watch.answered]
            if any(watch.sent is None for watch in answered):
                return  # a board is on its way, and it comes first
            watcher.owes_beacon = False
            versions = {watch.calendar.id: watch.sent for watch in answered if watch.sent is not None}
            watcher.write(messages.beacon(self._now(), self.epoch, versions))
        if watcher.owes_refresh:
            watcher.owes_refresh = False
            watcher.refreshed_at = self._clock()
            watcher.write(messages.REFRESH)

    def _follow(self, instructor: str) -> Calendar:
        calendar = self.calendars.get(instructor)
        if calendar is None:
            calendar = self.calendars[instructor] = Calendar(instructor)
        return calendar

    def _let_go(self, calendar: Calendar) -> None:
        if not calendar.followed and self.follows(calendar):
            del self.calendars[calendar.id]

    def follows(self, calendar: Calendar) -> bool:
        return self.calendars.get(calendar.id) is calendar

    # ---- changes

    def take(self, change: Change) -> None:
        """A change that was published. Older ones do no harm, and one that comes too early waits for those before it."""
        if change.epoch != self.epoch:
            self.wanted.comparison.set()
            return
        calendar = self.calendars.get(change.instructor)
        if calendar is None:
            self.people.tell(change)
        elif calendar.version is None:
            self.people.tell(change)
            calendar.wait_for_turn(change)
        elif change.version <= calendar.version:
            known = calendar.history.get(change.version)
            if known is not None and not known.tells_the_same_as(change):
                log.warning("a version came again with another content", version=change.version)
                self.wanted.new_epoch = True
                self.wanted.comparison.set()
        else:
            calendar.wait_for_turn(change)
            self._take_turns(calendar)

    def missing(self, calendar: Calendar, found: str) -> None:
        """Changes of this calendar are missing: fetch them. `found`: by a message, a board or a comparison."""
        if not calendar.catching_up:
            calendar.catching_up = True
            metrics.GAPS.labels(found).inc()
        self.wanted.history(calendar, calendar.version)

    def _take_turns(self, calendar: Calendar) -> None:
        while change := calendar.next_in_turn():
            self._advance(calendar, change)
        if calendar.early:
            self.missing(calendar, "message")

    def _advance(self, calendar: Calendar, change: Change) -> None:
        calendar.version = change.version
        calendar.history.append(change)
        if change.whole:
            for watch in calendar.watches():
                self.settle(watch)
        else:
            self._fan_out(calendar, change)
        self.people.tell(change)

    def _fan_out(self, calendar: Calendar, change: Change) -> None:
        """The hot loop: one prebuilt frame to every socket whose window fits."""
        version, before, written = change.version, change.version - 1, 0
        for window, watches in calendar.windows.items():
            frame = change.frame(window)
            for watch in watches:
                if watch.sent != before:
                    continue  # it waits for a board, is behind already, or had a board of this version
                watcher = watch.watcher
                if watcher.ready:
                    watcher.write(frame)
                    watch.sent = version
                    written += 1
                else:
                    watcher.behind.add(watch)
        metrics.FRAMES.inc(written)

    def settle(self, watch: Watch) -> None:
        """Brings one watch up to date, as far as its transport takes it and what is needed is here."""
        calendar, watcher = watch.calendar, watch.watcher
        while watcher.ready:
            if watch.sent is None:
                board = None if self.deaf else calendar.ready_board(watch.window)
                if board is None:
                    self.wanted.board(calendar, watch.window)
                    return
                self._give(watch, board)
            elif calendar.version is None:
                return  # its history is being read
            elif watch.sent >= calendar.version:
                self._settled(watch)
                return
            else:
                change = calendar.history.get(watch.sent + 1)
                if change is None or change.whole:
                    watch.sent = None
                else:
                    watcher.write(change.frame(watch.window))
                    watch.sent = change.version
        watcher.behind.add(watch)

    def _give(self, watch: Watch, board: Board) -> None:
        watch.watcher.write(board.frame)
        watch.sent = board.version
        watch.resumes = False  # a board is the whole answer

    def _settled(self, watch: Watch) -> None:
        watcher = watch.watcher
        watch.answered = True
        if watch.resumes:
            watch.resumes = False
            watcher.owes_beacon = True
        if watch.refreshes:
            watch.refreshes = False
            watcher.owes_refresh |= self._clock() - watcher.refreshed_at > REFRESH_SECONDS
        self.pay(watcher)

    # ---- what was read from the database

    def board_read(self, calendar: Calendar, window: Window, board: Board) -> None:
        """For all who wait for it. Of the present epoch."""
        if calendar.version is None:
            calendar.version = board.version
            self._take_turns(calendar)
        elif board.version > calendar.version:
            self.missing(calendar, "board")
        calendar.keep(window, board)
        for watch in tuple(calendar.windows.get(window, ())):
            if watch.sent is None and watch.watcher.ready:
                self._give(watch, board)
            self.settle(watch)

    def history_read(self, calendar: Calendar, since: int | None, present: int, changes: Sequence[Change]) -> None:
        """The newest changes after `since` (None: none were asked for) up to `present`, in order, of the present epoch."""
        calendar.catching_up = False
        if calendar.version is None:
            calendar.version = present
            calendar.history = History(changes)
        else:
            self._fold_in(calendar, calendar.version, since, present, changes)
        self._take_turns(calendar)
        for watch in calendar.watches():
            if watch.resumes and watch.sent is not None and watch.sent > present:
                watch.sent = None  # from a future that never was
            self.settle(watch)

    def _fold_in(self, calendar: Calendar, known: int, since: int | None, present: int, changes: Sequence[Change]) -> None:
        calendar.history.extend_back(change for change in changes if change.version <= known)
        later = [change for change in changes if change.version > known]
        if later and later[0].version == known + 1:
            for change in later:
                self._advance(calendar, change)
        elif present > known and (since is None or since > known):
            self.missing(calendar, "board")  # not what was asked for
        elif present > known:
            self._skip(calendar, present, changes)

    def _skip(self, calendar: Calendar, present: int, changes: Sequence[Change]) -> None:
        """What lies between is gone. Screens get a board, people a refresh."""
        calendar.version = present
        calendar.history = History(changes)
        for change in changes:
            self.people.tell(change)
        if owner := self.people.accounts.get(calendar.id):
            self.people.refresh([owner])

    def unread(self, calendar: Calendar) -> None:
        """The database is away. Who waits for a first answer is told so, once, and gets it when it is back."""
        for watch in calendar.watches():
            if not watch.answered and not watch.excused and watch.watcher.ready:
                watch.excused = True
                watch.watcher.write(messages.error(refusal.Unavailable(), calendar.id))

    def gone(self, calendar: Calendar) -> None:
        """There is no such calendar (any more)."""
        for watch in calendar.watches():
            if watch.watcher.ready:
                watch.watcher.write(messages.error(refusal.NotFound(), calendar.id))
            self.unwatch(watch.watcher, calendar.id)
        calendar.owned = False
        self._let_go(calendar)

    def begin_epoch(self, epoch: str) -> None:
        """The database's history is another: nothing that was known counts, every screen and every person starts afresh."""
        self.epoch = epoch
        for calendar in self.calendars.values():
            calendar.forget()
            if not calendar.windows:
                self.wanted.history(calendar, None)
            for watch in calendar.watches():
                watch.sent = None
                self.settle(watch)
        for account in self.people.accounts.values():
            account.heard.clear()
            account.unmark()
        self.wanted.marks.set()
        self.people.refresh(self.people.accounts.values())
