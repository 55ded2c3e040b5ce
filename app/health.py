"""What supervisors and load balancers ask: is this process alive, and should it be given work."""

import asyncio
from typing import Protocol, cast

from starlette.responses import Response
from starlette.routing import Route

from app import refusal, web
from app.db import statement

READY_SECONDS = 3


class Live(Protocol):
    """What main hands us of the live path."""

    @property
    def deaf(self) -> bool:
        """Redis is not heard: screens are served from Postgres, a little later. No reason to send people away."""

    @property
    def draining(self) -> bool:
        """This process is about to end, and sends its people to others."""


database_answers = statement("database_answers", bool)


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
    except (refusal.Unavailable, TimeoutError):
        return _unready("postgres", "Postgres does not answer.")
    return web.json(
        {"status": "degraded" if watched.deaf else "ok", "postgres": "ok", "redis": "away" if watched.deaf else "ok"}
    )


def _unready(reason: str, sentence: str) -> Response:
    error = refusal.Unavailable(sentence, reason=reason)
    return web.json(error.as_json(), error.status, {"Retry-After": str(error.retry_after)})


routes = [Route("/health/live", live), Route("/health/ready", ready)]
