"""The relay: from the outbox to Redis, in order, without a gap. One relay per shard is active at a
time, by an advisory lock of its connection; the others stand by. It takes changes off the queue
after publishing them, so after a crash the last ones are published again. That is harmless, because
a change has a version."""

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
from app.statements import slow_log, statement
from realtime import channels
from realtime.supervise import forever

log = structlog.get_logger("relay")

# The lock of shard n is LOCK + n.
LOCK = 4_718_261_053
BATCH = 500
# Published changes are removed from the queue together, at most this long after the first of them.
# Removing them after each hint would take a third of the relay's work.
REMOVAL_SECONDS = 0.05
# A statement that takes this long is cancelled and its connection closed.
STATEMENT_SECONDS = 5.0
# The interval of heartbeats, and how long the relay's key outlives the last one.
HEARTBEAT_SECONDS = 1.0
KEY_SECONDS = 3
# A relay that cannot reach Redis for this long releases its lock, so that another one can try.
REDIS_SECONDS = 5.0
LONGEST_PAUSE = 1.0
# If a relay disappears, Postgres ends its session this long after its next poll was due.
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
    slow_log.configure(settings.slow_query_ms)
    shards = range(settings.shards) if shard is None else (shard,)
    wakeups = [asyncio.Event() for _ in shards]
    url = settings.redis_url.get_secret_value()
    async with asyncio.TaskGroup() as group:
        group.create_task(forever("wake-ups", lambda: channels.listen(url, wakeups, name="relay")))
        for number, wakeup in zip(shards, wakeups, strict=True):
            group.create_task(_run(settings, number, wakeup))
        log.info("relay_started", shards=list(shards))


async def _run(settings: Settings, shard: int, wakeup: asyncio.Event) -> None:
    dsn = settings.database_url.get_secret_value()
    pool = await db.connect(dsn, size=1, name="relay", seconds=STATEMENT_SECONDS, at_once=False)
    client = redis.client(settings.live_redis[shard % len(settings.live_redis)], name="relay")
    try:
        relay = Relay(client, settings, shard, wakeup)
        await forever("relay", lambda: relay.run(pool))
    finally:
        await redis.close(client)
        await db.close(pool)


class Relay:
    """The relay of one shard."""

    def __init__(
        self, client: Redis, settings: Settings, shard: int, wakeup: asyncio.Event
    ) -> None:
        self._client = client
        self._shard = shard
        self._shards = settings.shards
        self._poll_seconds = settings.relay_poll_seconds
        self._wakeup = wakeup
        self._clock = asyncio.get_running_loop().time
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._next_heartbeat = 0.0
        # The ids of published changes that are still on the queue, and when they are to be removed.
        self._published: list[int] = []
        self._removal_due = float("inf")
        self._answered_at = self._clock()

    async def run(self, pool: Pool) -> None:
        """Waits for the lock, publishes until Redis has been unreachable for REDIS_SECONDS, and
        releases the lock. Raises Unavailable if the connection to Postgres is lost, and the lock
        with it."""
        await self._wait_for_redis()
        # The connection that holds the lock does all the work, so losing the lock ends the work.
        async with db.exclusive_connection(pool) as connection:
            while not await self.lock(connection):  # noqa: ASYNC110 — Postgres does not notify
                await asyncio.sleep(self._poll_seconds)
            log.info("relay_active", shard=self._shard)
            # A standby that was behind when it took over gives the ids of lost changes to new ones.
            self._published = []
            self._removal_due = float("inf")
            await self._publish_changes(connection)
        log.warning("relay_released", shard=self._shard, reason="redis_unavailable")
        await asyncio.sleep(2 * self._poll_seconds)  # so that another one takes over

    async def lock(self, connection: Tx) -> bool:
        """Tries to take the shard's lock; returns whether this connection has it. Postgres does not
        report when it becomes free, so standbys poll."""
        idle = round(1000 * (self._poll_seconds + GRACE_SECONDS))
        return await _try_lock.one(connection, key=LOCK + self._shard, idle=str(idle))

    async def _wait_for_redis(self) -> None:
        """Only a relay that reaches Redis may take the lock."""
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

    async def _publish_changes(self, connection: Tx) -> None:
        """Publishes until Redis has been unreachable for REDIS_SECONDS."""
        self._answered_at = self._clock()
        pause = 0.0
        next_poll = 0.0
        while self._clock() - self._answered_at < REDIS_SECONDS:
            try:
                if pause or self._wakeup.is_set() or self._clock() >= next_poll:
                    self._wakeup.clear()
                    next_poll = self._clock() + self._poll_seconds
                    while await self.publish_batch(connection) == BATCH:
                        await self._send_heartbeat()
                if self._clock() >= self._removal_due:
                    await self.remove_published(connection)
                await self._send_heartbeat()
                pause = 0.0
            except redis.UNREACHABLE_ERRORS as error:
                if not pause:
                    log.warning("redis_unavailable", error=type(error).__name__)
                pause = min(LONGEST_PAUSE, pause * 2 or 0.1)
                await asyncio.sleep(pause)
            else:
                await self._wait_for_wakeup(min(next_poll, self._next_heartbeat, self._removal_due))
        await self.remove_published(connection)

    async def _wait_for_wakeup(self, until: float) -> None:
        """Waits until this time, or until a wake-up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until - self._clock())):
                await self._wakeup.wait()

    async def publish_batch(self, connection: Tx) -> int:
        """Publishes the oldest unpublished changes and returns their number. They leave the queue
        soon after. Raises redis.UNREACHABLE_ERRORS; then they are published again."""
        rows = await _unpublished.all(
            connection,
            partitions=channels.PARTITIONS,
            shards=self._shards,
            shard=self._shard,
            published=self._published,
            limit=BATCH,
        )
        if rows:
            async with self._client.pipeline(transaction=False) as pipeline:
                for row in rows:
                    pipeline.publish(row.channel, row.payload)
                await self._execute(pipeline)
            if not self._published:
                self._removal_due = self._clock() + REMOVAL_SECONDS
            self._published += (row.id for row in rows)
            if len(self._published) >= BATCH:
                await self.remove_published(connection)
        return len(rows)

    async def remove_published(self, connection: Tx) -> None:
        """Takes the published changes off the queue."""
        await _remove_published.run(connection, ids=self._published)
        self._published = []
        self._removal_due = float("inf")

    async def _send_heartbeat(self) -> None:
        """If it is due, sends the heartbeat through every partition, on the same path as a change,
        and renews the relay's key."""
        if self._clock() < self._next_heartbeat:
            return
        async with self._client.pipeline(transaction=False) as pipeline:
            pipeline.set(channels.relay_key(self._shard), self._name, ex=KEY_SECONDS)
            for channel in channels.PARTITION_CHANNELS[self._shard :: self._shards]:
                pipeline.publish(channel, b"")
            await self._execute(pipeline)
        self._next_heartbeat = self._clock() + HEARTBEAT_SECONDS

    async def _execute(self, pipeline: Pipeline) -> None:
        """Gives up REDIS_SECONDS after Redis's last response, however long the client's own
        timeouts and retries are. Raises redis.UNREACHABLE_ERRORS."""
        async with asyncio.timeout_at(self._answered_at + REDIS_SECONDS):
            await pipeline.execute()
        self._answered_at = self._clock()
