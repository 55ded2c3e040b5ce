"""The application, and the only file that knows all its parts. It assembles the routes, and opens
and closes the resources that they share."""

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal, cast
from uuid import UUID

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Mount, Route, WebSocketRoute

import app.accounts.account_routes
import app.accounts.routes
import app.accounts.staff_routes
import app.availability.blackout_routes
import app.availability.day_routes
import app.availability.public_routes
import app.availability.routes
import app.bookings.calendar_routes
import app.bookings.hold_routes
import app.bookings.routes
import app.bookings.staff_routes
import app.catalog.routes
import app.monitoring_routes
import app.notifications.routes
import app.pages.routes
import app.privacy.routes
import app.search.routes
import realtime.lifespan
from app import db, health, limits, logs, maintenance, monitoring, openapi, refusal, web
from app.availability import public
from app.availability.board_cache import BoardCache
from app.availability.public_cache import PublicCache
from app.search import history, visitor
from app.settings import Settings
from app.settings import settings as read_settings
from app.statements import slow_log
from app.write_behind import WriteBehind
from realtime import endpoint

log = structlog.get_logger("web")
HERE = Path(__file__).parent


Part = Literal["live", "http"]


def application(only: Part | None = None) -> Starlette:
    """Called by uvicorn: the application of this process."""
    configuration = read_settings()
    logs.configure(configuration)
    return build(configuration, only=only)


def build(
    settings: Settings, *, only: Part | None = None, now: Callable[[], datetime] = web.utc_now
) -> Starlette:
    """The application, or its WebSocket or HTTP part alone, with these settings and this clock."""
    slow_log.configure(settings.slow_query_ms)
    templates = web.templates(HERE / "templates")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        dsn = settings.database_url.get_secret_value()
        pool = await db.connect(dsn, size=settings.database_pool, name="web")
        db.observe(pool, "web")
        cache = PublicCache(settings.public_availability_cache_ttl)

        write_behind = WriteBehind(pool)

        def signed_in(connection: HTTPConnection[Any], account_id: UUID) -> None:
            if guest_id := visitor.guest(connection):
                history.adopt(write_behind, guest_id, account_id)

        def booked(account_id: UUID, instructor_id: UUID) -> None:
            history.record_booking(write_behind, account_id, instructor_id, now=now())

        async def keep_warm() -> None:
            await public.keep_warm(pool, cache, settings, now=now)

        def wake_up(*calendars: UUID) -> None:
            # Before the response, so that this process never gives an answer that is older than its
            # own write.
            for instructor_id in calendars:
                cache.changed(str(instructor_id))
                live.hub.written(str(instructor_id))
            live.wakeup()

        try:
            if settings.site_mode != "int":
                await maintenance.raise_site_mode(pool, settings.site_mode)
            async with (
                limits.open_limiter(settings) as limiter,
                monitoring.open_monitor(settings) as monitor,
                realtime.lifespan.running(
                    settings,
                    now=now,
                    public_cache=cache,
                    tasks={"public answers": keep_warm, "write behind": write_behind.run},
                ) as live,
            ):
                yield {
                    "settings": settings,
                    "pool": pool,
                    "public_cache": cache,
                    "boards": BoardCache(),
                    "wake_up": wake_up,
                    "sessions_ended": live.wakeup.sessions_ended,
                    "signed_in": signed_in,
                    "booked": booked,
                    "write_behind": write_behind,
                    "now": now,
                    "templates": templates,
                    "limiter": limiter,
                    "monitor": monitor,
                    "live": live,
                    "seats": endpoint.Seats(settings),
                }
                await write_behind.flush()
        finally:
            await db.close(pool)

    application = Starlette(
        routes=routes(only),
        lifespan=lifespan,
        middleware=[
            Middleware(web.RequestMetrics),
            Middleware(web.SecurityHeaders, settings),
            Middleware(web.AllowedHosts, settings),
            Middleware(web.RequestBody),
        ],
        exception_handlers={
            refusal.Refusal: web.render_refusal,
            HTTPException: _http_exception,
            Exception: _unhandled_error,
        },
    )
    # Starlette would redirect `/api/bookings/` before authentication, to any Host in the request.
    application.router.redirect_slashes = False
    return application


def routes(only: Part | None = None) -> list[BaseRoute]:
    sockets = [
        WebSocketRoute("/live", endpoint.live),
        WebSocketRoute("/live/public", endpoint.live_public),
    ]
    if only == "live":
        return [*health.routes, *sockets]
    if only == "http":
        sockets = []
    return [
        # Starlette tries routes in this order; bookings are the busiest in a rush. For a cached
        # public answer, finding a later route would take longer than everything else.
        *app.availability.public_routes.routes,
        *app.bookings.routes.routes,
        *app.bookings.hold_routes.routes,
        *app.bookings.calendar_routes.routes,
        *health.routes,
        *app.accounts.routes.routes,
        *app.accounts.account_routes.routes,
        *app.accounts.staff_routes.routes,
        *app.bookings.staff_routes.routes,
        *app.catalog.routes.routes,
        *app.search.routes.routes,
        *app.availability.routes.routes,
        *app.availability.day_routes.routes,
        *app.availability.blackout_routes.routes,
        *app.notifications.routes.routes,
        *app.monitoring_routes.routes,
        *app.privacy.routes.routes,
        *openapi.routes,
        *app.pages.routes.routes,
        *sockets,
        Mount("/static", web.static_files(HERE / "static"), name="static"),
    ]


async def _http_exception(request: Request, error: Exception) -> Response:
    """Renders Starlette's own 404 and 405 as refusals."""
    assert isinstance(error, HTTPException)
    refusals = {404: refusal.NotFound, 405: refusal.MethodNotAllowed}
    refusal_type = refusals.get(error.status_code, refusal.ValidationError)
    if not request.url.path.startswith("/api/"):
        with contextlib.suppress(refusal.Refusal):
            await web.identify(cast(web.Request, request))  # for the page's header
    response = await web.render_refusal(request, refusal_type())
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # Each method has its own route, and Starlette names the first route's only.
        response.headers["Allow"] = ", ".join(sorted(_methods(request)))
    return response


def _methods(request: Request) -> set[str]:
    """The methods that this path supports."""
    matching = (
        route
        for route in request.app.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
    )
    return set().union(*(route.methods or set() for route in matching))


async def _unhandled_error(request: Request, error: Exception) -> Response:
    """Logs a bug with its traceback and answers 500."""
    log.error("unhandled_error", path=request.url.path, method=request.method, exc_info=error)
    response = await web.render_refusal(request, refusal.InternalError())
    # Starlette sends this response outside the middleware that adds these headers.
    response.raw_headers.extend(web.security_headers(request.state["settings"]))
    return response
