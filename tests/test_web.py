"""Invalid requests and private responses, which the web layer handles."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import cast

import httpx
import pytest

from app import web
from app.db import Pool
from app.main import HERE
from app.settings import Settings
from app.web import middleware
from tests import factories

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def ben(client: httpx.AsyncClient, pool: Pool, settings: Settings) -> httpx.AsyncClient:
    """Ben's browser."""
    account = await factories.student(pool, "Ben")
    client.headers["Cookie"] = f"session={await factories.token_of(pool, account.id, settings)}"
    client.headers["Sec-Fetch-Site"] = "same-origin"
    return client


@pytest.mark.parametrize(
    "body", ['{"email":' + "[" * 1000 + "]" * 1000 + "}", '{"email":' * 1000 + "1" + "}" * 1000]
)
async def test_deeply_nested_json_is_a_validation_error(
    client: httpx.AsyncClient, body: str
) -> None:
    answer = await client.post("/api/auth/login", content=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_ERROR")


async def test_a_null_character_in_a_search_is_ignored(client: httpx.AsyncClient) -> None:
    for name in ("q", "category", "service", "words", "cursor", "date", "min_price"):
        answer = await client.get(f"/search?{name}=%00")
        assert answer.status_code == 200, name


@pytest.mark.parametrize(
    "origin", ["http://[", "http://[::1", "//", "null", "http://", "http://\u2100"]
)
async def test_an_invalid_origin_is_refused_like_a_foreign_one(
    ben: httpx.AsyncClient, origin: str
) -> None:
    del ben.headers["Sec-Fetch-Site"]
    answer = await ben.post("/api/auth/logout", headers={b"Origin": origin.encode()})
    assert (answer.status_code, answer.json()["code"]) == (403, "NOT_ALLOWED")


@pytest.mark.parametrize(
    "referer", ["http://[", "https://", "/", "x", "http://127.0.0.1:8000//evil.example/"]
)
async def test_a_refused_form_without_a_valid_referer_gets_an_error_page(
    ben: httpx.AsyncClient, referer: str
) -> None:
    answer = await ben.post("/api/bookings", data={"note": "x"}, headers={"Referer": referer})
    assert answer.status_code == 422
    assert "service_id: Field required" in answer.text


async def test_a_form_without_a_session_leads_through_sign_in_to_a_page(
    client: httpx.AsyncClient,
) -> None:
    for page, target in (({}, "%2F"), ({"_page": "/services?q=x"}, "%2Fservices%3Fq%3Dx")):
        answer = await client.post("/api/holds", data={"note": "x", **page})
        assert answer.status_code == 303
        assert answer.headers["location"] == f"/login?next={target}"


@pytest.mark.parametrize(
    "path",
    [
        "/static/app.css",
        "/static/",
        "/live",
        "/api/auth/me",
        "/health/live",
        "/nowhere",
        "//evil.example",
        "/[",
    ],
)
async def test_a_refused_form_is_shown_again_on_pages_only(
    ben: httpx.AsyncClient, path: str
) -> None:
    answer = await ben.post("/api/bookings", data={"_page": path})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "text/html; charset=utf-8")
    assert "service_id: Field required" in answer.text
    assert "ben@example.com" not in answer.text


async def test_the_content_type_of_a_form_is_case_insensitive(ben: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "Application/X-WWW-Form-Urlencoded; charset=UTF-8"}
    answer = await ben.post("/api/auth/sessions/none", content="_method=delete", headers=headers)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


async def test_a_get_request_is_never_a_form(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/auth/me", headers=FORM)
    assert (answer.status_code, answer.json()["code"]) == (401, "NOT_SIGNED_IN")


async def test_the_body_of_a_safe_request_is_not_read(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    answer = await client.request("OPTIONS", "/login", content=endless(), headers=FORM)
    assert answer.status_code == 405


async def test_private_responses_are_not_cached(ben: httpx.AsyncClient) -> None:
    for path in ("/api/auth/me", "/api/bookings", "/api/instructors/me", "/lessons"):
        assert (await ben.get(path)).headers["cache-control"] == "no-store"


async def test_a_slow_body_is_refused(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "BODY_SECONDS", 0.1)

    async def slowly() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(5)
        yield b"}"

    answer = await client.post("/api/auth/login", content=slowly())
    assert (answer.status_code, answer.json()["code"]) == (408, "TOO_SLOW")


async def test_modules_import_each_other_by_the_versioned_addresses_that_pages_use(
    client: httpx.AsyncClient,
) -> None:
    """Such addresses are cached forever, and no module is loaded twice."""
    static = cast(Callable[[str], str], web.templates(HERE / "templates").globals["static"])
    imports: set[str] = set()
    for file in (HERE / "static").glob("*.js"):
        module = await client.get(f"/static/{file.name}")
        assert module.headers["cache-control"] == "no-cache"
        imports |= set(re.findall(r'(?:from|import)\s*\(?\s*"\./([^"]+)"', module.text))
    assert "formatting.js" in {path.partition("?")[0] for path in imports}
    for path in imports:
        assert f"/static/{path}" == static(path.partition("?")[0])
    path = f"/static/{imports.pop()}"
    module = await client.get(path)
    assert module.headers["cache-control"] == "max-age=31536000, immutable"
    assert module.headers["content-type"] == "text/javascript; charset=utf-8"
    again = await client.get(path, headers={"If-None-Match": module.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    # The address of another release, whose content this is not.
    other = await client.get(f"{path.partition('?')[0]}?0123456789ab")
    assert other.headers["cache-control"] == "no-cache"
