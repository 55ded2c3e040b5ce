"""Answers: JSON, a page, a static file."""

import functools
import gzip
import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jinja2
import orjson
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from app import wire, wording
from app.web.parsing import is_form
from app.web.state import PerRequest, Request


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
            who=state.get("account"),
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
