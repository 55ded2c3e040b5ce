"""Turns due notifications into jobs: on each wake-up, and every SWEEP_SECONDS in case a wake-up was
lost. While Redis is unavailable, it delivers them itself."""

import asyncio

import structlog
from arq.connections import ArqRedis

from app import refusal
from app.notifications import delivery
from app.notifications.delivery import WorkerContext
from app.redis import UNREACHABLE_ERRORS, Subscription
from jobs import queue

log = structlog.get_logger("worker")

WAKEUP = "wakeup"  # the channel on which realtime publishes an empty message after a commit
# The most notifications in the queue at a time; the others wait in Postgres.
QUEUE_LENGTH = 200
# A job costs about as much CPU as a mail, so several mails share one job.
BATCH_SIZE = 10
DIRECT_DELIVERY_SECONDS = 30
RETRY_SECONDS = 0.2


async def dispatch(redis: ArqRedis, context: WorkerContext, wakeup: asyncio.Event) -> None:
    """Runs until `context.stop` is set. Set `wakeup` as well, to end its wait at once."""
    while not context.stop.is_set():
        wakeup.clear()
        try:
            more = await enqueue_due(redis, context)
        except refusal.Unavailable:
            log.warning("postgres_unavailable")
            more = False
        try:
            async with asyncio.timeout(RETRY_SECONDS if more else context.settings.sweep_seconds):
                await wakeup.wait()
        except TimeoutError:
            continue


async def enqueue_due(redis: ArqRedis, context: WorkerContext) -> bool:
    """Enqueues each due notification that has no job yet. Returns whether some have to wait for
    the next call, which should follow soon."""
    # Read the queue before the due rows: a job that finishes in between leaves no due row.
    queued = await _queued(redis)
    due = await delivery.due(context.pool, limit=QUEUE_LENGTH, now=context.now())
    ready = [row.id for row in due if not row.waits and row.id not in queued]
    room = max(QUEUE_LENGTH - len(queued), 0)
    try:
        for first in range(0, min(len(ready), room), BATCH_SIZE):
            await queue.enqueue(redis, ready[first : min(first + BATCH_SIZE, room)])
    except UNREACHABLE_ERRORS as error:
        log.warning("redis_unavailable", direct_deliveries=len(ready), error=type(error).__name__)
        await delivery.deliver_all(context, ready, begin_within=DIRECT_DELIVERY_SECONDS)
    return len(due) == QUEUE_LENGTH or any(row.waits for row in due) or len(ready) > room


async def _queued(redis: ArqRedis) -> set[int]:
    """The notifications that have a job; an empty set while Redis is unavailable."""
    try:
        return await queue.notification_ids(redis)
    except UNREACHABLE_ERRORS:
        return set()


async def listen(url: str, wakeup: asyncio.Event) -> None:
    """Sets `wakeup` when a wake-up arrives or one may have been lost. Runs until cancelled."""
    subscription = Subscription(url, [WAKEUP], name="worker", changed=lambda _: wakeup.set())
    try:
        while True:
            await subscription.next()
            wakeup.set()
    finally:
        await subscription.close()
