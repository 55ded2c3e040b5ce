"""Redis as a backend of `broadcaster`, whose own one loses its connection without a word. Here all partitions are one channel, BOARDS,
subscribed to from the start on one connection that is made anew for ever, and every loss is reported."""

import asyncio
from collections.abc import Callable
from typing import Any

from broadcaster import BroadcastBackend, Event

from app import redis
from realtime import channels

# The channel of the Broadcast on which all partitions arrive, and the message on it that was a probe.
BOARDS = "boards"
PROBE = ""
# Broadcast's own queues have no bound, so no more than this is handed over before it was taken. What comes meanwhile waits in the
# socket; if that takes too long, Redis closes the connection, and that is a loss like any other.
HANDED_OVER = 256


class Partitions(BroadcastBackend):
    """`changed(subscribed)` is called at every subscription and every loss: messages may be missing."""

    def __init__(self, url: str, process: str, changed: Callable[[bool], None]) -> None:
        self._probe = channels.probe(process)
        names = (*channels.BOARDS, self._probe)
        self._subscription = redis.Subscription(url, names, name="live", changed=changed)
        self._room = asyncio.Semaphore(HANDED_OVER)

    async def connect(self) -> None:
        """Nothing to wait for: the first call of next_published connects."""

    async def disconnect(self) -> None:
        await self._subscription.close()

    async def subscribe(self, group: str) -> None:
        assert group == BOARDS, "all partitions are one channel"

    async def unsubscribe(self, group: str) -> None:
        """The subscriptions are static; they end with the connection."""

    async def publish(self, channel: str, message: Any) -> None:  # noqa: ARG002 — broadcaster's signature
        raise AssertionError("only the relay publishes, from what was committed")

    async def next_published(self) -> Event:
        await self._room.acquire()
        channel, data = await self._subscription.next()
        return Event(BOARDS, PROBE if channel == self._probe else data.decode())

    def taken(self) -> None:
        """One event has been dealt with."""
        self._room.release()
