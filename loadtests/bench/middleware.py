"""What all middleware costs: processor time of this process for requests to the application and, as
the floor, straight to its router. Both answer in this process, in turns, without a network, so that
nothing else is measured."""

import gc
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

import orjson
from starlette.applications import Starlette
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.main import build
from loadtests.bench import accounts
from loadtests.bench.report import Result, say
from loadtests.bench.stack import BenchError, Stack
from loadtests.table import percentile

AIM_READ_SECONDS = 30e-6
AIM_BOOKING = 0.10
WARM_UP = 20
READS_A_SAMPLE = 20
# Those of a browser behind a proxy.
HEADERS = [
    (b"host", b"127.0.0.1:8000"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0 Safari"),
    (b"accept", b"*/*"),
    (b"accept-language", b"en-US,en;q=0.9"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"sec-fetch-site", b"same-origin"),
    (b"sec-fetch-mode", b"cors"),
    (b"sec-fetch-dest", b"empty"),
    (b"x-forwarded-for", b"203.0.113.7"),
    (b"x-forwarded-proto", b"https"),
]

# An ASGI application.
App = Callable[..., Awaitable[None]]
Scope = MutableMapping[str, Any]


@dataclass
class Request:
    method: str
    path: str
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""


class Apps:
    """The application with all its middleware, as `serve` runs it, and its router alone."""

    def __init__(self, application: Starlette, state: dict[str, Any]) -> None:
        self._state = state
        self._application = application
        self.whole: Any = ProxyHeadersMiddleware(cast(Any, application), trusted_hosts="127.0.0.1")
        self.router: App = application.router

    async def ask(self, app: App, request: Request) -> int:
        """The status of the response."""
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": request.path,
            "raw_path": request.path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": HEADERS + request.headers,
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8000),
            "state": self._state.copy(),
            "app": self._application,
            "extensions": {},
        }
        status = 0

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": request.body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]

        await app(scope, receive, send)
        return status


async def measure(stack: Stack, *, quick: bool) -> list[Result]:
    samples = 100 if quick else 1_000
    offers = await accounts.instructors(stack.pool, "middleware", 300, first=accounts.today())
    students = await accounts.signed_in(stack, "middleware", 300)
    await stack.pool.execute("analyze")
    application = build(stack.settings)
    async with application.router.lifespan_context(application) as state:
        apps = Apps(application, dict(state or {}))
        # As in a web process (app/web/server.py).
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)
        say("a cached public read, with and without middleware")
        path = f"/api/public/instructors/{offers[0].instructor_id}/availability"
        read, read_floor = await _in_turns(
            apps, 3 * samples, READS_A_SAMPLE, lambda: Request("GET", path, [])
        )
        say("POST /api/bookings, with and without middleware")
        starts = accounts.half_hours(1, 30)
        lessons = (
            (student, offer, start)
            for start in starts
            for student, offer in zip(students, offers, strict=True)
        )

        def booking() -> Request:
            student, offer, start = next(lessons)
            lesson = {
                "service_id": str(offer.service_id),
                "start": start,
                "duration_minutes": 30,
                "location": "12 Main Street",
            }
            body = orjson.dumps(lesson)
            headers = [
                (b"authorization", f"Bearer {student.token}".encode()),
                (b"idempotency-key", uuid.uuid4().hex.encode()),
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
            ]
            return Request("POST", "/api/bookings", headers, body)

        book, book_floor = await _in_turns(apps, samples, 1, booking)
    added = read - read_floor
    share = (book - book_floor) / book_floor
    return [
        Result(
            "all middleware, a cached public read: processor time added",
            f"{added * 1e6:.1f} µs", f"{read_floor * 1e6:.1f} µs (the router alone)",
            f"{read / read_floor:.2f}×", f"≤ {AIM_READ_SECONDS * 1e6:.0f} µs",
            added <= AIM_READ_SECONDS,
        ),
        Result(
            "all middleware, POST /api/bookings: processor time of the process added",
            f"{(book - book_floor) * 1e6:.0f} µs", f"{book_floor * 1e6:.0f} µs (the router alone)",
            f"{share:+.1%}", f"≤ {AIM_BOOKING:.0%}", share <= AIM_BOOKING,
        ),
    ]  # fmt: skip


async def _in_turns(
    apps: Apps, samples: int, requests: int, make: Callable[[], Request]
) -> tuple[float, float]:
    """Seconds of processor time per request, with all middleware and without: medians of samples of
    some requests each, in turns, so that both see the same machine."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for sample in range(2 * (WARM_UP + samples)):
        whole = sample % 2 == 0
        app = apps.whole if whole else apps.router
        prepared = [make() for _ in range(requests)]
        started = time.process_time()
        for request in prepared:
            status = await apps.ask(app, request)
            if status >= HTTPStatus.BAD_REQUEST:
                raise BenchError(f"{request.method} {request.path} was answered {status}.")
        if sample >= 2 * WARM_UP:
            seconds[whole].append((time.process_time() - started) / requests)
    return percentile(seconds[True], 50), percentile(seconds[False], 50)
