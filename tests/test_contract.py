"""Schemathesis against the running product: no request that it generates from the API's
description, valid or invalid, gets a 5xx or a response that the description does not allow."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from app.db import Pool
from app.settings import Settings
from tests import conformance, factories
from tests.cluster import PATIENCE
from tests.processes import ROOT, Starter

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",  # with a 4xx
    "ignored_auth",
)
# These would end the session of the run, or remove its role.
EXCLUDED = {
    ("post", "/api/auth/logout"),
    ("post", "/api/auth/logout-everywhere"),
    ("delete", "/api/instructors/me"),
}
# The phases, and the examples of each call: all boundary values of every field for one account, and
# random requests for the others.
RUNS = {
    "anonymous": ("fuzzing", 1),
    "student": ("fuzzing", 1),
    "instructor": ("coverage", 1),
}
# Importing Schemathesis and preparing its characters takes longer than one of the runs.
RUN_EACH = """
import json, sys
from schemathesis.cli import schemathesis
for arguments in json.loads(sys.argv[1]):
    try:
        schemathesis(arguments)
    except SystemExit as exit:
        if exit.code: raise
"""


async def test_no_response_contradicts_the_description(
    pool: Pool, settings: Settings, start: Starter, tmp_path: Path
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    site = start("serve").url
    async with httpx.AsyncClient(base_url=site, timeout=PATIENCE) as client:
        document = (await client.get("/api/openapi.json")).json()
    starts = [anna.at(f"{hour:02}:00").isoformat() for hour in range(9, 17)]
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(_for_the_run(document, str(anna.service_id), starts)))
    accounts = {"student": ben, "instructor": anna}
    runs = []
    for role, (phases, examples) in RUNS.items():
        arguments = [
            *("run", str(file), "--url", site),
            *("--checks", ",".join(CHECKS), "--phases", phases, "--max-examples", str(examples)),
            *("--seed", "1", "--generation-database", "none", "--no-shrink", "--warnings", "off"),
            *("--suppress-health-check", "all", "--request-timeout", str(PATIENCE)),
        ]
        if role in accounts:
            token = await factories.token_of(pool, accounts[role].id, settings)
            arguments += ["--header", f"Authorization: Bearer {token}"]
        runs.append(arguments)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", RUN_EACH, json.dumps(runs)),
        cwd=tmp_path,
        # Each request looks for proxies in all of the environment.
        env={"HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


def _for_the_run(document: dict[str, Any], service_id: str, starts: list[str]) -> dict[str, Any]:
    """The description for this run: responses without undescribed fields, a real service and its
    times, so that requests get further than to a 404, and no forms, whose refusals are pages."""
    responses = conformance.strict(document["components"])["schemas"]
    schemas = document["components"]["schemas"]
    bodies = {
        schema["$ref"].rpartition("/")[2]
        for item in document["paths"].values()
        for operation in item.values()
        if (schema := _body(operation).get("application/json", {}).get("schema", {}))
    }
    # Unknown fields of requests are ignored.
    schemas |= {name: responses[name] for name in schemas if name not in bodies}
    fields = schemas["BookingRequest"]["properties"]
    fields["service_id"] = {"type": "string", "enum": [service_id]}
    fields["start"] = {"type": "string", "enum": starts}
    for path, item in document["paths"].items():
        for method, operation in list(item.items()):
            if (method, path) in EXCLUDED:
                del item[method]
            _body(operation).pop("application/x-www-form-urlencoded", None)
            for parameter in operation.get("parameters", []):
                if parameter.get("allowEmptyValue") and not parameter["required"]:
                    parameter["schema"] = {"anyOf": [parameter["schema"], {"const": ""}]}
    document["paths"] = {path: item for path, item in document["paths"].items() if item}
    return document


def _body(operation: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = operation.get("requestBody", {}).get("content", {})
    return content
