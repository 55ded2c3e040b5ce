"""Releases expired holds and completes lessons that ended a day ago, within seconds."""

import asyncio
import contextlib

import structlog
from arq.connections import ArqRedis

from app import refusal
from app.bookings import sweep
from app.notifications.delivery import WorkerContext
from app.redis import UNREACHABLE_ERRORS
from jobs.dispatcher import WAKEUP

log = structlog.get_logger("worker")

PERIOD_SECONDS = 1


async def repeat(redis: ArqRedis, context: WorkerContext) -> None:
    """Sweeps every PERIOD_SECONDS and wakes the relay if there were changes. Runs until
    `context.stop` is set."""
    while not context.stop.is_set():
        try:
            if await sweep.run(context.pool, now=context.now()):
                with contextlib.suppress(*UNREACHABLE_ERRORS):  # the relay polls, too
                    await redis.publish(WAKEUP, b"")
        except refusal.Unavailable:
            log.warning("bookings_not_swept", reason="postgres_unavailable")
        except Exception:  # a fault here must not stop mails
            log.exception("sweep_failed")
        try:
            async with asyncio.timeout(PERIOD_SECONDS):
                await context.stop.wait()
        except TimeoutError:
            continue
