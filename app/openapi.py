"""The API's description (OpenAPI 3.1), generated from its routes and models, and the call that
returns it. What every call has in common is stated here once."""

import asyncio
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import BaseRoute

from app import refusal, web
from app.refusal import Refusal
from app.schema import REFS, generate, public_name, tidy
from app.web import Call, Request

VERSION = "1.0.0"
SAFE = {"GET", "HEAD"}
WRONG_HOST = refusal.WrongHost.status  # its code is that of an invalid request
Schema = dict[str, Any]

# By the first part of the path: the name of the group and its description.
GROUPS = {
    "auth": ("Accounts", "Registration, sign-in, sessions, and the account itself."),
    "students": ("Accounts", ""),
    "catalog": ("Catalog", "The categories, services and areas that everybody shares."),
    "instructors": ("Instructors", "Profiles and services of instructors."),
    "search": ("Search", "Search in everyday words, suggestions and recent searches."),
    "availability": ("Availability", "The signed-in instructor’s hours."),
    "bookings": ("Bookings", "Lessons: booking, moving, cancelling, and their history."),
    "holds": ("Bookings", ""),
    "notifications": ("Notifications", "Which mails an account gets."),
    "public": ("Public availability", "Free time for other sites and calendars."),
    "privacy": ("Privacy", "Export, erasure and retention of personal data."),
    "admin": ("Administration", "Calls for admins."),
    "openapi.json": ("About the API", "Its description, and the state of the service."),
    "health": ("About the API", ""),
}

DESCRIPTION = """\
JSON over HTTP. Instants are `2026-11-23T14:00:00Z`; any offset is accepted, a time without one is \
not. Wall-clock times are `"09:00"` with a date in the instructor's time zone (`"24:00"` ends a \
day). Money is in cents, ids are UUIDs, slugs are kebab-case.

Sign in with `POST /api/auth/login`. Send the `token` as `Authorization: Bearer …`, or use the \
cookie. With the cookie, a request that changes something must come from the site's own pages. \
Checks run in the order 401, 403, 422, 404, 409.

Errors are `{"detail": "a sentence for a person", "code": "UPPER_SNAKE", "field"?, …}`. New codes \
and new fields may be added: ignore those you do not know. 429 and 503 have `Retry-After`. A head \
over 32 kB is 431, a method that a path does not support is 405 with `Allow`.

Live changes come over a WebSocket, which `docs/api/asyncapi.json` describes.\
"""


@dataclass(frozen=True, slots=True)
class Description:
    document: Schema
    body: bytes
    etag: str


@web.for_any_site
async def show(request: Request) -> Response:
    description = await of_application(request.app)
    headers = {
        "ETag": description.etag,
        "Cache-Control": "public, max-age=0, must-revalidate",
    }
    tags = {tag.strip() for tag in request.headers.get("if-none-match", "").split(",")}
    if not tags.isdisjoint({description.etag, f"W/{description.etag}", "*"}):
        return Response(status_code=304, headers=headers)
    return Response(description.body, headers=headers, media_type="application/json")


async def of_application(application: Starlette) -> Description:
    """The description of this application's calls, generated at the first request."""
    description: Description | None = getattr(application.state, "description", None)
    if description is None:
        description = await asyncio.to_thread(_describe, application)
        application.state.description = description
    return description


def _describe(application: Starlette) -> Description:
    content = document([*calls(application.routes)])
    body = orjson.dumps(content)
    return Description(content, body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def calls(routes: Iterable[BaseRoute]) -> Iterator[Call]:
    """The calls among the routes of an application, in order."""
    return (route for route in routes if isinstance(route, Call))


def document(api_calls: Sequence[Call]) -> Schema:
    """The description of these calls."""
    schemas = _Schemas(api_calls)
    paths: dict[str, Schema] = {}
    for call in sorted(api_calls, key=lambda each: (_rank(each), each.path)):
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call, schemas)
    groups = {_group(call) for call in api_calls}
    components = _referenced([paths, schemas.responses], schemas.components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "InstaInstru",
            "version": VERSION,
            "summary": "Book an in-person lesson at once.",
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": name, "description": text}
            for name, text in GROUPS.values()
            if name in groups and text
        ],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": dict(sorted(schemas.responses.items())),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "session",
                    "description": "`__Host-session` where the site's address is https.",
                },
            },
        },
    }


def _group(call: Call) -> str:
    return GROUPS[_first_part(call)][0]


def _rank(call: Call) -> int:
    return [name for name, _ in GROUPS.values()].index(_group(call))


def _first_part(call: Call) -> str:
    return call.path.removeprefix("/api").split("/")[1]


def _operation(call: Call, schemas: "_Schemas") -> Schema:
    operation: Schema = {
        "operationId": _operation_id(call),
        "tags": [_group(call)],
        "summary": call.summary,
        "description": _description(call),
        "security": _security(call),
        "parameters": [*_path_parameters(call, schemas), *_query(call), *_header_parameters(call)],
        "requestBody": _request_body(call, schemas),
        "responses": _responses(call, schemas),
    }
    always = {"security", "responses"}
    return {name: value for name, value in operation.items() if value or name in always}


def _operation_id(call: Call) -> str:
    """`putBookingsByIdTime`: of the method and the path, so that it changes only with them."""
    path = re.sub(r"\{(\w+)\}", r"by-\1", call.path.removeprefix("/api"))
    return call.method.lower() + "".join(
        part[0].upper() + part[1:] for part in re.split(r"[/.-]", path) if part
    )


def _description(call: Call) -> str:
    parts = [call.description]
    if _needs_permission(call):
        permissions = " or ".join(f"`{name}`" for name in call.access.split(" or "))
        parts.append(f"Needs the permission {permissions}.")
    if call.access == "visitor" and call.method in SAFE:
        parts.append("Works without signing in.")
    if call.for_any_site:
        parts.append("Pages of any site may read it (CORS).")
    return " ".join(part for part in parts if part)


def _needs_permission(call: Call) -> bool:
    return call.access not in {"signed in", "visitor", "public"}


def _security(call: Call) -> list[Schema]:
    if call.access == "public":
        return []
    alternatives = (
        [[name] for name in call.access.split(" or ")] if _needs_permission(call) else [[]]
    )
    signed_in: list[Schema] = [
        {scheme: roles} for roles in alternatives for scheme in ("bearer", "cookie")
    ]
    return [{}, *signed_in] if call.access == "visitor" else signed_in


# ---- requests


def _path_parameters(call: Call, schemas: "_Schemas") -> list[Schema]:
    uuid = {"type": "string", "format": "uuid"}
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": schemas.of(call.parameters[name]) if name in call.parameters else uuid,
        }
        for name in re.findall(r"\{(\w+)\}", call.path)
    ]


def _query(call: Call) -> list[Schema]:
    if call.query is None:
        return []
    schema: Schema = tidy(call.query.model_json_schema())
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", []),
            "allowEmptyValue": True,  # as if it were left out
            "schema": _without_null(each),
        }
        for name, each in schema["properties"].items()
    ]


def _header_parameters(call: Call) -> list[Schema]:
    headers = []
    if call.idempotent:
        headers.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "For 24 hours, the same key with the same request returns the "
                "stored response.",
                "schema": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 200,
                    "pattern": "^[!-~]+$",
                },
            }
        )
    if call.cached:
        headers.append({"name": "If-None-Match", "in": "header", "schema": {"type": "string"}})
    return headers


def _request_body(call: Call, schemas: "_Schemas") -> Schema | None:
    if call.body is None:
        return None
    content: Schema = {"application/json": {"schema": schemas.of(call.body)}}
    if call.form:
        content["application/x-www-form-urlencoded"] = {"schema": _form(call)}
    required = any(field.is_required() for field in call.body.model_fields.values())
    return {"required": required, "content": content}


def _form(call: Call) -> Schema:
    """The fields of a form: those of the JSON that are not lists or objects, and those for forms
    only. See "Forms" in docs/api.md for the others."""
    assert call.body is not None
    schema: Schema = tidy(call.body.model_json_schema())
    fields = {
        name: {key: part for key, part in _without_null(each).items() if key != "x-form-only"}
        for name, each in schema["properties"].items()
        if not {"array", "object"} & {_without_null(each).get("type")}
        and "$ref" not in _without_null(each)
    }
    required = [name for name in schema.get("required", []) if name in fields]
    form: Schema = {"type": "object", "properties": fields}
    return form | ({"required": required} if required else {})


# ---- responses


def _responses(call: Call, schemas: "_Schemas") -> Schema:
    responses: Schema = {str(call.status): _success(call, schemas)}
    if call.cached:
        responses["304"] = {
            "description": "Not modified: the ETag is that of If-None-Match.",
            "headers": _headers("ETag"),
        }
    if call.form:
        responses["303"] = {
            "description": "The response to a form: the page to show next.",
            "headers": _headers("Location"),
        }
    by_status: dict[int, list[web.Refused]] = {}
    for refused in [*_common(call), *call.refusals]:
        by_status.setdefault(_type_of(refused).status, []).append(refused)
    for status, refusals in sorted(by_status.items()):
        responses[str(status)] = _refused(call, status, refusals, schemas)
    return dict(sorted(responses.items()))


def _success(call: Call, schemas: "_Schemas") -> Schema:
    description = {201: "Created.", 202: "Accepted.", 204: "Done."}.get(call.status, "OK.")
    response: Schema = {"description": description}
    if call.cached:
        response["headers"] = _headers("ETag", "Cache-Control")
    if call.returns is not None:
        response["content"] = {call.media_type: {"schema": schemas.of(call.returns)}}
    return response


def _headers(*names: str) -> Schema:
    return {name: {"schema": {"type": "string"}} for name in names}


def _common(call: Call) -> Iterator[web.Refused]:
    """What a call may be refused for because of its access and its models."""
    if not call.path.startswith("/api/"):
        return
    yield refusal.WrongHost
    changes = call.method not in SAFE
    if call.access not in {"public", "visitor"}:
        yield refusal.NotSignedIn
    if _needs_permission(call) or (changes and call.access != "public"):
        yield refusal.NotAllowed
    if any(name not in call.parameters for name in call.param_convertors):
        yield refusal.NotFound
    if changes:
        yield from (refusal.TooSlow, refusal.PayloadTooLarge)
    if call.query is not None or call.body is not None or call.idempotent:
        overridden = any(_type_of(each) is refusal.ValidationError for each in call.refusals)
        if not overridden:
            yield refusal.ValidationError
    if call.idempotent:
        yield refusal.IdempotencyMismatch
    yield from (refusal.RateLimited, refusal.InternalError, refusal.Unavailable)


def _refused(
    call: Call, status: int, refusals: Sequence[web.Refused], schemas: "_Schemas"
) -> Schema:
    references = {schemas.error(each)["$ref"]: each for each in refusals}
    options = [{"$ref": reference} for reference in references]
    codes = sorted({_type_of(each).code for each in references.values()})
    response: Schema = {
        "description": ", ".join(f"`{code}`" for code in codes),
        "content": {
            "application/json": {"schema": options[0] if len(options) == 1 else {"anyOf": options}}
        },
    }
    if call.form:
        response["content"]["text/html"] = {"schema": {"type": "string"}}
    if status in {429, 503}:
        response["headers"] = {"Retry-After": {"schema": {"type": "integer", "minimum": 0}}}
    if len(options) > 1:
        return response
    # Most calls share it.
    name = references.popitem()[0].removeprefix(REFS) + ("OrPage" if call.form else "")
    name = f"{name}{status}" if status == WRONG_HOST else name
    schemas.responses[name] = response
    return {"$ref": f"#/components/responses/{name}"}


def _type_of(refused: web.Refused) -> type[Refusal]:
    return refused[0] if isinstance(refused, tuple) else refused


# ---- schemas


class _Schemas:
    """The components: models of bodies, of responses and of errors, each generated once."""

    def __init__(self, api_calls: Sequence[Call]) -> None:
        bodies = {call.body for call in api_calls if call.body is not None}
        types = [
            *(call.returns for call in api_calls if call.returns is not None),
            *(type_ for call in api_calls for type_ in call.parameters.values()),
            *(details for call in api_calls for each in [*_common(call), *call.refusals]
              if (details := _details(each)) is not None),
        ]  # fmt: skip
        self._of, self.components = generate(bodies, types)
        self.responses: dict[str, Schema] = {}

    def of(self, model: Any) -> Schema:
        """The schema of this type; of a model, a reference."""
        return self._of[str(model)]

    def error(self, refused: web.Refused) -> Schema:
        """A reference to the error of this refusal."""
        type_, details = _type_of(refused), _details(refused)
        name = "".join(part.title() for part in type_.code.split("_")).removesuffix("Error")
        if isinstance(refused, tuple):
            name = public_name(refused[1].__name__)
        name += "Error"
        members = self.components[public_name(details.__name__)] if details is not None else {}
        self.components[name] = {
            "type": "object",
            "properties": {
                "detail": {"type": "string", "description": "A sentence for a person."},
                "code": {"const": type_.code},
                "field": {"type": "string", "description": "The invalid field."},
                **members.get("properties", {}),
            },
            "required": ["detail", "code", *members.get("required", [])],
        }
        if type_.code not in {"VALIDATION_ERROR", "IDEMPOTENCY_MISMATCH", "EMAIL_TAKEN"}:
            del self.components[name]["properties"]["field"]
        return {"$ref": REFS + name}


def _referenced(document: Any, components: Mapping[str, Schema]) -> dict[str, Schema]:
    """The components that this part of the document refers to, also through others."""
    names: set[str] = set()
    new = references(document)
    while new:
        names |= new
        new = references([components[name] for name in new]) - names
    return {name: components[name] for name in sorted(names)}


def references(schema: Any) -> set[str]:
    """The names of the models that this schema refers to."""
    text = orjson.dumps(schema).decode()
    return set(re.findall(re.escape(f'"$ref":"{REFS}') + r'([^"]+)"', text))


def _details(refused: web.Refused) -> Any:
    return refused[1] if isinstance(refused, tuple) else refused.details


def _without_null(schema: Schema) -> Schema:
    """A query or a form leaves a value out instead of sending null."""
    options = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    if len(options) != 1:
        return schema
    (value,) = options
    return {name: each for name, each in schema.items() if name != "anyOf"} | dict(value)


routes = web.with_preflight(
    Call(
        "GET",
        "/api/openapi.json",
        show,
        "This description",
        returns=dict[str, Any],
        cached=True,
    )
)
