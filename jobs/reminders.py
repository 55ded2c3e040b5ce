"""Looks regularly for reminders that have become due."""

import asyncio

import structlog

from app import refusal
from app.notifications import reminder
from app.notifications.delivery import WorkerContext

log = structlog.get_logger("worker")

PERIOD_SECONDS = 60


async def repeat(context: WorkerContext, wakeup: asyncio.Event) -> None:
    """Inserts due reminders every PERIOD_SECONDS and sets `wakeup` if there were any. Runs until
    cancelled."""
    while True:
        try:
            if await reminder.insert_due(context.pool, now=context.now()):
                wakeup.set()
        except refusal.Unavailable:
            log.warning("reminders_postponed", reason="postgres_unavailable")
        except Exception:  # a fault here must not stop mails
            log.exception("reminders_failed")
        await asyncio.sleep(PERIOD_SECONDS)
