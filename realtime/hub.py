"""The hub of a process: who watches what, and what happens there. Everything here is synchronous and in memory; frames leave through
Delivery, what must be read comes back from realtime/loading.py, and what was missed is found by realtime/comparison.py."""

from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from app import refusal
from app.accounts.session import SignedIn
from app.settings import Settings
from realtime import messages, metrics
from realtime.calendar import Board, Calendar, Change, History, Window
from realtime.delivery import Delivery
from realtime.people import People
from realtime.rota import Rota
from realtime.watcher import Watch, Watcher, Wire

log = structlog.get_logger("hub")

# So many pings in STUCK_SECONDS.
PINGS = 2.5


class Hub(Delivery):
    def __init__(self, settings: Settings, *, now: Callable[[], datetime]) -> None:
        super().__init__(now=now)
        self.max_sockets = settings.max_sockets
        self.draining = False
        self.watchers: set[Watcher] = set()
        self.calendars: dict[str, Calendar] = {}
        self.people = People(self.pay)
        self.beacons: Rota[Watcher] = Rota(settings.beacon_seconds)
        self.pings: Rota[Watcher] = Rota(settings.stuck_seconds / PINGS)

    @property
    def full(self) -> bool:
        return len(self.watchers) >= self.max_sockets

    # ---- sockets

    def join(self, wire: Wire, who: SignedIn | None) -> Watcher:
        """An open socket. A signed-in one hears of its own bookings from now on."""
        watcher = Watcher(wire, str(who.account_id) if who else None, who.session_id if who else None)
        self.watchers.add(watcher)
        self.beacons.join(watcher, self.clock())
        self.pings.join(watcher, self.clock())
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
        earlier = watcher.watches.get(instructor)
        calendar = self._follow(instructor)
        watch = Watch(watcher, calendar, window)
        # Registered before anything is read, so that nothing in between is lost.
        watcher.watches[instructor] = watch
        calendar.windows.setdefault(window, set()).add(watch)
        if earlier is not None:
            self._remove(earlier)
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
        if watch is not None:
            self._remove(watch)

    def _remove(self, watch: Watch) -> None:
        watch.watcher.behind.discard(watch)
        watches = watch.calendar.windows[watch.window]
        watches.discard(watch)
        if not watches:
            del watch.calendar.windows[watch.window]
            self._let_go(watch.calendar)

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
            self.people.tell(change)  # a board may have been quicker than the message
            known = calendar.history.get(change.version)
            if known is not None and not known.tells_the_same_as(change) and not self.wanted.new_epoch:
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
            self.fan_out(calendar, change)
        self.people.tell(change)

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
                self.give(watch, board)
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
            account.forget()
        self.wanted.marks.set()
        self.people.refresh(self.people.accounts.values())
