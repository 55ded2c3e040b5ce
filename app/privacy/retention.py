"""Retention: how long data is kept, and its deletion in batches. A batch is one short statement in
its own transaction that locks only obsolete rows, so it does not block bookings. An interrupted run
is continued by the next one."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from typing_extensions import TypedDict

from app import wire
from app.db import Db, Pool
from app.schema import InstantText
from app.statements import Statement, statement

log = structlog.get_logger("retention")

CHANGES_KEPT = timedelta(days=7)
KEYS_KEPT = timedelta(days=1)
DEV_MAILS_KEPT = timedelta(days=7)
SESSIONS_KEPT = timedelta(days=30)  # after their end
AUDIT_KEPT = timedelta(days=730)
NOTIFICATIONS_KEPT = timedelta(days=730)
ADDRESSES_KEPT = timedelta(days=30)
SEARCHES_KEPT = timedelta(days=90)
GUEST_SEARCHES_KEPT = timedelta(days=30)

NAME = "retention"  # of the nightly job

# Each kind of data, how long it is kept, and its description.
RULES: dict[str, tuple[timedelta, str]] = {
    "changes": (CHANGES_KEPT, "Changes of calendars, for screens that reconnect"),
    "idempotency_keys": (KEYS_KEPT, "Idempotency keys and their stored answers"),
    "dev_mails": (DEV_MAILS_KEPT, "Mails stored by a site without a mail server"),
    "sessions": (SESSIONS_KEPT, "Sessions, after they ended"),
    "audit": (AUDIT_KEPT, "The trail of bookings"),
    "notifications": (NOTIFICATIONS_KEPT, "The record of notifications"),
    "notification_addresses": (ADDRESSES_KEPT, "New addresses and errors in that record"),
    "searches": (SEARCHES_KEPT, "Searches of accounts and what they clicked"),
    "guest_searches": (GUEST_SEARCHES_KEPT, "Searches of visitors without an account"),
}

# The pause between two batches, in which other work gets the disk.
PAUSE_SECONDS = 0.02

_FIRST_ID = UUID(int=0)


@dataclass(frozen=True, slots=True)
class UuidBatch:
    """The number of deleted rows, and the last row examined."""

    deleted: int
    last: UUID


@dataclass(frozen=True, slots=True)
class NumberBatch:
    deleted: int
    last: int


@dataclass(frozen=True, slots=True)
class _Run:
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class KeyBatch:
    deleted: int
    account_id: UUID
    key: str


@dataclass(frozen=True, slots=True)
class AuditBatch:
    deleted: int
    booking_id: UUID
    id: int


_delete_changes = statement("delete_old_changes", UuidBatch)
_delete_keys = statement("delete_old_keys", KeyBatch)
_delete_sessions = statement("delete_old_sessions", UuidBatch)
_delete_dev_mails = statement("delete_old_dev_mails", NumberBatch)
_delete_audit = statement("delete_old_audit", AuditBatch)
_clear_addresses = statement("clear_old_addresses", NumberBatch)
_delete_notifications = statement("delete_old_notifications", NumberBatch)
_last_run = statement("last_retention", _Run)
_record_run = statement("record_retention", int)
_delete_history = statement("delete_old_search_history", UuidBatch)
_delete_searches = statement("delete_old_searches", UuidBatch)
_delete_interactions = statement("delete_old_interactions", NumberBatch)


async def run(pool: Pool, *, now: datetime) -> dict[str, int]:
    """Deletes all expired rows and returns their number per kind. Raises Unavailable."""
    deleted = {
        "changes": await delete_changes(pool, before=now - CHANGES_KEPT),
        "idempotency_keys": await delete_keys(pool, before=now - KEYS_KEPT),
        "dev_mails": await delete_dev_mails(pool, before=now - DEV_MAILS_KEPT),
        "sessions": await delete_sessions(pool, before=now - SESSIONS_KEPT),
        "audit": await delete_audit(pool, before=now - AUDIT_KEPT),
        "notifications": await delete_notifications(pool, before=now - NOTIFICATIONS_KEPT),
        "notification_addresses": await clear_addresses(pool, before=now - ADDRESSES_KEPT),
    }
    deleted |= await delete_search_data(
        pool, before=now - SEARCHES_KEPT, guests_before=now - GUEST_SEARCHES_KEPT
    )
    log.info("retention_finished", **deleted)
    return deleted


async def run_now(pool: Pool, *, now: datetime) -> dict[str, int]:
    """`run`, recorded like a run of the nightly job."""
    deleted = await run(pool, now=now)
    await _record_run.run(pool, name=NAME, now=now)
    return deleted


class RuleJson(TypedDict):
    name: str
    days: int
    description: str


class OverviewJson(TypedDict):
    """The rules, and when they last ran."""

    items: list[RuleJson]
    last_started_at: InstantText | None
    last_finished_at: InstantText | None


async def overview(db: Db) -> OverviewJson:
    """The rules and their last run, in the API's JSON."""
    last = await _last_run.first(db, name=NAME)
    return {
        "items": [
            {"name": name, "days": period.days, "description": description}
            for name, (period, description) in RULES.items()
        ],
        "last_started_at": wire.instant(last.started_at) if last and last.started_at else None,
        "last_finished_at": wire.instant(last.finished_at) if last and last.finished_at else None,
    }


async def delete_changes(pool: Pool, *, before: datetime) -> int:
    """Deletes published changes, except the newest of each calendar. The versions that stay have no
    gaps, as sql/queries/realtime.sql (missed_changes) requires."""
    total, after = 0, _FIRST_ID
    while batch := await _delete_changes.first(pool, after=after, before=before):
        total += batch.deleted
        if not batch.deleted:  # otherwise these calendars may have more
            after = batch.last
        await asyncio.sleep(PAUSE_SECONDS)
    return total


async def delete_keys(pool: Pool, *, before: datetime) -> int:
    """Deletes expired idempotency keys."""
    total, account_id, key = 0, _FIRST_ID, ""
    while batch := await _delete_keys.first(pool, account_id=account_id, key=key, before=before):
        total, account_id, key = total + batch.deleted, batch.account_id, batch.key
        await asyncio.sleep(PAUSE_SECONDS)
    return total


async def delete_sessions(pool: Pool, *, before: datetime) -> int:
    return await _delete_all(pool, _delete_sessions, _FIRST_ID, before=before)


async def delete_dev_mails(pool: Pool, *, before: datetime) -> int:
    return await _delete_all(pool, _delete_dev_mails, 0, in_order=True, before=before)


async def delete_notifications(pool: Pool, *, before: datetime) -> int:
    """Deletes notifications that were due before this."""
    return await _delete_all(pool, _delete_notifications, 0, in_order=True, before=before)


async def clear_addresses(pool: Pool, *, before: datetime) -> int:
    """Clears addresses and errors of notifications that were due before this, and were
    sent or given up."""
    return await _delete_all(pool, _clear_addresses, 0, before=before)


async def delete_audit(pool: Pool, *, before: datetime) -> int:
    first_newer = _first_uuid7(before)
    total, booking_id, number = 0, _FIRST_ID, 0
    while batch := await _delete_audit.first(
        pool, booking_id=booking_id, id=number, before=before, first_newer=first_newer
    ):
        total, booking_id, number = total + batch.deleted, batch.booking_id, batch.id
        await asyncio.sleep(PAUSE_SECONDS)
    return total


async def delete_search_data(
    pool: Pool, *, before: datetime, guests_before: datetime
) -> dict[str, int]:
    """Deletes old searches, those of guests earlier, and what was done with their results."""
    return {
        name: await _delete_all(pool, batches, first, before=before, guests_before=guests_before)
        for name, batches, first in (
            ("search_history", _delete_history, _FIRST_ID),
            ("searches", _delete_searches, _FIRST_ID),
            ("search_interactions", _delete_interactions, 0),
        )
    }


async def _delete_all(
    pool: Pool,
    batches: Statement[UuidBatch] | Statement[NumberBatch],
    after: UUID | int,
    *,
    in_order: bool = False,
    **limits: datetime,
) -> int:
    """Deletes batch after batch and returns the number of rows. `in_order`: ids increase with time,
    so the first batch without old rows is the last."""
    total = 0
    while batch := await batches.first(pool, after=after, **limits):
        total, after = total + batch.deleted, batch.last
        if in_order and not batch.deleted:
            break
        await asyncio.sleep(PAUSE_SECONDS)
    return total


def _first_uuid7(instant: datetime) -> UUID:
    """The smallest UUID of version 7 at `instant` (RFC 9562: it begins with milliseconds since
    1970)."""
    return UUID(int=int(instant.timestamp() * 1000) << 80)
