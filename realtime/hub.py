"""The hub of a process: its connections, the calendars they watch and the accounts behind them.
Synchronous and in memory. What must be read is requested from realtime/loader.py; whatever was
missed is noticed by realtime/reconciler.py."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

import structlog

from app import refusal
from app.accounts.session import SignedIn
from app.bookings.booking import Booking
from app.settings import Settings
from realtime import messages
from realtime.accounts import Accounts
from realtime.calendar import Calendar, Requests
from realtime.history import Board, Change, Event, Window
from realtime.slots import Slots
from realtime.watcher import Watcher, Wire

log = structlog.get_logger("hub")

# Pings per STUCK_SECONDS.
PINGS = 2.5


class Counts(NamedTuple):
    """For the metrics."""

    sockets: int
    calendars: int
    watches: int


class Hub:
    def __init__(
        self, settings: Settings, requests: Requests, *, now: Callable[[], datetime]
    ) -> None:
        self.now = now
        self.clock = asyncio.get_running_loop().time
        # Whether changes are heard as they happen. What is kept ready is not trusted otherwise.
        self.connected = False
        self.epoch = ""
        # A published change contradicted what was known, so Postgres may have been rewound.
        self.rewound = False
        self.draining = False
        self.watchers: set[Watcher] = set()
        self.paused: set[Watcher] = set()
        self.calendars: dict[str, Calendar] = {}
        self.accounts = Accounts(requests)
        self.beacons: Slots[Watcher] = Slots(settings.beacon_seconds)
        self.pings: Slots[Watcher] = Slots(settings.stuck_seconds / PINGS)
        self._requests = requests

    @property
    def counts(self) -> Counts:
        views = [view for calendar in self.calendars.values() for view in calendar.views.values()]
        watches = sum(len(view.in_step) + len(view.apart) for view in views)
        return Counts(len(self.watchers), len(self.calendars), watches)

    def drain(self) -> None:
        """New connections are sent to other processes from now on."""
        self.draining = True

    def set_connected(self, connected: bool) -> None:
        """Whether changes are heard as they happen (realtime/subscriber.py)."""
        self.connected = connected
        if not connected:
            for calendar in self.calendars.values():
                calendar.forget_boards()

    # ---- connections

    def join(self, wire: Wire, account: SignedIn | None) -> Watcher:
        """An open socket. A signed-in one hears of its own bookings from now on."""
        account_id = str(account.account_id) if account else None
        watcher = Watcher(self, wire, account_id, account.session_id if account else None)
        self.watchers.add(watcher)
        self.beacons.join(watcher)
        self.pings.join(watcher)
        if account is not None and account_id is not None:
            self.accounts.join(account_id, watcher)
            if "instructor" in account.roles:
                self._follow(account_id).own(True)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """It ended, or is about to. May be called twice."""
        watcher.end()
        self.watchers.discard(watcher)
        self.beacons.leave(watcher)
        self.pings.leave(watcher)
        self.paused.discard(watcher)
        for instructor in tuple(watcher.watches):
            self.unwatch(watcher, instructor)
        if watcher.account_id and self.accounts.leave(watcher.account_id, watcher):
            own = self.calendars.get(watcher.account_id)
            if own is not None:
                own.own(False)
                self._let_go(own)

    def pause(self, watcher: Watcher) -> None:
        """Its transport takes no more."""
        if not watcher.closed:
            self.paused.add(watcher)
            watcher.pause()

    def resume(self, watcher: Watcher) -> None:
        """Its transport takes frames again."""
        self.paused.discard(watcher)
        watcher.resume()

    def watch(
        self,
        watcher: Watcher,
        instructor: str,
        window: Window,
        resume: tuple[str, int] | None = None,
    ) -> None:
        """Puts a board on the connection's screen, in place of an earlier one of that calendar.
        `resume`: the epoch and version the screen has already."""
        calendar = self._follow(instructor)
        since = resume[1] if resume is not None and resume[0] == self.epoch else None
        refreshes = resume is not None and watcher.account_id is not None
        # Registered before anything is read, so that nothing in between is lost.
        watch = calendar.open(watcher, window, since, refreshes=refreshes)
        earlier = watcher.watches.get(instructor)
        if earlier is not None:
            calendar.close(earlier)
        watcher.watches[instructor] = watch
        calendar.settle(watch)

    def unwatch(self, watcher: Watcher, instructor: str) -> None:
        watch = watcher.watches.pop(instructor, None)
        if watch is not None:
            watch.calendar.close(watch)
            self._let_go(watch.calendar)

    def _follow(self, instructor: str) -> Calendar:
        calendar = self.calendars.get(instructor)
        if calendar is None:
            calendar = self.calendars[instructor] = Calendar(instructor, self._requests)
        return calendar

    def _let_go(self, calendar: Calendar) -> None:
        if not calendar.followed and self.follows(calendar):
            del self.calendars[calendar.id]

    def follows(self, calendar: Calendar) -> bool:
        return self.calendars.get(calendar.id) is calendar

    # ---- what happens

    def take(self, change: Change) -> None:
        """A change that was published."""
        if change.epoch != self.epoch:
            self._requests.reconcile()
            return
        calendar = self.calendars.get(change.instructor)
        if calendar is not None:
            if calendar.contradicts(change):
                log.warning("version_contradicted", version=change.version)
                self.rewound = True
                self._requests.reconcile()
                return
            calendar.take(change)
        self.accounts.announce(change)

    def history_loaded(
        self, calendar: Calendar, since: int | None, present: int, changes: Sequence[Change]
    ) -> None:
        """The newest changes after `since` (None: none were requested) up to `present`, in order,
        of the present epoch."""
        missing, skipped = calendar.history_loaded(since, present, changes)
        for change in missing:
            self.accounts.announce(change)
        if skipped:
            self.accounts.refresh([calendar.id])

    def board_loaded(self, calendar: Calendar, window: Window, board: Board) -> None:
        """Of the present epoch."""
        calendar.board_loaded(window, board, keep=self.connected)

    def booking_loaded(self, event: Event, account_ids: Sequence[str], row: Booking) -> None:
        self.accounts.tell(event, account_ids, row)

    def unavailable(self, calendar: Calendar) -> None:
        """Postgres is away. Screens that wait for their first answer are told so once."""
        for watch in calendar.watches():
            if watch.delay():
                watch.viewer.write(messages.error(refusal.Unavailable(), calendar.id))

    def gone(self, calendar: Calendar) -> None:
        """There is no such calendar (any more)."""
        for watcher in tuple(self.watchers):
            if calendar.id in watcher.watches:
                if watcher.ready:
                    watcher.write(messages.error(refusal.NotFound(), calendar.id))
                self.unwatch(watcher, calendar.id)
        calendar.own(False)
        self._let_go(calendar)

    def settle_all(self) -> None:
        """After a reconcile: whatever is still missing is requested again."""
        for calendar in tuple(self.calendars.values()):
            calendar.settle_all()
        if any(account.total is None for account in self.accounts):
            self._requests.totals()

    def begin_epoch(self, epoch: str) -> None:
        """Postgres's history is another: nothing that was known counts, every screen and every
        account starts afresh."""
        self.epoch = epoch
        self.rewound = False
        for calendar in tuple(self.calendars.values()):
            calendar.forget()
        self.accounts.forget()
