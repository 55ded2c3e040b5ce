"""What a notification says: subject, text, HTML and the calendar file, for the one person who reads it. How it gets there is
delivery's."""

from dataclasses import dataclass
from datetime import datetime
from email.utils import parseaddr
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import jinja2

from app import formatting
from app.bookings.booking import Booking, Role
from app.bookings.ical import Guest, Method, invitation
from app.notifications import phrases

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent.parent / "templates"),
    autoescape=jinja2.select_autoescape(("html",), default=False),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    auto_reload=False,
)

# The kinds that can be written, and what the calendar file of each asks for.
_METHODS: dict[str, Method] = {"booking_confirmed": "REQUEST", "booking_cancelled": "CANCEL"}
KINDS = list(_METHODS)
# Compiled when the process starts.
_TEXTS = {kind: _TEMPLATES.get_template(f"mail/{kind}.txt") for kind in KINDS}
_PAGES = {kind: _TEMPLATES.get_template(f"mail/{kind}.html") for kind in KINDS}
_CALENDAR_TEXT = _TEMPLATES.get_template("mail/calendar.txt")


@dataclass(frozen=True, slots=True)
class Reader:
    """One of the two people of a booking."""

    id: UUID
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Message:
    """`name` and `subject` are single lines."""

    name: str
    address: str
    subject: str
    text: str
    html: str
    calendar: str
    method: Method


def compose(
    kind: str,
    booking: Booking,
    reader: Reader,
    *,
    cancelled_by: UUID | None,
    site_url: str,
    mail_from: str,
    now: datetime,
) -> Message:
    """The message of this kind (one of KINDS) about the booking, as the reader gets it."""
    role: Role = "instructor" if reader.id == booking.instructor_id else "student"
    words = _words(kind, booking, role, cancelled_by=cancelled_by, site_url=site_url, now=now)
    words |= {"reader_name": phrases.line(reader.name), "subject": _subject(kind, role, words)}
    method = _METHODS[kind]
    return Message(
        name=words["reader_name"],
        address=reader.address,
        subject=words["subject"],
        text=_TEXTS[kind].render(words),
        html=_PAGES[kind].render(words),
        calendar=invitation(
            booking,
            method=method,
            summary=f"{words['service']} with {words['other']}",
            location=phrases.line(booking.location) or words["place"],
            description=_CALENDAR_TEXT.render(words).strip(),
            url=words["lessons_url"],
            site_url=site_url,
            organizer=_organizer(mail_from),
            attendee=Guest(words["reader_name"], reader.address),
            now=now,
        ),
        method=method,
    )


@cache
def _organizer(mail_from: str) -> Guest:
    return Guest(*parseaddr(mail_from))


def _subject(kind: str, role: Role, words: dict[str, Any]) -> str:
    what = {
        "booking_cancelled": "Cancelled",
        "booking_confirmed": "Confirmed" if role == "student" else "New lesson",
    }[kind]
    return f"{what}: {words['service']} with {words['other']}, {words['moment']}"


def _words(
    kind: str,
    booking: Booking,
    role: Role,
    *,
    cancelled_by: UUID | None,
    site_url: str,
    now: datetime,
) -> dict[str, Any]:
    """What the templates say."""
    zone = booking.time_zone
    words = {
        "reader": role,
        "other": phrases.line(
            booking.student_name if role == "instructor" else booking.instructor_name
        ),
        "service": phrases.line(booking.service_name),
        "when": phrases.when(booking),
        "moment": formatting.moment(booking.starts_at, zone, now),
        "place": phrases.place(booking, role),
        "price": f"{formatting.money(booking.price_cents)} for {booking.duration_minutes} minutes",
        "note": phrases.lines(booking.note),
        "site_url": site_url,
        "lessons_url": f"{site_url}/{'teach' if role == 'instructor' else 'lessons'}",
    }
    if kind == "booking_cancelled":
        return words | {
            "canceller": phrases.canceller(booking, role, cancelled_by),
            "lateness": phrases.lateness(booking, cancelled_by, now),
            "reason": phrases.lines(booking.cancel_reason),
            "instructor_url": f"{site_url}/instructors/{booking.instructor_id}",
        }
    return words | {"policy": phrases.policy(booking, role, now)}
