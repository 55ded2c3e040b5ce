"""Background coroutines that must not end: an error is logged, and the coroutine is started again
after a pause."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

from app import refusal

log = structlog.get_logger("supervise")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
# After running this long without an error, the next pause is FIRST_PAUSE again.
HEALTHY_SECONDS = 30.0


async def forever(name: str, work: Callable[[], Awaitable[None]]) -> NoReturn:
    """Runs `work()` again and again, with longer and longer pauses while it fails. Ends only by
    cancellation."""
    clock = asyncio.get_running_loop().time
    pause = FIRST_PAUSE
    while True:
        began = clock()
        try:
            await work()
            log.warning("task_ended", task=name)
        except refusal.Unavailable:
            log.warning("postgres_unavailable", task=name)
        except Exception:  # a bug in one task must neither end the others nor go unnoticed
            log.exception("task_failed", task=name)
        if clock() - began > HEALTHY_SECONDS:
            pause = FIRST_PAUSE
        await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 — a jitter
        pause = min(pause * 2, LONGEST_PAUSE)
