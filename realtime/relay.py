"""The relay: from the outbox to Redis, in order, without a gap. One relay per shard is active at a
time, by an advisory lock of its connection; the others stand by. It takes a change off the queue
after publishing it, so after a crash the last ones are published again. That is harmless, because a
change has a version."""

import asyncio
import contextlib
import os
import socket
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from app import db, redis
from app.db import Pool, Tx
from app.settings import Settings
from app.statements import statement
from realtime import channels
from realtime.supervise import forever

log = structlog.get_logger("relay")

# The lock of shard n is LOCK + n.
LOCK = 4_718_261_053
BATCH = 500
# A statement that takes this long is cancelled and its connection closed.
STATEMENT_SECONDS = 5.0
# The interval of heartbeats, and how long the relay's key outlives the last one.
HEARTBEAT_SECONDS = 1.0
KEY_SECONDS = 3
# A relay that does not reach Redis for this long lets another one try.
AWAY_SECONDS = 5.0
LONGEST_PAUSE = 1.0
# Postgres ends the session of a relay that disappeared this long after its next look was due.
GRACE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Unpublished:
    id: int
    channel: str
    payload: str


_try_lock = statement("try_relay_lock", bool)
_unpublished = statement("unpublished_changes", _Unpublished)
_remove_published = statement("remove_published", int)


async def main(settings: Settings, shard: int | None = None) -> None:
    """Relays one shard, or all, until it is cancelled, whatever happens to Postgres and Redis."""
    shards = range(settings.shards) if shard is None else (shard,)
    wakeups = [asyncio.Event() for _ in shards]
    url = settings.redis_url.get_secret_value()
    async with asyncio.TaskGroup() as group:
        group.create_task(forever("wake-ups", lambda: channels.listen(url, wakeups, name="relay")))
        for number, woken in zip(shards, wakeups, strict=True):
            group.create_task(_run(settings, number, woken))
        log.info("relay_started", shards=list(shards))


async def _run(settings: Settings, shard: int, woken: asyncio.Event) -> None:
    dsn = settings.database_url.get_secret_value()
    pool = await db.connect(dsn, size=1, name="relay", seconds=STATEMENT_SECONDS, at_once=False)
    client = redis.client(settings.live_redis[shard % len(settings.live_redis)], name="relay")
    try:
        relay = Relay(client, settings, shard, woken)
        await forever("relay", lambda: relay.run(pool))
    finally:
        await redis.close(client)
        await db.close(pool)


class Relay:
    """The relay of one shard."""

    def __init__(self, client: Redis, settings: Settings, shard: int, woken: asyncio.Event) -> None:
        self._client = client
        self._shard = shard
        self._shards = settings.shards
        self._poll_seconds = settings.relay_poll_seconds
        self._woken = woken
        self._clock = asyncio.get_running_loop().time
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._next_heartbeat = 0.0
        self._answered_at = self._clock()

    async def run(self, pool: Pool) -> None:
        """Waits for the lock and relays until Redis was away for long, then lets others try.
        Raises Unavailable when Postgres goes away, and the lock with it."""
        await self._redis_answers()
        # The connection that holds the lock does all the work, so losing the one ends the other.
        async with db.exclusive_connection(pool) as connection:
            while not await self.lock(connection):  # noqa: ASYNC110 — nobody tells us
                await asyncio.sleep(self._poll_seconds)
            log.info("relay_active", shard=self._shard)
            await self._relay(connection)
        log.warning("relay_released", shard=self._shard, reason="redis_unavailable")
        await asyncio.sleep(2 * self._poll_seconds)  # so that another one takes over

    async def lock(self, connection: Tx) -> bool:
        """Whether this connection has the shard's lock now. Postgres tells nobody, so it is
        polled."""
        idle = round(1000 * (self._poll_seconds + GRACE_SECONDS))
        return await _try_lock.one(connection, key=LOCK + self._shard, idle=str(idle))

    async def _redis_answers(self) -> None:
        """Only one that reaches Redis takes part."""
        logged = False
        while True:
            try:
                await self._client.ping()
            except redis.UNREACHABLE_ERRORS as error:
                if not logged:
                    log.warning("redis_unavailable", error=type(error).__name__)
                logged = True
                await asyncio.sleep(LONGEST_PAUSE)
            else:
                return

    async def _relay(self, connection: Tx) -> None:
        """Until Redis was away for AWAY_SECONDS."""
        self._answered_at = self._clock()
        pause = 0.0
        next_look = 0.0
        while self._clock() - self._answered_at < AWAY_SECONDS:
            try:
                if pause or self._woken.is_set() or self._clock() >= next_look:
                    self._woken.clear()
                    next_look = self._clock() + self._poll_seconds
                    while await self.publish_batch(connection) == BATCH:
                        await self._beat()
                await self._beat()
                pause = 0.0
            except redis.UNREACHABLE_ERRORS as error:
                if not pause:
                    log.warning("redis_unavailable", error=type(error).__name__)
                pause = min(LONGEST_PAUSE, pause * 2 or 0.1)
                await asyncio.sleep(pause)
            else:
                await self._wait(min(next_look, self._next_heartbeat))

    async def _wait(self, until: float) -> None:
        """Until this time, or until something was committed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until - self._clock())):
                await self._woken.wait()

    async def publish_batch(self, connection: Tx) -> int:
        """Publishes the oldest unpublished changes and takes them off the queue; returns their
        number. Raises redis.UNREACHABLE_ERRORS, having removed none."""
        rows = await _unpublished.all(
            connection,
            partitions=channels.PARTITIONS,
            shards=self._shards,
            shard=self._shard,
            limit=BATCH,
        )
        if rows:
            async with self._client.pipeline(transaction=False) as pipeline:
                for row in rows:
                    pipeline.publish(row.channel, row.payload)
                await self._execute(pipeline)
            await _remove_published.run(connection, ids=[row.id for row in rows])
        return len(rows)

    async def _beat(self) -> None:
        """The heartbeat, when it is due: through every partition, the whole way of a change."""
        if self._clock() < self._next_heartbeat:
            return
        async with self._client.pipeline(transaction=False) as pipeline:
            pipeline.set(channels.relay_key(self._shard), self._name, ex=KEY_SECONDS)
            for channel in channels.PARTITION_CHANNELS[self._shard :: self._shards]:
                pipeline.publish(channel, b"")
            await self._execute(pipeline)
        self._next_heartbeat = self._clock() + HEARTBEAT_SECONDS

    async def _execute(self, pipeline: Pipeline) -> None:
        """Ends when Redis was away for AWAY_SECONDS, whatever the client's own time-outs and
        retries add up to. Raises redis.UNREACHABLE_ERRORS."""
        async with asyncio.timeout_at(self._answered_at + AWAY_SECONDS):
            await pipeline.execute()
        self._answered_at = self._clock()
