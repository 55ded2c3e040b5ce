"""Types of the API's JSON: strings with a format, for the TypedDicts that describe responses
(app/openapi.py). They exist for type checkers and the generated documents only; nothing is
validated when a response is built."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import TypeAdapter, WithJsonSchema
from pydantic.config import JsonDict
from pydantic.json_schema import JsonSchemaMode
from typing_extensions import TypedDict

Id = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "format": "uuid",
            "examples": ["01890f3c-7f3a-7cc1-98c4-dc0c0c07398f"],
        }
    ),
]
# An instant in UTC, to the second.
InstantText = Annotated[
    str,
    WithJsonSchema(
        {"type": "string", "format": "date-time", "examples": ["2026-11-23T14:00:00Z"]},
    ),
]
DateText = Annotated[
    str, WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-11-23"]})
]
# A local wall-clock time; "24:00" ends a day.
CLOCK = {
    "type": "string",
    "pattern": "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$",
    "examples": ["09:00"],
}
ClockText = Annotated[str, WithJsonSchema(CLOCK)]
# A zone of the IANA database.
ZoneText = Annotated[str, WithJsonSchema({"type": "string", "examples": ["America/New_York"]})]

# For a field that only forms have, as its `json_schema_extra`.
FORM_ONLY: JsonDict = {"x-form-only": True}


class NamedJson(TypedDict):
    id: Id
    name: str


# ---- JSON Schema

REFS = "#/components/schemas/"


def generate(
    inputs: Iterable[Any], outputs: Iterable[Any]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """The schemas of these types by their `str`, those of models as references, and the schemas of
    all models by their public names. `inputs` are models of requests, `outputs` types of JSON that
    is sent."""
    adapters: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = [
        *((str(each), "validation", TypeAdapter(each)) for each in inputs),
        *((str(each), "serialization", TypeAdapter(each)) for each in outputs),
    ]
    adapters.sort(key=lambda adapter: adapter[0])
    by_key, definitions = TypeAdapter.json_schemas(adapters, ref_template=REFS + "{model}")
    components: dict[str, dict[str, Any]] = {}
    for name, each in definitions.get("$defs", {}).items():
        if "__" in name or public_name(name) in components:
            raise ValueError(f"Two models of the API are named {public_name(name)}. Rename one.")
        components[public_name(name)] = _renamed(_for_json(tidy(each)))
    return {key: _renamed(tidy(each)) for (key, _), each in by_key.items()}, components


def public_name(name: str) -> str:
    """The public name of a model: BookingJson is `Booking`, a listing of it `BookingList`."""
    listing = re.fullmatch(r"Listing_(\w+?)(?:Json)?_", name)
    return f"{listing[1]}List" if listing else name.removesuffix("Json")


def _renamed(schema: Any) -> Any:
    """With the public names in references."""
    if isinstance(schema, dict):
        return {
            key: REFS + public_name(value.removeprefix(REFS)) if key == "$ref" else _renamed(value)
            for key, value in schema.items()
        }
    return [_renamed(each) for each in schema] if isinstance(schema, list) else schema


def _for_json(schema: dict[str, Any]) -> dict[str, Any]:
    """Without the fields that only forms have."""
    if "properties" in schema:
        schema["properties"] = {
            name: each
            for name, each in schema["properties"].items()
            if not isinstance(each, Mapping) or "x-form-only" not in each
        }
    return schema


def tidy(schema: Any, *, names: bool = False) -> Any:
    """Without titles, which only repeat the names, and defaults of null. `names`: the keys are
    names of properties or models."""
    if isinstance(schema, list):
        return [tidy(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: tidy(value, names=not names and key in {"properties", "$defs"})
        for key, value in schema.items()
        if names or not (key == "title" or (key == "default" and value is None))
    }
