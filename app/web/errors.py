"""How a refusal is answered: JSON, an error page, or the form's own page again with everything that was typed."""

from http import HTTPStatus
from typing import cast
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.requests import Request as StarletteRequest
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match, Route

from app import refusal
from app.web.parsing import is_form
from app.web.responses import json, local_path, page
from app.web.state import Request


async def render_refusal(request: StarletteRequest, error: Exception) -> Response:
    """The one place where a refusal becomes an answer."""
    assert isinstance(error, refusal.Refusal)
    known = cast(Request, request)
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, refusal.RateLimited | refusal.Unavailable) else {}
    api = request.scope["path"].startswith("/api/")
    if api and not is_form(known):
        return json(error.as_json(), error.status, headers)
    # After a bug the body can no longer be read, and the page it came from may be what is broken.
    form_page = await _form_page(request) if is_form(known) and not isinstance(error, refusal.Broken) else None
    if type(error) is refusal.NotSignedIn:
        return RedirectResponse(f"/login?next={quote(form_page or _here(request), safe='')}", HTTPStatus.SEE_OTHER)
    if form_page is not None:
        response = await _again(known, form_page, error)
    else:
        response = page(known, "refusal.html", status=error.status, error=error)
    response.headers.update(headers)
    return response


def _here(request: StarletteRequest) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


async def _form_page(request: StarletteRequest) -> str | None:
    """The page a form stands on: its `_page` field, else the Referer."""
    stated = dict(parse_qsl((await request.body()).decode(errors="replace"))).get("_page")
    _, _, referer = request.headers.get("referer", "").partition("://")
    _, slash, path = referer.partition("/")
    return local_path(stated or slash + path, "") or None


async def _again(request: Request, form_page: str, error: refusal.Refusal) -> Response:
    """The form's own page, shown anew with the refusal, its status and everything that was typed."""
    target = urlsplit(form_page)
    scope = dict(request.scope) | {
        "method": "GET",
        "path": target.path,
        "raw_path": target.path.encode(),
        "query_string": target.query.encode(),
        "state": dict(request.scope["state"]) | {"refused": error},
        "headers": [(k, v) for k, v in request.scope["headers"] if k not in {b"content-type", b"content-length"}],
    }
    scope.pop("path_params", None)
    scope.pop("endpoint", None)
    for route in request.app.router.routes:
        match, child = route.matches(scope)
        if match is Match.FULL and isinstance(route, Route):  # and not a folder of files
            scope.update(child)
            try:
                response: Response = await scope["endpoint"](StarletteRequest(scope))
            except refusal.Refusal:
                break
            if response.media_type != "text/html":  # no page, so nothing to fill in again
                break
            response.status_code = error.status
            return response
    return page(request, "refusal.html", status=error.status, error=error)
