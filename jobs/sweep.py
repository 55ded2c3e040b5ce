"""Releases expired holds and completes lessons that ended a day ago, within seconds."""

import asyncio

import structlog

from app import refusal
from app.bookings import sweep
from app.notifications.delivery import WorkerContext

log = structlog.get_logger("worker")

PERIOD_SECONDS = 1


async def repeat(context: WorkerContext) -> None:
    """Runs until `context.stop` is set."""
    while not context.stop.is_set():
        try:
            await sweep.run(context.pool, now=context.now())
        except refusal.Unavailable:
            log.warning("bookings_not_swept")
        try:
            async with asyncio.timeout(PERIOD_SECONDS):
                await context.stop.wait()
        except TimeoutError:
            continue
