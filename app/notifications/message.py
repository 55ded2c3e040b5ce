"""The content of a notification: subject, text, HTML and, where a lesson enters, moves in or leaves
a calendar, a calendar file. `delivery` sends it."""

from dataclasses import dataclass
from datetime import datetime
from email.utils import parseaddr
from functools import cache
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import jinja2

from app import formatting
from app.bookings.booking import Booking, Role
from app.bookings.ical import Guest, Method, invitation, lesson_url
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

# The kinds of notification about a booking, and the methods of their calendar files.
_METHODS: dict[str, Method | None] = {
    "booking_confirmed": "REQUEST",
    "booking_rescheduled": "REQUEST",
    "booking_cancelled": "CANCEL",
    "reminder": None,
}
# The kinds about an account, and their subjects.
_SUBJECTS = {
    "welcome": "Welcome to InstaInstru",
    "verification": "Confirm your e-mail address",
    "email_change": "Confirm your new e-mail address",
    "email_changed": "Your e-mail address was changed",
    "password_reset": "Set a new password",
    "password_changed": "Your password was changed",
    "recovery_code_used": "A recovery code was used",
}
KINDS = [*_METHODS, *_SUBJECTS]
# Sent to addresses that are not confirmed, to ask whether they are the account's.
TO_STRANGERS = frozenset({"verification", "email_change"})
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
    """`name` and `subject` are single lines. `calendar` is an iCalendar file with this `method`;
    both are empty in a message without one."""

    name: str
    address: str
    subject: str
    text: str
    html: str
    calendar: str = ""
    method: Method | Literal[""] = ""


def about_account(
    kind: str, recipient: Recipient, *, is_instructor: bool, token: str, site_url: str
) -> Message:
    """The message of this kind about the recipient's account. `token` is for its link, if any. To
    an address that may be a stranger's, it repeats nothing that the account's owner wrote."""
    link = {
        "welcome": "/teach" if is_instructor else "/",
        "verification": f"/verify-email?token={token}",
        "email_change": f"/verify-email?token={token}",
        "password_reset": f"/reset-password?token={token}",
        "recovery_code_used": "/account#second-factor",
    }.get(kind, "/account")
    variables = {
        "subject": _SUBJECTS[kind],
        "reader_name": "" if kind in TO_STRANGERS else phrases.line(recipient.name),
        "reader": "instructor" if is_instructor else "student",
        "site_url": site_url,
        "link": f"{site_url}{link}",
    }
    return _message(kind, recipient, variables)


def compose(
    kind: str,
    booking: Booking,
    recipient: Recipient,
    *,
    actor_id: UUID | None,
    moved_from: tuple[datetime, datetime] | None = None,
    site_url: str,
    mail_from: str,
    now: datetime,
) -> Message:
    """The message of this kind about the booking. `actor_id`: who booked or cancelled it.
    `moved_from`: start and end before a move."""
    role: Role = "instructor" if recipient.id == booking.instructor_id else "student"
    variables = _variables(kind, booking, role, actor_id=actor_id, site_url=site_url, now=now)
    variables |= {
        "before": phrases.when(*moved_from, booking.time_zone) if moved_from else "",
        "reader_name": phrases.line(recipient.name),
        "subject": _subject(kind, role, variables),
    }
    method = _METHODS[kind]
    if method is None:
        return _message(kind, recipient, variables)
    calendar = invitation(
        booking,
        method=method,
        summary=f"{variables['service']} with {variables['other']}",
        location=phrases.line(booking.location) or variables["place"],
        description=_CALENDAR_TEXT.render(variables).strip(),
        url=variables["lesson_url"],
        site_url=site_url,
        organizer=_organizer(mail_from),
        attendee=Guest(variables["reader_name"], recipient.address),
        now=now,
    )
    return _message(kind, recipient, variables, calendar=calendar, method=method)


def _message(
    kind: str,
    recipient: Recipient,
    variables: dict[str, Any],
    *,
    calendar: str = "",
    method: Method | Literal[""] = "",
) -> Message:
    return Message(
        name=variables["reader_name"],
        address=recipient.address,
        subject=variables["subject"],
        text=_TEXTS[kind].render(variables),
        html=_PAGES[kind].render(variables),
        calendar=calendar,
        method=method,
    )


@cache
def _organizer(mail_from: str) -> Guest:
    return Guest(*parseaddr(mail_from))


def _subject(kind: str, role: Role, variables: dict[str, Any]) -> str:
    event = {
        "booking_cancelled": "Cancelled",
        "booking_confirmed": "Confirmed" if role == "student" else "New lesson",
        "booking_rescheduled": "Moved",
        "reminder": "Reminder",
    }[kind]
    return f"{event}: {variables['service']} with {variables['other']}, {variables['when_short']}"


def _variables(
    kind: str,
    booking: Booking,
    role: Role,
    *,
    actor_id: UUID | None,
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
        "when_long": phrases.when(booking.starts_at, booking.ends_at, zone),
        "when_short": formatting.moment(booking.starts_at, zone, now),
        "place": phrases.place(booking, role),
        "price": f"{formatting.money(booking.price_cents)} for {booking.duration_minutes} minutes",
        "note": phrases.lines(booking.note),
        "site_url": site_url,
        "lesson_url": lesson_url(site_url, booking.id, is_instructor=role == "instructor"),
    }
    if kind == "booking_cancelled":
        return variables | {
            "canceller": phrases.canceller(booking, role, actor_id),
            "lateness": phrases.lateness(booking, actor_id, now),
            "reason": phrases.lines(booking.cancel_reason),
            "instructor_url": f"{site_url}/instructors/{booking.instructor_id}",
        }
    return variables | {
        "by_staff": actor_id not in {None, booking.student_id},
        "policy": phrases.policy(booking, role, now),
    }
