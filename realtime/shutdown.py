"""The web process's server. At shutdown it closes the open sockets in paced batches, tells each
client when to reconnect, and refuses new sockets, so that other processes accept them."""

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
# A client that is still connected this long after the last `bye` is aborted.
LINGER_SECONDS = 1.0


class Server(server.Server):
    """uvicorn's server, for an application whose lifespan state has `live` and `settings`."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        state = self.lifespan.state
        if "live" in state:
            await drain(
                state["live"].hub, state["settings"].drain_seconds, hurry=lambda: self.force_exit
            )
            await self._wait_for_clients()
        await super().shutdown(sockets)

    async def _wait_for_clients(self) -> None:
        """Waits until all clients have disconnected, and aborts the others."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while self._live():  # noqa: ASYNC110 — a second at most, at the end of a process
                    await asyncio.sleep(STEP_SECONDS)
        for connection in self._live():
            connection.watcher.abort()

    def _live(self) -> list[Connection]:
        connections = cast(set[object], self.server_state.connections)
        return [connection for connection in connections if isinstance(connection, Connection)]


async def drain(hub: Hub, seconds: float, *, hurry: Callable[[], bool] = lambda: False) -> None:
    """Refuses upgrades from now on, and closes all sockets within `seconds`, or at once if
    `hurry()`."""
    hub.drain()
    watchers = list(hub.watchers)
    count = len(watchers)
    if watchers:
        log.info("draining", sockets=count)
    random.shuffle(watchers)
    clock = asyncio.get_running_loop().time
    began = clock()
    while watchers:
        elapsed = clock() - began + STEP_SECONDS
        remaining = 0 if elapsed >= seconds or hurry() else int(count * (1 - elapsed / seconds))
        for watcher in watchers[remaining:]:
            _send_bye(watcher, 1000 * max(SPREAD_SECONDS, seconds))
        del watchers[remaining:]
        if watchers:
            await asyncio.sleep(STEP_SECONDS)


def _send_bye(watcher: Watcher, spread_ms: float) -> None:
    if watcher.ready:
        jitter = round(spread_ms * random.random())  # noqa: S311
        watcher.write(messages.bye(SOONEST_MS + jitter))
    watcher.close(messages.RESTART, "restart")
