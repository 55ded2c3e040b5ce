"""What is published, brought to the hub; and the question whether this process can hear at all. A process can be deaf while everything
looks well, so it sends itself a probe every few seconds, the whole way of a message."""

import asyncio
import time
from typing import Literal

import orjson
import structlog
from broadcaster import Broadcast
from redis.asyncio import Redis

from app import redis
from app.settings import Settings
from realtime import channels, metrics
from realtime.backend import BOARDS, PROBE, Partitions
from realtime.hub import Hub
from realtime.loader import Loader, change

log = structlog.get_logger("feed")

PROBE_SECONDS = 2.0
# No probe came back for so long: deaf.
DEAF_SECONDS = 5.0
# And for so long: everything is built anew.
SILENCE_SECONDS = 8.0


class Feed:
    def __init__(self, hub: Hub, loader: Loader, settings: Settings, client: Redis, process: str) -> None:
        self._hub = hub
        self._loader = loader
        self._url = settings.redis_url.get_secret_value()
        self._client = client
        self._process = process
        self._clock = asyncio.get_running_loop().time
        self._heard = float("-inf")  # when the last probe came back
        self._answers = False  # whether Redis took the last probe
        self._probe_now = asyncio.Event()

    @property
    def hearing(self) -> Literal["ok", "away", "deaf"]:
        """Whether messages come. `away`: Redis does not answer, nobody can hear; `deaf`: it does, and only we do not hear."""
        if self._hub.connected:
            return "ok"
        return "deaf" if self._answers else "away"

    async def listen(self) -> None:
        """Takes what is published, for ever."""
        while True:
            backend = Partitions(self._url, self._process, self._changed)
            async with Broadcast(backend=backend) as broadcast, broadcast.subscribe(BOARDS) as subscriber:
                try:
                    while True:
                        async with asyncio.timeout(SILENCE_SECONDS):
                            event = await subscriber.get()
                        self._take(event.message)
                        backend.taken()
                except TimeoutError:
                    log.debug("nothing was heard, not even ourselves")
            self._deaf()

    async def probe(self) -> None:
        """Sends probes, and notices when none comes back."""
        while True:
            self._probe_now.clear()
            try:
                await self._client.publish(channels.probe(self._process), b"")
                self._answers = True
            except redis.AWAY as error:
                self._answers = False
                log.debug("no probe was sent", error=type(error).__name__)
            if self._clock() - self._heard > DEAF_SECONDS:
                self._deaf()
            try:
                async with asyncio.timeout(PROBE_SECONDS):
                    await self._probe_now.wait()
            except TimeoutError:
                pass  # it is time

    def _take(self, message: str) -> None:
        if message == PROBE:
            self._hears()
            return
        metrics.CHANGES.inc()
        try:
            told = orjson.loads(message)
            metrics.LAG.observe(max(0.0, time.time() - told["at"]))
            self._hub.take(change(told["instructor"], told["epoch"], told["version"], told["days"], told["events"]))
        except Exception:  # one message that cannot be dealt with must not end the others; the comparison will tell
            log.exception("a message could not be dealt with")
            self._loader.reconcile()

    def _changed(self, subscribed: bool) -> None:
        """Messages may have been missed, whichever it is."""
        self._loader.reconcile()
        if subscribed:
            self._probe_now.set()
        else:
            self._deaf()

    def _hears(self) -> None:
        self._heard = self._clock()
        if not self._hub.connected:
            log.info("hears Redis")
            self._hub.set_connected(True)
            metrics.DEAF.set(0)

    def _deaf(self) -> None:
        if self._hub.connected:
            log.warning("does not hear Redis; Postgres is asked every few seconds instead")
            self._hub.set_connected(False)
            metrics.DEAF.set(1)
            self._loader.reconcile()
