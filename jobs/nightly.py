"""What happens once a night. Postgres remembers when it last did, so Redis is not needed, several workers do it once, and a night
that no worker saw is caught up."""

import asyncio
from datetime import UTC, datetime, time, timedelta

import structlog

from app import refusal
from app.db import Pool
from app.notifications.delivery import Resources
from app.privacy import retention
from app.statements import statement

log = structlog.get_logger("worker")

DUE_AT = time(8, tzinfo=UTC)  # 3 or 4 am in New York
LOOK_SECONDS = 300
# A worker that began it and has not finished after so long has died.
STALE = timedelta(hours=1)

_claim = statement("claim_nightly_job", str)
_finish = statement("finish_nightly_job", int)


async def repeat(resources: Resources) -> None:
    """Looks now and then, until it is cancelled."""
    while True:
        try:
            await run_if_due(resources.pool, now=resources.now())
        except refusal.Unavailable:
            log.warning("nightly_job_postponed", reason="Postgres is unavailable")
        except Exception:  # mails must go on
            log.exception("nightly_job_failed")
        await asyncio.sleep(LOOK_SECONDS)


async def run_if_due(pool: Pool, *, now: datetime) -> bool:
    """Whether it was due, and nobody else was at it."""
    due_at = last_due(now)
    if await _claim.first(pool, name="retention", now=now, due_at=due_at, stale_at=now - STALE) is None:
        return False
    await retention.run(pool, now=now)
    await _finish.run(pool, name="retention", now=now)
    return True


def last_due(now: datetime) -> datetime:
    """The latest instant at which it became due."""
    today = datetime.combine(now.astimezone(UTC).date(), DUE_AT)
    return today if today <= now else today - timedelta(days=1)
