"""A booking and its messages, for tests of mails."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from app.bookings.booking import Booking
from app.notifications.message import Message, Recipient, compose

ANNA, BEN = uuid4(), uuid4()
SITE = "https://lessons.example.com"
# A name or note that tries to end a header, add markup and reverse the text.
HOSTILE = 'Eve\r\nBcc: victim@example.com\r\n\r\n<script>alert("x")</script> & \u202eevil\u0007'


def lesson(**changes: Any) -> Booking:
    """Ben's piano lesson with Anna, on Tuesday, November 24, 2026, 9:00 am in New York."""
    start = changes.pop("starts_at", datetime(2026, 11, 24, 14, 0, tzinfo=UTC))
    minutes = changes.pop("duration_minutes", 60)
    values: dict[str, Any] = {
        "id": UUID("0198c0de-0000-7000-8000-000000000001"),
        "state": "confirmed",
        "starts_at": start,
        "ends_at": start + timedelta(minutes=minutes),
        "duration_minutes": minutes,
        "held_until": None,
        "service_id": uuid4(),
        "service_name": "Piano",
        "price_cents": 7000,
        "instructor_id": ANNA,
        "instructor_name": "Anna Ash",
        "student_id": BEN,
        "student_name": "Ben Birch",
        "location_type": "student",
        "location": "12 Main St",
        "note": "I have never played before.",
        "instructor_note": "for Anna’s eyes only",
        "free_cancel_until": start - timedelta(hours=12),
        "late": None,
        "cancel_reason": "",
        "sequence": 0,
        "version": 1,
        "created_at": start - timedelta(days=5),
        "time_zone": "America/New_York",
    }
    return Booking(**values | changes)


def composed(
    kind: str,
    booking: Booking,
    reader: UUID,
    *,
    actor_id: UUID | None = None,
    now: datetime | None = None,
) -> Message:
    """The message to the student or the instructor."""
    recipient = {
        booking.instructor_id: Recipient(
            booking.instructor_id, booking.instructor_name, "anna@example.com"
        ),
        booking.student_id: Recipient(booking.student_id, booking.student_name, "ben@example.com"),
    }[reader]
    return compose(
        kind,
        booking,
        recipient,
        actor_id=actor_id,
        site_url=SITE,
        mail_from="InstaInstru <lessons@example.com>",
        now=now or booking.starts_at - timedelta(days=3),
    )
