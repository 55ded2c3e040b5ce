"""Types of the API's JSON: strings with a format, for the TypedDicts that describe responses
(app/openapi.py). They exist for type checkers and the generated documents only; nothing is
validated when a response is built."""

from typing import Annotated

from pydantic import WithJsonSchema
from pydantic.config import JsonDict
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
