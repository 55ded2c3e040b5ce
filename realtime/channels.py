"""The channels in Redis, and the hints sent on them. Postgres has the content of every message, so
losing one only causes a delay."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import structlog
from redis.asyncio import Redis

from app import redis

log = structlog.get_logger("wakeup")

# Changes travel on static partitions, so that every process subscribes once, at start. The number
# is computed with the message (sql/queries/realtime.sql): crc32 of the instructor's id, modulo
# PARTITIONS. Partition p is relayed by shard p % shards through Redis p % servers. An empty message
# is the relay's heartbeat.
PARTITIONS = 64
PARTITION_CHANNELS = tuple(f"board:{number}" for number in range(PARTITIONS))
# Sessions of the named account have ended: a hint, on the first of the live path's servers.
SESSIONS = "sessions"
# "Something was committed": a hint without content to relay and worker.
WAKEUP = "wakeup"

PUBLISH_SECONDS = 1.0
# The shortest time between two hints: under load, one hint then stands for several commits.
GAP_SECONDS = 0.004
# Accounts whose hints may wait. The reconciler closes the sockets of any others, a little later.
MAX_ACCOUNTS = 10_000


def relay_key(shard: int) -> str:
    """The key that the active relay of a shard keeps renewing; it expires soon after the last
    heartbeat."""
    return f"relay:{shard}"


class Wakeup:
    """Called after a commit, so that relay and worker need not wait for their next poll, nor the
    live path for its next reconcile. Handlers set a flag; one task publishes, so one hint may stand
    for many commits. A lost hint causes a delay and nothing else."""

    def __init__(self, client: Redis, live_client: Redis) -> None:
        """`live_client`: of the first of the live path's servers."""
        self._client = client
        self._live_client = live_client
        self._committed = False
        self._accounts: set[UUID] = set()
        self._called = asyncio.Event()

    def __call__(self) -> None:
        """Tells relay and worker that something was committed."""
        self._committed = True
        self._called.set()

    def sessions_ended(self, account_id: UUID) -> None:
        """Tells every web process that sessions of this account have ended."""
        if len(self._accounts) < MAX_ACCOUNTS:
            self._accounts.add(account_id)
        self._called.set()

    async def run(self) -> None:
        unavailable = False
        while True:
            await self._called.wait()
            self._called.clear()
            try:
                async with asyncio.timeout(PUBLISH_SECONDS):
                    await self._publish()
                unavailable = False
                await asyncio.sleep(GAP_SECONDS)
            except redis.UNREACHABLE_ERRORS as error:
                self._accounts.clear()
                if not unavailable:
                    log.warning("redis_unavailable", error=type(error).__name__)
                unavailable = True

    async def _publish(self) -> None:
        while self._accounts:
            await self._live_client.publish(SESSIONS, str(self._accounts.pop()))
        if self._committed:
            self._committed = False
            await self._client.publish(WAKEUP, b"")


async def listen(url: str, events: Sequence[asyncio.Event], *, name: str) -> None:
    """Sets all `events` at every wake-up, and when one may have been missed. Does not return."""

    def wake(_: bool = True) -> None:
        for event in events:
            event.set()

    subscription = redis.Subscription(url, [WAKEUP], name=name, changed=wake)
    try:
        while True:
            await subscription.next()
            wake()
    finally:
        await subscription.close()
