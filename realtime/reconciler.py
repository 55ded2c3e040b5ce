"""The safety net of the live path. Every few seconds, and whenever messages may be missing, it
compares everything that this process shows with Postgres. So after any lost message or failed read,
screens are correct again soon after the next comparison."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog

from app import refusal
from app.accounts import session
from app.db import Pool
from app.settings import Settings
from app.statements import statement
from realtime import messages, metrics
from realtime.accounts import Account
from realtime.calendar import Requests
from realtime.hub import Hub
from realtime.loader import Loader

log = structlog.get_logger("reconciler")

# The shortest pause between two reconciles, the interval while changes are not received, and the
# pause after Postgres did not respond.
SPACING_SECONDS = 0.1
DEGRADED_SECONDS = 2.0
UNAVAILABLE_SECONDS = 1.0
# A booking message counts as lost if it has not arrived after this time.
GRACE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Version:
    epoch: str
    standby: bool
    instructor_id: UUID | None
    version: int | None


@dataclass(frozen=True, slots=True)
class _Total:
    student_id: UUID
    versions: int


_versions_of = statement("versions_of", _Version)
_raise_epoch = statement("raise_epoch", int)
_booking_totals = statement("booking_totals", _Total)
_oldest_unpublished = statement("oldest_unpublished", float)


class Reconciler:
    def __init__(
        self,
        hub: Hub,
        requests: Requests,
        loader: Loader,
        pool: Pool,
        settings: Settings,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._hub = hub
        self._requests = requests
        self._loader = loader
        self._pool = pool
        self._seconds = settings.reconcile_seconds
        self._now = now
        self._clock = asyncio.get_running_loop().time
        self._succeeded_at = float("-inf")
        self._accounts: set[str] = set()
        self._accounts_added = asyncio.Event()

    @property
    def age(self) -> float:
        """Seconds since all calendars were last compared with Postgres."""
        return self._clock() - self._succeeded_at

    def sessions_ended(self, account_id: str) -> None:
        """Sessions of this account may have ended. This is a hint; it may be lost."""
        if self._hub.accounts.get(account_id) is not None:
            self._accounts.add(account_id)
            self._accounts_added.set()

    async def run_sessions(self) -> None:
        """Checks the sessions of accounts given to `sessions_ended`. Does not return."""
        while True:
            await self._accounts_added.wait()
            self._accounts_added.clear()
            accounts, self._accounts = self._accounts, set()
            await self.sessions(accounts)

    async def run(self) -> None:
        """Reconciles regularly and on request. Does not return."""
        while True:
            self._requests.reconcile_requested.clear()
            if await self.reconcile():
                await asyncio.sleep(SPACING_SECONDS)
                await self._pause()
            else:
                await asyncio.sleep(UNAVAILABLE_SECONDS)

    async def _pause(self) -> None:
        """Waits for the interval, or until messages may be missing."""
        degraded = min(DEGRADED_SECONDS, self._seconds)
        try:
            async with asyncio.timeout(self._seconds if self._hub.connected else degraded):
                await self._requests.reconcile_requested.wait()
        except TimeoutError:
            pass

    async def reconcile(self) -> bool:
        """Compares everything once. Returns False if Postgres did not answer every query. If a part
        fails, the others are still compared, except after the first if Postgres is unavailable."""
        began = self._clock()
        complete = True
        parts: tuple[Callable[[], Awaitable[None]], ...] = (
            self.calendars,
            self.accounts,
            self.sessions,
            self._backlog,
        )
        for part in parts:
            try:
                await part()
            except refusal.Unavailable:
                log.warning("postgres_unavailable", part=part.__name__)
                complete = False
                if part == self.calendars:
                    break
            except Exception:  # our own bug; the next reconcile tries again
                log.exception("reconcile_failed", part=part.__name__)
            else:
                if part == self.calendars:
                    self._succeeded_at = began
        return complete

    async def calendars(self) -> None:
        """Detects a new epoch and calendars that are behind, and requests all missing data again.
        Raises Unavailable."""
        hub = self._hub
        # Read before the query, so Postgres has lower versions only if it was rewound.
        versions = {
            calendar: calendar.version
            for calendar in hub.calendars.values()
            if calendar.version is not None
        }
        cached, began_at = hub.public_cache.versions(), time.monotonic()
        ids = {UUID(instructor) for instructor in (*(each.id for each in versions), *cached)}
        rows = await _versions_of.all(self._pool, instructors=list(ids))
        if rows[0].standby:
            # It may lag. After a failover these connections lead to the former primary.
            log.warning("connected_to_standby")
            await self._pool.expire_connections()
            raise refusal.Unavailable
        epoch = rows[0].epoch
        present = {str(row.instructor_id): row.version for row in rows if row.version is not None}
        if epoch != hub.epoch:
            log.info("epoch_began", epoch=epoch, before=hub.epoch)
            metrics.EPOCHS.inc()
            hub.begin_epoch(epoch)
            hub.public_cache.compare({}, {}, began_at)
            return
        compared = [(calendar.id, version) for calendar, version in versions.items()]
        older = any(
            present.get(instructor, version) < version
            for instructor, version in (*compared, *cached.items())
        )
        if hub.rewound or older:
            log.error("postgres_rewound", epoch=epoch)
            # The statement compares the epoch: the first process raises it, all others read it.
            await _raise_epoch.run(self._pool, epoch=epoch)
            self._requests.reconcile()
            return
        for calendar in versions:
            if hub.follows(calendar):
                if calendar.id in present:
                    calendar.compare(present[calendar.id])
                else:
                    hub.calendar_not_found(calendar)
        hub.public_cache.compare(cached, present, began_at)
        hub.catch_up()

    async def accounts(self) -> None:
        """Detects accounts that missed booking messages, by the sum of the versions of their
        bookings as students. Raises Unavailable."""
        totals = {
            account: account.total for account in self._hub.accounts if account.total is not None
        }
        if not totals:
            return
        ids = [UUID(account.id) for account in totals]
        rows = await _booking_totals.all(self._pool, students=ids)
        present = {str(row.student_id): row.versions for row in rows}

        def missed(account: Account) -> bool:
            return account.total is not None and account.total < present[account.id]

        behind = [account for account in totals if missed(account)]
        if behind:
            await asyncio.sleep(GRACE_SECONDS)
        lost = [account for account in behind if missed(account)]
        # A total below the one before the query means deleted bookings, so counting starts anew.
        lost += [account for account, before in totals.items() if present[account.id] < before]
        if lost:
            await self._loader.load_totals(lost)
            self._hub.accounts.refresh([account.id for account in lost])

    async def sessions(self, accounts: Collection[str] | None = None) -> None:
        """Closes the sockets of ended sessions, of these accounts or of all, and gives the others
        what the current roles of their accounts permit. Raises Unavailable."""
        watchers = [
            watcher
            for watcher in self._hub.watchers
            if watcher.session_id is not None
            and (accounts is None or watcher.account_id in accounts)
        ]
        ids = {watcher.session_id for watcher in watchers if watcher.session_id is not None}
        if not ids:
            return
        ended = await session.ended(self._pool, ids, now=self._now())
        for watcher in watchers:
            reason = ended.get(watcher.session_id) if watcher.session_id else None
            if reason == "expired":
                watcher.close(messages.SESSION_OVER, "session over")
            elif reason == "revoked":
                watcher.close(messages.SESSION_REVOKED, "session revoked")
        signed_in = {
            watcher: UUID(watcher.account_id) for watcher in watchers if watcher.account_id
        }
        permissions = await session.permissions_of_accounts(self._pool, {*signed_in.values()})
        for watcher, account_id in signed_in.items():
            if not watcher.closed:
                self._hub.permit(watcher, permissions[account_id])

    async def _backlog(self) -> None:
        metrics.OLDEST_UNPUBLISHED.set(await _oldest_unpublished.first(self._pool) or 0)
