"""What mails say about a lesson beyond app.wording: its hours, its place, the policy; and what people typed, made fit to stand in a
header or a sentence."""

import re
from datetime import datetime

from app.bookings.booking import Booking, Role
from app.wording import clock, local_day, long_day, moment, zone_letters, zone_name

# Control characters, and the direction overrides and isolates that let a name rearrange the words
# around it.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def when(booking: Booking) -> str:
    """Tuesday, November 24, 2026, 9:00–10:00 am (New York time)"""
    zone = booking.time_zone
    day = local_day(booking.starts_at, zone)
    span = hours(booking.starts_at, booking.ends_at, zone)
    return f"{long_day(day)}, {day.year}, {span} ({zone_name(zone)})"


def hours(start: datetime, end: datetime, zone: str) -> str:
    """9:00–10:00 am, 11:30 am–12:30 pm; over a change of the clocks 1:30 am EDT–1:30 am EST"""
    first, last = clock(start, zone), clock(end, zone)
    before, after = zone_letters(start, zone), zone_letters(end, zone)
    if before != after:
        return f"{first} {before}–{last} {after}"
    return f"{first[:-3] if first[-3:] == last[-3:] else first}–{last}"


def place(booking: Booking, reader: Role) -> str:
    """at your place: 12 Main St"""
    words = {
        ("student", "student"): "at your place",
        ("student", "instructor"): f"at {line(booking.student_name)}’s place",
        ("instructor", "student"): f"at {line(booking.instructor_name)}’s place",
        ("instructor", "instructor"): "at your place",
    }.get((booking.location_type, reader), "in a public place")
    where = line(booking.location)
    return f"{words}: {where}" if where else words


def policy(booking: Booking, reader: Role, now: datetime) -> str:
    """The cancellation policy as it stands for this lesson."""
    who, they = ("You", "you") if reader == "student" else (line(booking.student_name), line(booking.student_name))
    if now > booking.free_cancel_until:
        return f"The time for cancelling free of charge has passed: if {they} cancelled now, it would count as late."
    if booking.free_cancel_until == booking.starts_at:
        return f"{who} can cancel free of charge until the lesson begins."
    until = moment(booking.free_cancel_until, booking.time_zone, now)
    return f"{who} can cancel free of charge until {until}. After that, it counts as a late cancellation."


def who_cancelled(booking: Booking, reader: Role, cancelled_by: object) -> str:
    """You have cancelled"""
    if cancelled_by == booking.student_id:
        return "You have cancelled" if reader == "student" else f"{line(booking.student_name)} has cancelled"
    if cancelled_by == booking.instructor_id:
        return "You have cancelled" if reader == "instructor" else f"{line(booking.instructor_name)} has cancelled"
    return "We have cancelled"


def lateness(booking: Booking, cancelled_by: object, now: datetime) -> str:
    """Whether it was free. Only a student's cancellation can be late; of the instructor's there is nothing to say."""
    if cancelled_by != booking.student_id:
        return ""
    if not booking.late:
        return "It was cancelled in time, free of charge."
    until = moment(booking.free_cancel_until, booking.time_zone, now)
    return f"It counts as a late cancellation: cancelling was free of charge until {until}."


def line(text: str) -> str:
    """What someone typed as one line: unable to end a header or to rearrange what stands around it."""
    return " ".join(_UNFIT.sub(" ", text).split())


def lines(text: str) -> list[str]:
    """What someone typed, line by line."""
    return [line(part) for part in text.strip().splitlines()]
