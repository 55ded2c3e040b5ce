"""The net under the live path: every few seconds, and whenever messages may be missing, all that this process follows is compared
with the database. So whatever is lost on the way, a screen is right again within the interval and a moment."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog

from app import refusal
from app.accounts import session
from app.db import Pool, statement
from app.settings import Settings
from realtime import loading, messages, metrics
from realtime.calendar import Calendar
from realtime.hub import Hub
from realtime.people import Account

log = structlog.get_logger("comparison")

# How often at most, and how often while Redis cannot be heard or Postgres did not answer.
SPACING_SECONDS = 0.1
DEAF_SECONDS = 2.0
AWAY_SECONDS = 1.0
# A message may be this late before it counts as lost.
GRACE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Version:
    epoch: str
    instructor_id: UUID | None
    version: int | None


@dataclass(frozen=True, slots=True)
class _Sum:
    student_id: UUID
    versions: int


_versions_of = statement("versions_of", _Version)
_raise_epoch = statement("raise_epoch", int)
_booking_sums = statement("booking_sums", _Sum)
_oldest_unpublished = statement("oldest_unpublished", float)


async def run(hub: Hub, pool: Pool, settings: Settings, now: Callable[[], datetime]) -> None:
    """Compares for ever."""
    while True:
        hub.wanted.comparison.clear()
        try:
            await calendars(hub, pool)
            await people(hub, pool)
            await sessions(hub, pool, now())
            metrics.OLDEST_UNPUBLISHED.set(await _oldest_unpublished.first(pool) or 0)
        except refusal.Unavailable:
            log.warning("Postgres cannot be compared with")
            await asyncio.sleep(AWAY_SECONDS)
            continue
        await asyncio.sleep(SPACING_SECONDS)
        try:
            async with asyncio.timeout(
                min(DEAF_SECONDS, settings.reconcile_seconds) if hub.deaf else settings.reconcile_seconds
            ):
                await hub.wanted.comparison.wait()
        except TimeoutError:
            pass  # it is time


async def calendars(hub: Hub, pool: Pool) -> None:
    """Finds calendars that are behind, and a database that is another than it was."""
    # Captured before the query begins: what the database says then cannot be older, unless it was rewound.
    known = {calendar: calendar.version for calendar in hub.calendars.values() if calendar.version is not None}
    rows = await _versions_of.all(pool, instructors=[UUID(calendar.id) for calendar in known])
    epoch = rows[0].epoch
    present = {str(row.instructor_id): row.version for row in rows if row.version is not None}
    if epoch != hub.epoch:
        log.info("a new epoch begins", epoch=epoch, before=hub.epoch)
        metrics.EPOCHS.inc()
        hub.begin_epoch(epoch)
    elif hub.wanted.new_epoch or any(present.get(calendar.id, version) < version for calendar, version in known.items()):
        log.error("the database is older than what it had told: a new epoch is raised", epoch=epoch)
        hub.wanted.new_epoch = False
        # Guarded by the epoch: whichever process is first raises it, and all find the same new one.
        await _raise_epoch.run(pool, epoch=epoch)
        hub.wanted.comparison.set()
    else:
        for calendar in known:
            _compare(hub, calendar, present.get(calendar.id))


def _compare(hub: Hub, calendar: Calendar, present: int | None) -> None:
    if not hub.follows(calendar):
        return
    if present is None:
        hub.gone(calendar)
    elif calendar.version is not None and present > calendar.version:
        hub.missing(calendar, "comparison")


async def people(hub: Hub, pool: Pool) -> None:
    """Finds accounts whose booking messages were lost, by the sum of the versions of their bookings as students."""
    known = {account: account.versions for account in hub.people.accounts.values() if account.versions is not None}
    if not known:
        return
    sums = {str(row.student_id): row.versions for row in await _booking_sums.all(pool, students=[UUID(a.id) for a in known])}
    above = [account for account in known if _counted(account) < sums[account.id]]
    if above and not hub.deaf:
        await asyncio.sleep(GRACE_SECONDS)
    missed = [account for account in above if _counted(account) < sums[account.id]]
    # Below what was known before the question: bookings are gone, and the count is to begin anew.
    missed += [account for account, before in known.items() if sums[account.id] < before]
    if missed:
        await loading.mark(pool, missed)
        hub.people.refresh(missed)


def _counted(account: Account) -> int:
    """What is known now; an account whose sum is just being asked misses nothing."""
    return account.versions if account.versions is not None else 2**63


async def sessions(hub: Hub, pool: Pool, now: datetime) -> None:
    """Closes the sockets of sessions that are over."""
    signed_in = {watcher.session_id for watcher in hub.watchers if watcher.session_id is not None}
    if not signed_in:
        return
    dead = await session.dead(pool, signed_in, now=now)
    for watcher in tuple(hub.watchers):
        why = dead.get(watcher.session_id) if watcher.session_id else None
        if why == "expired":
            watcher.wire.close(messages.SESSION_OVER, "session over")
        elif why == "revoked":
            watcher.wire.close(messages.SESSION_REVOKED, "session revoked")
