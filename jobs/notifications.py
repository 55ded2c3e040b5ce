"""Jobs about notifications. A job unpacks, calls, returns."""

from typing import Any

from app.notifications import delivery

# With the longest delivery (smtp.SECONDS) after that, less than a job may take (worker.JOB_SECONDS).
BEGIN_SECONDS = 4


async def deliver(context: dict[Any, Any], notification_ids: list[int]) -> None:
    await delivery.deliver_all(context["resources"], notification_ids, begin_within=BEGIN_SECONDS)
