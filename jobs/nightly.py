"""The nightly job (retention). Postgres stores its last run, so it needs no Redis, only one of
several workers runs it, and a missed night is caught up."""

import asyncio
from datetime import UTC, datetime, time, timedelta

import structlog

from app import refusal
from app.db import Pool
from app.notifications.delivery import WorkerContext
from app.privacy import retention
from app.statements import statement

log = structlog.get_logger("worker")

DUE_AT = time(8, tzinfo=UTC)  # 3 or 4 am in New York
PERIOD_SECONDS = 300
# After this time without a finish, the worker that started the job is considered dead.
STALE = timedelta(hours=1)

_claim = statement("claim_nightly_job", str)
_finish = statement("finish_nightly_job", int)


async def repeat(context: WorkerContext) -> None:
    """Checks every PERIOD_SECONDS whether the job is due. Runs until cancelled."""
    while True:
        try:
            await run_if_due(context.pool, now=context.now())
        except refusal.Unavailable:
            log.warning("nightly_job_postponed", reason="postgres_unavailable")
        except Exception:  # a fault here must not stop mails
            log.exception("nightly_job_failed")
        await asyncio.sleep(PERIOD_SECONDS)


async def run_if_due(pool: Pool, *, now: datetime) -> bool:
    """Runs the job if it is due and no other worker is running it. Returns whether it ran."""
    due_at, stale_at = last_due(now), now - STALE
    job = await _claim.first(pool, name="retention", now=now, due_at=due_at, stale_at=stale_at)
    if job is None:
        return False
    await retention.run(pool, now=now)
    await _finish.run(pool, name="retention", now=now)
    return True


def last_due(now: datetime) -> datetime:
    """The latest instant, not after `now`, at which the job became due."""
    today = datetime.combine(now.astimezone(UTC).date(), DUE_AT)
    return today if today <= now else today - timedelta(days=1)
