"""The nightly jobs. Postgres stores their last runs, so they need no Redis, only one of several
workers runs each, and a missed night is caught up."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, time, timedelta

import structlog

from app import refusal
from app.availability import filling
from app.db import Pool
from app.notifications.delivery import WorkerContext
from app.privacy import erasure, retention
from app.search import report
from app.statements import statement

log = structlog.get_logger("worker")

DUE_AT = time(8, tzinfo=UTC)  # 3 or 4 am in New York
PERIOD_SECONDS = 300
# A worker that started a job this long ago and has not finished it is considered dead.
STALE = timedelta(hours=1)

JOBS: Mapping[str, Callable[..., Awaitable[object]]] = {
    "standing_patterns": filling.fill_standing_patterns,
    "search_report": report.roll_up,  # before retention deletes old searches
    retention.NAME: retention.run,
}

_claim = statement("claim_nightly_job", str)
_finish = statement("finish_nightly_job", int)


async def repeat(context: WorkerContext) -> None:
    """Checks every PERIOD_SECONDS whether a job is due. Runs until cancelled."""
    while True:
        for name in JOBS:
            try:
                await run_if_due(context.pool, name, now=context.now())
            except refusal.Unavailable:
                log.warning("nightly_job_postponed", job=name, reason="postgres_unavailable")
            except Exception:  # a fault here must not stop mails
                log.exception("nightly_job_failed", job=name)
        await _continue_erasures(context)
        await asyncio.sleep(PERIOD_SECONDS)


async def _continue_erasures(context: WorkerContext) -> None:
    """Not only at night: the other people of an interrupted erasure wait to be told."""
    try:
        await erasure.complete_all(context.pool, now=context.now)
    except refusal.Unavailable:
        log.warning("erasures_postponed", reason="postgres_unavailable")
    except Exception:
        log.exception("erasures_failed")


async def run_if_due(pool: Pool, name: str, *, now: datetime) -> bool:
    """Runs the job if it is due and no other worker is running it. Returns whether it ran."""
    due_at, stale_at = last_due(now), now - STALE
    job = await _claim.first(pool, name=name, now=now, due_at=due_at, stale_at=stale_at)
    if job is None:
        return False
    await JOBS[name](pool, now=now)
    await _finish.run(pool, name=name, now=now)
    return True


def last_due(now: datetime) -> datetime:
    """The latest instant, not after `now`, at which the jobs became due."""
    today = datetime.combine(now.astimezone(UTC).date(), DUE_AT)
    return today if today <= now else today - timedelta(days=1)
