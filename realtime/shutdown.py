"""The web process's server. When it ends, its open sockets are closed in paced batches, each with a
time to reconnect after, while new ones are sent to other processes."""

import asyncio
import contextlib
import random
import socket
from collections.abc import Callable
from typing import cast

import structlog

from app.web import server
from realtime import messages
from realtime.connection import Connection
from realtime.hub import Hub
from realtime.watcher import Watcher

log = structlog.get_logger("shutdown")

STEP_SECONDS = 0.05
# Clients reconnect after this time, spread over at least the second one.
SOONEST_MS = 500
SPREAD_SECONDS = 2.0
# A client that has not hung up this long after the last goodbye is aborted.
LAST_SECONDS = 1.0


class Server(server.Server):
    """uvicorn's, for an application whose lifespan state has `live` and `settings`."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        state = self.lifespan.state
        if "live" in state:
            await drain(
                state["live"].hub, state["settings"].drain_seconds, hurry=lambda: self.force_exit
            )
            await self._hung_up()
        await super().shutdown(sockets)

    async def _hung_up(self) -> None:
        """Until all clients are gone; those that stay are aborted."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                while self._live():  # noqa: ASYNC110 — a second at most, at the end of a process
                    await asyncio.sleep(STEP_SECONDS)
        for connection in self._live():
            connection.watcher.abort()

    def _live(self) -> list[Connection]:
        connections = cast(set[object], self.server_state.connections)
        return [connection for connection in connections if isinstance(connection, Connection)]


async def drain(hub: Hub, seconds: float, *, hurry: Callable[[], bool] = lambda: False) -> None:
    """Closes all sockets within `seconds`, or at once if `hurry()`. From now on upgrades are
    refused."""
    hub.drain()
    watchers = list(hub.watchers)
    count = len(watchers)
    if watchers:
        log.info("draining", sockets=count)
    random.shuffle(watchers)
    clock = asyncio.get_running_loop().time
    began = clock()
    while watchers:
        passed = clock() - began + STEP_SECONDS
        stay = 0 if passed >= seconds or hurry() else int(count * (1 - passed / seconds))
        for watcher in watchers[stay:]:
            _goodbye(watcher, 1000 * max(SPREAD_SECONDS, seconds))
        del watchers[stay:]
        if watchers:
            await asyncio.sleep(STEP_SECONDS)


def _goodbye(watcher: Watcher, spread_ms: float) -> None:
    if watcher.ready:
        jitter = round(spread_ms * random.random())  # noqa: S311
        watcher.write(messages.bye(SOONEST_MS + jitter))
    watcher.close(messages.RESTART, "restart")
