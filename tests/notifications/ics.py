"""A strict parser of iCalendar files (RFC 5545, RFC 6868), independent of the library that writes
them."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

# name *(";" parameter "=" value) ":" value, where a quoted parameter may contain : ; ,
_LINE = re.compile(r'([A-Z-]+)((?:;[A-Z-]+=(?:"[^"]*"|[^":;,]*))*):(.*)', re.DOTALL)
_PARAMETER = re.compile(r';([A-Z-]+)=(?:"([^"]*)"|([^":;,]*))')
_TEXT_ESCAPE = re.compile(r"\\(.)")
_PARAMETER_ESCAPE = re.compile(r"\^([n^'])")
_TEXTS = {"SUMMARY", "LOCATION", "DESCRIPTION"}


@dataclass
class Property:
    value: str
    parameters: dict[str, str]

    @property
    def instant(self) -> datetime:
        return datetime.strptime(self.value, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


@dataclass
class Component:
    name: str
    properties: dict[str, Property] = field(default_factory=dict)
    components: list["Component"] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return self.properties[name].value


def parse(text: str) -> tuple[Component, Component]:
    """The calendar and its only event. Fails on anything that the RFCs do not allow."""
    root = Component("")
    path = [root]
    for name, prop in _properties(text):
        if name == "BEGIN":
            path[-1].components.append(Component(prop.value))
            path.append(path[-1].components[-1])
        elif name == "END":
            assert path.pop().name == prop.value
        else:
            assert name not in path[-1].properties, f"{name} occurs twice"
            path[-1].properties[name] = prop
    assert path == [root]
    (calendar,) = root.components
    (event,) = calendar.components
    assert (calendar.name, event.name) == ("VCALENDAR", "VEVENT")
    assert not root.properties
    return calendar, event


def _properties(text: str) -> list[tuple[str, Property]]:
    assert text.endswith("\r\n")
    lines = text.removesuffix("\r\n").split("\r\n")
    assert max(len(line.encode()) for line in lines) <= 75
    unfolded = text.removesuffix("\r\n").replace("\r\n ", "").split("\r\n")
    return [_property(line) for line in unfolded]


def _property(line: str) -> tuple[str, Property]:
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", line), f"a control character in {line!r}"
    match = _LINE.fullmatch(line)
    assert match, f"not a content line: {line!r}"
    name, parameters, value = match.groups()
    if name in _TEXTS:
        assert not re.search(r"(?<!\\)(?:\\\\)*[;,]", value), f"not escaped: {line!r}"
        value = _TEXT_ESCAPE.sub(lambda escape: _TEXT_LETTERS[escape[1]], value)
    return name, Property(
        value,
        {
            key: _PARAMETER_ESCAPE.sub(lambda escape: _PARAMETER_LETTERS[escape[1]], quoted or bare)
            for key, quoted, bare in _PARAMETER.findall(parameters)
        },
    )


_TEXT_LETTERS = {"\\": "\\", ";": ";", ",": ",", "n": "\n", "N": "\n"}
_PARAMETER_LETTERS = {"n": "\n", "^": "^", "'": '"'}
