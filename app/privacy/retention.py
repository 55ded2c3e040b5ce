"""How long things are kept, and their deletion. Every batch is one short statement in a transaction of its own that locks only
rows nobody uses any more, so bookings go on meanwhile. Stopped at any point, it is continued by the next run."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from app.db import Pool
from app.statements import statement

log = structlog.get_logger("retention")

CHANGES_KEPT = timedelta(days=7)
KEYS_KEPT = timedelta(days=1)
DEV_MAILS_KEPT = timedelta(days=7)
SESSIONS_KEPT = timedelta(days=30)  # after their end
AUDIT_KEPT = timedelta(days=730)

# Between two batches, so that others get their turn at the disk.
PAUSE_SECONDS = 0.02

_FIRST_ID = UUID(int=0)


@dataclass(frozen=True, slots=True)
class UuidBatch:
    """How many rows were deleted, and the last one that was looked at."""

    deleted: int
    last: UUID


@dataclass(frozen=True, slots=True)
class NumberBatch:
    deleted: int
    last: int


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


async def run(pool: Pool, *, now: datetime) -> dict[str, int]:
    """Deletes everything that has been kept long enough; how many rows of each kind. Raises Unavailable."""
    deleted = {
        "changes": await delete_changes(pool, before=now - CHANGES_KEPT),
        "idempotency_keys": await delete_keys(pool, before=now - KEYS_KEPT),
        "dev_mails": await delete_dev_mails(pool, before=now - DEV_MAILS_KEPT),
        "sessions": await delete_sessions(pool, before=now - SESSIONS_KEPT),
        "audit": await delete_audit(pool, before=now - AUDIT_KEPT),
    }
    log.info("retention_finished", **deleted)
    return deleted


async def delete_changes(pool: Pool, *, before: datetime) -> int:
    """Published changes. Of each calendar the newest stays, and what stays has no gap (see missed_changes)."""
    total, after = 0, _FIRST_ID
    while batch := await _delete_changes.first(pool, after=after, before=before):
        total += batch.deleted
        if not batch.deleted:  # else these calendars may have more
            after = batch.last
        await asyncio.sleep(PAUSE_SECONDS)
    return total


async def delete_keys(pool: Pool, *, before: datetime) -> int:
    """Idempotency keys, which have no effect any more."""
    total, account_id, key = 0, _FIRST_ID, ""
    while batch := await _delete_keys.first(pool, account_id=account_id, key=key, before=before):
        total, account_id, key = total + batch.deleted, batch.account_id, batch.key
        await asyncio.sleep(PAUSE_SECONDS)
    return total


async def delete_sessions(pool: Pool, *, before: datetime) -> int:
    total, after = 0, _FIRST_ID
    while batch := await _delete_sessions.first(pool, after=after, before=before):
        total, after = total + batch.deleted, batch.last
        await asyncio.sleep(PAUSE_SECONDS)
    return total


async def delete_dev_mails(pool: Pool, *, before: datetime) -> int:
    total, after = 0, 0
    while batch := await _delete_dev_mails.first(pool, after=after, before=before):
        total, after = total + batch.deleted, batch.last
        if not batch.deleted:  # ids rise with time: what follows is younger
            break
        await asyncio.sleep(PAUSE_SECONDS)
    return total


async def delete_audit(pool: Pool, *, before: datetime) -> int:
    first_young = _first_uuid7(before)
    total, booking_id, number = 0, _FIRST_ID, 0
    while batch := await _delete_audit.first(pool, booking_id=booking_id, id=number, before=before, first_young=first_young):
        total, booking_id, number = total + batch.deleted, batch.booking_id, batch.id
        await asyncio.sleep(PAUSE_SECONDS)
    return total


def _first_uuid7(instant: datetime) -> UUID:
    """No UUID of version 7 made since then is less (RFC 9562: they begin with milliseconds since 1970)."""
    return UUID(int=int(instant.timestamp() * 1000) << 80)
