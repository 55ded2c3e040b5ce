"""Access to every route, and errors that no handler causes."""

import json
from collections.abc import Iterator
from contextlib import AsyncExitStack

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute

from app import openapi
from app.db import Pool
from app.main import build, routes
from app.settings import Settings
from app.web import Call
from tests.conftest import _running

# API calls without a session (docs/api.md).
PUBLIC = {
    "GET /health/live",
    "GET /health/ready",
    "GET /api/catalog/categories",
    "GET /api/catalog/services",
    "GET /api/catalog/areas",
    "GET /api/instructors",
    "GET /api/search/suggestions",
    "GET /api/instructors/{id}",
    "GET /api/public/instructors/{id}/availability",
    "GET /api/public/instructors/{id}/next-available",
    "GET /api/public/feeds/{token}.ics",
    "POST /api/auth/register",
    "POST /api/auth/login",
    "GET /api/openapi.json",
}


def calls() -> Iterator[tuple[str, str, str]]:
    """(method, path, access) of every HTTP route."""
    for route in routes():
        if isinstance(route, Mount | WebSocketRoute):
            continue
        assert isinstance(route, Route)
        for method in sorted((route.methods or set()) - {"HEAD"}):
            yield method, route.path, vars(route.endpoint).get("access", "")


@pytest.mark.parametrize(("method", "path", "access"), [*calls()])
def test_every_route_declares_its_access(method: str, path: str, access: str) -> None:
    assert access, f"{method} {path} has no decorator of app.web"
    if access == "public" and path.startswith(("/api/", "/health/")):
        assert f"{method} {path}" in PUBLIC or method == "OPTIONS"


def test_every_call_is_described() -> None:
    for route in routes():
        path = getattr(route, "path", "")
        methods = getattr(route, "methods", None) or set()
        if path.startswith(("/api/", "/health/")) and methods != {"OPTIONS"}:
            assert isinstance(route, Call), (
                f"{path} is a plain Route. Declare it as app.web.Call, with what it accepts and "
                "returns: the API's description is generated from that."
            )


def test_the_description_has_exactly_the_calls() -> None:
    described = openapi.document([*openapi.calls(routes())])
    operations = {
        f"{method.upper()} {path}" for path, item in described["paths"].items() for method in item
    }
    assert operations == {
        f"{method} {path}"
        for method, path, _ in calls()
        if path.startswith(("/api/", "/health/")) and method != "OPTIONS"
    }
    names = [
        operation["operationId"]
        for item in described["paths"].values()
        for operation in item.values()
    ]
    assert len(set(names)) == len(names)


async def test_permissions_named_by_routes_exist(pool: Pool) -> None:
    named = {access for _, _, access in calls()} - {"public", "visitor", "signed in"}
    permissions = {row["name"] for row in await pool.fetch("select name from permission")}
    assert len(permissions) == 30
    assert named <= permissions


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (m, p)
        for m, p, access in calls()
        if p.startswith("/api/") and access not in {"public", "visitor"}
    ],
)
async def test_without_a_session_every_call_answers_401_before_parsing_the_request(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    answer = await client.request(
        method, path.replace("{", "not-").replace("}", "-one"), content=b"{not json"
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "NOT_SIGNED_IN")


@pytest.mark.parametrize(
    "path", ["/api/nothing", "/api/bookings/", "/nothing", "/instructors/none", "/static/none.css"]
)
async def test_an_unknown_path_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    if path.startswith("/api/"):
        assert answer.json()["code"] == "NOT_FOUND"
    else:
        assert "text/html" in answer.headers["content-type"]


async def test_an_unsupported_method_is_refused_with_the_supported_ones(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.delete("/api/bookings")
    assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize("length_known", [True, False])
async def test_a_body_of_ten_megabytes_is_refused(
    client: httpx.AsyncClient, length_known: bool
) -> None:
    body = json.dumps({"email": "x" * 10_000_000}).encode()

    async def parts() -> object:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    content = body if length_known else parts()
    answer = await client.post("/api/auth/login", content=content)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_an_unhandled_error_reveals_nothing(settings: Settings) -> None:
    async def broken(_: Request) -> Response:
        raise RuntimeError("a secret")

    application = build(settings)
    application.router.routes.insert(0, Route("/api/broken", broken))
    async with AsyncExitStack() as stack:
        transport = httpx.ASGITransport(
            await _running(stack, application), raise_app_exceptions=False
        )
        browser = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://localhost")
        )
        answer = await browser.get("/api/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL_ERROR")
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
