"""The application: the only file that knows all the parts. It puts the routes together, and opens and closes what they share."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Mount, Route, WebSocketRoute

import app.accounts.pages
import app.accounts.routes
import app.availability.routes
import app.bookings.pages
import app.bookings.routes
import app.catalog.routes
import app.notifications.routes
import app.search.routes
import realtime.lifespan
from app import db, health, limits, logs, refusal, web
from app.settings import Settings, settings
from realtime import endpoint

log = structlog.get_logger("web")
HERE = Path(__file__).parent


Part = Literal["live", "http"]


def application(only: Part | None = None) -> Starlette:
    """What uvicorn calls to get the application of this process."""
    chosen = settings()
    logs.configure(chosen)
    return build(chosen, only=only)


def build(chosen: Settings, *, only: Part | None = None, now: Callable[[], datetime] = web.utc_now) -> Starlette:
    """The application, or only its part for sockets or for requests, under these settings, with this clock."""
    templates = web.templates(HERE / "templates")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        pool = await db.connect(chosen.database_url.get_secret_value(), size=chosen.database_pool, name="web")
        try:
            async with limits.opened(chosen) as limiter, realtime.lifespan.running(chosen, now=now) as live:
                yield {
                    "settings": chosen,
                    "pool": pool,
                    "wake_up": live.wakeup,
                    "sessions_ended": live.wakeup.sessions_ended,
                    "now": now,
                    "templates": templates,
                    "limiter": limiter,
                    "live": live,
                    "seats": endpoint.Seats(chosen),
                }
        finally:
            await db.close(pool)

    application = Starlette(
        routes=routes(only),
        lifespan=lifespan,
        middleware=[Middleware(web.SecurityHeaders), Middleware(web.Body)],
        exception_handlers={
            refusal.Refusal: web.render_refusal,
            HTTPException: _http_exception,
            Exception: _bug,
        },
    )
    # Else `/api/bookings/` would be sent on, by a Host that anybody may claim, before it is known who asks.
    application.router.redirect_slashes = False
    return application


def routes(only: Part | None = None) -> list[BaseRoute]:
    sockets = [WebSocketRoute("/live", endpoint.live), WebSocketRoute("/live/public", endpoint.live_public)]
    if only == "live":
        return [*health.routes, *sockets]
    if only == "http":
        sockets = []
    return [
        # Starlette tries routes in this order, and a rush is one of these.
        *app.bookings.routes.routes,
        *health.routes,
        *app.accounts.routes.routes,
        *app.catalog.routes.routes,
        *app.search.routes.routes,
        *app.availability.routes.routes,
        *app.accounts.pages.routes,
        *app.bookings.pages.routes,
        *app.notifications.routes.routes,
        *sockets,
        Mount("/static", web.static_files(HERE / "static"), name="static"),
    ]


async def _http_exception(request: Request, error: Exception) -> Response:
    """Starlette's own 404 and 405, in our words."""
    assert isinstance(error, HTTPException)
    meant = {404: refusal.NotFound, 405: refusal.MethodNotAllowed}.get(error.status_code, refusal.ValidationError)
    response = await web.render_refusal(request, meant())
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # Each method has a route of its own, and Starlette names only the first one's.
        response.headers["Allow"] = ", ".join(sorted(_methods(request)))
    return response


def _methods(request: Request) -> set[str]:
    """What the address of this request may be called with."""
    matching = (
        route for route in request.app.routes if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
    )
    return set().union(*(route.methods or set() for route in matching))


async def _bug(request: Request, error: Exception) -> Response:
    """A fault of ours: logged with its traceback by Starlette's caller, and said plainly to the person."""
    log.error("bug", path=request.url.path, method=request.method, exc_info=error)
    response = await web.render_refusal(request, refusal.Broken())
    # This answer is made outside the middleware that adds them to the others.
    response.raw_headers.extend(web.SECURITY_HEADERS)
    return response
