"""Parsing requests: JSON bodies, forms and query strings as pydantic models, ids in paths."""

import re
from collections.abc import Collection, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

import orjson
import pydantic
from pydantic_core import ErrorDetails
from starlette.datastructures import Headers

from app import refusal
from app.web.state import Request

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})  # they change nothing, and their bodies are ignored

Model = TypeVar("Model", bound=pydantic.BaseModel)


async def read(request: Request, model: type[Model], *, clearable: Collection[str] = ()) -> Model:
    """The body, JSON or a form, as `model`. Raises ValidationError, which names the first invalid
    field, and PayloadTooLarge. `clearable`: see `form_fields`."""
    raw = await request.body()
    if is_form(request):
        fields: Any = form_fields(raw, clearable)
        request.state["form_fields"] = fields
    else:
        try:
            fields = orjson.loads(raw) if raw.strip() else {}
        except orjson.JSONDecodeError as error:
            raise refusal.ValidationError(f"The body is not valid JSON: {error}.") from None
    return check(model, fields)


def check(model: type[Model], fields: Any) -> Model:
    """`fields` as `model`. Raises ValidationError with one sentence and the invalid field."""
    if not isinstance(fields, dict):
        raise refusal.ValidationError("The body must be a JSON object.")
    if _has_nul(fields):
        raise refusal.ValidationError("Text can’t contain NUL characters.")
    try:
        return model.model_validate(fields)
    except pydantic.ValidationError as error:
        errors = error.errors(include_url=False, include_context=False)
        sentences = [_sentence(each) for each in errors]
        field, detail = sentences[0]
        refused = refusal.ValidationError(detail, field=field or None)
        refused.fields = dict(reversed(sentences))  # keeps the first sentence about each field
        raise refused from None


def _sentence(error: ErrorDetails) -> tuple[str, str]:
    """The invalid field and the sentence about it."""
    field = ".".join(str(part) for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    is_sentence = error["msg"].startswith("Value error")  # raised by our own validators
    detail = f"{field}: {message}" if field and not is_sentence else message
    return field, detail if detail.endswith((".", "?", "!")) else f"{detail}."


def _has_nul(value: Any) -> bool:
    """Postgres cannot store U+0000 in text."""
    parts = [value]  # an explicit stack: JSON may be nested deeper than Python can recurse
    while parts:
        part = parts.pop()
        if isinstance(part, dict):
            parts += (*part.keys(), *part.values())
        elif isinstance(part, list):
            parts += part
        elif isinstance(part, str) and "\x00" in part:
            return True
    return False


def query(request: Request, model: type[Model]) -> Model:
    """The query string as `model`, without empty parameters. Raises ValidationError."""
    return check(
        model, {name: value for name, value in request.query_params.items() if value != ""}
    )


def path_id(request: Request, name: str = "id") -> UUID:
    """An id in the path. Raises NotFound if it is not a UUID."""
    try:
        return UUID(request.path_params[name])
    except ValueError:
        raise refusal.NotFound from None


def is_form(request: Request) -> bool:
    """Whether this is a changing request with a form; the body of a GET is ignored."""
    return request.method not in SAFE and has_form_content_type(request.headers)


def has_form_content_type(headers: Headers) -> bool:
    return (
        headers.get("content-type", "").partition(";")[0].strip().lower()
        == "application/x-www-form-urlencoded"
    )


def form_fields(raw: bytes, clearable: Collection[str] = ()) -> dict[str, str]:
    """A form's fields, the last of each name, without empty ones and without those that begin with
    `_`, which are for the web layer itself. `clearable` fields may be empty, such as a text, and
    checkboxes after a hidden field of their name; several values are joined by commas."""
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=200)
    except ValueError:
        raise refusal.ValidationError("The form couldn’t be read.") from None
    fields = {name: value for name, value in pairs if value != "" and not name.startswith("_")}
    for name in clearable:
        values = [value for other, value in pairs if other == name]
        if values:
            fields[name] = ",".join(value for value in values if value != "")
    return fields


async def internal_field(request: Request, name: str) -> str | None:
    """A form's field for the web layer itself; its name begins with `_`."""
    if not is_form(request):
        return None
    return dict(parse_qsl((await request.body()).decode(errors="replace"))).get(name)


def form_rows(fields: Mapping[str, str], name: str, *keys: str) -> list[dict[str, str]]:
    """The rows of a list in a form, whose fields are `name.0.key`, `name.1.key` and so on. Rows
    without any value are left out; a missing value is empty."""
    field = re.compile(rf"{name}\.([0-9]{{1,3}})\.({'|'.join(keys)})")
    numbers = {int(match[1]) for each in fields if (match := field.fullmatch(each))}
    return [
        {key: fields.get(f"{name}.{number}.{key}", "") for key in keys}
        for number in sorted(numbers)
    ]
