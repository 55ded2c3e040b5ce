"""The relay: from the outbox to Redis, in order, nothing left out. One is active at a time, by an advisory lock of its connection;
the others stand by. It removes a change from the queue after publishing it, so after a crash the last ones are published again, which is
harmless: a change says its version."""

import asyncio
import contextlib
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis

from app import db, redis
from app.db import Pool, Tx, statement
from app.settings import Settings
from realtime import channels, poke
from realtime.supervise import forever

log = structlog.get_logger("relay")

LOCK = 4_718_261_053
BATCH = 500
LONGEST_PAUSE = 2.0


@dataclass(frozen=True, slots=True)
class _Unpublished:
    id: int
    channel: str
    payload: str


_try_lock = statement("try_relay_lock", bool)
_unpublished = statement("unpublished_changes", _Unpublished)
_remove_published = statement("remove_published", int)


async def main(settings: Settings) -> None:
    """Relays until it is cancelled, whatever happens to Postgres and Redis meanwhile."""
    poked = asyncio.Event()
    url = settings.redis_url.get_secret_value()
    async with asyncio.TaskGroup() as group:
        group.create_task(forever("pokes", lambda: poke.listen(url, poked, name="relay")))
        group.create_task(forever("connections", lambda: _connected(settings, poked)))
        log.info("relay started")


async def _connected(settings: Settings, poked: asyncio.Event) -> None:
    pool = await db.connect(settings.database_url.get_secret_value(), size=1, name="relay")
    client = redis.client(settings.redis_url.get_secret_value(), name="relay")
    try:
        await forever("relay", lambda: _relay(pool, client, poked, settings.relay_poll_seconds))
    finally:
        await redis.close(client)
        await db.close(pool)


async def _relay(pool: Pool, client: Redis, poked: asyncio.Event, poll_seconds: float) -> None:
    """Waits for the lock and relays while it has it. Raises Unavailable when Postgres goes away, and the lock with it."""
    # The connection that holds the lock does all the work, so that losing the one ends the other.
    async with db.aside(pool) as connection:
        while not await _try_lock.one(connection, key=LOCK):  # noqa: ASYNC110 — polled, because Postgres tells nobody
            await asyncio.sleep(poll_seconds)
        log.info("relaying")
        await _publish_for_ever(connection, client, poked, poll_seconds)


async def _publish_for_ever(connection: Tx, client: Redis, poked: asyncio.Event, poll_seconds: float) -> None:
    away = 0.0  # how long to wait for Redis next time; 0: it is there
    while True:
        poked.clear()
        try:
            while await publish_batch(connection, client) == BATCH:
                pass
            away = 0.0
        except redis.AWAY as error:
            if not away:
                log.warning("changes wait for Redis", error=type(error).__name__)
            away = min(LONGEST_PAUSE, away * 2 or 0.1)
        if away:
            await asyncio.sleep(away)
        else:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(poll_seconds):
                    await poked.wait()


async def publish_batch(connection: Tx, client: Redis) -> int:
    """Publishes the oldest unpublished changes and takes them off the queue; how many. Raises redis.AWAY, having removed none."""
    rows = await _unpublished.all(connection, partitions=channels.PARTITIONS, limit=BATCH)
    if rows:
        async with client.pipeline(transaction=False) as pipeline:
            for row in rows:
                pipeline.publish(row.channel, row.payload)
            await pipeline.execute()
        await _remove_published.run(connection, ids=[row.id for row in rows])
    return len(rows)
