"""The live path of a web process: its resources and background tasks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from redis.asyncio import Redis

from app import db, redis, refusal, web
from app.availability.public_cache import PublicCache
from app.db import Pool
from app.settings import Settings
from app.statements import statement
from realtime import metrics
from realtime.calendar import Requests
from realtime.channels import Wakeup
from realtime.hub import Hub
from realtime.loader import Loader
from realtime.reconciler import Reconciler
from realtime.subscriber import Status, Subscriber
from realtime.supervise import forever

# Separate connections: requests that wait for a locked calendar hold none of these. After this time
# a statement is cancelled and its connection closed (app/db.py), so connections that a failover
# left silent are replaced before a screen is wrong for long.
CONNECTIONS = 3
STATEMENT_SECONDS = 2.5
# A process without a successful reconcile for this long, which is how long screens may be wrong, is
# not ready.
RECONCILE_AGE_SECONDS = 15.0

_database_answers = statement("database_answers", bool)


@dataclass(frozen=True)
class Live:
    """The live path as the rest of the process uses it."""

    hub: Hub
    wakeup: Wakeup
    _pool: Pool
    _subscriber: Subscriber
    _reconciler: Reconciler

    @property
    def draining(self) -> bool:
        """Whether this process is shutting down and refuses new sockets."""
        return self.hub.draining

    @property
    def status(self) -> Status:
        """Whether changes are received as they happen (realtime/subscriber.py)."""
        return self._subscriber.status

    async def check_postgres(self) -> None:
        """Raises Unavailable if Postgres does not answer, or if no reconcile has succeeded for
        RECONCILE_AGE_SECONDS."""
        await _database_answers.one(self._pool)
        if self._reconciler.age > RECONCILE_AGE_SECONDS:
            raise refusal.Unavailable


@asynccontextmanager
async def running(
    settings: Settings,
    *,
    now: Callable[[], datetime] = web.utc_now,
    public_cache: PublicCache | None = None,
    tasks: Mapping[str, Callable[[], Awaitable[None]]] | None = None,
) -> AsyncIterator[Live]:
    """Runs the live path of this process, which also tells `public_cache` of changes, and more
    supervised `tasks`. It also starts while Redis is unavailable."""
    async with AsyncExitStack() as stack:
        dsn = settings.database_url.get_secret_value()
        pool = await db.connect(dsn, size=CONNECTIONS, name="live", seconds=STATEMENT_SECONDS)
        stack.push_async_callback(db.close, pool)
        client = _client(stack, settings.redis_url.get_secret_value())
        clients = [_client(stack, url) for url in settings.live_redis]
        requests = Requests()
        hub = Hub(settings, requests, now=now, public_cache=public_cache)
        loader = Loader(hub, requests, pool)
        reconciler = Reconciler(hub, requests, loader, pool, settings, now=now)
        subscriber = Subscriber(hub, requests, settings, clients, reconciler.sessions_ended)
        wakeup = Wakeup(client, clients[0])
        metrics.observe(lambda: hub.counts, lambda: reconciler.age)
        loops = {
            "reconciler": reconciler.run,
            "ended sessions": reconciler.run_sessions,
            "loader": loader.run,
            "subscriber": subscriber.run,
            "wake-ups": wakeup.run,
            "keep_alive": hub.keep_alive.run,
            **(tasks or {}),
        }
        failure: Exception | None = None
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(forever(name, work)) for name, work in loops.items()]
            try:
                yield Live(hub, wakeup, pool, subscriber, reconciler)
            except Exception as error:  # noqa: BLE001 — raised below, and not in a group
                failure = error
            finally:
                for task in running:
                    task.cancel()
        if failure is not None:
            raise failure


def _client(stack: AsyncExitStack, url: str) -> Redis:
    client = redis.client(url, name="live")
    stack.push_async_callback(redis.close, client)
    return client
