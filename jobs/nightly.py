"""The nightly jobs. Postgres stores their last runs, so only one of several workers runs each, and
a worker that starts later makes up for a missed night. arq starts the search report (`cron_jobs`);
the other jobs do not need Redis (`repeat`)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, time, timedelta
from typing import Any

import structlog
from arq.cron import CronJob, cron

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
# How long the report of searches may take.
REPORT_SECONDS = 600
# A worker that started a job this long ago and has not finished it is considered dead.
MAX_DURATION = timedelta(hours=1)

REPORT = "search_report"
JOBS: Mapping[str, Callable[..., Awaitable[object]]] = {
    "standing_patterns": filling.fill_standing_patterns,
    retention.NAME: retention.run,
    REPORT: report.roll_up,
}

_claim = statement("claim_nightly_job", str)
_release = statement("release_nightly_job", int)
_finish = statement("finish_nightly_job", int)


async def repeat(context: WorkerContext) -> None:
    """Checks every PERIOD_SECONDS whether a job is due. Runs until cancelled."""
    while True:
        for name in [name for name in JOBS if name != REPORT]:
            await _try(context, name)
        await _continue_erasures(context)
        await asyncio.sleep(PERIOD_SECONDS)


def cron_jobs() -> list[CronJob]:
    """The jobs that arq starts: at the start of a worker, after an outage of Redis, and every
    PERIOD_SECONDS. Only the first run after DUE_AT, and those after a failure, have something to
    do."""
    return [
        cron(
            roll_up_searches,  # type: ignore[arg-type]  # arq wants *args, **kwargs
            name=REPORT,
            minute={*range(0, 60, PERIOD_SECONDS // 60)},
            run_at_startup=True,
            timeout=REPORT_SECONDS,
            max_tries=None,
        )
    ]


async def roll_up_searches(arq_context: dict[Any, Any]) -> None:
    """Rolls up the searches before today, unless a worker has done so since DUE_AT."""
    await _try(arq_context["worker"], REPORT)


async def _try(context: WorkerContext, name: str) -> None:
    try:
        await run_if_due(context.pool, name, now=context.now())
    except refusal.Unavailable:
        log.warning("nightly_job_postponed", job=name, reason="postgres_unavailable")
    except Exception:  # a fault here must not stop mails
        log.exception("nightly_job_failed", job=name)


async def _continue_erasures(context: WorkerContext) -> None:
    """Also by day: the other people of an interrupted erasure wait for their mail."""
    try:
        await erasure.complete_all(context.pool, now=context.now)
    except refusal.Unavailable:
        log.warning("erasures_postponed", reason="postgres_unavailable")
    except Exception:
        log.exception("erasures_failed")


async def run_if_due(pool: Pool, name: str, *, now: datetime) -> bool:
    """Runs the job if it is due and no other worker is running it. Returns whether it ran. A job
    that fails is due again."""
    due_at, stale_at = last_due(now), now - MAX_DURATION
    job = await _claim.first(pool, name=name, now=now, due_at=due_at, stale_at=stale_at)
    if job is None:
        return False
    try:
        await JOBS[name](pool, now=now)
    except Exception:
        with suppress(refusal.Unavailable):
            await _release.run(pool, name=name, started_at=now)
        raise
    await _finish.run(pool, name=name, now=now)
    return True


def last_due(now: datetime) -> datetime:
    """The latest instant, not after `now`, at which the jobs became due."""
    today = datetime.combine(now.astimezone(UTC).date(), DUE_AT)
    return today if today <= now else today - timedelta(days=1)
