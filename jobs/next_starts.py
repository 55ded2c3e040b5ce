"""Computes invalidated next starts in advance, so that requests rarely have to. This is only an
optimization and blocks no request."""

import asyncio

import structlog

from app import refusal
from app.availability import next_start
from app.notifications.delivery import Resources

log = structlog.get_logger("worker")

PERIOD_SECONDS = 2
BATCH_SIZE = 200


async def refresh(resources: Resources) -> None:
    """Runs until `resources.stop` is set."""
    while not resources.stop.is_set():
        try:
            rows = await next_start.refresh(resources.pool, limit=BATCH_SIZE, now=resources.now())
        except refusal.Unavailable:
            log.warning("next_starts_not_refreshed")
            rows = 0
        try:
            async with asyncio.timeout(0.01 if rows == BATCH_SIZE else PERIOD_SECONDS):
                await resources.stop.wait()
        except TimeoutError:
            continue
