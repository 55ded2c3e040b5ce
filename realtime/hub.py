"""The hub of a process: its connections, the calendars they watch and their accounts. Synchronous
and in memory. It requests missing data from realtime/loader.py; realtime/reconciler.py detects lost
messages."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import structlog

from app import refusal
from app.accounts.session import SignedIn
from app.availability.public_cache import PublicCache
from app.settings import Settings
from realtime import messages
from realtime.accounts import AS_INSTRUCTOR, SOCKET_PERMISSIONS, Accounts
from realtime.calendar import Cache, Calendar, Requests
from realtime.history import Board, Change, Window
from realtime.keep_alive import KeepAlive
from realtime.watcher import Watcher

log = structlog.get_logger("hub")


class Counts(NamedTuple):
    """What the hub holds now, for the metrics."""

    sockets: int
    calendars: int
    watches: int
    cache_bytes: int


class Hub:
    def __init__(
        self,
        settings: Settings,
        requests: Requests,
        *,
        now: Callable[[], datetime],
        public_cache: PublicCache | None = None,
    ) -> None:
        # Whether changes are received as they happen. Otherwise boards are not cached.
        self.connected = False
        self.epoch = ""
        # A published change contradicted an earlier one, so Postgres may have been rewound.
        self.rewound = False
        self.draining = False
        self.watchers: set[Watcher] = set()
        self.calendars: dict[str, Calendar] = {}
        self.accounts = Accounts(requests)
        self.keep_alive = KeepAlive(settings)
        self.public_cache = public_cache or PublicCache(0)
        self._cache = Cache()
        self._requests = requests
        self._now = now

    @property
    def counts(self) -> Counts:
        watches = sum(len(watcher.watches) for watcher in self.watchers)
        return Counts(len(self.watchers), len(self.calendars), watches, self._cache.size)

    def drain(self) -> None:
        """Refuses new connections from now on; other processes accept them."""
        self.draining = True

    def set_connected(self, connected: bool) -> None:
        """Stores whether changes are received as they happen (realtime/subscriber.py)."""
        self.connected = connected
        if not connected:
            for calendar in self.calendars.values():
                calendar.forget_boards()
                self._cache.changed(calendar)

    def written(self, instructor: str) -> None:
        """This process has written to a calendar: later watches get boards with the change."""
        calendar = self.calendars.get(instructor)
        if calendar is not None:
            calendar.written()
            self._cache.changed(calendar)

    # ---- connections

    def join(self, transport: asyncio.Transport, account: SignedIn | None) -> Watcher:
        """Adds an open socket. A signed-in one gets messages about its own bookings from now on."""
        account_id = str(account.account_id) if account else None
        session_id = account.session_id if account else None
        permissions = SOCKET_PERMISSIONS & (account.permissions if account else frozenset())
        watcher = Watcher(transport, account_id, session_id, permissions, self._beacon, self._leave)
        self.watchers.add(watcher)
        self.keep_alive.join(watcher)
        if account is not None and account_id is not None:
            self.accounts.join(account_id, watcher)
            self._follow_own(watcher)
        return watcher

    def permit(self, watcher: Watcher, permissions: frozenset[str]) -> None:
        """Sets the current permissions of its account. If they have changed, so have the bookings
        that it may see, so the page fetches its lists again."""
        permissions &= SOCKET_PERMISSIONS
        if permissions == watcher.permissions:
            return
        watcher.permissions = permissions
        self._follow_own(watcher)
        watcher.refresh()

    def _follow_own(self, watcher: Watcher) -> None:
        """Instructors follow their own calendar, whether or not they watch it."""
        if watcher.account_id and AS_INSTRUCTOR in watcher.permissions:
            self._follow(watcher.account_id).follow_for_instructor(True)

    def _beacon(self, versions: Mapping[str, int]) -> bytes:
        return messages.beacon(self._now(), self.epoch, versions)

    def _leave(self, watcher: Watcher) -> None:
        """Removes a connection that has ended."""
        self.watchers.discard(watcher)
        self.keep_alive.leave(watcher)
        for instructor in tuple(watcher.watches):
            self.unwatch(watcher, instructor)
        if watcher.account_id and self.accounts.leave(watcher.account_id, watcher):
            calendar = self.calendars.get(watcher.account_id)
            if calendar is not None:
                calendar.follow_for_instructor(False)
                self._drop_unfollowed(calendar)

    def pause(self, watcher: Watcher) -> None:
        """The buffer of its transport is full."""
        self.keep_alive.pause(watcher)
        watcher.pause()

    def resume(self, watcher: Watcher) -> None:
        """Its transport accepts frames again."""
        self.keep_alive.resume(watcher)
        watcher.resume()

    def watch(
        self,
        watcher: Watcher,
        instructor: str,
        window: Window,
        resume: tuple[str, int] | None = None,
    ) -> None:
        """Shows a board on the connection's screen. `resume`: the epoch and version that the screen
        already has."""
        since = resume[1] if resume is not None and resume[0] == self.epoch else None
        watcher.watch(self._follow(instructor), window, since, reconnected=resume is not None)

    def unwatch(self, watcher: Watcher, instructor: str) -> None:
        watcher.unwatch(instructor)
        if calendar := self.calendars.get(instructor):
            self._drop_unfollowed(calendar)

    def _follow(self, instructor: str) -> Calendar:
        calendar = self.calendars.get(instructor)
        if calendar is None:
            calendar = self.calendars[instructor] = Calendar(instructor, self._requests)
        return calendar

    def _drop_unfollowed(self, calendar: Calendar) -> None:
        """Drops a calendar that nobody follows anymore."""
        if not calendar.followed and self.follows(calendar):
            del self.calendars[calendar.id]
            self._cache.remove(calendar)

    def follows(self, calendar: Calendar) -> bool:
        return self.calendars.get(calendar.id) is calendar

    # ---- changes and answers

    def receive(self, change: Change) -> None:
        """Passes a published change to its calendar and its accounts."""
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
            calendar.receive(change)
            self._cache.changed(calendar)
        self.accounts.announce(change)
        self.public_cache.changed(change.instructor, change.version)

    def history_loaded(
        self, calendar: Calendar, since: int | None, present: int, changes: Sequence[Change]
    ) -> None:
        """Adds the newest changes after `since` (None: none were requested) up to the current
        version `present`, in order. They are of the current epoch."""
        missing, skipped = calendar.history_loaded(since, present, changes)
        self._cache.changed(calendar)
        for change in missing:
            self.accounts.announce(change)
        if skipped:
            self.accounts.refresh([calendar.id])

    def board_loaded(
        self, calendar: Calendar, window: Window, board: Board, writes: int = 0
    ) -> None:
        """Shows a board of the current epoch on the screens that wait for it. `writes`: the
        calendar's when the read began."""
        calendar.board_loaded(window, board, writes, keep=self.connected)
        self._cache.changed(calendar)

    def unavailable(self, calendar: Calendar) -> None:
        """Postgres is unavailable: tells the screens that wait for their first response."""
        error = messages.error(refusal.Unavailable(), calendar.id)
        for watch in calendar.watches():
            watch.delay(error)

    def calendar_not_found(self, calendar: Calendar) -> None:
        """Ends all watches of a calendar that does not exist (anymore)."""
        for watcher in tuple(self.watchers):
            if calendar.id in watcher.watches:
                if watcher.ready:
                    watcher.write(messages.error(refusal.NotFound(), calendar.id))
                self.unwatch(watcher, calendar.id)
        calendar.follow_for_instructor(False)
        self._drop_unfollowed(calendar)

    def catch_up(self) -> None:
        """After a reconcile: updates screens, and requests all missing data again."""
        for calendar in tuple(self.calendars.values()):
            calendar.catch_up_all()
        if any(account.total is None for account in self.accounts):
            self._requests.totals()

    def begin_epoch(self, epoch: str) -> None:
        """The database's history may have changed: every screen and account starts anew."""
        self.epoch = epoch
        self.rewound = False
        for calendar in tuple(self.calendars.values()):
            calendar.forget()
            self._cache.remove(calendar)
        self.accounts.forget()
        self.public_cache.begin_epoch(epoch)
