"""All messages of the live protocol (docs/live-protocol.md, subprotocol lesson.v1): those of the
client, parsed, and those of the server, as the bytes of one WebSocket frame. Compression is off, so
a frame is built once and is the same for every socket."""

import re
import struct
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Literal, NotRequired
from uuid import UUID

import orjson
from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict
from websockets.frames import Close, Frame, Opcode

from app import refusal, wire
from app.bookings.booking import BookingJson
from app.refusal import Refusal
from app.schema import Id, InstantText, ZoneText

SUBPROTOCOL = "lesson.v1"

MAX_TEXT = 4 * 1024
MAX_FRAME = 16 * 1024
MAX_DAYS = 35
MAX_WATCHES = 50

# Close codes tell the client to reconnect, to sign in, or not to reconnect
# (docs/live-protocol.md).
INTERNAL_ERROR = 1011
RESTART = 1012
BAD_CLIENT = 4400
SESSION_OVER = 4401
SESSION_REVOKED = 4403
TOO_MANY = 4429


class BadMessage(Refusal):
    """That is not a message of this protocol."""

    code: ClassVar[str] = "BAD_MESSAGE"


class Limit(Refusal):
    """That is more than one connection may ask for."""

    code: ClassVar[str] = "LIMIT"


# ---- from the client


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _day(value: object) -> date:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise ValueError('must be a date like "2026-11-23"')
    day = date.fromisoformat(value)
    if not 1970 <= day.year <= 2200:
        raise ValueError("is too far from today")
    return day


class Watch(BaseModel):
    """Requests a board for some days and its changes. With epoch and version it resumes from
    there."""

    type: Literal["watch"]
    instructor: Annotated[str, Field(max_length=200)]
    first: Annotated[date, BeforeValidator(_day)]
    days: Annotated[int, Field(strict=True, ge=1, le=MAX_DAYS)]
    epoch: Annotated[str, Field(max_length=200)] | None = None
    version: Annotated[int, Field(strict=True, ge=0, lt=2**63)] | None = None


class Unwatch(BaseModel):
    """Ends a watch."""

    type: Literal["unwatch"]
    instructor: Annotated[str, Field(max_length=200)]


_CLIENT_MESSAGE: TypeAdapter[Watch | Unwatch] = TypeAdapter(
    Annotated[Watch | Unwatch, Field(discriminator="type")]
)


def read(text: str) -> Watch | Unwatch:
    """Parses a message of the client. Raises Limit, BadMessage, or ValidationError with the
    message's `instructor`."""
    if len(text) > MAX_TEXT or len(text.encode()) > MAX_TEXT:
        raise Limit(f"A message may have up to {MAX_TEXT} bytes.")
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadMessage from None
    if not isinstance(message, dict) or message.get("type") not in ("watch", "unwatch"):
        raise BadMessage
    try:
        return _CLIENT_MESSAGE.validate_python(message)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = str(first["loc"][-1])
        reason = first["msg"].removeprefix("Value error, ")
        instructor = message.get("instructor")
        if not isinstance(instructor, str):
            instructor = None
        raise refusal.ValidationError(
            f"{field}: {reason}.", field=field, instructor=instructor
        ) from None


def calendar_id(instructor: str) -> str:
    """The calendar's id in canonical form, as used for keys. Raises NotFound if it is not a
    UUID."""
    try:
        return str(UUID(instructor))
    except ValueError:
        raise refusal.NotFound(instructor=instructor) from None


# ---- to the client

Span = tuple[InstantText, InstantText]


class BoardDay(TypedDict):
    """Ranges of a local day, maximal and sorted: `free` can be booked, `held` is being booked."""

    free: list[Span]
    held: list[Span]


class BoardMessage(TypedDict):
    """One snapshot of a calendar, with every requested day. It replaces everything."""

    type: Literal["board"]
    instructor: Id
    epoch: str
    version: int
    time_zone: ZoneText
    min_advance_minutes: int
    days: dict[str, BoardDay]


class ChangeMessage(TypedDict):
    """One step of a calendar: the whole new content of the altered days that are watched, if
    any."""

    type: Literal["change"]
    instructor: Id
    epoch: str
    version: int
    days: dict[str, BoardDay]


BookingEvent = Literal[
    "created",
    "confirmed",
    "rescheduled",
    "cancelled",
    "completed",
    "no_show",
    "expired",
    "noted",
]


class BookingMessage(TypedDict):
    """An event of a booking, to its student and its instructor."""

    type: Literal["booking"]
    event: BookingEvent
    booking: BookingJson


class RefreshMessage(TypedDict):
    """Booking messages may have been missed: read the lists again."""

    type: Literal["refresh"]


class BeaconMessage(TypedDict):
    """The versions of all watched calendars, every 20 seconds and after a resume."""

    type: Literal["beacon"]
    now: InstantText
    epoch: str
    versions: Mapping[str, int]


class ErrorMessage(TypedDict):
    """A refusal. The socket stays open unless a close follows."""

    type: Literal["error"]
    code: str
    detail: str
    instructor: NotRequired[str]


class ByeMessage(TypedDict):
    """The process is shutting down: reconnect after this time, with jitter."""

    type: Literal["bye"]
    after_ms: int


def frame(text: bytes) -> bytes:
    """One unmasked, final text frame (RFC 6455, 5.2)."""
    length = len(text)
    if length < 126:
        return struct.pack("!BB", 0x81, length) + text
    if length < 65536:
        return struct.pack("!BBH", 0x81, 126, length) + text
    return struct.pack("!BBQ", 0x81, 127, length) + text


def text_of(text_frame: bytes) -> bytes:
    """The reverse of `frame`."""
    return text_frame[{126: 4, 127: 10}.get(text_frame[1], 2) :]


PING = b"\x89\x00"


def control_frame(opcode: Opcode, data: bytes | bytearray | memoryview) -> bytes:
    """A pong or a close frame."""
    return Frame(opcode, bytes(data)).serialize(mask=False)


def close(code: int, reason: str) -> bytes:
    return control_frame(Opcode.CLOSE, Close(code, reason).serialize())


def change(instructor: str, epoch: str, version: int, days: dict[str, Any]) -> bytes:
    """One step of a calendar, with the altered days of the watched window."""
    message: ChangeMessage = {
        "type": "change",
        "instructor": instructor,
        "epoch": epoch,
        "version": version,
        "days": days,
    }
    return _frame(message)


def booking(event: BookingEvent, booking_json: BookingJson) -> bytes:
    """An event of a booking. Its student and its instructor get different fields."""
    message: BookingMessage = {"type": "booking", "event": event, "booking": booking_json}
    return _frame(message)


def beacon(now: datetime, epoch: str, versions: Mapping[str, int]) -> bytes:
    """The versions of all watched calendars."""
    message: BeaconMessage = {
        "type": "beacon",
        "now": wire.instant(now),
        "epoch": epoch,
        "versions": versions,
    }
    return _frame(message)


def error(refused: Refusal, instructor: str | None = None) -> bytes:
    """A refusal; the socket stays open."""
    instructor = instructor or refused.more.get("instructor")
    message: ErrorMessage = {"type": "error", "code": refused.code, "detail": refused.detail}
    if instructor:
        message["instructor"] = instructor
    return _frame(message)


def bye(after_ms: int) -> bytes:
    """This process is shutting down: reconnect after `after_ms`."""
    message: ByeMessage = {"type": "bye", "after_ms": after_ms}
    return _frame(message)


def _frame(message: Mapping[str, object]) -> bytes:
    return frame(orjson.dumps(message))


# Some booking messages may have been missed: read the lists again.
_REFRESH: RefreshMessage = {"type": "refresh"}
REFRESH = _frame(_REFRESH)
