"""Lessons as iCalendar (RFC 5545, RFC 5546), for the attachments of mails, downloads and feeds.
Each booking has one UID and a rising SEQUENCE, so that calendars update or remove its entry."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlsplit
from uuid import UUID

from icalendar import Calendar, Event, vCalAddress

from app import formatting
from app.bookings.booking import Booking

Method = Literal["REQUEST", "CANCEL", "PUBLISH"]

# The lesson is confirmed, so no reply is requested.
_ACCEPTED = {"ROLE": "REQ-PARTICIPANT", "PARTSTAT": "ACCEPTED", "RSVP": "FALSE"}


@dataclass(frozen=True)
class Guest:
    """Someone named in an entry. Names must be single lines."""

    name: str
    email: str


def uid(booking_id: UUID, site_url: str) -> str:
    """The same for every version of a booking."""
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
    """A calendar with one lesson. The site is the organizer and the recipient the only attendee, so
    that student and instructor don't see each other's e-mail address."""
    event = _event(
        booking,
        is_cancelled=method == "CANCEL",
        summary=summary,
        location=location,
        url=url,
        site_url=site_url,
        now=now,
    )
    event.add("description", description)
    event.add("organizer", _address(organizer))
    event.add("attendee", _address(attendee, **_ACCEPTED))
    calendar = _calendar(method)
    calendar.add_component(event)
    return str(calendar.to_ical(), "utf-8")


def calendar_of(
    bookings: Sequence[Booking], *, viewer: UUID, site_url: str, now: datetime, name: str = ""
) -> str:
    """A calendar of lessons as their student or instructor sees them, to download or to subscribe
    to. `name`: what calendar programs call it."""
    calendar = _calendar("PUBLISH")
    if name:
        calendar.add("x-wr-calname", name)
    for booking in bookings:
        teaches = viewer == booking.instructor_id
        other = booking.student_name if teaches else booking.instructor_name
        event = _event(
            booking,
            is_cancelled=booking.state == "cancelled",
            summary=f"{booking.service_name} with {other}",
            location=booking.location or _place(booking, is_instructor=teaches),
            url=lesson_url(site_url, booking.id, is_instructor=teaches),
            site_url=site_url,
            now=now,
        )
        calendar.add_component(event)
    return str(calendar.to_ical(), "utf-8")


def _place(booking: Booking, *, is_instructor: bool) -> str:
    """The kind of place, as its reader's pages name it."""
    if is_instructor:
        return formatting.PLACES_FOR_INSTRUCTOR[booking.location_type]
    return formatting.place(booking.location_type, booking.instructor_name)


def lesson_url(site_url: str, booking_id: UUID, *, is_instructor: bool) -> str:
    """The lesson on its reader's own page, whatever has become of it."""
    page = "teach" if is_instructor else "lessons"
    return f"{site_url}/{page}?lesson={booking_id}#booking-{booking_id}"


def _event(
    booking: Booking,
    *,
    is_cancelled: bool,
    summary: str,
    location: str,
    url: str,
    site_url: str,
    now: datetime,
) -> Event:
    event = Event()
    event.add("uid", uid(booking.id, site_url))
    event.add("dtstamp", now.astimezone(UTC))
    # Two steps per change of the booking, so that its cancellation has the higher number.
    event.add("sequence", booking.sequence * 2 + is_cancelled)
    event.add("dtstart", booking.starts_at.astimezone(UTC))
    event.add("dtend", booking.ends_at.astimezone(UTC))
    event.add("summary", summary)
    event.add("location", location)
    event.add("url", url)
    event.add("status", "CANCELLED" if is_cancelled else "CONFIRMED")
    return event


def _calendar(method: Method) -> Calendar:
    calendar = Calendar()
    calendar.add("prodid", "-//InstaInstru//Lessons//EN")
    calendar.add("version", "2.0")
    calendar.add("method", method)
    return calendar


def _address(guest: Guest, **parameters: str) -> vCalAddress:
    # RFC 6868 writes a quotation mark as ^', which many calendar programs show literally.
    name = guest.name.replace('"', "'")
    return vCalAddress(f"mailto:{guest.email}", params={"CN": name, **parameters})
