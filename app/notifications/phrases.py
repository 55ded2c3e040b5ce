"""Phrases used only in mails: hours, place, policy. User input is made safe for headers and
sentences. Some docstrings are examples of the result."""

import re
from datetime import datetime

from app.bookings.booking import Booking, Role
from app.formatting import clock, local_day, long_day, moment, zone_abbreviation, zone_name

# Control characters, and the direction overrides and isolates that let a name rearrange the words
# around it.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def when(start: datetime, end: datetime, zone: str) -> str:
    """Tuesday, November 24, 2026, 9:00–10:00 am (New York time)"""
    day = local_day(start, zone)
    return f"{long_day(day)}, {day.year}, {hours(start, end, zone)} ({zone_name(zone)})"


def hours(start: datetime, end: datetime, zone: str) -> str:
    """9:00–10:00 am, 11:30 am–12:30 pm; across a clock change 1:30 am EDT–1:30 am EST"""
    first, last = clock(start, zone), clock(end, zone)
    before, after = zone_abbreviation(start, zone), zone_abbreviation(end, zone)
    if before != after:
        return (
            f"{first.removesuffix(f' {before}')} {before}–{last.removesuffix(f' {after}')} {after}"
        )
    shared = first[-3:] in {" am", " pm"} and first[-3:] == last[-3:]
    return f"{first[:-3] if shared else first}–{last}"


def place(booking: Booking, reader: Role) -> str:
    """at your place: 12 Main St"""
    phrase = {
        ("student", "student"): "at your place",
        ("student", "instructor"): f"at {line(booking.student_name)}’s place",
        ("instructor", "student"): f"at {line(booking.instructor_name)}’s place",
        ("instructor", "instructor"): "at your place",
    }.get((booking.location_type, reader), "in a public place")
    address = line(booking.location)
    return f"{phrase}: {address}" if address else phrase


def policy(booking: Booking, reader: Role, now: datetime) -> str:
    """The time until which the student can cancel this lesson for free."""
    name = "You" if reader == "student" else line(booking.student_name)
    if now > booking.free_cancel_until:
        return "The free cancellation period is over. A cancellation now counts as late."
    if booking.free_cancel_until == booking.starts_at:
        return f"{name} can cancel for free until the lesson starts."
    until = moment(booking.free_cancel_until, booking.time_zone, now)
    return f"{name} can cancel for free until {until}. After that, it counts as late."


def canceller(booking: Booking, reader: Role, cancelled_by: object) -> str:
    """You, Ben Birch, We: the subject of “… cancelled this lesson”."""
    if cancelled_by == booking.student_id:
        return "You" if reader == "student" else line(booking.student_name)
    if cancelled_by == booking.instructor_id:
        return "You" if reader == "instructor" else line(booking.instructor_name)
    return "We"


def lateness(booking: Booking, cancelled_by: object, now: datetime) -> str:
    """Whether the cancellation was free. Empty unless the student cancelled: only a student’s
    cancellation can be late."""
    if cancelled_by != booking.student_id:
        return ""
    if not booking.late:
        return "The cancellation was free."
    until = moment(booking.free_cancel_until, booking.time_zone, now)
    return f"It counts as late: cancellation was free until {until}."


def line(text: str) -> str:
    """User input as one line that can neither end a header nor rearrange the text around it."""
    return " ".join(_UNSAFE.sub(" ", text).split())


def lines(text: str) -> list[str]:
    """The lines of user input, each as by `line`."""
    return [line(part) for part in text.strip().splitlines()]
