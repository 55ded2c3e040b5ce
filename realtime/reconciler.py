"""The safety net of the live path: every few seconds, and whenever messages may be missing,
everything this process shows is compared with Postgres. So after any loss and any failed read, a
screen is right again soon after the next interval at the latest."""

import asyncio
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

# The least time between two reconciles, the interval while messages are not received, and the
# pause after Postgres did not answer.
SPACING_SECONDS = 0.1
DEGRADED_SECONDS = 2.0
AWAY_SECONDS = 1.0
# A message, or the history that contains it, may be this late before it counts as lost.
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
        self._succeeded = float("-inf")
        self._accounts: set[str] = set()
        self._some_account = asyncio.Event()

    @property
    def age(self) -> float:
        """Seconds since all calendars were last compared with Postgres."""
        return self._clock() - self._succeeded

    def sessions_ended(self, account_id: str) -> None:
        """Sessions of this account may be over: a hint, which may be lost."""
        if self._hub.accounts.get(account_id) is not None:
            self._accounts.add(account_id)
            self._some_account.set()

    async def run_sessions(self) -> None:
        """Checks the sessions of accounts given to `sessions_ended`. Does not return."""
        while True:
            await self._some_account.wait()
            self._some_account.clear()
            accounts, self._accounts = self._accounts, set()
            await self.sessions(accounts)

    async def run(self) -> None:
        """Reconciles. Does not return."""
        while True:
            self._requests.reconcile_requested.clear()
            if await self.reconcile():
                await asyncio.sleep(SPACING_SECONDS)
                await self._pause()
            else:
                await asyncio.sleep(AWAY_SECONDS)

    async def _pause(self) -> None:
        """Until it is time, or messages may be missing."""
        degraded = min(DEGRADED_SECONDS, self._seconds)
        try:
            async with asyncio.timeout(self._seconds if self._hub.connected else degraded):
                await self._requests.reconcile_requested.wait()
        except TimeoutError:
            pass

    async def reconcile(self) -> bool:
        """Compares everything once. False: Postgres did not answer all of it. A part that fails
        does not keep the others from being compared, unless Postgres is away altogether."""
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
            except Exception:  # a fault of ours; the next reconcile tries again
                log.exception("reconcile_failed", part=part.__name__)
            else:
                if part == self.calendars:
                    self._succeeded = began
        return complete

    async def calendars(self) -> None:
        """Finds calendars that are behind, and a new epoch. All missing data is requested again.
        Raises Unavailable."""
        hub = self._hub
        # Captured before the query begins: Postgres cannot be older, unless it was rewound.
        versions = {
            calendar: calendar.version
            for calendar in hub.calendars.values()
            if calendar.version is not None
        }
        ids = [UUID(calendar.id) for calendar in versions]
        rows = await _versions_of.all(self._pool, instructors=ids)
        if rows[0].standby:
            # It may be behind: a failover left these connections at what was the primary.
            log.warning("connected_to_standby")
            await self._pool.expire_connections()
            raise refusal.Unavailable
        epoch = rows[0].epoch
        present = {str(row.instructor_id): row.version for row in rows if row.version is not None}
        if epoch != hub.epoch:
            log.info("epoch_began", epoch=epoch, before=hub.epoch)
            metrics.EPOCHS.inc()
            hub.begin_epoch(epoch)
            return
        older = any(
            present.get(calendar.id, version) < version for calendar, version in versions.items()
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
                    hub.gone(calendar)
        hub.settle_all()

    async def accounts(self) -> None:
        """Finds accounts that missed booking messages, by the sum of the versions of their bookings
        as students. Raises Unavailable."""
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
        # Below what was known before the query: bookings are gone, so the count starts anew.
        lost += [account for account, before in totals.items() if present[account.id] < before]
        if lost:
            await self._loader.load_totals(lost)
            self._hub.accounts.refresh([account.id for account in lost])

    async def sessions(self, accounts: Collection[str] | None = None) -> None:
        """Closes the sockets of sessions that are over, of these accounts or of all. Raises
        Unavailable."""
        watchers = [
            watcher
            for watcher in self._hub.watchers
            if watcher.session_id is not None
            and (accounts is None or watcher.account_id in accounts)
        ]
        ids = {watcher.session_id for watcher in watchers if watcher.session_id is not None}
        if not ids:
            return
        dead = await session.ended(self._pool, ids, now=self._now())
        for watcher in watchers:
            reason = dead.get(watcher.session_id) if watcher.session_id else None
            if reason == "expired":
                watcher.close(messages.SESSION_OVER, "session over")
            elif reason == "revoked":
                watcher.close(messages.SESSION_REVOKED, "session revoked")

    async def _backlog(self) -> None:
        metrics.OLDEST_UNPUBLISHED.set(await _oldest_unpublished.first(self._pool) or 0)
