"""The generated description of the API."""

from typing import Any

import httpx
import orjson
import pytest

from tests import conformance


@pytest.fixture
async def described(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/api/openapi.json")
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


async def test_the_description_is_revalidated_by_its_etag_from_any_site(
    client: httpx.AsyncClient,
) -> None:
    first = await client.get("/api/openapi.json", headers={"Origin": "https://other.example"})
    again = await client.get("/api/openapi.json", headers={"If-None-Match": first.headers["etag"]})
    assert first.headers["access-control-allow-origin"] == "*"
    assert (again.status_code, again.content) == (304, b"")


async def test_only_calls_of_the_api_and_health_are_described(described: dict[str, Any]) -> None:
    assert described["openapi"].startswith("3.1")
    assert {path.split("/")[1] for path in described["paths"]} == {"api", "health"}


async def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, list):
            return [each for part in node for each in references(part)]
        if not isinstance(node, dict):
            return []
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [each for part in node.values() for each in references(part)]

    for reference in set(references(described)):
        node: Any = described
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        assert node


async def test_permissions_and_keys_follow_from_the_handlers(described: dict[str, Any]) -> None:
    booking = described["paths"]["/api/bookings"]["post"]
    assert booking["security"] == [
        {"bearer": ["create_bookings"]},
        {"cookie": ["create_bookings"]},
    ]
    assert "Idempotency-Key" in {each["name"] for each in booking["parameters"]}
    assert described["paths"]["/api/instructors"]["get"]["security"] == []


async def test_a_response_that_the_description_does_not_allow_is_noticed(
    client: httpx.AsyncClient,
) -> None:
    good = await client.get("/api/catalog/categories?limit=1")
    operation = conformance.description()["paths"]["/api/catalog/categories"]["get"]
    assert conformance.problem_of(operation, good) is None
    changes: tuple[dict[str, Any], ...] = (
        {"status_code": 201},
        {"content": orjson.dumps(good.json() | {"undescribed": 1})},
        {"content": orjson.dumps({"items": [{"slug": "music"}], "next_cursor": None})},
        {"headers": {"content-type": "text/html"}},
    )
    for change in changes:
        values: dict[str, Any] = {
            "status_code": 200,
            "headers": {"content-type": "application/json"},
            "content": good.content,
            "request": good.request,
        }
        response = httpx.Response(**values | change)
        assert conformance.problem_of(operation, response) is not None, change
