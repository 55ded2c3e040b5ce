"""Keeps the next starts known: whoever reads them then finds little to compute. Nothing depends on it
but speed, and it makes nobody wait."""

import asyncio

import structlog

from app import refusal
from app.availability import next_start
from app.notifications.delivery import Resources

log = structlog.get_logger("worker")

EVERY_SECONDS = 2
BATCH = 200


async def refresh(resources: Resources) -> None:
    """Until `resources.stop`."""
    while not resources.stop.is_set():
        try:
            rows = await next_start.refresh(resources.pool, limit=BATCH, now=resources.now())
        except refusal.Unavailable:
            log.warning("next_starts_not_refreshed")
            rows = 0
        try:
            async with asyncio.timeout(0.01 if rows == BATCH else EVERY_SECONDS):
                await resources.stop.wait()
        except TimeoutError:
            continue
