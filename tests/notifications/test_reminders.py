"""Reminders: once to both people, 24 hours before the lesson, outside the quiet hours, and never
about a time that no longer holds."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from app.db import Pool
from app.notifications import preference, reminder
from app.settings import Settings
from tests import factories
from tests.factories import Account, Instructor
from tests.notifications.ledger import book, cancel, deliver_due, dev_mails, move, rows

# A Monday, noon in New York.
NOW = datetime(2026, 11, 23, 17, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)

Remind = Callable[[datetime], Awaitable[list[str]]]


@pytest_asyncio.fixture
async def anna(pool: Pool) -> Instructor:
    return await factories.instructor(pool, "Anna", hours=("00:00", "24:00"), now=NOW)


@pytest_asyncio.fixture
async def ben(pool: Pool) -> Account:
    return await factories.student(pool, "Ben")


@pytest_asyncio.fixture
async def remind(pool: Pool, settings: Settings) -> Remind:
    """What the worker does at an instant. Returns the addresses that have got a reminder so
    far."""

    async def at(instant: datetime) -> list[str]:
        await reminder.insert_due(pool, now=instant)
        while await deliver_due(pool, settings, at=lambda: instant):
            pass
        return [address for address, subject in await dev_mails(pool) if "Reminder" in subject]

    return at


async def test_both_people_get_one_reminder_24_hours_before(
    pool: Pool, anna: Instructor, ben: Account, remind: Remind
) -> None:
    lesson = await book(pool, anna, ben, "15:00", at=NOW)
    due = lesson.starts_at - 24 * HOUR
    assert await remind(due - timedelta(minutes=1)) == []
    assert sorted(await remind(due)) == sorted([anna.email, ben.email])
    assert len(await remind(due + HOUR)) == 2


async def test_a_lesson_booked_less_than_24_hours_ahead_gets_no_reminder(
    pool: Pool, anna: Instructor, ben: Account, remind: Remind
) -> None:
    lesson = await book(pool, anna, ben, "11:00", day=1, at=NOW)
    assert await remind(NOW + HOUR) == []
    assert await remind(lesson.starts_at - HOUR) == []


async def test_in_the_quiet_hours_a_reminder_waits_until_eight(
    pool: Pool, anna: Instructor, ben: Account, remind: Remind
) -> None:
    await book(pool, anna, ben, "23:00", at=NOW)  # due at 11 pm
    await book(pool, anna, ben, "06:00", day=4, at=NOW)  # due at 6 am
    for due, eight in (
        (anna.at("23:00", day=2), anna.at("08:00", day=3)),
        (anna.at("06:00", day=3), anna.at("08:00", day=3)),
    ):
        assert await remind(due) == []
        assert await remind(eight - timedelta(seconds=1)) == []
    assert len(await remind(anna.at("08:00", day=3))) == 4


async def test_a_reminder_that_could_only_follow_the_start_is_dropped(
    pool: Pool, anna: Instructor, ben: Account, remind: Remind
) -> None:
    """The worker did not run until the quiet hours before an early lesson."""
    await book(pool, anna, ben, "07:00", at=NOW)
    assert await remind(anna.at("23:30", day=2)) == []
    assert {row["dropped_reason"] for row in await rows(pool) if row["kind"] == "reminder"} == {
        "too_late"
    }
    assert await remind(anna.at("08:00", day=3)) == []


async def test_a_cancelled_lesson_gets_no_reminder(
    pool: Pool, anna: Instructor, ben: Account, remind: Remind
) -> None:
    early = await book(pool, anna, ben, "15:00", at=NOW)
    late = await book(pool, anna, ben, "17:00", at=NOW)
    await cancel(pool, ben, early, at=NOW)
    assert await remind(early.starts_at - 23 * HOUR) == []
    # One that is cancelled while its reminder waits.
    assert await reminder.insert_due(pool, now=late.starts_at - 23 * HOUR) == 1
    await cancel(pool, ben, late, at=late.starts_at - 23 * HOUR)
    assert await remind(late.starts_at - 22 * HOUR) == []


async def test_a_moved_lesson_is_announced_at_its_new_time_only(
    pool: Pool, anna: Instructor, ben: Account, remind: Remind
) -> None:
    lesson = await book(pool, anna, ben, "15:00", at=NOW)
    moved_to = anna.at("16:00", day=6)
    assert await reminder.insert_due(pool, now=lesson.starts_at - 24 * HOUR) == 1
    await move(pool, ben, lesson, moved_to, at=lesson.starts_at - 24 * HOUR)
    assert await remind(lesson.starts_at - 23 * HOUR) == []
    assert len(await remind(moved_to - 24 * HOUR)) == 2


async def test_a_lesson_moved_to_less_than_24_hours_ahead_gets_no_reminder(
    pool: Pool, anna: Instructor, ben: Account, remind: Remind
) -> None:
    lesson = await book(pool, anna, ben, "15:00", day=6, at=NOW)
    await move(pool, ben, lesson, anna.at("15:00", day=1), at=anna.at("16:00", day=0))
    assert await remind(anna.at("16:00", day=0)) == []
    assert await remind(anna.at("14:00", day=1)) == []


async def test_a_clock_that_jumps_sends_each_reminder_once_and_loses_none(
    pool: Pool, anna: Instructor, ben: Account, remind: Remind
) -> None:
    both = sorted([anna.email, ben.email])
    lesson = await book(pool, anna, ben, "15:00", day=4, at=NOW)
    due = lesson.starts_at - 24 * HOUR
    # Ahead by hours: sent early, and not again.
    assert sorted(await remind(due + 5 * HOUR)) == both
    for back in (due - 20 * HOUR, due, due + HOUR):
        assert sorted(await remind(back)) == both
    # Ahead by weeks while a reminder waits: once the clock is right, it is sent after all.
    other = await book(pool, anna, ben, "15:00", day=9, at=NOW)
    due = other.starts_at - 24 * HOUR
    assert await reminder.insert_due(pool, now=due) == 1
    assert len(await remind(due + 24 * 20 * HOUR)) == 2
    assert len(await remind(due - HOUR)) == 2
    for _ in range(2):
        assert len(await remind(due + HOUR)) == 4
    # A reminder that is rightly too late is not revived.
    assert len(await remind(other.starts_at)) == 4


async def test_a_kind_that_is_turned_off_is_not_sent(
    pool: Pool, anna: Instructor, ben: Account, remind: Remind
) -> None:
    await preference.change(pool, ben.id, {"reminder": False})
    lesson = await book(pool, anna, ben, "15:00", at=NOW)
    assert await remind(lesson.starts_at - 24 * HOUR) == [anna.email]
    assert (await preference.preferences(pool, anna.id))["reminder"] is True


async def test_more_lessons_than_one_statement_takes(
    pool: Pool, anna: Instructor, ben: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reminder, "BATCH", 2)
    for hour in range(10, 15):
        lesson = await book(pool, anna, ben, f"{hour}:00", at=NOW)
    assert await reminder.insert_due(pool, now=lesson.starts_at - 20 * HOUR) == 5
    assert await reminder.insert_due(pool, now=lesson.starts_at - 20 * HOUR) == 0
