"""What supervisors and load balancers ask: is this process alive, and should it be given work."""

import asyncio

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


routes = [Route("/health/live", live), Route("/health/ready", ready)]
