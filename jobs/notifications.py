"""Jobs about notifications. A job unpacks, calls, returns."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.db import Pool
from app.notifications import delivery
from app.settings import Settings


@dataclass(frozen=True)
class Means:
    """What the worker gives its jobs."""

    pool: Pool
    settings: Settings
    now: Callable[[], datetime]


async def deliver(context: dict[Any, Any], notification_id: int) -> None:
    means: Means = context["means"]
    await delivery.deliver(means.pool, notification_id, means.settings, now=means.now)
