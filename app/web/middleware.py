"""Middleware: the hosts that requests may name, bounds on the size and duration of a request body,
the `_method` of forms, and security headers."""

import asyncio
import ipaddress
import re
import time
from functools import lru_cache
from urllib.parse import parse_qsl

from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from app import refusal
from app.settings import DEFAULT_PORTS, Settings
from app.web.parsing import SAFE, has_form_content_type
from app.web.responses import json

MAX_BODY = 256 * 1024
MAX_FORM = 32 * 1024
# A slower upload is an attack or a dead client. app/web/http_protocol.py bounds everything else.
BODY_SECONDS = 18


class RequestBody:
    """Bounds a request body (413), and lets a form's `_method` stand for PUT, PATCH and DELETE. A
    JSON body that is too large is refused once the handler reads it, so 401 and 403 come first."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in SAFE:
            await self.app(scope, receive, send)
            return
        is_form, length = _framing(scope)
        limit = MAX_FORM if is_form else MAX_BODY
        body = b""
        too_large = length > limit
        if not too_large:
            # Most bodies arrive in one part. The server limits how long the first one takes.
            message = await receive()
            try:
                if message.get("more_body", False):
                    async with asyncio.timeout(BODY_SECONDS):
                        while message.get("more_body", False) and len(body) <= limit:
                            body += message.get("body", b"")
                            message = await receive()
            except TimeoutError:
                await _closing(refusal.TooSlow())(scope, receive, send)
                return
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            too_large = len(body) > limit
        if too_large:
            error = refusal.PayloadTooLarge(
                f"The request is too large. The limit is {limit >> 10} kB."
            )
            if is_form:  # its page cannot be rendered without it
                await _closing(error)(scope, receive, send)
            else:
                await self.app(scope, _raising(error), _closing_send(send))
            return
        if scope["method"] == "POST" and is_form:
            method = dict(parse_qsl(body.decode(errors="replace"))).get("_method", "").upper()
            if method in {"PUT", "PATCH", "DELETE"}:
                scope["method"] = method
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)


def _framing(scope: Scope) -> tuple[bool, int]:
    """Whether the body is a form, and the length that its header states, or 0."""
    is_form, length = False, 0
    for name, value in scope["headers"]:
        if name == b"content-type":
            is_form = has_form_content_type(Headers(raw=[(name, value)]))
        elif name == b"content-length" and value.isdigit() and len(value) < 20:
            length = int(value)
    return is_form, length


def _raising(error: refusal.Refusal) -> Receive:
    async def receive() -> Message:
        raise error

    return receive


def _closing_send(send: Send) -> Send:
    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        await send(message)

    return closing


def _closing(error: refusal.Refusal) -> Response:
    return json(error.as_json(), error.status, {"Connection": "close"})


UNUSED_FEATURES = (
    "accelerometer",
    "camera",
    "geolocation",
    "gyroscope",
    "magnetometer",
    "microphone",
    "payment",
    "usb",
)


def security_headers(settings: Settings) -> list[tuple[bytes, bytes]]:
    """The headers of every response. What depends on TLS follows from SITE_URL."""
    # Older Safari does not count the site's sockets as 'self'.
    sockets = "ws" + settings.site_url.removeprefix("http")
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"font-src 'self'; connect-src 'self' {sockets}; manifest-src 'self'; frame-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    features = ", ".join(f"{feature}=()" for feature in UNUSED_FEATURES)
    headers = [
        (b"content-security-policy", policy.encode()),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"permissions-policy", features.encode()),
        # A stricter one makes browsers send `Origin: null` with forms.
        (b"referrer-policy", b"same-origin"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
    ]
    if settings.secure:
        headers.append((b"strict-transport-security", b"max-age=31536000"))
    return headers


_REQUESTS = Counter("http_requests", "Responses.", ["method", "route", "status"])
_REQUEST_SECONDS = Histogram(
    "http_request_seconds",
    "Time from a whole request to its response.",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})


class RequestMetrics:
    """Counts and times every response, by the template of its route."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        # The metrics of a route, method and status: looking up labels takes longer than counting.
        self._children: dict[tuple[int, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500  # of an exception, which the server's own middleware answers

        async def with_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, with_status)
        finally:
            key = id(scope.get("route")), scope["method"], status
            requests, seconds = self._children.get(key) or self._new_children(scope, key)
            requests.inc()
            seconds.observe(time.perf_counter() - started)

    def _new_children(self, scope: Scope, key: tuple[int, str, int]) -> tuple[Counter, Histogram]:
        _, method, status = key
        name = method if method in _METHODS else "other"
        route = getattr(scope.get("route"), "path", "none")
        children = _REQUESTS.labels(name, route, str(status)), _REQUEST_SECONDS.labels(name, route)
        if name == method:  # a client may send any method
            self._children[key] = children
        return children


class SecurityHeaders:
    """Adds security_headers() to every response, except those that it has set itself. A response
    that any site may read (CORS) may also be loaded by any site."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._headers = security_headers(settings)
        self._names = frozenset(name for name, _ in self._headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = self._complete(message["headers"])
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)

    def _complete(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        present = {name for name, _ in headers}
        if b"access-control-allow-origin" in present:
            headers = [*headers, (b"cross-origin-resource-policy", b"cross-origin")]
            present.add(b"cross-origin-resource-policy")
        if self._names.isdisjoint(present):
            return [*headers, *self._headers]
        return [*headers, *(header for header in self._headers if header[0] not in present)]


class AllowedHosts:
    """Refuses requests to any other Host than those of SITE_URL and ALLOWED_HOSTS: a page that
    points its own name at this machine (DNS rebinding) gets nothing. In int, every loopback name is
    allowed. Supervisors and monitoring reach a process by its address."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._loopback = settings.site_mode == "int"
        scheme, _, own = settings.site_url.partition("://")
        self._allowed = frozenset(host.encode() for host in (own, *settings.allowed_hosts))
        # With and without the default port.
        port = DEFAULT_PORTS[scheme].encode()
        self._allowed |= {host + port for host in self._allowed if not _PORT.search(host)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._is_allowed(scope):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            socket = WebSocket(scope, receive, send)
            await socket.send_denial_response(_closing(refusal.WrongHost()))
        else:
            await _closing(refusal.WrongHost())(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        for name, value in scope["headers"]:
            if name == b"host":
                if value in self._allowed or value.lower() in self._allowed:
                    return True
                if self._loopback and _is_loopback(value):
                    return True
                break
        path: str = scope["path"]
        return path == "/metrics" or path.startswith("/health/")


_PORT = re.compile(rb":\d*$")


@lru_cache(1_000)  # parsing an address takes longer than all else in this file
def _is_loopback(host: bytes) -> bool:
    name = _PORT.sub(b"", host).decode("latin-1").lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False
