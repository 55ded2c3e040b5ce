"""Receives changes from Redis and passes them to the hub. Also determines whether this process
receives them: each second the relay sends a heartbeat through every partition. A process that
misses heartbeats is degraded or, if its relays are active according to Redis, disconnected."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import orjson
import structlog
from broadcaster import Broadcast, BroadcastBackend, Event
from redis.asyncio import Redis

from app import redis
from app.settings import Settings
from realtime import channels, metrics
from realtime.calendar import Requests
from realtime.history import change
from realtime.hub import Hub
from realtime.supervise import forever

log = structlog.get_logger("subscriber")

Status = Literal["connected", "degraded", "disconnected"]

# How often the heartbeats are checked, and how old each partition's last one may be.
CHECK_SECONDS = 0.5
STALE_SECONDS = 4.0
# Without heartbeats for this long although there is a relay, this process is disconnected.
DISCONNECTED_SECONDS = 5.0
# After this time without any message the connection is replaced.
SILENCE_SECONDS = 8.0
# After this much work, other tasks get a turn.
WORK_SECONDS = 0.010
# Broadcast's own queues have no bound, so it gets no more than this at a time. The rest waits in
# the socket; if that takes too long, Redis closes the connection, which is a loss like any other.
MAX_QUEUED = 256

# The one channel of the Broadcast, on which all partitions arrive.
_ALL = "all"


class Subscriber:
    def __init__(
        self,
        hub: Hub,
        requests: Requests,
        settings: Settings,
        clients: list[Redis],
        sessions_ended: Callable[[str], None],
    ) -> None:
        """`clients` are of the live path's servers, in their order."""
        self._hub = hub
        self._requests = requests
        self._urls = settings.live_redis
        self._shards = settings.shards
        self._clients = clients
        self._sessions_ended = sessions_ended
        self._clock = asyncio.get_running_loop().time
        self._heartbeats = dict.fromkeys(channels.PARTITION_CHANNELS, float("-inf"))
        self._lost_at = self._clock()
        self._disconnected = False

    @property
    def status(self) -> Status:
        """`connected`: changes are received as they happen. Otherwise screens are updated from
        Postgres within seconds. `degraded`: Redis is unavailable or there is no relay, so no
        process receives any. `disconnected`: only this process receives none."""
        if self._hub.connected:
            return "connected"
        return "disconnected" if self._disconnected else "degraded"

    async def run(self) -> None:
        """Receives changes. Does not return."""
        async with asyncio.TaskGroup() as group:
            for server in range(len(self._urls)):
                work = partial(self._receive, server)
                group.create_task(forever(f"subscription {server}", work))
            group.create_task(forever("heartbeat check", self._check))

    async def _receive(self, server: int) -> None:
        names = list(channels.PARTITION_CHANNELS[server :: len(self._urls)])
        if server == 0:
            names.append(channels.SESSIONS)
        while True:
            backend = Backend(self._urls[server], names, self._subscription_changed)
            async with Broadcast(backend=backend) as broadcast, broadcast.subscribe(_ALL) as events:
                try:
                    await self._handle_all(events, backend)
                except TimeoutError:
                    log.debug("redis_silent", server=server)
            self._requests.reconcile()

    async def _handle_all(self, events: Any, backend: "Backend") -> None:
        """Raises TimeoutError after SILENCE_SECONDS without a message."""
        began = self._clock()
        while True:
            async with asyncio.timeout(SILENCE_SECONDS):
                event = await events.get()
            channel, _, data = event.message.partition(" ")
            self._handle(channel, data)
            backend.done()
            if self._clock() - began > WORK_SECONDS:
                await asyncio.sleep(0)
                began = self._clock()

    def _handle(self, channel: str, data: str) -> None:
        try:
            if not data:
                self._heartbeats[channel] = self._clock()
            elif channel == channels.SESSIONS:
                self._sessions_ended(data)
            else:
                self._handle_change(data)
        except Exception:  # one bad message must not stop the others; a reconcile replaces it
            log.exception("message_failed", channel=channel)
            self._requests.reconcile()

    def _handle_change(self, data: str) -> None:
        metrics.CHANGES.inc()
        message = orjson.loads(data)
        metrics.LAG.observe(max(0.0, time.time() - message["at"]))
        fields = ("instructor", "epoch", "version", "days", "events")
        self._hub.receive(change(*(message[name] for name in fields)))

    # ---- the status

    def _subscription_changed(self, subscribed: bool) -> None:
        """Messages may be missing after a loss and until the new subscription."""
        self._requests.reconcile()
        if not subscribed:
            self._heartbeats = dict.fromkeys(self._heartbeats, float("-inf"))
            self._set_connected(False)

    async def _check(self) -> None:
        while True:
            oldest = self._clock() - STALE_SECONDS
            stale = [name for name, at in self._heartbeats.items() if at < oldest]
            self._set_connected(not stale)
            if stale and self._clock() - self._lost_at > DISCONNECTED_SECONDS:
                self._set_disconnected(await self._have_relays(stale))
            await asyncio.sleep(CHECK_SECONDS)

    async def _have_relays(self, partitions: list[str]) -> bool:
        """Whether all of these partitions have a relay, so that other processes receive them."""
        numbers = [channels.PARTITION_CHANNELS.index(name) for name in partitions]
        shards = {number % self._shards for number in numbers}
        try:
            async with asyncio.timeout(redis.ANSWER_SECONDS):
                for shard in shards:
                    client = self._clients[shard % len(self._clients)]
                    if not await client.exists(channels.relay_key(shard)):
                        return False
        except redis.UNREACHABLE_ERRORS:
            return False
        return True

    def _set_connected(self, connected: bool) -> None:
        if connected:
            self._disconnected = False
        if connected == self._hub.connected:
            return
        self._lost_at = self._clock()
        self._hub.set_connected(connected)
        self._requests.reconcile()
        metrics.CONNECTED.set(connected)
        if connected:
            log.info("redis_connected")
        else:
            log.warning("redis_disconnected", effect="screens are updated from Postgres")

    def _set_disconnected(self, disconnected: bool) -> None:
        if disconnected and not self._disconnected:
            log.error("live_path_disconnected", effect="not ready; other processes receive changes")
        self._disconnected = disconnected


class Backend(BroadcastBackend):
    """Redis as a backend of `broadcaster`, whose own backend does not report a lost connection. All
    channels are one channel of the Broadcast. They are subscribed from the start on one connection,
    which is replaced when it is lost. `changed(subscribed)` is called at every subscription and at
    every loss."""

    def __init__(self, url: str, names: list[str], changed: Callable[[bool], None]) -> None:
        self._subscription = redis.Subscription(url, names, name="live", changed=changed)
        self._room = asyncio.Semaphore(MAX_QUEUED)

    async def connect(self) -> None:
        """Does nothing: the first call of next_published connects."""

    async def disconnect(self) -> None:
        await self._subscription.close()

    async def subscribe(self, group: str) -> None:
        assert group == _ALL, "all partitions are one channel"

    async def unsubscribe(self, group: str) -> None:
        """The subscriptions are static; they end with the connection."""

    async def publish(self, channel: str, message: Any) -> None:  # noqa: ARG002 — its signature
        raise AssertionError("only the relay publishes, from what was committed")

    async def next_published(self) -> Event:
        await self._room.acquire()
        channel, data = await self._subscription.next()
        return Event(_ALL, f"{channel} {data.decode()}")

    def done(self) -> None:
        """One event has been handled."""
        self._room.release()
