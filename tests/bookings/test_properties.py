"""Whatever people do, in whatever order: nothing overlaps, `apply(changes, stale board) == fresh board`, and the board tells the
truth about what can be booked."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from asyncpg import ExclusionViolationError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import refusal
from app.bookings import cancellation
from app.bookings.booking import Booking
from app.db import Pool
from tests import factories
from tests.bookings.invariants import assert_changes_match_board, assert_nothing_overlaps
from tests.bookings.reservations import NOW, hold, reserve
from tests.factories import Instructor

DAYS = 4
who, whom, day = st.integers(0, 2), st.integers(0, 1), st.integers(1, DAYS)
quarter = st.integers(0, 95)
book = st.tuples(st.just("book"), who, whom, day, st.integers(30, 74), st.sampled_from([30, 60]))
held = st.tuples(st.just("hold"), who, whom, day, st.integers(30, 74), st.booleans())
cancel = st.tuples(st.just("cancel"), st.integers(0, 20))
edit = st.tuples(
    st.just("edit"), whom, day, st.lists(st.tuples(quarter, st.integers(1, 40)), max_size=3)
)
dark = st.tuples(st.just("dark"), whom, day)
look = st.tuples(st.just("look"))
operations = st.lists(st.one_of(book, book, book, held, cancel, edit, dark, look), max_size=25)


def clock(quarters: int) -> str:
    return f"{quarters // 4:02}:{quarters % 4 * 15:02}"


async def board(pool: Pool, teacher: Instructor) -> dict[str, Any]:
    (row,) = await pool.fetch(
        "select epoch, version, days from board($1, $2, $3)", teacher.id, teacher.day(0), DAYS + 2
    )
    return dict(row)


async def perform(
    pool: Pool,
    operation: tuple[Any, ...],
    students: list[Any],
    teachers: list[Instructor],
    made: list[Booking],
) -> None:
    match operation:
        case "book", student, teacher, on, start, minutes:
            target = teachers[teacher]
            made.append(
                await reserve(
                    pool, students[student], target, target.at(clock(start), day=on), minutes
                )
            )
        case "hold", student, teacher, on, start, runs_out:
            # As the hold call will do it: a row, and a step of the calendar.
            at = teachers[teacher].at(clock(start), day=on)
            until = NOW - timedelta(seconds=1) if runs_out else NOW + timedelta(days=1)
            with suppress(ExclusionViolationError):
                async with pool.acquire() as connection, connection.transaction():
                    await hold(connection, students[student], teachers[teacher], at, until)
                    await connection.execute(
                        "select step($1, $2)", teachers[teacher].id, [teachers[teacher].day(on)]
                    )
        case "cancel", number:
            if made:
                chosen = made[number % len(made)]
                await cancellation.cancel(pool, chosen.student_id, chosen.id, reason="", now=NOW)
        case "edit", teacher, on, ranges:
            edges = [[start * 15, min(1440, (start + length) * 15)] for start, length in ranges]
            days = {teachers[teacher].day(on).isoformat(): edges}
            await pool.execute(
                "select replace_days($1, $2, null, $3)", teachers[teacher].id, days, NOW
            )
        case "dark", teacher, on:
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute(
                    "insert into blackout (instructor_id, day) values ($1, $2) on conflict do nothing",
                    teachers[teacher].id, teachers[teacher].day(on),
                )  # fmt: skip
                await connection.execute(
                    "select step($1, $2)", teachers[teacher].id, [teachers[teacher].day(on)]
                )


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    operations=operations,
    buffer=st.sampled_from([0, 10, 45]),
    probe=st.tuples(day, st.integers(30, 74)),
)
async def test_any_sequence_of_operations(
    pool: Pool, operations: list[Any], buffer: int, probe: tuple[int, int]
) -> None:
    await pool.execute("truncate account cascade")
    teachers = [
        await factories.instructor(pool, "Anna", buffer_minutes=buffer, days=DAYS + 2),
        await factories.instructor(pool, "Clara", days=DAYS + 2, hours=("00:00", "24:00")),
    ]
    students = [await factories.student(pool, name) for name in ("Ben", "Carl", "Dora")]
    made: list[Booking] = []
    seen = [[await board(pool, teacher)] for teacher in teachers]
    for operation in operations:
        if operation[0] == "look":
            for teacher, boards in zip(teachers, seen, strict=True):
                boards.append(await board(pool, teacher))
            continue
        try:
            await perform(pool, operation, students, teachers, made)
        except refusal.Refusal:
            continue

    await assert_nothing_overlaps(pool)
    await assert_changes_match_board(pool)
    for teacher, boards in zip(teachers, seen, strict=True):
        fresh = await board(pool, teacher)
        changes = await pool.fetch(
            "select version, days from outbox where instructor_id = $1 order by version", teacher.id
        )
        for stale in boards:
            for change in changes:
                if change["version"] == stale["version"] + 1:
                    stale["version"] = change["version"]
                    stale["days"] |= {
                        date: content
                        for date, content in change["days"].items()
                        if date in stale["days"]
                    }
            assert stale == fresh
        await the_board_is_true(pool, teacher, fresh, probe)


async def the_board_is_true(
    pool: Pool, teacher: Instructor, fresh: dict[str, Any], probe: tuple[int, int]
) -> None:
    """A start whose lesson fits one free range can be booked by someone who is free then, and no other (but for holds that ran
    out, which the board still shows)."""
    on, start = probe
    begins = teacher.at(clock(start), day=on)
    ends = begins + timedelta(minutes=30)
    free = fresh["days"][teacher.day(on).isoformat()]["free"]
    fits = any(
        datetime.fromisoformat(a) <= begins and ends <= datetime.fromisoformat(b) for a, b in free
    )
    stranger = await factories.student(pool, f"Stranger of {teacher.name}")
    ran_out = await pool.fetchval(
        "select count(*) from booking where state = 'held' and held_until <= $1", NOW
    )
    try:
        await reserve(pool, stranger, teacher, begins, 30)
        assert fits or ran_out
    except (refusal.SlotTaken, refusal.OutsideAvailability):
        assert not fits
    except refusal.TooSoon:
        assert begins < NOW + timedelta(hours=2)
