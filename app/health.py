"""What supervisors, load balancers and monitoring ask: is this process alive, should it be given work, and how is it doing."""

import asyncio
import hmac

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response
from starlette.routing import Route

from app import refusal, web
from app.db import statement

READY_SECONDS = 3

database_answers = statement("database_answers", bool)


@web.public
async def live(_: web.Request) -> Response:
    """This process runs and answers; nothing else is asked."""
    return web.json({"status": "ok"})


@web.public
async def ready(request: web.Request) -> Response:
    """Whether this process can do its work: 503 with the reason when Postgres is away."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            await database_answers.one(request.state["pool"])
    except (refusal.Unavailable, TimeoutError):
        error = refusal.Unavailable("Postgres does not answer.", reason="postgres")
        return web.json(error.as_json(), error.status, {"Retry-After": str(error.retry_after)})
    return web.json({"status": "ok", "postgres": "ok"})


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
