"""A lesson as iCalendar (RFC 5545, RFC 5546): what mails attach. One UID per booking and a rising SEQUENCE, so that a calendar
keeps one entry and moves or removes it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlsplit
from uuid import UUID

from app.bookings.booking import Booking

Method = Literal["REQUEST", "CANCEL", "PUBLISH"]

# No answer is requested: the lesson is agreed already.
_AGREED = "ROLE=REQ-PARTICIPANT;PARTSTAT=ACCEPTED;RSVP=FALSE"
_LINE_OCTETS = 75
# Line breaks become \n, other control characters are not allowed at all.
_CONTROLS: dict[int, str | None] = {code: None for code in (*range(32), 127) if chr(code) not in "\t\n"}
_ESCAPES = str.maketrans(_CONTROLS | {ord(letter): f"\\{letter}" for letter in "\\;,"})
_WITHOUT_QUOTES = str.maketrans(_CONTROLS | {ord('"'): "'", ord("\n"): " "})


@dataclass(frozen=True)
class Guest:
    """Someone named in an entry. Names must be single lines."""

    name: str
    email: str


def uid(booking_id: UUID, site_url: str) -> str:
    """Stays the same for as long as the booking exists."""
    return f"{booking_id}@{host(site_url)}"


def host(site_url: str) -> str:
    return urlsplit(site_url).hostname or "localhost"


def invitation(
    booking: Booking,
    *,
    method: Method,
    summary: str,
    location: str,
    description: str,
    url: str,
    site_url: str,
    organizer: Guest,
    attendee: Guest,
    now: datetime,
) -> str:
    """A calendar of this one lesson. The site is the organizer and the reader the only attendee: the two people of a lesson are
    not told each other's address."""
    cancelled = method == "CANCEL"
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//InstaInstru//Lessons//EN",
        f"METHOD:{method}",
        "BEGIN:VEVENT",
        f"UID:{uid(booking.id, site_url)}",
        f"DTSTAMP:{_instant(now)}",
        # Two steps per move, so that the cancellation comes after whatever it cancels.
        f"SEQUENCE:{booking.sequence * 2 + cancelled}",
        f"DTSTART:{_instant(booking.starts_at)}",
        f"DTEND:{_instant(booking.ends_at)}",
        f"SUMMARY:{_text(summary)}",
        f"LOCATION:{_text(location)}",
        f"DESCRIPTION:{_text(description)}",
        f"URL:{url}",
        f"STATUS:{'CANCELLED' if cancelled else 'CONFIRMED'}",
        f"ORGANIZER;CN={_parameter(organizer.name)}:mailto:{organizer.email}",
        f"ATTENDEE;CN={_parameter(attendee.name)};{_AGREED}:mailto:{attendee.email}",
        "END:VEVENT",
        "END:VCALENDAR",
    ]
    return "".join(f"{_folded(line)}\r\n" for line in lines)


def _instant(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _text(value: str) -> str:
    """A TEXT value (RFC 5545, 3.3.11)."""
    return value.translate(_ESCAPES).replace("\n", "\\n")


def _parameter(value: str) -> str:
    """A quoted parameter value, which cannot contain a quotation mark (RFC 5545, 3.2)."""
    return f'"{value.translate(_WITHOUT_QUOTES)}"'


def _folded(line: str) -> str:
    """Lines of at most 75 octets that never split a character (RFC 5545, 3.1)."""
    parts, rest = [], line.encode()
    while len(rest) > _LINE_OCTETS:
        end = _LINE_OCTETS
        while rest[end] & 0xC0 == 0x80:  # within a character of several octets
            end -= 1
        parts.append(rest[:end])
        rest = b" " + rest[end:]
    return b"\r\n".join([*parts, rest]).decode()
