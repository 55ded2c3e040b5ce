"""What no handler should have to think of: requests that make no sense, and answers that belong to one person."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from app.db import Pool
from app.settings import Settings
from app.web import middleware
from tests import factories

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
async def ben(client: httpx.AsyncClient, pool: Pool, settings: Settings) -> httpx.AsyncClient:
    """Ben's browser."""
    person = await factories.student(pool, "Ben")
    client.headers["Cookie"] = f"session={await factories.token_of(pool, person.id, settings)}"
    client.headers["Sec-Fetch-Site"] = "same-origin"
    return client


@pytest.mark.parametrize("body", ['{"email":' + "[" * 1000 + "]" * 1000 + "}", '{"email":' * 1000 + "1" + "}" * 1000])
async def test_json_nested_as_deep_as_can_be_is_a_validation_error(client: httpx.AsyncClient, body: str) -> None:
    answer = await client.post("/api/auth/login", content=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_ERROR")


@pytest.mark.parametrize("path", ["/?q=%00", "/?category=%00", "/?service=%00"])
async def test_a_page_asked_for_what_postgres_cannot_store_says_so(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "text/html; charset=utf-8")


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "//", "null", "http://", "http://\u2100"])
async def test_an_origin_that_is_none_is_a_foreign_one(ben: httpx.AsyncClient, origin: str) -> None:
    del ben.headers["Sec-Fetch-Site"]
    answer = await ben.post("/api/auth/logout", headers={b"Origin": origin.encode()})
    assert (answer.status_code, answer.json()["code"]) == (403, "NOT_ALLOWED")


@pytest.mark.parametrize("referer", ["http://[", "https://", "/", "x", "http://127.0.0.1:8000//evil.example/"])
async def test_a_refused_form_from_nowhere_is_refused_on_a_page_of_its_own(ben: httpx.AsyncClient, referer: str) -> None:
    answer = await ben.post("/api/bookings", data={"note": "x"}, headers={"Referer": referer})
    assert answer.status_code == 422
    assert "service_id: Field required" in answer.text


@pytest.mark.parametrize(
    "named", ["/static/app.css", "/static/", "/live", "/api/auth/me", "/health/live", "/nowhere", "//evil.example", "/["]
)
async def test_a_refused_form_comes_back_on_pages_only(ben: httpx.AsyncClient, named: str) -> None:
    answer = await ben.post("/api/bookings", data={"_page": named})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "text/html; charset=utf-8")
    assert "service_id: Field required" in answer.text
    assert "ben@example.com" not in answer.text


async def test_a_form_is_one_in_any_spelling(ben: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "Application/X-WWW-Form-Urlencoded; charset=UTF-8"}
    answer = await ben.post("/api/auth/sessions/none", content="_method=delete", headers=headers)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


async def test_a_request_for_something_is_no_form_whatever_it_says(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/auth/me", headers=FORM)
    assert (answer.status_code, answer.json()["code"]) == (401, "NOT_SIGNED_IN")


async def test_the_body_of_what_changes_nothing_is_not_read(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    answer = await client.request("OPTIONS", "/login", content=endless(), headers=FORM)
    assert answer.status_code == 405


async def test_what_one_person_gets_is_kept_by_nobody(ben: httpx.AsyncClient) -> None:
    for path in ("/api/auth/me", "/api/bookings", "/api/instructors/me", "/lessons"):
        assert (await ben.get(path)).headers["cache-control"] == "no-store"


async def test_a_body_that_never_ends_is_given_up(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "BODY_SECONDS", 0.1)

    async def slowly() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(5)
        yield b"}"

    answer = await client.post("/api/auth/login", content=slowly())
    assert (answer.status_code, answer.json()["code"]) == (408, "TOO_SLOW")
