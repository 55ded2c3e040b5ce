"""After any sequence of operations, nothing overlaps, an old board plus its changes equals the new
one, and the board shows what can be booked."""

from collections.abc import Awaitable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import refusal
from app.availability import blackout as blackouts
from app.availability import day as availability_day
from app.availability import filling
from app.bookings import cancellation, outcome, reschedule, sweep
from app.bookings import hold as holds
from app.bookings.booking import Booking
from app.db import Pool
from tests import factories
from tests.bookings.invariants import assert_changes_match_board, assert_nothing_overlaps
from tests.bookings.reservations import NOW, reserve
from tests.factories import Account, Instructor

DAYS = 4
students, instructors, days = st.integers(0, 2), st.integers(0, 1), st.integers(1, DAYS)
starts, quarters = st.integers(30, 74), st.integers(0, 95)
ranges = st.lists(st.tuples(quarters, st.integers(1, 40)), max_size=3)
book = st.tuples(st.just("book"), students, instructors, days, starts, st.sampled_from([30, 60]))
hold = st.tuples(st.just("hold"), students, instructors, days, starts, st.booleans())
numbers = st.integers(0, 20)
cancel = st.tuples(st.just("cancel"), numbers)
confirm = st.tuples(st.just("confirm"), numbers)
extend = st.tuples(st.just("extend"), numbers)
give_up = st.tuples(st.just("give up"), numbers)
move = st.tuples(st.just("move"), numbers, days, starts, st.sampled_from([None, 30, 60]))
mark = st.tuples(st.just("mark"), numbers, st.booleans())
pass_time = st.tuples(st.just("sweep"))
edit = st.tuples(st.just("edit"), instructors, days, ranges)
blackout = st.tuples(st.just("blackout"), instructors, days, st.booleans())
change = st.tuples(
    st.just("change"),
    instructors,
    days,
    st.sampled_from(["add", "remove"]),
    quarters,
    st.integers(1, 40),
)
fill = st.tuples(st.just("fill"), instructors, days, days, st.sampled_from([*filling.PRESETS, ""]))
read = st.tuples(st.just("read"))
of_holds = st.one_of(hold, hold, confirm, extend, give_up, pass_time)
operation = st.one_of(
    book, book, of_holds, of_holds, cancel, move, mark, edit, change, fill, blackout, read
)


CALLS = {"confirm", "extend", "give up", "move", "mark"}


class Town:
    """The accounts and bookings of one example."""

    def __init__(self, pool: Pool, instructors: list[Instructor], students: list[Account]) -> None:
        self.pool = pool
        self.instructors = instructors
        self.students = students
        self.bookings: list[Booking] = []
        self.boards: list[list[dict[str, Any]]] = [[] for _ in instructors]

    async def perform(self, operation: tuple[Any, ...]) -> None:
        match operation:
            case "book", student, instructor, day, start, minutes:
                anna = self.instructors[instructor]
                begin = anna.at(clock(start), day=day)
                lesson = await reserve(self.pool, self.students[student], anna, begin, minutes)
                self.bookings.append(lesson)
            case "hold", student, instructor, day, start, is_expired:
                anna = self.instructors[instructor]
                lesson = await holds.create(
                    self.pool,
                    self.students[student].id,
                    service_id=anna.service_id,
                    start=anna.at(clock(start), day=day),
                    minutes=60,
                    location_type=None,
                    location="12 Main St",
                    note="",
                    # Its end passes at once, or not until the example is over.
                    seconds=0 if is_expired else 3_600,
                    now=NOW,
                )
                self.bookings.append(lesson)
            case ("sweep",):
                await sweep.run(self.pool, now=NOW)
            case str(call), int(number), *more if call in CALLS and self.bookings:
                lesson = self.bookings[number % len(self.bookings)]
                await self._change(call, lesson, *more)
            case "cancel", number if self.bookings:
                lesson = self.bookings[number % len(self.bookings)]
                await cancellation.cancel(
                    self.pool, lesson.student_id, lesson.id, reason="", now=NOW
                )
            case "edit", instructor, day, ranges:
                anna = self.instructors[instructor]
                edges = [[start * 15, min(1440, (start + length) * 15)] for start, length in ranges]
                await self.pool.execute(
                    "select replace_days($1, $2, null, $3)",
                    anna.id,
                    {anna.day(day).isoformat(): edges},
                    NOW,
                )
            case "change", instructor, day, action, start, length:
                anna = self.instructors[instructor]
                await self._rug(
                    availability_day.change(
                        self.pool,
                        anna.id,
                        [
                            {
                                "action": action,
                                "date": anna.day(day),
                                "start": start * 15,
                                "end": min(1440, (start + length) * 15),
                            }
                        ],
                        now=NOW,
                    )
                )
            case "fill", instructor, first, last, preset:
                anna = self.instructors[instructor]
                pattern = filling.PRESETS.get(preset, filling.NOTHING)
                span = (anna.day(first), anna.day(last))
                await self._rug(filling.fill(self.pool, anna.id, pattern, *span, now=NOW))
            case "blackout", instructor, day, is_added:
                anna, on = self.instructors[instructor], self.instructors[instructor].day(day)
                if is_added:
                    await self._rug(blackouts.add(self.pool, anna.id, on, on, reason="", now=NOW))
                else:
                    await self._rug(blackouts.remove(self.pool, anna.id, on))
            case ("read",):
                await self.read_boards()

    async def _change(self, call: str, lesson: Booking, *more: Any) -> None:
        pool, student_id = self.pool, lesson.student_id
        match call, *more:
            case ("confirm",):
                await holds.confirm(
                    pool,
                    student_id,
                    lesson.id,
                    location_type=None,
                    location=None,
                    note=None,
                    now=NOW,
                )
            case ("extend",):
                await holds.extend(pool, student_id, lesson.id, seconds=3_600, now=NOW)
            case ("give up",):
                await holds.give_up(pool, student_id, lesson.id, now=NOW)
            case "move", day, start, minutes:
                instructor = next(
                    each for each in self.instructors if each.id == lesson.instructor_id
                )
                start = instructor.at(clock(start), day=day)
                await reschedule.move(
                    pool, student_id, lesson.id, start=start, minutes=minutes, now=NOW
                )
            case "mark", has_come:
                await outcome.record(
                    pool,
                    lesson.instructor_id,
                    lesson.id,
                    "completed" if has_come else "no_show",
                    reason="",
                    now=lesson.ends_at,
                )

    async def _rug(self, edit: Awaitable[Any]) -> None:
        """Edits availability under the bookings, which stay as they are."""
        bookings = "select array_agg(b order by b.id)::text from booking b"
        before = await self.pool.fetchval(bookings)
        try:
            await edit
        finally:
            assert await self.pool.fetchval(bookings) == before

    async def read_boards(self) -> None:
        for instructor, boards in zip(self.instructors, self.boards, strict=True):
            boards.append(await read_board(self.pool, instructor))


def clock(quarters: int) -> str:
    return f"{quarters // 4:02}:{quarters % 4 * 15:02}"


async def read_board(pool: Pool, instructor: Instructor) -> dict[str, Any]:
    (row,) = await pool.fetch(
        "select epoch, version, days from board($1, $2, $3)",
        instructor.id,
        instructor.day(0),
        DAYS + 2,
    )
    return dict(row)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    operations=st.lists(operation, max_size=25),
    buffer=st.sampled_from([0, 10, 45]),
    probe=st.tuples(days, starts),
)
async def test_any_sequence_of_operations(
    pool: Pool, operations: list[Any], buffer: int, probe: tuple[int, int]
) -> None:
    await pool.execute("truncate account cascade")
    instructors = [
        await factories.instructor(pool, "Anna", buffer_minutes=buffer, days=DAYS + 2),
        await factories.instructor(pool, "Clara", days=DAYS + 2, hours=("00:00", "24:00")),
    ]
    students = [await factories.student(pool, name) for name in ("Ben", "Carl", "Dora")]
    town = Town(pool, instructors, students)
    await town.read_boards()
    for operation in operations:
        with suppress(refusal.Refusal):
            await town.perform(operation)

    await assert_nothing_overlaps(pool)
    await assert_changes_match_board(pool)
    for instructor, boards in zip(instructors, town.boards, strict=True):
        current = await read_board(pool, instructor)
        changes = await pool.fetch(
            "select version, days from outbox where instructor_id = $1 order by version",
            instructor.id,
        )
        for board in boards:
            for change in changes:
                apply(change, board)
            assert board == current
        await assert_free_times_can_be_booked(pool, instructor, current, probe)


def apply(change: Any, board: dict[str, Any]) -> None:
    """What a client does with a change of the live protocol."""
    if change["version"] == board["version"] + 1:
        board["version"] = change["version"]
        board["days"] |= {
            date: content for date, content in change["days"].items() if date in board["days"]
        }


async def assert_free_times_can_be_booked(
    pool: Pool, instructor: Instructor, board: dict[str, Any], probe: tuple[int, int]
) -> None:
    """A student without lessons can book a start if and only if the lesson fits one free range.
    Expired holds are the exception: the board still shows them."""
    day, start = probe
    begin = instructor.at(clock(start), day=day)
    end = begin + timedelta(minutes=30)
    free = board["days"][instructor.day(day).isoformat()]["free"]
    fits = any(
        datetime.fromisoformat(first) <= begin and end <= datetime.fromisoformat(last)
        for first, last in free
    )
    student = await factories.student(pool, f"Student of {instructor.name}")
    expired_holds = await pool.fetchval(
        "select count(*) from booking where state = 'held' and held_until <= $1", NOW
    )
    try:
        await reserve(pool, student, instructor, begin, 30)
        assert fits or expired_holds
    except (refusal.SlotTaken, refusal.OutsideAvailability):
        assert not fits
    except refusal.TooSoon:
        assert begin < NOW + timedelta(hours=2)
