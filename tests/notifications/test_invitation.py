"""The calendar file as a calendar program reads it."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.notifications.ics import parse
from tests.notifications.lessons import ANNA, BEN, HOSTILE, SITE, composed, lesson


def test_a_confirmation_adds_the_lesson_to_the_calendar() -> None:
    calendar, event = parse(composed("booking_confirmed", lesson(), BEN).calendar)
    assert (calendar["METHOD"], calendar["VERSION"]) == ("REQUEST", "2.0")
    assert event["UID"] == f"{lesson().id}@lessons.example.com"
    assert event["SEQUENCE"] == "0"
    assert event.properties["DTSTART"].instant == datetime(2026, 11, 24, 14, 0, tzinfo=UTC)
    assert event.properties["DTEND"].instant == datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
    assert (event["SUMMARY"], event["LOCATION"], event["STATUS"]) == (
        "Piano with Anna Ash",
        "12 Main St",
        "CONFIRMED",
    )
    assert event["URL"] == f"{SITE}/lessons?lesson={lesson().id}#booking-{lesson().id}"
    assert event["ORGANIZER"] == "mailto:lessons@example.com"
    assert event["ATTENDEE"] == "mailto:ben@example.com"
    assert event.properties["ATTENDEE"].parameters["CN"] == "Ben Birch"
    assert event.properties["ATTENDEE"].parameters["PARTSTAT"] == "ACCEPTED"


def test_a_cancellation_removes_the_same_entry() -> None:
    _, before = parse(composed("booking_confirmed", lesson(sequence=2), ANNA).calendar)
    calendar, event = parse(
        composed("booking_cancelled", lesson(sequence=2), ANNA, actor_id=BEN).calendar
    )
    assert (calendar["METHOD"], event["STATUS"], event["UID"]) == (
        "CANCEL",
        "CANCELLED",
        before["UID"],
    )
    assert int(event["SEQUENCE"]) > int(before["SEQUENCE"])
    _, moved = parse(composed("booking_confirmed", lesson(sequence=3), ANNA).calendar)
    assert int(moved["SEQUENCE"]) > int(event["SEQUENCE"])


@pytest.mark.parametrize(
    "start",
    [
        datetime(2026, 11, 1, 5, 30, tzinfo=UTC),  # 1:30 am in New York, before the clocks go back
        datetime(2026, 11, 1, 6, 30, tzinfo=UTC),  # and 1:30 am after
        datetime(2027, 3, 14, 6, 30, tzinfo=UTC),  # half an hour before they go forward
    ],
)
def test_instants_are_exact_when_the_clocks_change(start: datetime) -> None:
    text = composed("booking_confirmed", lesson(starts_at=start), BEN).calendar
    _, event = parse(text)
    assert (event.properties["DTSTART"].instant, event.properties["DTEND"].instant) == (
        start,
        start + timedelta(minutes=60),
    )
    assert f"DTSTART:{start:%Y%m%dT%H%M%SZ}\r\n" in text


def test_the_file_does_not_contain_the_other_accounts_address() -> None:
    assert "anna@example.com" not in composed("booking_confirmed", lesson(), BEN).calendar
    assert "ben@example.com" not in composed("booking_confirmed", lesson(), ANNA).calendar


def test_user_input_adds_no_line() -> None:
    booking = lesson(
        student_name=HOSTILE,
        location=HOSTILE,
        note=f"{HOSTILE}\nEND:VEVENT\nATTENDEE:mailto:victim@example.com",
    )
    text = composed("booking_confirmed", booking, ANNA).calendar
    _, event = parse(text)
    assert event["ATTENDEE"] == "mailto:anna@example.com"
    assert "Bcc" not in [line.partition(":")[0] for line in text.split("\r\n")]
    assert max(len(line.encode()) for line in text.split("\r\n")) <= 75
    assert "END:VEVENT" in event["DESCRIPTION"]


def test_long_lines_are_folded_between_characters() -> None:
    note = "Größe 🎹 " * 40
    text = composed("booking_confirmed", lesson(note=note), BEN).calendar
    assert max(len(line.encode()) for line in text.split("\r\n")) <= 75
    _, event = parse(text)
    assert note.strip() in event["DESCRIPTION"]


def test_commas_semicolons_backslashes_and_quotes_are_preserved() -> None:
    text = composed("booking_confirmed", lesson(location='12, Main; St\\ "rear"'), BEN).calendar
    _, event = parse(text)
    assert event["LOCATION"] == '12, Main; St\\ "rear"'
    _, event = parse(
        composed("booking_confirmed", lesson(student_name='Ben "B" Birch; Jr.'), BEN).calendar
    )
    assert event.properties["ATTENDEE"].parameters["CN"] == "Ben 'B' Birch; Jr."
