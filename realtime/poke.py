"""The poke: a bare hint that something was committed, so that relay and worker need not wait for their next look. Handlers set a
flag; one task publishes. Losing a poke costs a moment, never a message."""

import asyncio

import structlog
from redis.asyncio import Redis

from app import redis
from realtime import channels

log = structlog.get_logger("poke")

SECONDS = 1.0


class Poke:
    """Called after a commit. However many calls there are, one hint at a time is on its way, and one more if it was called since."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._wanted = asyncio.Event()

    def __call__(self) -> None:
        self._wanted.set()

    async def run(self) -> None:
        away = False
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                async with asyncio.timeout(SECONDS):
                    await self._client.publish(channels.POKE, b"")
                away = False
            except redis.AWAY as error:
                if not away:
                    log.warning("no pokes while Redis is away; relay and worker look by themselves", error=type(error).__name__)
                away = True


async def listen(url: str, poked: asyncio.Event, *, name: str) -> None:
    """Sets `poked` at every poke, and whenever one may have been missed. For ever."""
    subscription = redis.Subscription(url, [channels.POKE], name=name, changed=lambda _: poked.set())
    try:
        while True:
            await subscription.next()
            poked.set()
    finally:
        await subscription.close()
