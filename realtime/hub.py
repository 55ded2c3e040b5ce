"""The hub of a process: its connections, the calendars they watch and their accounts. Synchronous
and in memory. Missing data is requested from realtime/loader.py; realtime/reconciler.py finds what
was lost."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import structlog

from app import refusal
from app.accounts.session import SignedIn
from app.settings import Settings
from realtime import messages
from realtime.accounts import Accounts
from realtime.calendar import Cache, Calendar, Requests
from realtime.history import Board, Change, Window
from realtime.keep_alive import KeepAlive
from realtime.watcher import Watcher

log = structlog.get_logger("hub")


class Counts(NamedTuple):
    """For the metrics."""

    sockets: int
    calendars: int
    watches: int
    cache_bytes: int


class Hub:
    def __init__(
        self, settings: Settings, requests: Requests, *, now: Callable[[], datetime]
    ) -> None:
        # Whether changes are received as they happen. Cached boards are not trusted otherwise.
        self.connected = False
        self.epoch = ""
        # A published change contradicted an earlier one, so Postgres may have been rewound.
        self.rewound = False
        self.draining = False
        self.watchers: set[Watcher] = set()
        self.calendars: dict[str, Calendar] = {}
        self.accounts = Accounts(requests)
        self.keep_alive = KeepAlive(settings)
        self._cache = Cache()
        self._requests = requests
        self._now = now

    @property
    def counts(self) -> Counts:
        watches = sum(len(watcher.watches) for watcher in self.watchers)
        return Counts(len(self.watchers), len(self.calendars), watches, self._cache.size)

    def drain(self) -> None:
        """New connections are sent to other processes from now on."""
        self.draining = True

    def set_connected(self, connected: bool) -> None:
        """Whether changes are received as they happen (realtime/subscriber.py)."""
        self.connected = connected
        if not connected:
            for calendar in self.calendars.values():
                calendar.forget_boards()
                self._cache.changed(calendar)

    # ---- connections

    def join(self, transport: asyncio.Transport, account: SignedIn | None) -> Watcher:
        """An open socket. A signed-in one gets messages about its own bookings from now on."""
        account_id = str(account.account_id) if account else None
        session_id = account.session_id if account else None
        watcher = Watcher(transport, account_id, session_id, self._beacon, self._leave)
        self.watchers.add(watcher)
        self.keep_alive.join(watcher)
        if account is not None and account_id is not None:
            self.accounts.join(account_id, watcher)
            if "instructor" in account.roles:
                self._follow(account_id).own(True)
        return watcher

    def _beacon(self, versions: Mapping[str, int]) -> bytes:
        return messages.beacon(self._now(), self.epoch, versions)

    def _leave(self, watcher: Watcher) -> None:
        """It has ended."""
        self.watchers.discard(watcher)
        self.keep_alive.leave(watcher)
        for instructor in tuple(watcher.watches):
            self.unwatch(watcher, instructor)
        if watcher.account_id and self.accounts.leave(watcher.account_id, watcher):
            own = self.calendars.get(watcher.account_id)
            if own is not None:
                own.own(False)
                self._let_go(own)

    def pause(self, watcher: Watcher) -> None:
        """Its transport takes no more."""
        self.keep_alive.pause(watcher)
        watcher.pause()

    def resume(self, watcher: Watcher) -> None:
        """Its transport takes frames again."""
        self.keep_alive.resume(watcher)
        watcher.resume()

    def watch(
        self,
        watcher: Watcher,
        instructor: str,
        window: Window,
        resume: tuple[str, int] | None = None,
    ) -> None:
        """Puts a board on the connection's screen. `resume`: the epoch and version the screen has
        already."""
        since = resume[1] if resume is not None and resume[0] == self.epoch else None
        watcher.watch(self._follow(instructor), window, since, back=resume is not None)

    def unwatch(self, watcher: Watcher, instructor: str) -> None:
        watcher.unwatch(instructor)
        if calendar := self.calendars.get(instructor):
            self._let_go(calendar)

    def _follow(self, instructor: str) -> Calendar:
        calendar = self.calendars.get(instructor)
        if calendar is None:
            calendar = self.calendars[instructor] = Calendar(instructor, self._requests)
        return calendar

    def _let_go(self, calendar: Calendar) -> None:
        """Nothing is kept of a calendar that nobody follows."""
        if not calendar.followed and self.follows(calendar):
            del self.calendars[calendar.id]
            self._cache.remove(calendar)

    def follows(self, calendar: Calendar) -> bool:
        return self.calendars.get(calendar.id) is calendar

    # ---- changes and answers

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
            self._cache.changed(calendar)
        self.accounts.announce(change)

    def history_loaded(
        self, calendar: Calendar, since: int | None, present: int, changes: Sequence[Change]
    ) -> None:
        """The newest changes after `since` (None: none were requested) up to `present`, in order,
        of the present epoch."""
        missing, skipped = calendar.history_loaded(since, present, changes)
        self._cache.changed(calendar)
        for change in missing:
            self.accounts.announce(change)
        if skipped:
            self.accounts.refresh([calendar.id])

    def board_loaded(self, calendar: Calendar, window: Window, board: Board) -> None:
        """Of the present epoch."""
        calendar.board_loaded(window, board, keep=self.connected)
        self._cache.changed(calendar)

    def unavailable(self, calendar: Calendar) -> None:
        """Postgres is away."""
        error = messages.error(refusal.Unavailable(), calendar.id)
        for watch in calendar.watches():
            watch.delay(error)

    def gone(self, calendar: Calendar) -> None:
        """There is no such calendar (anymore)."""
        for watcher in tuple(self.watchers):
            if calendar.id in watcher.watches:
                if watcher.ready:
                    watcher.write(messages.error(refusal.NotFound(), calendar.id))
                self.unwatch(watcher, calendar.id)
        calendar.own(False)
        self._let_go(calendar)

    def settle_all(self) -> None:
        """After a reconcile: all missing data is requested again."""
        for calendar in tuple(self.calendars.values()):
            calendar.settle_all()
        if any(account.total is None for account in self.accounts):
            self._requests.totals()

    def begin_epoch(self, epoch: str) -> None:
        """Postgres has another history: every screen and every account starts anew."""
        self.epoch = epoch
        self.rewound = False
        for calendar in tuple(self.calendars.values()):
            calendar.forget()
            self._cache.remove(calendar)
        self.accounts.forget()
