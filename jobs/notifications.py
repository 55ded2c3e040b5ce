"""The jobs that deliver notifications."""

from typing import Any

from app.notifications import delivery

# BEGIN_SECONDS plus the longest delivery (smtp.SECONDS) is less than worker.JOB_SECONDS.
BEGIN_SECONDS = 4


async def deliver(arq_context: dict[Any, Any], notification_ids: list[int]) -> None:
    await delivery.deliver_all(arq_context["worker"], notification_ids, begin_within=BEGIN_SECONDS)
