"""The generated description of the API."""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import orjson
import playwright
import pytest

from app.__main__ import main
from app.db import Pool
from app.settings import Settings
from tests import conformance, factories
from tests.processes import ROOT


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


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/notifications/preferences", {"reminder": {"email": 0}}),
        ("/api/instructors/me", {"travel_buffer_minutes": False}),
    ],
)
async def test_numbers_and_booleans_are_not_confused(
    client: httpx.AsyncClient, pool: Pool, settings: Settings, path: str, body: dict[str, Any]
) -> None:
    anna = await factories.instructor(pool)
    token = await factories.token_of(pool, anna.id, settings)
    answer = await client.put(path, json=body, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_ERROR")


def test_the_files_for_client_developers_are_current(tmp_path: Path) -> None:
    assert main(["describe", str(tmp_path)]) == 0
    committed = ROOT / "docs" / "api"
    assert {each.name for each in tmp_path.iterdir()} == {each.name for each in committed.iterdir()}
    for file in tmp_path.iterdir():
        assert file.read_text() == (committed / file.name).read_text(), (
            f"docs/api/{file.name} is not current. Run python -m app describe."
        )


def test_the_types_are_valid_typescript() -> None:
    """Node removes the types and runs the rest, which is nothing."""
    node = Path(playwright.__file__).parent / "driver" / "node"
    run = subprocess.run([node, ROOT / "docs/api/types.ts"], capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()


def test_every_call_is_in_the_postman_collection() -> None:
    collection = json.loads((ROOT / "docs/api/postman_collection.json").read_text())
    requests = [item["request"] for folder in collection["item"] for item in folder["item"]]
    described = conformance.description()["paths"]
    assert len(requests) == sum(len(item) for item in described.values())


def test_a_live_message_that_the_description_does_not_allow_is_noticed() -> None:
    """Every message that a test's screen receives is compared (tests/realtime/screens.py)."""
    beacon = {"type": "beacon", "now": "2026-11-23T14:00:00Z", "epoch": "e", "versions": {}}
    assert conformance.problem_of_message(beacon) is None
    for message in ({"type": "hello"}, beacon | {"undescribed": 1}, beacon | {"now": "noon"}):
        assert conformance.problem_of_message(message) is not None, message


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
