"""Wake-ups: hints that something was committed, so that relay, worker and the live path need not
wait for their next look. Handlers set a flag; one task publishes. Losing one costs a moment, never
a message."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import structlog
from redis.asyncio import Redis

from app import redis
from realtime import channels

log = structlog.get_logger("wakeup")

SECONDS = 1.0
# The shortest time between two hints: under load, one hint then stands for several commits.
GAP_SECONDS = 0.004
# Accounts whose hint waits. Beyond that, their sockets are closed by the reconciler.
MAX_ACCOUNTS = 10_000


class Wakeup:
    """Called after a commit. However many calls there are, one hint at a time is on its way, and
    one more if it was called since."""

    def __init__(self, client: Redis, live_client: Redis) -> None:
        """`live_client`: of the first of the live path's servers."""
        self._client = client
        self._live_client = live_client
        self._committed = False
        self._accounts: set[UUID] = set()
        self._called = asyncio.Event()

    def __call__(self) -> None:
        """To relay and worker."""
        self._committed = True
        self._called.set()

    def sessions_ended(self, account_id: UUID) -> None:
        """To every process that may have sockets of this account."""
        if len(self._accounts) < MAX_ACCOUNTS:
            self._accounts.add(account_id)
        self._called.set()

    async def run(self) -> None:
        away = False
        while True:
            await self._called.wait()
            self._called.clear()
            try:
                async with asyncio.timeout(SECONDS):
                    await self._publish()
                away = False
                await asyncio.sleep(GAP_SECONDS)
            except redis.AWAY as error:
                self._accounts.clear()
                if not away:
                    log.warning("redis_unavailable", error=type(error).__name__)
                away = True

    async def _publish(self) -> None:
        while self._accounts:
            await self._live_client.publish(channels.SESSIONS, str(self._accounts.pop()))
        if self._committed:
            self._committed = False
            await self._client.publish(channels.WAKEUP, b"")


async def listen(url: str, events: Sequence[asyncio.Event], *, name: str) -> None:
    """Sets all `events` at every wake-up, and whenever one may have been missed. For ever."""

    def wake(_: bool = True) -> None:
        for event in events:
            event.set()

    subscription = redis.Subscription(url, [channels.WAKEUP], name=name, changed=wake)
    try:
        while True:
            await subscription.next()
            wake()
    finally:
        await subscription.close()
