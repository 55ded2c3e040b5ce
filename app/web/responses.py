"""Responses: JSON, pages, static files."""

import functools
import gzip
import hashlib
import re
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jinja2
import orjson
from jinja2.filters import do_xmlattr
from jinja2.nodes import EvalContext
from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from app import formatting, limits, wire
from app.web.parsing import is_form
from app.web.state import PerRequest, Request


def json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response that nothing caches, unless `headers` override Cache-Control."""
    return Response(
        orjson.dumps(content),
        status,
        {"Cache-Control": "no-store", **(headers or {})},
        media_type="application/json",
    )


def done(request: Request, content: Any, *, status: int = 200, redirect_to: str) -> Response:
    """The response to a changing call: JSON, or for a form a 303 to the page `redirect_to`."""
    if is_form(request):
        return RedirectResponse(redirect_to, HTTPStatus.SEE_OTHER)
    return Response(status_code=204) if status == 204 else json(content, status)


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
    """A page. Templates see `account`, `refusal` (to show on the page), `form_fields`
    (as entered), `path`, `here`, `site_mode`, `site_url` and `now`."""
    state: PerRequest = request.scope["state"]  # the dict behind request.state
    text = (
        state["templates"]
        .get_template(template)
        .render(
            account=state.get("account"),
            refusal=state.get("refusal"),
            form_fields=state.get("form_fields", {}),
            path=request.url.path,
            here=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            site_mode=state["settings"].site_mode,
            site_url=state["settings"].site_url,
            now=state["now"](),
            **context,
        )
    )
    body, headers = text.encode(), {"Cache-Control": "no-store", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        # Level 5 takes a third more time for 3 % fewer bytes.
        body, headers["Content-Encoding"] = gzip.compress(body, 4, mtime=0), "gzip"
    return Response(body, status, headers, media_type="text/html")


@functools.cache  # compiling the templates of a page takes longer than drawing it
def templates(folder: Path) -> jinja2.Environment:
    """Every template sees `formatting` and `wire` (the modules), `static(name)`, a file's URL with
    a hash of its content, and `new_key()`, an Idempotency-Key for a form."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["xmlattr"] = _attributes
    # For `tojson`, which escapes what HTML would end a script with.
    environment.policies["json.dumps_function"] = _dumps
    environment.policies["json.dumps_kwargs"] = {}
    files = folder.parent / "static"
    environment.globals |= {"formatting": formatting, "wire": wire}
    environment.globals["new_key"] = lambda: secrets.token_urlsafe(12)
    environment.globals["static"] = lambda name: f"/static/{name}?{_version(files / name)}"
    return environment


@jinja2.pass_eval_context
def _attributes(context: EvalContext, attributes: Mapping[str, Any]) -> str:
    """Jinja's xmlattr with valid boolean attributes: True is an empty value, False is none."""
    values = {name: "" if value is True else value for name, value in attributes.items()}
    present = {name: value for name, value in values.items() if value is not False}
    return do_xmlattr(context, present)


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


_IMPORT = re.compile(rb'((?:from|import)\s*\(?\s*"\./)([\w.]+)"')


@functools.cache
def _content(file: Path) -> bytes:
    """A static file. The modules that a module imports get their URLs from `static()`, so that the
    browser need not revalidate a dozen of them for each page. Vendored modules stay as they are."""
    content = file.read_bytes()
    if file.suffix != ".js" or file.parent.name != "static":
        return content
    return _IMPORT.sub(
        lambda match: (
            b'%s%s?%s"' % (match[1], match[2], _version(file.with_name(match[2].decode())).encode())
        ),
        content,
    )


@functools.cache
def _version(file: Path) -> str:
    return hashlib.sha256(_content(file)).hexdigest()[:12]


class _Files(StaticFiles):
    """URLs from `static()` are cached forever; others are revalidated by their ETag. Any site may
    load the modules of /embed.js."""

    def file_response(
        self, full_path: Any, stat_result: Any, scope: Scope, status_code: int = 200
    ) -> Response:
        file = Path(full_path)
        if file.suffix == ".js":
            etag = {"ETag": f'"{_version(file)}"'}
            response = Response(_content(file), status_code, etag, media_type="text/javascript")
            if self.is_not_modified(response.headers, Headers(scope=scope)):
                response = NotModifiedResponse(response.headers)
        else:
            response = super().file_response(full_path, stat_result, scope, status_code)
        is_current = scope["query_string"] == _version(file).encode()  # not so during an upgrade
        response.headers["Cache-Control"] = (
            "max-age=31536000, immutable" if is_current else "no-cache"
        )
        response.headers["Access-Control-Allow-Origin"] = "*"
        return response


def static_files(folder: Path) -> ASGIApp:
    """Serves app/static, with gzip for clients that accept it."""
    files = GZipMiddleware(_Files(directory=folder), compresslevel=5)

    async def counted(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["limiter"].count_here("file", limits.address(HTTPConnection(scope)))
        await files(scope, receive, send)

    return counted


def local_path(path: str | None, default: str = "/") -> str:
    """`path` if it is a path of this site, else `default`. Prevents open redirects."""
    if (
        not path
        or not path.startswith("/")
        or path.startswith(("//", "/\\"))
        or any(ord(c) < 32 or c == "\\" for c in path)
    ):
        return default
    return path
