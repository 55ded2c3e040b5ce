"""The text of messages: content for student and instructor, times, places, prices and policy."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.notifications import phrases
from app.notifications.message import KINDS
from tests.notifications.lessons import ANNA, BEN, HOSTILE, SITE, composed, lesson

ABOUT_LESSONS = [kind for kind in KINDS if kind.startswith("booking_") or kind == "reminder"]


def test_the_student_gets_all_details_of_the_lesson() -> None:
    message = composed("booking_confirmed", lesson(), BEN)
    assert message.subject == "Confirmed: Piano with Anna Ash, Tue, Nov 24, 9:00 am"
    assert (message.name, message.address) == ("Ben Birch", "ben@example.com")
    for body in (message.text, message.html):
        for text in (
            "Hello Ben Birch",
            "Piano",
            "Anna Ash",
            "Tuesday, November 24, 2026, 9:00–10:00 am (New York time)",
            "At your place: 12 Main St",
            "$70 for 60 minutes",
            "Your note to Anna Ash",
            "I have never played before.",
            "You can cancel for free until Mon, Nov 23, 9:00 pm. After that, it counts as late.",
            f"{SITE}/lessons?lesson={lesson().id}#booking-{lesson().id}",
        ):
            assert text in body
        assert "Anna’s eyes only" not in body


def test_the_instructor_gets_the_lesson_from_their_point_of_view() -> None:
    message = composed("booking_confirmed", lesson(), ANNA)
    assert message.subject == "New lesson: Piano with Ben Birch, Tue, Nov 24, 9:00 am"
    for body in (message.text, message.html):
        for text in (
            "Hello Anna Ash",
            "Ben Birch booked a lesson with you",
            "At Ben Birch’s place: 12 Main St",
            "Note from Ben Birch",
            "I have never played before.",
            "Ben Birch can cancel for free until Mon, Nov 23, 9:00 pm.",
            f"{SITE}/teach?lesson={lesson().id}#booking-{lesson().id}",
        ):
            assert text in body


def test_a_lesson_that_staff_booked_says_so() -> None:
    to_ben, to_anna = (
        composed("booking_confirmed", lesson(), reader, actor_id=UUID(int=1))
        for reader in (BEN, ANNA)
    )
    for body in (to_ben.text, to_ben.html):
        assert "The InstaInstru team booked a lesson with Anna Ash for you." in body
    for body in (to_anna.text, to_anna.html):
        assert "The InstaInstru team booked a lesson with you for Ben Birch." in body
        assert "Ben Birch booked" not in body


def test_a_missing_note_is_not_mentioned() -> None:
    message = composed("booking_confirmed", lesson(note="  \n"), ANNA)
    assert "Note from" not in message.text
    assert "blockquote" not in message.html


def test_a_cancellation_names_who_cancelled_the_reason_and_whether_it_was_free() -> None:
    booking = lesson(state="cancelled", late=False, cancel_reason="I am ill.\nSorry!")
    to_ben, to_anna = (
        composed("booking_cancelled", booking, reader, actor_id=BEN) for reader in (BEN, ANNA)
    )
    assert to_ben.subject == "Cancelled: Piano with Anna Ash, Tue, Nov 24, 9:00 am"
    assert to_anna.subject == "Cancelled: Piano with Ben Birch, Tue, Nov 24, 9:00 am"
    assert "You cancelled this lesson. The cancellation was free." in to_ben.text
    assert f"{SITE}/instructors/{ANNA}" in to_ben.text
    assert "Ben Birch cancelled this lesson." in to_anna.text
    assert "> I am ill.\n> Sorry!\n" in to_anna.text
    assert "I am ill.<br>" in to_anna.html


def test_only_the_students_cancellation_can_be_called_late() -> None:
    booking = lesson(state="cancelled", late=True)
    late = "It counts as late: cancellation was free until Mon, Nov 23, 9:00 pm."
    assert late in composed("booking_cancelled", booking, ANNA, actor_id=BEN).text
    by_anna = composed("booking_cancelled", booking, BEN, actor_id=ANNA)
    assert "Anna Ash cancelled this lesson.\n" in by_anna.text
    assert "late" not in by_anna.text
    assert (
        "We cancelled this lesson."
        in composed("booking_cancelled", booking, BEN, actor_id=None).text
    )


@pytest.mark.parametrize(
    ("start", "minutes", "text"),
    [
        (datetime(2026, 11, 24, 16, 30, tzinfo=UTC), 60, "11:30 am–12:30 pm"),
        (datetime(2026, 11, 24, 17, 0, tzinfo=UTC), 45, "12:00–12:45 pm"),
        (datetime(2026, 11, 25, 4, 0, tzinfo=UTC), 60, "11:00 pm–12:00 am"),
        (datetime(2026, 7, 1, 13, 0, tzinfo=UTC), 60, "9:00–10:00 am"),  # summer time
        (
            datetime(2026, 11, 1, 5, 30, tzinfo=UTC),
            60,
            "1:30 am EDT–1:30 am EST",
        ),  # the night the clocks go back
        (datetime(2027, 3, 14, 6, 30, tzinfo=UTC), 60, "1:30 am EST–3:30 am EDT"),  # and forward
    ],
)
def test_hours_are_formatted_in_american_style(start: datetime, minutes: int, text: str) -> None:
    assert phrases.hours(start, start + timedelta(minutes=minutes), "America/New_York") == text


def test_the_time_zone_is_that_of_the_lesson() -> None:
    message = composed("booking_confirmed", lesson(time_zone="America/Los_Angeles"), BEN)
    assert "Tuesday, November 24, 2026, 6:00–7:00 am (Los Angeles time)" in message.text


@pytest.mark.parametrize(
    ("place", "to_ben", "to_anna"),
    [
        ("student", "at your place", "at Ben Birch’s place"),
        ("instructor", "at Anna Ash’s place", "at your place"),
        ("public", "in a public place", "in a public place"),
    ],
)
def test_the_place_is_phrased_for_its_reader(place: str, to_ben: str, to_anna: str) -> None:
    booking = lesson(location_type=place, location="")
    assert phrases.place(booking, "student") == to_ben
    assert phrases.place(booking, "instructor") == to_anna


def test_the_policy_depends_on_the_current_time() -> None:
    booking = lesson()
    passed = phrases.policy(booking, "student", booking.free_cancel_until + timedelta(seconds=1))
    assert passed == "The free cancellation period is over. A cancellation now counts as late."
    always = lesson(free_cancel_until=booking.starts_at)
    assert (
        phrases.policy(always, "student", booking.created_at)
        == "You can cancel for free until the lesson starts."
    )


def test_a_mail_about_a_moved_lesson_has_its_new_time() -> None:
    booking = lesson(sequence=1)
    to_ben, to_anna = (composed("booking_rescheduled", booking, reader) for reader in (BEN, ANNA))
    assert to_ben.subject == "Moved: Piano with Anna Ash, Tue, Nov 24, 9:00 am"
    assert to_anna.subject == "Moved: Piano with Ben Birch, Tue, Nov 24, 9:00 am"
    assert "Ben Birch moved a lesson with you. It has a new time." in to_anna.text
    for message in (to_ben, to_anna):
        assert "Tuesday, November 24, 2026, 9:00–10:00 am (New York time)" in message.html


def test_a_reminder_has_the_details_and_no_calendar_file() -> None:
    message = composed("reminder", lesson(), BEN)
    assert message.subject == "Reminder: Piano with Anna Ash, Tue, Nov 24, 9:00 am"
    assert (message.calendar, message.method) == ("", "")
    for text in ("At your place: 12 Main St", "$70 for 60 minutes", f"{SITE}/lessons?lesson="):
        assert text in message.text


@pytest.mark.parametrize("kind", ABOUT_LESSONS)
def test_the_html_has_one_button_and_it_leads_to_the_lesson(kind: str) -> None:
    html = composed(kind, lesson(), ANNA, actor_id=BEN).html
    assert html.count("display:inline-block") == 1
    assert f'href="{SITE}/teach?lesson={lesson().id}#booking-{lesson().id}"' in html


def test_user_input_cannot_end_a_header_or_become_markup() -> None:
    booking = lesson(student_name=HOSTILE, location=HOSTILE, note=HOSTILE, cancel_reason=HOSTILE)
    for kind in ABOUT_LESSONS:
        for reader in (ANNA, BEN):
            message = composed(kind, booking, reader, actor_id=BEN)
            for header in (message.subject, message.name):
                assert header.isprintable()
                assert "\n" not in header
            assert "<script" not in message.html
            assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; &amp;" in message.html
            assert "\u202e" not in message.subject + message.text + message.html + message.calendar
            # In text, every line of user input is quoted, so it cannot pass for our own.
            assert "\nBcc:" not in message.text
