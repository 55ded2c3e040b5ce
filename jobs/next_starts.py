"""Computes invalidated next starts in advance, so that requests rarely have to. This is only an
optimization and blocks no request."""

import asyncio

import structlog

from app import refusal
from app.availability import next_start
from app.notifications.delivery import WorkerContext

log = structlog.get_logger("worker")

PERIOD_SECONDS = 2
BATCH_SIZE = 200


async def refresh(context: WorkerContext) -> None:
    """Runs until `context.stop` is set."""
    while not context.stop.is_set():
        try:
            rows = await next_start.refresh(context.pool, limit=BATCH_SIZE, now=context.now())
        except refusal.Unavailable:
            log.warning("next_starts_not_refreshed")
            rows = 0
        try:
            async with asyncio.timeout(0.01 if rows == BATCH_SIZE else PERIOD_SECONDS):
                await context.stop.wait()
        except TimeoutError:
            continue
