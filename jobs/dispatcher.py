"""Turns due notifications into jobs: when poked, and every SWEEP_SECONDS for what was missed. While Redis is away it delivers them
itself."""

import asyncio

import structlog
from arq.connections import ArqRedis

from app import refusal
from app.notifications import delivery
from app.redis import AWAY, Subscription
from jobs import queue
from jobs.notifications import Means

log = structlog.get_logger("worker")

POKES = "poke"  # realtime publishes a bare hint on this channel after a commit
# Jobs in the queue at one time; the rest wait in Postgres.
QUEUE_LENGTH = 200
AT_ONCE_WITHOUT_REDIS = 5
AGAIN_SECONDS = 0.2


async def dispatch(redis: ArqRedis, means: Means, poked: asyncio.Event, stop: asyncio.Event) -> None:
    """Until `stop` (set `poked` with it)."""
    while not stop.is_set():
        poked.clear()
        try:
            more = await hand_out(redis, means)
        except refusal.Unavailable:
            log.warning("Postgres is away")
            more = False
        try:
            async with asyncio.timeout(AGAIN_SECONDS if more else means.settings.sweep_seconds):
                await poked.wait()
        except TimeoutError:
            continue


async def hand_out(redis: ArqRedis, means: Means) -> bool:
    """Makes a job of each due notification that has none. Returns whether some had to be left for a moment."""
    due = await delivery.due(means.pool, limit=QUEUE_LENGTH, now=means.now())
    ready = [row.id for row in due if not row.waits]
    try:
        handed_out = await _enqueue(redis, ready) if ready else 0
    except AWAY as error:
        log.warning("Redis is away, delivering without it", due=len(ready), error=type(error).__name__)
        await _deliver_here(ready, means)
        handed_out = len(ready)
    return handed_out < len(due) or len(due) == QUEUE_LENGTH


async def _enqueue(redis: ArqRedis, ready: list[int]) -> int:
    """How many of them are in the queue now."""
    waiting = await queue.waiting(redis)
    room = QUEUE_LENGTH - len(waiting)
    fresh = [one for one in ready if queue.job_id(one) not in waiting]
    for one in fresh[:room]:
        await queue.put(redis, one)
    return len(ready) - len(fresh[room:])


async def _deliver_here(ready: list[int], means: Means) -> None:
    """A few at a time, so that one slow recipient does not hold up the rest. What fails stays due."""
    places = asyncio.Semaphore(AT_ONCE_WITHOUT_REDIS)

    async def one(notification_id: int) -> None:
        async with places:
            await delivery.deliver(means.pool, notification_id, means.settings, now=means.now)

    for result in await asyncio.gather(*map(one, ready), return_exceptions=True):
        if isinstance(result, Exception):
            log.error("a delivery ended by a fault", exc_info=result)


async def listen(url: str, poked: asyncio.Event) -> None:
    """Sets `poked` whenever a poke arrives, or may have been missed. For ever."""
    subscription = Subscription(url, [POKES], name="worker", changed=lambda _: poked.set())
    try:
        while True:
            await subscription.next()
            poked.set()
    finally:
        await subscription.close()
