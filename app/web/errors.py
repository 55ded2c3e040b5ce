"""Renders a refusal: as JSON, as an error page, or on the form's page with the entered values."""

from http import HTTPStatus
from typing import cast
from urllib.parse import quote, urlsplit

from starlette.requests import Request as StarletteRequest
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match, Route

from app import refusal
from app.web import security_log
from app.web.parsing import SAFE, internal_field, is_form
from app.web.responses import json, local_path, page
from app.web.state import Request


async def render_refusal(request: StarletteRequest, error: Exception) -> Response:
    """The only place that turns a refusal into a response."""
    assert isinstance(error, refusal.Refusal)
    typed_request = cast(Request, request)
    security_log.record_refusal(request, error)
    headers = {}
    if isinstance(error, refusal.RateLimited | refusal.Unavailable):
        headers["Retry-After"] = str(error.retry_after)
    is_api = request.scope["path"].startswith(("/api/", "/health/"))
    if is_api and not is_form(typed_request):
        return json(error.as_json(), error.status, headers)
    # After a bug the body cannot be read again, and the form's own page may be broken.
    form_page = None
    if is_form(typed_request) and not isinstance(error, refusal.InternalError):
        form_page = await _form_page(typed_request)
    if type(error) is refusal.NotSignedIn:
        # The address of a call is no page.
        next_page = quote(form_page or ("/" if is_api else _current_address(request)), safe="")
        return RedirectResponse(f"/login?next={next_page}", HTTPStatus.SEE_OTHER)
    if isinstance(error, refusal.SecondFactorMissing):
        return RedirectResponse("/account?done=factor-needed#second-factor", HTTPStatus.SEE_OTHER)
    if form_page is not None:
        response = await _render_form(typed_request, form_page, error)
    else:
        response = _refusal_page(typed_request, error)
    response.headers.update(headers)
    return response


def _current_address(request: StarletteRequest) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


async def _form_page(request: Request) -> str | None:
    """The page with the form: its `_page` field, else the Referer, else the one of the call."""
    page_field = await internal_field(request, "_page")
    _, _, referer = request.headers.get("referer", "").partition("://")
    _, slash, path = referer.partition("/")
    default: str = getattr(request.scope.get("route"), "form_page", "")  # of an app.web.Call
    return local_path(page_field or slash + path, default) or None


async def _render_form(request: Request, form_page: str, error: refusal.Refusal) -> Response:
    """The form's page, rendered again with the refusal, its status and the entered values."""
    target = urlsplit(form_page)
    scope = dict(request.scope) | {
        "method": "GET",
        "path": target.path,
        "raw_path": target.path.encode(),
        "query_string": target.query.encode(),
        "state": dict(request.scope["state"]) | {"refusal": error},
        "headers": [
            (k, v)
            for k, v in request.scope["headers"]
            if k not in {b"content-type", b"content-length"}
        ],
    }
    scope.pop("path_params", None)
    scope.pop("endpoint", None)
    for route in request.app.router.routes:
        match, child = route.matches(scope)
        if match is Match.FULL and isinstance(route, Route):  # not the static files
            scope.update(child)
            try:
                response: Response = await scope["endpoint"](StarletteRequest(scope))
            except refusal.Refusal:
                break
            if response.media_type != "text/html":  # there is no form to show again
                break
            response.status_code = error.status
            return response
    return _refusal_page(request, error)


def _refusal_page(request: Request, error: refusal.Refusal) -> Response:
    is_read = request.method in SAFE
    return page(request, "refusal.html", status=error.status, error=error, is_read=is_read)
