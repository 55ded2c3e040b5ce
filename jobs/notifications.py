"""The jobs that deliver notifications."""

import asyncio
from typing import Any

import structlog

from app.notifications import delivery

log = structlog.get_logger("worker")

# BEGIN_SECONDS plus the longest delivery (smtp.SECONDS) is less than worker.JOB_SECONDS.
BEGIN_SECONDS = 4


async def deliver(arq_context: dict[Any, Any], notification_ids: list[int]) -> None:
    """Ends within `arq_context["seconds"]`. Notifications that are not delivered by then, because
    Postgres or the mail server does not respond, stay due."""
    try:
        async with asyncio.timeout(arq_context["seconds"]):
            await delivery.deliver_all(
                arq_context["worker"], notification_ids, begin_within=BEGIN_SECONDS
            )
    except TimeoutError:
        log.warning("deliveries_timed_out", notifications=len(notification_ids))
