"""What supervisors, load balancers and monitoring ask: is this process alive, should it be given work, and how is it doing."""

import asyncio
import hmac
import os
import socket
from contextlib import suppress
from typing import Literal, Protocol, cast

from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from starlette.responses import Response
from starlette.routing import Route

from app import refusal, web
from app.db import Pool, faults
from app.statements import statement

READY_SECONDS = 3

# Processes that share a port answer in turn, and each has counters of its own.
_ANSWERED_BY = Gauge("web_process", "The process that answered; its counters only.", ["host", "pid"])


class Live(Protocol):
    """What main hands us of the live path."""

    @property
    def status(self) -> Literal["connected", "degraded", "disconnected"]:
        """Whether changes are received as they happen. `degraded`: no process receives them; screens are served from Postgres,
        a little later, and work goes on. `disconnected`: only this process receives nothing, so others serve screens better."""

    async def check_postgres(self) -> None:
        """Raises Unavailable where the live path cannot be served from Postgres."""

    @property
    def draining(self) -> bool:
        """This process is about to end, and sends its people to others."""


write_temporarily = statement("write_temporarily", int)


@web.public
async def live(_: web.Request) -> Response:
    """This process runs and answers; nothing else is asked."""
    return web.json({"status": "ok"})


@web.public
async def ready(request: web.Request) -> Response:
    """Whether this process should be given work: 503 with the reason when it should not."""
    watched = cast("Live", cast("dict[str, object]", request.state)["live"])
    if watched.draining:
        return _unready("draining", "This process is about to end.")
    try:
        async with asyncio.timeout(READY_SECONDS):
            # On the live path's connections: requests that wait for a locked calendar may hold all others.
            await watched.check_postgres()
            postgres = "ok" if await _disk_has_room(request.state["pool"]) else "disk_full"
    except (refusal.Unavailable, TimeoutError):
        return _unready("postgres", "Postgres does not answer.")
    if watched.status == "disconnected":
        return _unready("live", "This process does not receive changes.")
    status = "ok" if (postgres, watched.status) == ("ok", "connected") else "degraded"
    return web.json({"status": status, "postgres": postgres, "live": watched.status})


async def _disk_has_room(pool: Pool) -> bool:
    """False while Postgres's disk is full. Looked at only after a request met that, since looking is a write. Pages can still be
    read then, and other processes could not write either, so this process stays ready."""
    if faults.disk_full:
        with suppress(refusal.Unavailable):
            await write_temporarily.run(pool)
            faults.disk_full = False
    return not faults.disk_full


def _unready(reason: str, sentence: str) -> Response:
    error = refusal.Unavailable(sentence, reason=reason)
    return web.json(error.as_json(), error.status, {"Retry-After": str(error.retry_after)})


@web.public
async def metrics(request: web.Request) -> Response:
    """This process's counters, for Prometheus. Outside int only with the key: they tell how busy the site is."""
    settings = request.state["settings"]
    key = settings.monitoring_api_key.get_secret_value()
    given = request.headers.get("x-monitoring-api-key", "")
    if settings.site_mode != "int" and not (key and hmac.compare_digest(given.encode(), key.encode())):
        raise refusal.NotAllowed("Metrics require this site’s X-Monitoring-API-Key.")
    _ANSWERED_BY.labels(socket.gethostname(), str(os.getpid())).set(1)
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


routes = [Route("/health/live", live), Route("/health/ready", ready), Route("/metrics", metrics)]
