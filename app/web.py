"""Between HTTP and the domains: who is asking and whether they may, what they sent, and answers as JSON or as a page.

Every handler is decorated with who may call it (`may`, `signed_in`, `visitor`, `public`); tests/test_routes.py finds one that is
not. Checks run in the contract's order: 401, 403, then the handler reads the body (422), looks things up (404) and acts (409)."""

import functools
import gzip
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypedDict, TypeVar, cast
from urllib.parse import parse_qsl, quote, urlsplit
from uuid import UUID

import jinja2
import orjson
import pydantic
from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection
from starlette.requests import Request as StarletteRequest
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import refusal, wire, wording
from app.accounts import session
from app.accounts.session import SignedIn
from app.db import Pool
from app.limits import Limiter
from app.settings import Settings

MAX_BODY = 256 * 1024
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})  # these change nothing, and their bodies are not read


class State(TypedDict):
    """What main hands to every request."""

    settings: Settings
    pool: Pool
    poke: Callable[[], None]  # tells relay and worker that something was committed; a bare hint, never awaited
    now: Callable[[], datetime]
    templates: jinja2.Environment
    limiter: Limiter


class PerRequest(State, total=False):
    """Set while a form's refusal is shown on the page it came from."""

    refused: refusal.Refusal
    typed: Mapping[str, str]
    who: SignedIn | None


Request = StarletteRequest[PerRequest]
Handler = Callable[[Request], Awaitable[Response]]
Model = TypeVar("Model", bound=pydantic.BaseModel)


def utc_now() -> datetime:
    return datetime.now(UTC)


# ---- who may


def may(permission: str) -> Callable[[Callable[[Request, SignedIn], Awaitable[Response]]], Handler]:
    """Only accounts with this permission (rules.md lists them)."""

    def decorate(handler: Callable[[Request, SignedIn], Awaitable[Response]]) -> Handler:
        @functools.wraps(handler)
        async def checked(request: Request) -> Response:
            who = await _signed_in(request)
            if permission not in who.permissions:
                raise refusal.NotAllowed
            return _renewed(request, who, await handler(request, who))

        return _access(checked, permission)

    return decorate


def signed_in(handler: Callable[[Request, SignedIn], Awaitable[Response]]) -> Handler:
    """Any account."""

    @functools.wraps(handler)
    async def checked(request: Request) -> Response:
        who = await _signed_in(request)
        return _renewed(request, who, await handler(request, who))

    return _access(checked, "signed in")


def visitor(handler: Callable[[Request, SignedIn | None], Awaitable[Response]]) -> Handler:
    """Anyone, known by name where signed in."""

    @functools.wraps(handler)
    async def checked(request: Request) -> Response:
        who = await session.who(request.state["pool"], token(request), request.state["settings"], now=request.state["now"]())
        _same_site(request)
        request.state["who"] = who
        return _renewed(request, who, await handler(request, who))

    return _access(checked, "visitor")


def public(handler: Handler) -> Handler:
    """Anyone, and it makes no difference who."""
    return _access(handler, "public")


def _access(handler: Handler, who: str) -> Handler:
    """Marks the handler for the test that looks at every route."""
    vars(handler)["access"] = who
    return handler


async def _signed_in(request: Request) -> SignedIn:
    who = await session.who(request.state["pool"], token(request), request.state["settings"], now=request.state["now"]())
    if who is None:
        raise refusal.NotSignedIn
    _same_site(request)
    request.state["who"] = who
    return who


def token(connection: HTTPConnection[Any]) -> str | None:
    """The session token: a bearer token where given, else the cookie."""
    bearer = _bearer(connection)
    return connection.cookies.get("session") if bearer is None else bearer


def _bearer(connection: HTTPConnection[Any]) -> str | None:
    scheme, _, bearer = connection.headers.get("authorization", "").partition(" ")
    return bearer.strip() if scheme.lower() == "bearer" else None


def remember(request: Request, response: Response, session_token: str) -> Response:
    """Gives the browser the session's cookie, for as long as an unused session lives."""
    response.set_cookie("session", session_token, int(session.LIFE.total_seconds()), **_cookie(request))
    return response


def forget(request: Request, response: Response) -> Response:
    """Takes the session's cookie away."""
    response.delete_cookie("session", **_cookie(request))
    return response


def _cookie(request: Request) -> Any:
    return {"path": "/", "httponly": True, "samesite": "Lax", "secure": request.url.scheme == "https"}


def _renewed(request: Request, who: SignedIn | None, response: Response) -> Response:
    """A session renewed by this request takes its cookie along, unless the handler has already given or taken one."""
    if who is not None and who.renewed and _bearer(request) is None and "set-cookie" not in response.headers:
        remember(request, response, request.cookies["session"])
    return response


def _same_site(request: Request) -> None:
    """Refuses a changing request that another site's page may have made a browser send (contract.md, "Who")."""
    if request.method in _SAFE or _bearer(request) is not None:
        return
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        # A browser that says so knows better than the Origin, which names http and https of a host alike.
        trusted = site in {"same-origin", "none"} or _origin_listed(request)
    elif "origin" in request.headers:
        trusted = origin_allowed(request)
    else:
        trusted = "session" not in request.cookies
    if not trusted:
        raise refusal.NotAllowed("This request came from another site, so it was not carried out.")


def origin_allowed(connection: HTTPConnection[Any]) -> bool:
    """Whether the Origin is the request's own host and port, or one of ALLOWED_ORIGINS."""
    _, _, place = connection.headers.get("origin", "").partition("://")
    return _origin_listed(connection) or (bool(place) and place == connection.headers.get("host"))


def _origin_listed(connection: HTTPConnection[Any]) -> bool:
    return connection.headers.get("origin") in connection.state["settings"].allowed_origins


# ---- what was sent


async def read(request: Request, model: type[Model]) -> Model:
    """The body as `model`: JSON, or a form's fields. Raises ValidationError naming the first field at fault, PayloadTooLarge."""
    raw = await request.body()
    if is_form(request):
        fields: Any = form_fields(raw)
        request.state["typed"] = fields
    else:
        try:
            fields = orjson.loads(raw) if raw.strip() else {}
        except orjson.JSONDecodeError as error:
            raise refusal.ValidationError(f"The body is not valid JSON: {error}.") from None
    return check(model, fields)


def check(model: type[Model], fields: Any) -> Model:
    """`fields` as `model`. Raises ValidationError with one sentence and the field it is about."""
    if not isinstance(fields, dict):
        raise refusal.ValidationError("The body must be a JSON object.")
    if _has_nul(fields):
        raise refusal.ValidationError("Text may not contain NUL characters.")
    try:
        return model.model_validate(fields)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or None
        message = first["msg"].removeprefix("Value error, ")
        detail = f"{field}: {message}" if field and not first["msg"].startswith("Value error") else message
        raise refusal.ValidationError(detail if detail.endswith((".", "?", "!")) else f"{detail}.", field=field) from None


def _has_nul(value: Any) -> bool:
    """Postgres cannot store U+0000 in text, so nothing may bring one in."""
    parts = [value]  # a stack of our own: JSON may be nested deeper than Python calls may be
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            parts += (*part.keys(), *part.values())
        elif isinstance(part, list):
            parts += part
        elif isinstance(part, str) and "\x00" in part:
            return True
    return False


def query(request: Request, model: type[Model]) -> Model:
    """The query string as `model`; empty parameters count as left out. Raises ValidationError."""
    return check(model, {name: value for name, value in request.query_params.items() if value != ""})


def path_id(request: Request, name: str = "id") -> UUID:
    """An id in the path. What is not a UUID names nothing: NotFound."""
    try:
        return UUID(request.path_params[name])
    except ValueError:
        raise refusal.NotFound from None


def is_form(request: Request) -> bool:
    """Whether a form was sent: by a changing request, whatever a GET says it brings."""
    return request.method not in _SAFE and _says_form(request.headers)


def _says_form(headers: Headers) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/x-www-form-urlencoded"


def form_fields(raw: bytes) -> dict[str, str]:
    """A form's fields, the last of each name; those that begin with _ are the page's own, and empty ones count as left out."""
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=200)
    except ValueError:
        raise refusal.ValidationError("The form could not be read.") from None
    return {name: value for name, value in pairs if value != "" and not name.startswith("_")}


# ---- answers


def json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer for this caller alone, unless `headers` say who may keep it."""
    return Response(
        orjson.dumps(content), status, {"Cache-Control": "no-store", **(headers or {})}, media_type="application/json"
    )


def done(request: Request, content: Any, *, status: int = 200, see: str) -> Response:
    """The answer to a changing call: JSON, or for a form a 303 to the page `see`."""
    if is_form(request):
        return RedirectResponse(see, HTTPStatus.SEE_OTHER)
    return Response(status_code=204) if status == 204 else json(content, status)


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
    """A page. Templates see `who`, `refused` (the refusal to show), `typed` (what was typed), `path` and `site_mode`."""
    state: PerRequest = request.scope["state"]  # what request.state wraps, and a dict
    text = (
        state["templates"]
        .get_template(template)
        .render(
            who=state.get("who"),
            refused=state.get("refused"),
            typed=state.get("typed", {}),
            path=request.url.path,
            here=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            site_mode=state["settings"].site_mode,
            now=state["now"](),
            **context,
        )
    )
    body, headers = text.encode(), {"Cache-Control": "no-store", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["Content-Encoding"] = gzip.compress(body, 5, mtime=0), "gzip"
    return Response(body, status, headers, media_type="text/html")


def templates(folder: Path) -> jinja2.Environment:
    """Every template sees `words` (app.wording), `wire` (app.wire), and `static(name)`: the address of a file, which changes when
    the file does."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    files = folder.parent / "static"
    environment.globals |= {"words": wording, "wire": wire}
    environment.globals["static"] = functools.cache(
        lambda name: f"/static/{name}?{hashlib.sha256((files / name).read_bytes()).hexdigest()[:12]}"
    )
    return environment


class _Files(StaticFiles):
    """What was asked for by the name that `static()` gave is kept for ever; anything else is asked for again, by its ETag."""

    def file_response(self, full_path: Any, stat_result: Any, scope: Scope, status_code: int = 200) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = "max-age=31536000, immutable" if scope["query_string"] else "no-cache"
        return response


def static_files(folder: Path) -> ASGIApp:
    """Serves app/static, compressed for whoever can read that."""
    return GZipMiddleware(_Files(directory=folder), compresslevel=5)


def local_path(wanted: str | None, default: str = "/") -> str:
    """`wanted` if it is a path of this site, else `default`: what a visitor may be sent on to."""
    if (
        not wanted
        or not wanted.startswith("/")
        or wanted.startswith(("//", "/\\"))
        or any(ord(c) < 32 or c == "\\" for c in wanted)
    ):
        return default
    return wanted


async def render_refusal(request: StarletteRequest, error: Exception) -> Response:
    """The one place where a refusal becomes an answer."""
    assert isinstance(error, refusal.Refusal)
    known = cast(Request, request)
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, refusal.RateLimited | refusal.Unavailable) else {}
    api = request.url.path.startswith("/api/")
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


# ---- around every request


class Body:
    """Bounds what a request may send (413), and lets a form's `_method` stand for PUT, PATCH and DELETE."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _SAFE:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        body = b""
        too_large = int(length) > MAX_BODY if (length := headers.get("content-length", "")).isdigit() else False
        more = not too_large
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > MAX_BODY:
                too_large, more = True, False
        if too_large:
            error = refusal.PayloadTooLarge()
            await json(error.as_json(), error.status, {"Connection": "close"})(scope, receive, send)
            return
        if scope["method"] == "POST" and _says_form(headers):
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


SECURITY_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
    (b"referrer-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
)


class SecurityHeaders:
    """On every answer that does not say otherwise itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(header for header in SECURITY_HEADERS if header[0] not in given)]
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)
