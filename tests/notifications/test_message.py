"""What people read: who gets told what, and how times, places, prices and the policy are said."""

from datetime import UTC, datetime, timedelta

import pytest

from app.notifications import phrases
from tests.notifications.lessons import ANNA, BEN, HOSTILE, SITE, lesson, written


def test_the_student_reads_who_what_when_where_price_note_and_policy() -> None:
    message = written("booking_confirmed", lesson(), BEN)
    assert message.subject == "Confirmed: Piano with Anna Ash, Tue, Nov 24, 9:00 am"
    assert (message.name, message.address) == ("Ben Birch", "ben@example.com")
    for body in (message.text, message.html):
        for said in (
            "Hello Ben Birch",
            "Piano",
            "Anna Ash",
            "Tuesday, November 24, 2026, 9:00–10:00 am (New York time)",
            "At your place: 12 Main St",
            "$70 for 60 minutes",
            "Your note to Anna Ash",
            "I have never played before.",
            "You can cancel for free until Mon, Nov 23, 9:00 pm. After that, it counts as late.",
            f"{SITE}/lessons",
        ):
            assert said in body
        assert "Anna’s eyes only" not in body


def test_the_instructor_reads_the_same_lesson_from_the_other_side() -> None:
    message = written("booking_confirmed", lesson(), ANNA)
    assert message.subject == "New lesson: Piano with Ben Birch, Tue, Nov 24, 9:00 am"
    for body in (message.text, message.html):
        for said in (
            "Hello Anna Ash",
            "Ben Birch booked a lesson with you",
            "At Ben Birch’s place: 12 Main St",
            "Note from Ben Birch",
            "I have never played before.",
            "Ben Birch can cancel for free until Mon, Nov 23, 9:00 pm.",
            f"{SITE}/teach",
        ):
            assert said in body


def test_without_a_note_nothing_is_said_of_one() -> None:
    message = written("booking_confirmed", lesson(note="  \n"), ANNA)
    assert "Note from" not in message.text
    assert "blockquote" not in message.html


def test_a_cancellation_says_who_why_and_whether_it_was_free() -> None:
    about = lesson(state="cancelled", late=False, cancel_reason="I am ill.\nSorry!")
    to_ben, to_anna = (
        written("booking_cancelled", about, person, cancelled_by=BEN) for person in (BEN, ANNA)
    )
    assert to_ben.subject == "Cancelled: Piano with Anna Ash, Tue, Nov 24, 9:00 am"
    assert to_anna.subject == "Cancelled: Piano with Ben Birch, Tue, Nov 24, 9:00 am"
    assert "You cancelled this lesson. The cancellation was free." in to_ben.text
    assert f"{SITE}/instructors/{ANNA}" in to_ben.text
    assert "Ben Birch cancelled this lesson." in to_anna.text
    assert "> I am ill.\n> Sorry!\n" in to_anna.text
    assert "I am ill.<br>" in to_anna.html


def test_a_late_cancellation_is_called_late_but_never_the_instructors() -> None:
    about = lesson(state="cancelled", late=True)
    late = "It counts as late: cancellation was free until Mon, Nov 23, 9:00 pm."
    assert late in written("booking_cancelled", about, ANNA, cancelled_by=BEN).text
    by_anna = written("booking_cancelled", about, BEN, cancelled_by=ANNA)
    assert "Anna Ash cancelled this lesson.\n" in by_anna.text
    assert "late" not in by_anna.text
    assert (
        "We cancelled this lesson."
        in written("booking_cancelled", about, BEN, cancelled_by=None).text
    )


@pytest.mark.parametrize(
    ("start", "minutes", "said"),
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
def test_hours_are_said_as_new_yorkers_say_them(start: datetime, minutes: int, said: str) -> None:
    assert phrases.hours(start, start + timedelta(minutes=minutes), "America/New_York") == said


def test_the_zone_is_the_lessons() -> None:
    message = written("booking_confirmed", lesson(time_zone="America/Los_Angeles"), BEN)
    assert "Tuesday, November 24, 2026, 6:00–7:00 am (Los Angeles time)" in message.text


@pytest.mark.parametrize(
    ("place", "to_ben", "to_anna"),
    [
        ("student", "at your place", "at Ben Birch’s place"),
        ("instructor", "at Anna Ash’s place", "at your place"),
        ("public", "in a public place", "in a public place"),
    ],
)
def test_the_place_is_said_to_whom_it_concerns(place: str, to_ben: str, to_anna: str) -> None:
    about = lesson(location_type=place, location="")
    assert phrases.place(about, "student") == to_ben
    assert phrases.place(about, "instructor") == to_anna


def test_the_policy_is_what_holds_now() -> None:
    about = lesson()
    passed = phrases.policy(about, "student", about.free_cancel_until + timedelta(seconds=1))
    assert passed == "The free cancellation period is over. A cancellation now counts as late."
    always = lesson(free_cancel_until=about.starts_at)
    assert (
        phrases.policy(always, "student", about.created_at)
        == "You can cancel for free until the lesson starts."
    )


def test_names_places_and_notes_cannot_end_a_header_or_become_markup() -> None:
    about = lesson(student_name=HOSTILE, location=HOSTILE, note=HOSTILE, cancel_reason=HOSTILE)
    for kind in ("booking_confirmed", "booking_cancelled"):
        for reader in (ANNA, BEN):
            message = written(kind, about, reader, cancelled_by=BEN)
            for header in (message.subject, message.name):
                assert header.isprintable()
                assert "\n" not in header
            assert "<script" not in message.html
            assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; &amp;" in message.html
            assert "\u202e" not in message.subject + message.text + message.html + message.calendar
            # In text, what someone typed is quoted line by line: it cannot pass for ours.
            assert "\nBcc:" not in message.text
