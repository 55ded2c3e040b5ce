"""The live path of a web process: what is opened and kept running beside the requests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import uuid4

from app import redis, web
from app.db import Pool
from app.settings import Settings
from realtime import heartbeat, metrics
from realtime.feed import Feed
from realtime.hub import Hub
from realtime.loader import Loader
from realtime.poke import Poke
from realtime.reconciler import Reconciler
from realtime.supervise import forever


@dataclass(frozen=True)
class Live:
    """What the rest of the process needs of it."""

    hub: Hub
    poke: Poke
    _feed: Feed

    @property
    def draining(self) -> bool:
        """This process is about to end, and sends its people to others."""
        return self.hub.draining

    @property
    def hearing(self) -> Literal["ok", "away", "deaf"]:
        """Whether changes are heard as they happen (else screens are right within seconds). With `away` that is so everywhere, and
        work goes on; a process that alone is `deaf` is better given no new screens."""
        return self._feed.hearing


@asynccontextmanager
async def running(settings: Settings, pool: Pool, *, now: Callable[[], datetime] = web.utc_now) -> AsyncIterator[Live]:
    """Runs the live path of this process. It needs neither Redis nor Postgres to start; it goes on when they come."""
    client = redis.client(settings.redis_url.get_secret_value(), name="live")
    loader = Loader(pool)
    hub = Hub(settings, loader, now=now)
    reconciler = Reconciler(hub, loader, pool, settings, now)
    metrics.observe(lambda: hub.counts, lambda: reconciler.age)
    feed = Feed(hub, loader, settings, client, uuid4().hex)
    poke = Poke(client)
    failure: Exception | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(forever("reconciler", reconciler.run)),
                group.create_task(forever("loader", lambda: loader.run(hub))),
                group.create_task(forever("feed", feed.listen)),
                group.create_task(forever("probe", feed.probe)),
                group.create_task(forever("poke", poke.run)),
                group.create_task(forever("heartbeat", lambda: heartbeat.run(hub, settings))),
            ]
            try:
                yield Live(hub, poke, feed)
            except Exception as error:  # noqa: BLE001 — raised below, as itself and not in a group
                failure = error
            finally:
                for task in tasks:
                    task.cancel()
    finally:
        await redis.close(client)
    if failure is not None:
        raise failure
