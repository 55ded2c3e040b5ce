"""`/docs`: the API's calls, rendered from its description (app/openapi.py). app/static/docs.js
filters them as you type, and opens the one in the address."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from starlette.responses import Response

from app import clients, openapi, web
from app.accounts.session import SignedIn
from app.pages.meta import Meta
from app.web import Request

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Model:
    """A type in TypeScript, and the names of the models in it."""

    text: str
    names: list[str]


@dataclass(frozen=True, slots=True)
class Call:
    id: str
    method: str
    path: str
    summary: str
    description: str
    parameters: list[Any]
    body: Model | None
    returns: Model | None
    status: str
    errors: list[tuple[str, str]]
    example: str


@web.visitor
async def page(request: Request, _: SignedIn | None) -> Response:
    state = request.app.state
    if not hasattr(state, "docs"):
        described = (await openapi.of_application(request.app)).document
        template = request.state["templates"].get_template("docs_calls.html")
        calls = template.render(groups=_groups(described), models=_models(described))
        state.docs = Markup(calls)  # noqa: S704 — rendered with autoescape
    return web.page(
        request,
        "docs.html",
        meta=Meta("The HTTP API of InstaInstru: every call, with examples.", "/docs"),
        calls=state.docs,
    )


def _groups(described: Schema) -> list[tuple[Schema, list[Call]]]:
    return [
        (
            tag,
            [
                _call(described, path, method, operation)
                for path, item in described["paths"].items()
                for method, operation in item.items()
                if operation["tags"][0] == tag["name"]
            ],
        )
        for tag in described["tags"]
    ]


def _models(described: Schema) -> list[tuple[str, str, Model]]:
    """The name, the description and the type of each model."""
    return [
        (name, schema.get("description", "").replace("`", ""), _model(schema))
        for name, schema in described["components"]["schemas"].items()
    ]


def _model(schema: Schema) -> Model:
    names = sorted(openapi.references(schema))
    return Model(clients.type_of(schema), names)


def _expanded(described: Schema, schema: Schema) -> Model:
    """The type itself instead of a model's name."""
    if "$ref" not in schema:
        return _model(schema)
    return _model(described["components"]["schemas"][schema["$ref"].rpartition("/")[2]])


def _call(described: Schema, path: str, method: str, operation: Schema) -> Call:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    status = next(each for each in operation["responses"] if each.startswith("2"))
    content = operation["responses"][status].get("content", {})
    returned = next(iter(content.values()), None)
    return Call(
        operation["operationId"],
        method.upper(),
        path,
        operation["summary"],
        operation.get("description", "").replace("`", ""),
        [
            (each["name"], each["in"], clients.type_of(each["schema"]), each.get("required"))
            for each in operation.get("parameters", [])
        ],
        _expanded(described, body["schema"]) if body else None,
        _expanded(described, returned["schema"]) if returned else None,
        status,
        _errors(described, operation),
        _curl(described, path, method, operation),
    )


def _errors(described: Schema, operation: Schema) -> list[tuple[str, str]]:
    """The status and the codes of each refusal."""
    errors = []
    for status, each in operation["responses"].items():
        response = each
        if "$ref" in each:
            response = described["components"]["responses"][each["$ref"].rpartition("/")[2]]
        if status >= "400":
            errors.append((status, response["description"].replace("`", "")))
    return errors


def _curl(described: Schema, path: str, method: str, operation: Schema) -> str:
    """The call in the shell, where SITE and TOKEN are set."""
    query = []
    for each in operation.get("parameters", []):
        value = str(clients.example(described, each["schema"], each["name"]))
        if each["in"] == "path":
            path = path.replace(f"{{{each['name']}}}", value)
        elif each["in"] == "query" and each.get("required"):
            query.append(f"{each['name']}={value}")
    address = path + (f"?{'&'.join(query)}" if query else "")
    verb = {"get": "", "post": " -X POST"}.get(method, f" -X {method.upper()}")
    lines = [f'curl{verb} "$SITE{address}"']
    if {} not in operation["security"] and operation["security"]:
        lines.append('-H "Authorization: Bearer $TOKEN"')
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body:
        content = json.dumps(clients.example(described, body["schema"]), ensure_ascii=False)
        lines += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(content)}"]
    return " \\\n  ".join(lines)
