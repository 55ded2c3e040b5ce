"""Middleware: bounds on the size and duration of a request body, the `_method` of forms, and
security headers."""

import asyncio
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import refusal
from app.web.parsing import SAFE, has_form_content_type
from app.web.responses import json

MAX_BODY = 256 * 1024
# A slower upload is an attack or a dead client. app/web/http_protocol.py bounds everything else.
BODY_SECONDS = 18


class RequestBody:
    """Bounds a request body (413), and lets a form's `_method` stand for PUT, PATCH and DELETE."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in SAFE:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        body = b""
        too_large = (
            int(length) > MAX_BODY
            if (length := headers.get("content-length", "")).isdigit()
            else False
        )
        more = not too_large
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > MAX_BODY:
                        too_large, more = True, False
        except TimeoutError:
            await _closing(refusal.TooSlow())(scope, receive, send)
            return
        if too_large:
            await _closing(refusal.PayloadTooLarge())(scope, receive, send)
            return
        if scope["method"] == "POST" and has_form_content_type(headers):
            method = dict(parse_qsl(body.decode(errors="replace"))).get("_method", "").upper()
            if method in {"PUT", "PATCH", "DELETE"}:
                scope = dict(scope) | {"method": method}
        sent = False

        async def replay() -> Message:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)


def _closing(error: refusal.Refusal) -> Response:
    return json(error.as_json(), error.status, {"Connection": "close"})


SECURITY_HEADERS = (
    (
        b"content-security-policy",
        (
            b"default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; "
            b"form-action 'self'"
        ),
    ),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
)


class SecurityHeaders:
    """Adds SECURITY_HEADERS to every response, except those that it has set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                missing = [header for header in SECURITY_HEADERS if header[0] not in present]
                message["headers"] = [*message["headers"], *missing]
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)
