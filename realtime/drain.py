"""The web process's server. When it is asked to end, the people on its open sockets are not thrown out all at once: they are said
goodbye to in paced batches, each told when to come back, while new ones are sent to other processes."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import structlog
from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn import Server as UvicornServer

from realtime import messages
from realtime.hub import Hub
from realtime.live import Live
from realtime.protocol import LiveProtocol

log = structlog.get_logger("drain")

STEP_SECONDS = 0.05
# Those who leave come back no sooner, and spread over at least so long after it.
SOONEST_MS = 500
SPREAD_SECONDS = 2.0
# What requests under way, and clients that do not hang up, are given after that.
LAST_SECONDS = 3


class Server(UvicornServer):
    """`drain_seconds`: over how long open sockets are said goodbye to."""

    def __init__(self, config: Config, *, drain_seconds: float) -> None:
        super().__init__(config)
        self._drain_seconds = drain_seconds

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        live: Live | None = self.lifespan.state.get("live")
        if live is not None:
            await drain(live.hub, self._drain_seconds, hurry=lambda: self.force_exit)
        await super().shutdown(sockets)


def server(app: ASGIApp | Callable[..., ASGIApp] | str, *, drain_seconds: float, **options: Any) -> Server:
    """A server with the WebSocket options the live path relies on. `options` are uvicorn's others."""
    config = Config(
        app,
        ws=LiveProtocol,
        ws_max_size=messages.MAX_FRAME,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        timeout_graceful_shutdown=LAST_SECONDS,
        **options,
    )
    return Server(config, drain_seconds=drain_seconds)


async def drain(hub: Hub, seconds: float, *, hurry: Callable[[], bool] = lambda: False) -> None:
    """Says goodbye to all sockets within `seconds`, at once if `hurry()`. From now on upgrades are refused."""
    hub.draining = True
    left = list(hub.watchers)
    if left:
        log.info("says goodbye", sockets=len(left))
    random.shuffle(left)
    batch = max(1, round(len(left) * STEP_SECONDS / seconds)) if seconds > 0 else len(left)
    spread = 1000 * max(SPREAD_SECONDS, seconds)
    while left:
        going, left = left[:batch], left[batch:]
        for watcher in going:
            if watcher.ready:
                watcher.write(messages.bye(SOONEST_MS + round(spread * random.random())))  # noqa: S311 — a jitter
            watcher.wire.close(messages.RESTART, "restart")
        if left and not hurry():
            await asyncio.sleep(STEP_SECONDS)
