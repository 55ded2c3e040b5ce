"""Compares responses with the API's description. Every response that a test's `client` gets is
compared, so a call cannot return what is not described."""

import functools
import re
from collections.abc import Callable
from typing import Any

import httpx
import jsonschema_rs

from app import openapi
from app.main import routes
from realtime import asyncapi


@functools.cache
def description() -> dict[str, Any]:
    return openapi.document([*openapi.calls(routes())])


def strict(schema: Any, *, names: bool = False) -> Any:
    """The schema, but it refuses fields that it does not describe. (Clients have to accept
    them.)"""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {
        key: strict(value, names=not names and key in {"properties", "schemas", "$defs"})
        for key, value in schema.items()
    }
    if not names and "properties" in result:
        result.setdefault("additionalProperties", False)
    return result


@functools.cache
def _operations() -> list[tuple[str, Callable[[str], Any], dict[str, Any]]]:
    """The method, the pattern of the path and the operation of each call; fixed paths first."""
    operations: list[tuple[str, Callable[[str], Any], dict[str, Any]]] = []
    for path, item in sorted(description()["paths"].items(), key=lambda each: "{" in each[0]):
        pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))
        operations += [(method.upper(), pattern.fullmatch, item[method]) for method in item]
    return operations


DIALECT = "https://json-schema.org/draft/2020-12/schema"


@functools.cache
def _registry() -> jsonschema_rs.Registry:
    """The description, under the address `urn:api`."""
    parts = {name: strict(description()[name]) for name in ("components", "paths")}
    return jsonschema_rs.Registry([("urn:api", {"$schema": DIALECT, **parts})])


@functools.cache
def _validator(schema: str) -> Any:
    """`schema`: a JSON pointer into the description."""
    root = {"$schema": DIALECT, "$ref": f"urn:api{schema}"}
    return jsonschema_rs.Draft202012Validator(root, registry=_registry(), validate_formats=True)


async def check(response: httpx.Response) -> None:
    """Raises AssertionError if the description of the API does not allow the response."""
    request = response.request
    method = "GET" if request.method == "HEAD" else request.method
    path = request.url.path
    operation = next(
        (each for verb, matches, each in _operations() if verb == method and matches(path)), None
    )
    form = "urlencoded" in request.headers.get("content-type", "")
    if operation is None or response.status_code in {405, 431} or form:
        return
    await response.aread()
    problem = problem_of(operation, response)
    assert problem is None, f"{request.method} {path}: {problem}"


def problem_of(operation: dict[str, Any], response: httpx.Response) -> str | None:
    """What is wrong with a response of this operation; None if nothing is."""
    described = operation["responses"].get(str(response.status_code))
    if described is None:
        return f"the status {response.status_code} is not described: {response.text[:500]}"
    pointer = f"#/paths/{_escaped(_path_of(operation))}/responses/{response.status_code}"
    if "$ref" in described:
        pointer = described["$ref"]
        described = description()["components"]["responses"][pointer.rpartition("/")[2]]
    content = described.get("content", {})
    media_type = response.headers.get("content-type", "").partition(";")[0]
    if not content or response.request.method == "HEAD":
        return "it should have no body" if response.content else None
    if media_type not in content:
        return f"the media type {media_type!r} is not described"
    if media_type == "application/json":
        validator = _validator(f"{pointer}/content/application~1json/schema")
        return next((str(error) for error in validator.iter_errors(response.json())), None)
    return None


@functools.cache
def _paths() -> dict[str, str]:
    return {
        operation["operationId"]: f"{_pointer(path)}/{method}"
        for path, item in description()["paths"].items()
        for method, operation in item.items()
    }


def _path_of(operation: dict[str, Any]) -> str:
    return _paths()[operation["operationId"]]


def _pointer(path: str) -> str:
    return path.replace("~", "~0").replace("/", "~1")


def _escaped(pointer: str) -> str:
    """Braces are not allowed in the fragment of a reference."""
    return pointer.replace("{", "%7B").replace("}", "%7D")


@functools.cache
def _messages() -> dict[str, Any]:
    """A validator for each kind of message that the server sends."""
    components = asyncapi.document()["components"]
    return {
        name: jsonschema_rs.Draft202012Validator(
            {
                "$schema": DIALECT,
                "components": {"schemas": strict(components["schemas"])},
                **strict(components["messages"][name]["payload"]),
            },
            validate_formats=True,
        )
        for name in asyncapi.TO_CLIENT
    }


def problem_of_message(message: dict[str, Any]) -> str | None:
    """Why docs/api/asyncapi.json does not allow this message of the server; None if it does."""
    validator = _messages().get(message["type"])
    if validator is None:
        return f"{message['type']} is not described"
    return next((f"{message['type']}: {error}" for error in validator.iter_errors(message)), None)
