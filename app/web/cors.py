"""Responses that any site may read (CORS)."""

import functools
from typing import cast

from starlette.requests import Request as StarletteRequest
from starlette.responses import Response

from app import refusal
from app.web.auth import public
from app.web.errors import render_refusal
from app.web.state import Handler, Request

HEADERS = [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", b"ETag")]


def for_any_site(handler: Handler) -> Handler:
    """A public call whose response any site may read, including refusals."""

    counted = public(handler)

    @functools.wraps(counted)
    async def with_cors(request: Request) -> Response:
        try:
            response = await counted(request)
        except refusal.Refusal as error:
            response = await render_refusal(cast(StarletteRequest, request), error)
        response.raw_headers += HEADERS
        return response

    vars(with_cors)["for_any_site"] = True
    return with_cors


@for_any_site
async def preflight(_: Request) -> Response:
    """Browsers send this before a request with If-None-Match to another site."""
    allowed = {
        "Access-Control-Allow-Methods": "GET",
        "Access-Control-Allow-Headers": "If-None-Match",
        "Access-Control-Max-Age": "86400",
    }
    return Response(status_code=204, headers=allowed)
