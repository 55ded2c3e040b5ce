"""The content of a notification: subject, text, HTML and calendar file. `delivery` sends it."""

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

# The kinds of notification, and the method of their calendar files.
_METHODS: dict[str, Method] = {"booking_confirmed": "REQUEST", "booking_cancelled": "CANCEL"}
KINDS = list(_METHODS)
# Loaded at the start, so that a missing template is noticed then.
_TEXTS = {kind: _TEMPLATES.get_template(f"mail/{kind}.txt") for kind in KINDS}
_PAGES = {kind: _TEMPLATES.get_template(f"mail/{kind}.html") for kind in KINDS}
_CALENDAR_TEXT = _TEMPLATES.get_template("mail/calendar.txt")


@dataclass(frozen=True, slots=True)
class Recipient:
    """The student or the instructor of a booking."""

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
    recipient: Recipient,
    *,
    cancelled_by: UUID | None,
    site_url: str,
    mail_from: str,
    now: datetime,
) -> Message:
    """The message of this kind (one of KINDS) about the booking."""
    role: Role = "instructor" if recipient.id == booking.instructor_id else "student"
    variables = _variables(
        kind, booking, role, cancelled_by=cancelled_by, site_url=site_url, now=now
    )
    variables |= {
        "reader_name": phrases.line(recipient.name),
        "subject": _subject(kind, role, variables),
    }
    method = _METHODS[kind]
    return Message(
        name=variables["reader_name"],
        address=recipient.address,
        subject=variables["subject"],
        text=_TEXTS[kind].render(variables),
        html=_PAGES[kind].render(variables),
        calendar=invitation(
            booking,
            method=method,
            summary=f"{variables['service']} with {variables['other']}",
            location=phrases.line(booking.location) or variables["place"],
            description=_CALENDAR_TEXT.render(variables).strip(),
            url=variables["lessons_url"],
            site_url=site_url,
            organizer=_organizer(mail_from),
            attendee=Guest(variables["reader_name"], recipient.address),
            now=now,
        ),
        method=method,
    )


@cache
def _organizer(mail_from: str) -> Guest:
    return Guest(*parseaddr(mail_from))


def _subject(kind: str, role: Role, variables: dict[str, Any]) -> str:
    event = {
        "booking_cancelled": "Cancelled",
        "booking_confirmed": "Confirmed" if role == "student" else "New lesson",
    }[kind]
    return f"{event}: {variables['service']} with {variables['other']}, {variables['when_short']}"


def _variables(
    kind: str,
    booking: Booking,
    role: Role,
    *,
    cancelled_by: UUID | None,
    site_url: str,
    now: datetime,
) -> dict[str, Any]:
    """The variables of the templates."""
    zone = booking.time_zone
    variables = {
        "reader": role,
        "other": phrases.line(
            booking.student_name if role == "instructor" else booking.instructor_name
        ),
        "service": phrases.line(booking.service_name),
        "when_long": phrases.when(booking),
        "when_short": formatting.moment(booking.starts_at, zone, now),
        "place": phrases.place(booking, role),
        "price": f"{formatting.money(booking.price_cents)} for {booking.duration_minutes} minutes",
        "note": phrases.lines(booking.note),
        "site_url": site_url,
        "lessons_url": f"{site_url}/{'teach' if role == 'instructor' else 'lessons'}",
    }
    if kind == "booking_cancelled":
        return variables | {
            "canceller": phrases.canceller(booking, role, cancelled_by),
            "lateness": phrases.lateness(booking, cancelled_by, now),
            "reason": phrases.lines(booking.cancel_reason),
            "instructor_url": f"{site_url}/instructors/{booking.instructor_id}",
        }
    return variables | {"policy": phrases.policy(booking, role, now)}
