"""Turns due notifications into jobs: when woken, and every SWEEP_SECONDS for what was missed. While Redis is away it delivers them
itself."""

import asyncio

import structlog
from arq.connections import ArqRedis

from app import refusal
from app.notifications import delivery
from app.notifications.delivery import Resources
from app.redis import AWAY, Subscription
from jobs import queue

log = structlog.get_logger("worker")

WAKEUP = "wakeup"  # realtime publishes a bare hint on this channel after a commit
# Notifications in the queue at one time; the rest wait in Postgres.
QUEUE_LENGTH = 200
# A job costs about as much as a mail, so several mails share one.
PER_JOB = 10
WITHOUT_REDIS_SECONDS = 30
AGAIN_SECONDS = 0.2


async def dispatch(redis: ArqRedis, resources: Resources, woken: asyncio.Event) -> None:
    """Until `resources.stop` (set `woken` with it)."""
    while not resources.stop.is_set():
        woken.clear()
        try:
            more = await hand_out(redis, resources)
        except refusal.Unavailable:
            log.warning("Postgres is away")
            more = False
        try:
            async with asyncio.timeout(AGAIN_SECONDS if more else resources.settings.sweep_seconds):
                await woken.wait()
        except TimeoutError:
            continue


async def hand_out(redis: ArqRedis, resources: Resources) -> bool:
    """Gives each due notification that has no job to one. Returns whether some had to be left for a moment."""
    # The queue is read first: what a job finishes in between is then no longer due.
    waiting = await _waiting(redis)
    due = await delivery.due(resources.pool, limit=QUEUE_LENGTH, now=resources.now())
    ready = [row.id for row in due if not row.waits and row.id not in waiting]
    room = max(QUEUE_LENGTH - len(waiting), 0)
    try:
        for first in range(0, min(len(ready), room), PER_JOB):
            await queue.put(redis, ready[first : min(first + PER_JOB, room)])
    except AWAY as error:
        log.warning("redis_unavailable", delivering_directly=len(ready), error=type(error).__name__)
        await delivery.deliver_all(resources, ready, begin_within=WITHOUT_REDIS_SECONDS)
    return len(due) == QUEUE_LENGTH or any(row.waits for row in due) or len(ready) > room


async def _waiting(redis: ArqRedis) -> set[int]:
    """The notifications that have a job; none while Redis is unavailable."""
    try:
        return await queue.waiting(redis)
    except AWAY:
        return set()


async def listen(url: str, woken: asyncio.Event) -> None:
    """Sets `woken` whenever a wake-up arrives, or may have been missed. For ever."""
    subscription = Subscription(url, [WAKEUP], name="worker", changed=lambda _: woken.set())
    try:
        while True:
            await subscription.next()
            woken.set()
    finally:
        await subscription.close()
