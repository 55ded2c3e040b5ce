"""Health and metrics, for supervisors, load balancers and monitoring."""

import asyncio
import hmac
import os
import socket
from contextlib import suppress
from typing import Literal, Protocol, cast

from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from starlette.responses import Response
from starlette.routing import Route
from typing_extensions import TypedDict

from app import db, monitoring, refusal, web
from app.db import Pool, faults
from app.statements import statement
from app.web import Call

READY_SECONDS = 3

# Processes that share a port have separate metrics, and any of them may respond.
_PROCESS = Gauge(
    "web_process", "The process that responded; all metrics are its own.", ["host", "pid"]
)


class Live(Protocol):
    """The part of the live path that readiness depends on."""

    @property
    def status(self) -> Literal["connected", "degraded", "disconnected"]:
        """`connected`: changes arrive as they happen. `degraded`: no process receives them; screens
        are updated from Postgres, a little later. `disconnected`: only this process receives none,
        so other processes serve screens better."""

    async def check_postgres(self) -> None:
        """Raises Unavailable if the live path cannot read from Postgres."""

    @property
    def draining(self) -> bool:
        """Whether this process is shutting down and moving its clients to others."""


write_temporarily = statement("write_temporarily", int)


@web.public
@web.rate_class("operations")
async def live(_: web.Request) -> Response:
    """Whether this process responds; checks nothing else."""
    return web.json({"status": "ok"})


@web.public
@web.rate_class("operations")
async def ready(request: web.Request) -> Response:
    """Whether this process should get requests: 503 with the reason if not."""
    live_path = cast("Live", cast("dict[str, object]", request.state)["live"])
    if live_path.draining:
        return _unready("draining", "This process is about to end.")
    pool = request.state["pool"]
    try:
        async with asyncio.timeout(READY_SECONDS):
            # Uses the live path's connections: requests on a locked calendar may hold all others.
            await live_path.check_postgres()
            if await db.is_exhausted(pool, seconds=READY_SECONDS - 1):
                return _unready("pool", "All database connections of this process are in use.")
            if await request.state["monitor"].lacks_migrations(pool):
                return _unready("migrations", "The database lacks migrations of this version.")
            postgres = "ok" if await _disk_has_room(pool) else "disk_full"
    except (refusal.Unavailable, TimeoutError):
        return _unready("postgres", "Postgres does not answer.")
    if live_path.status == "disconnected":
        return _unready("live", "This process does not receive changes.")
    status = "ok" if (postgres, live_path.status) == ("ok", "connected") else "degraded"
    return web.json({"status": status, "postgres": postgres, "live": live_path.status})


async def _disk_has_room(pool: Pool) -> bool:
    """False while Postgres's disk is full. The check is a write, so it runs only after a request
    has failed because of a full disk. The process stays ready: reads still work, and no other
    process could write either."""
    if faults.disk_full:
        with suppress(refusal.Unavailable):
            await write_temporarily.run(pool)
            faults.disk_full = False
    return not faults.disk_full


def _unready(reason: str, sentence: str) -> Response:
    error = refusal.Unavailable(sentence, reason=reason)
    return web.json(error.as_json(), error.status, {"Retry-After": str(error.retry_after)})


@web.public
@web.rate_class("operations")
async def metrics(request: web.Request) -> Response:
    """This process's metrics for Prometheus. Outside int they require the key, since they reveal
    how busy the site is."""
    settings = request.state["settings"]
    key = settings.monitoring_api_key.get_secret_value()
    # Prometheus sends a key of its configuration as a bearer token.
    header = request.headers.get("x-monitoring-api-key", "") or web.bearer(request) or ""
    is_valid = bool(key) and hmac.compare_digest(header.encode(), key.encode())
    if settings.site_mode != "int" and not is_valid:
        raise refusal.NotAllowed("Metrics require this site’s X-Monitoring-API-Key.")
    state = request.state
    await monitoring.refresh_metrics(state["pool"], state["monitor"], now=state["now"]())
    _PROCESS.labels(socket.gethostname(), str(os.getpid())).set(1)
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


class LiveJson(TypedDict):
    status: str


class ReadyJson(TypedDict):
    status: Literal["ok", "degraded"]
    postgres: Literal["ok", "disk_full"]
    live: Literal["connected", "degraded"]


class NotReady(TypedDict):
    """`reason`: what is missing."""

    reason: str


routes = [
    Call(
        "GET",
        "/health/live",
        live,
        "Whether this process responds",
        returns=LiveJson,
        refusals=(refusal.RateLimited,),
    ),
    Call(
        "GET",
        "/health/ready",
        ready,
        "Whether this process should get requests",
        returns=ReadyJson,
        refusals=(refusal.RateLimited, (refusal.Unavailable, NotReady)),
    ),
    Route("/metrics", metrics),
]
