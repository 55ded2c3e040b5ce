"""What supervisors, load balancers and monitoring ask: is this process alive, should it be given work, and how is it doing."""

import asyncio
import hmac
from contextlib import suppress
from typing import Literal, Protocol, cast

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response
from starlette.routing import Route

from app import refusal, web
from app.db import Pool, faults, statement

READY_SECONDS = 3


class Live(Protocol):
    """What main hands us of the live path."""

    @property
    def hearing(self) -> Literal["ok", "away", "deaf"]:
        """Whether Redis is heard. `away`: nobody hears it, screens are served from Postgres, a little later, and work goes on.
        `deaf`: it answers and only this process hears nothing, so others serve new screens better."""

    @property
    def draining(self) -> bool:
        """This process is about to end, and sends its people to others."""


database_answers = statement("database_answers", bool)
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
            await database_answers.one(request.state["pool"])
            postgres = "ok" if await _disk_has_room(request.state["pool"]) else "disk_full"
    except (refusal.Unavailable, TimeoutError):
        return _unready("postgres", "Postgres does not answer.")
    if watched.hearing == "deaf":
        return _unready("redis", "This process does not hear Redis.")
    status = "ok" if (postgres, watched.hearing) == ("ok", "ok") else "degraded"
    return web.json({"status": status, "postgres": postgres, "redis": watched.hearing})


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
        raise refusal.NotAllowed("Metrics need the X-Monitoring-API-Key of this site.")
    return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


routes = [Route("/health/live", live), Route("/health/ready", ready), Route("/metrics", metrics)]
