"""Random concurrent operations with real commits: every call that changes a booking, with and
without a key, concurrent repeats, the sweep, availability edits of every kind, changes of the
travel buffer, aborted calls and broken connections. Afterwards the rows are checked
independently."""

import asyncio
import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from app import db, redis, refusal, wire
from app.availability import blackout, day, filling, week
from app.bookings import booking, cancellation, hold, outcome, reschedule, sweep
from app.bookings.booking import Booking
from app.bookings.idempotency import Call
from app.catalog import instructor
from app.db import Pool
from app.settings import Settings
from realtime import channels
from tests import factories
from tests.bookings.invariants import assert_changes_match_board, assert_nothing_overlaps
from tests.cluster import PATIENCE
from tests.factories import Account, Instructor
from tests.processes import Starter

SECONDS = 8
OPERATIONS = 1_500
# Even on a slow machine.
MIN_OPERATIONS = 700
CALLERS = 10
EXPECTED = {
    "SLOT_TAKEN",
    "OUTSIDE_AVAILABILITY",
    "STUDENT_BUSY",
    "WRONG_STATE",
    "IDEMPOTENCY_MISMATCH",
    "VERSION_CONFLICT",
    "HOLD_EXPIRED",
    "HOLD_LIMIT",
    "UNAVAILABLE",  # the connection was broken
}


# The allowed transitions: event, state before, state after. A note keeps any state.
TRANSITIONS = {
    ("created", None, "held"),
    ("created", None, "confirmed"),
    ("confirmed", "held", "confirmed"),
    ("expired", "held", "expired"),
    ("rescheduled", "confirmed", "confirmed"),
    ("cancelled", "confirmed", "cancelled"),
    ("completed", "confirmed", "completed"),
    ("no_show", "confirmed", "no_show"),
}
ALWAYS = {str(number): [{"start": "00:00", "end": "24:00"}] for number in range(1, 8)}


class Storm:
    def __init__(self, pool: Pool, instructors: list[Instructor], students: list[Account]) -> None:
        self.outcomes: Counter[str] = Counter()
        self.edits: Counter[str] = Counter()
        self.operations = 0
        # The answers: bookings by id, and the booking ids returned for each key.
        self.bookings: dict[UUID, Booking] = {}
        self.answers: dict[tuple[UUID, str], set[UUID]] = defaultdict(set)
        self._pool = pool
        self._instructors = instructors
        self._students = students
        self._calls: list[Callable[[], Coroutine[Any, Any, Booking]]] = []
        self._keys_of_calls: list[tuple[UUID, str]] = []
        self._monday = instructors[0].today + timedelta(days=7 - instructors[0].today.weekday())

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            breaking = group.create_task(self._break_connections())
            await asyncio.wait(
                [group.create_task(self._caller(number)) for number in range(CALLERS)]
            )
            breaking.cancel()

    @property
    def unknown(self) -> int:
        """The number of calls with an unknown effect."""
        return self.outcomes["gave up"] + self.outcomes["UNAVAILABLE"]

    async def _caller(self, number: int) -> None:
        chance = random.Random(number)
        operations = [
            self._book,
            self._book,
            self._book_with_key,
            self._book_with_key,
            self._repeat,
            self._cancel,
        ]
        operations += [self._cancel, self._change_buffer, self._edit_availability]
        operations += [self._edit_availability, self._book_while_closing]
        operations += [self._hold, self._hold, self._use_hold, self._use_hold, self._use_hold]
        operations += [self._move, self._move, self._record_outcome, self._sweep]
        clock = asyncio.get_running_loop().time
        end = clock() + SECONDS
        while self.operations < (OPERATIONS if clock() < end else MIN_OPERATIONS):
            self.operations += 1
            await chance.choice(operations)(chance)

    # ---- operations

    async def _book(self, chance: random.Random) -> None:
        student, target, start, minutes = self._lesson(chance)
        await self._record(chance, self._reserve(student, target, start, minutes, None))

    async def _book_with_key(self, chance: random.Random) -> None:
        """Sometimes repeats the call concurrently, or sends another one with the same key."""
        student, target, start, minutes = self._lesson(chance)
        key = f"key {self.operations}"

        def call() -> Coroutine[Any, Any, Booking]:
            return self._reserve(student, target, start, minutes, key)

        def other() -> Coroutine[Any, Any, Booking]:
            return self._reserve(student, target, start + timedelta(minutes=30), minutes, key)

        calls = [call] * chance.choice([1, 1, 2, 3])
        if chance.random() < 0.1:
            calls.append(other)
        await asyncio.gather(
            *(self._record_with_key(chance, (student.id, key), each()) for each in calls)
        )
        self._calls.append(call)
        self._keys_of_calls.append((student.id, key))

    async def _repeat(self, chance: random.Random) -> None:
        """Repeats an earlier call."""
        if self._calls:
            number = chance.randrange(len(self._calls))
            await self._record_with_key(chance, self._keys_of_calls[number], self._calls[number]())

    async def _cancel(self, chance: random.Random) -> None:
        if not self.bookings:
            return
        lesson = chance.choice(list(self.bookings.values()))
        actor = chance.choice([lesson.student_id, lesson.instructor_id])
        key = f"key {self.operations}" if chance.random() < 0.5 else None
        call = Call(key, hashlib.sha256(str(lesson.id).encode()).digest()) if key else None
        for _ in range(chance.choice([1, 2])):
            await self._record(
                chance,
                cancellation.cancel(self._pool, actor, lesson.id, reason="", now=_now(), call=call),
            )

    async def _hold(self, chance: random.Random) -> None:
        """Holds a time, sometimes with concurrent repeats of the call."""
        student, target, start, minutes = self._lesson(chance)
        key = f"key {self.operations}" if chance.random() < 0.5 else None
        seconds = chance.choice([1, 1, 300])
        call = Call(key, hashlib.sha256(f"hold {start}".encode()).digest()) if key else None

        def create() -> Coroutine[Any, Any, Booking]:
            return hold.create(
                self._pool,
                student.id,
                service_id=target.service_id,
                start=start,
                minutes=minutes,
                location_type=None,
                location="",
                note="",
                seconds=seconds,
                now=_now(),
                call=call,
            )

        if key is None:
            await self._record(chance, create())
        else:
            await asyncio.gather(
                *(self._record_with_key(chance, (student.id, key), create()) for _ in range(2))
            )

    async def _use_hold(self, chance: random.Random) -> None:
        """Extends, gives up or confirms a hold, sometimes several of these at once."""
        holds = [lesson for lesson in self.bookings.values() if lesson.state == "held"]
        if not holds:
            return
        held = chance.choice(holds[-8:])
        student = held.student_id
        calls: list[Callable[[], Coroutine[Any, Any, Booking]]] = [
            lambda: hold.extend(self._pool, student, held.id, seconds=2, now=_now()),
            lambda: hold.give_up(self._pool, student, held.id, now=_now()),
            *[
                lambda: hold.confirm(
                    self._pool,
                    student,
                    held.id,
                    location_type=None,
                    location="12 Main St",
                    note=None,
                    now=_now(),
                )
            ]
            * 3,
        ]
        sample = chance.sample(calls, chance.choice([1, 1, 2]))
        await asyncio.gather(*(self._record(chance, call()) for call in sample))

    async def _move(self, chance: random.Random) -> None:
        lessons = [lesson for lesson in self.bookings.values() if lesson.state == "confirmed"]
        if not lessons:
            return
        lesson = chance.choice(lessons)
        _, _, start, minutes = self._lesson(chance)
        key = f"key {self.operations}" if chance.random() < 0.5 else None
        call = Call(key, hashlib.sha256(str(lesson.id).encode()).digest()) if key else None
        for _ in range(chance.choice([1, 2])):
            move = reschedule.move(
                self._pool,
                lesson.student_id,
                lesson.id,
                start=start,
                minutes=chance.choice([None, minutes]) if call is None else minutes,
                now=_now(),
                call=call,
            )
            await self._record(chance, move)

    async def _record_outcome(self, chance: random.Random) -> None:
        """The instructor writes a note, or marks a lesson once it has ended."""
        if not self.bookings:
            return
        lesson = chance.choice(list(self.bookings.values()))
        instructor_id, now = lesson.instructor_id, lesson.ends_at + timedelta(days=7)
        call = outcome.record(self._pool, instructor_id, lesson.id, "completed", reason="", now=now)
        if chance.random() < 0.5:
            call.close()
            call = outcome.note(self._pool, instructor_id, lesson.id, "x", now=_now())
        await self._record(chance, call)

    async def _sweep(self, chance: random.Random) -> None:
        await self._outcome(chance, sweep.run(self._pool, now=_now()))

    async def _edit_availability(self, chance: random.Random) -> None:
        edit = chance.choice(
            [
                self._replace_week,
                self._replace_week,
                self._replace_day,
                self._change_ranges,
                self._change_ranges,
                self._fill,
                self._fill,
                self._standing_pattern,
                self._blackout,
                self._blackout,
            ]
        )
        target = chance.choice(self._instructors)
        if await self._outcome(chance, edit(chance, target.id)):
            self.edits[edit.__name__] += 1

    async def _book_while_closing(self, chance: random.Random) -> None:
        """Opens a long time and closes it while several students book in it, so that some of them
        wait for the calendar of which they have already read the availability."""
        student, target, start, minutes = self._lesson(chance)
        on = start.astimezone(ZoneInfo(target.time_zone)).date()
        last = on + timedelta(days=chance.choice([0, 80]))
        await self._outcome(
            chance, filling.fill(self._pool, target.id, ALWAYS, on, last, now=_now())
        )
        others = [chance.choice(self._students) for _ in range(3)]
        await asyncio.gather(
            self._outcome(
                chance, filling.fill(self._pool, target.id, filling.NOTHING, on, last, now=_now())
            ),
            *(
                self._record(chance, self._reserve(other, target, start, minutes, None))
                for other in (student, *others)
            ),
        )

    async def _replace_week(self, chance: random.Random, target: UUID) -> bool:
        opens = chance.choice([540, 600, 720])
        days = {
            self._monday + timedelta(days=n): [(opens, opens + 240), (opens + 270, 1_260)]
            for n in chance.sample(range(7), 4)
        }
        before = await week.read(self._pool, target, self._monday)
        base = chance.choice([None, before.version])
        await week.replace(self._pool, target, self._monday, days, base=base, now=_now())
        return True

    async def _replace_day(self, chance: random.Random, target: UUID) -> bool:
        ranges: list[week.Range] = chance.choice([[], [(540, 720)], [(600, 720), (780, 1_260)]])
        await day.replace(self._pool, target, self._day(chance), ranges, base=None, now=_now())
        return True

    async def _change_ranges(self, chance: random.Random, target: UUID) -> bool:
        changes: list[day.Change] = []
        for _ in range(chance.choice([1, 1, 5])):
            start = chance.randrange(32, 80) * 15
            end = start + chance.choice([15, 60, 180])
            action: Literal["add", "remove"] = chance.choice(["add", "add", "remove"])
            changes.append(
                {"action": action, "date": self._day(chance), "start": start, "end": end}
            )
        preview = chance.random() < 0.2
        await day.change(self._pool, target, changes, preview=preview, now=_now())
        return True

    async def _fill(self, chance: random.Random, target: UUID) -> bool:
        """Clears, copies and applies a week, and applies a preset; sometimes as a preview."""
        patterns: list[filling.Pattern | date] = [self._monday, *filling.PRESETS.values()]
        pattern = chance.choice([filling.NOTHING, *patterns])
        first = self._day(chance)
        # A step of more than 60 days makes watchers reload the board.
        last = first + timedelta(days=chance.choice([0, 6, 6, 30, 80]))
        preview = chance.random() < 0.2
        await filling.fill(self._pool, target, pattern, first, last, preview=preview, now=_now())
        return True

    async def _standing_pattern(self, chance: random.Random, target: UUID) -> bool:
        pattern = chance.choice(list(filling.PRESETS.values()))
        await filling.set_standing_pattern(self._pool, target, pattern, now=_now())
        return True

    async def _blackout(self, chance: random.Random, target: UUID) -> bool:
        first = self._day(chance)
        if chance.random() < 0.4:
            last = first + timedelta(days=chance.choice([0, 2]))
            await blackout.add(self._pool, target, first, last, reason="", now=_now())
        else:
            await blackout.remove(self._pool, target, first)
        return True

    def _day(self, chance: random.Random) -> date:
        return self._monday + timedelta(days=chance.randrange(7))

    async def _change_buffer(self, chance: random.Random) -> None:
        target = chance.choice(self._instructors)
        changes = {"travel_buffer_minutes": chance.choice([0, 15, 30, 45])}
        await self._outcome(chance, instructor.change(self._pool, target.id, changes, now=_now()))

    def _lesson(self, chance: random.Random) -> tuple[Account, Instructor, datetime, int]:
        target = chance.choice(self._instructors)
        quarter = chance.randrange(36, 80)
        on = self._monday + timedelta(days=chance.randrange(7))
        start = target.at(f"{quarter // 4:02}:{quarter % 4 * 15:02}", day=(on - target.today).days)
        return chance.choice(self._students), target, start, chance.choice([30, 60])

    def _reserve(
        self, student: Account, target: Instructor, start: datetime, minutes: int, key: str | None
    ) -> Coroutine[Any, Any, Booking]:
        body = f"{target.service_id} {start} {minutes}"
        return booking.reserve(
            self._pool,
            student.id,
            service_id=target.service_id,
            start=start,
            minutes=minutes,
            location_type=None,
            location="12 Main St",
            note="",
            now=_now(),
            call=Call(key, hashlib.sha256(body.encode()).digest()) if key else None,
        )

    # ---- outcomes

    async def _record_with_key(
        self, chance: random.Random, key: tuple[UUID, str], call: Coroutine[Any, Any, Booking]
    ) -> None:
        answer = await self._record(chance, call)
        if answer is not None:
            self.answers[key].add(answer.id)

    async def _record(
        self, chance: random.Random, call: Coroutine[Any, Any, Booking]
    ) -> Booking | None:
        answer: Booking | None = await self._outcome(chance, call)
        if answer is not None:
            before = self.bookings.get(answer.id)
            if before is None or before.version < answer.version:
                self.bookings[answer.id] = answer
        return answer

    async def _outcome(self, chance: random.Random, call: Coroutine[Any, Any, Any]) -> Any:
        """The answer; None after a refusal, or if the client gave up."""
        task = asyncio.create_task(call)
        if chance.random() < 0.15:
            await asyncio.sleep(chance.uniform(0, 0.03))
            task.cancel()
        try:
            answer = await task
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
            self.outcomes["gave up"] += 1
        except refusal.Refusal as error:
            if error.code not in EXPECTED:
                raise
            self.outcomes[error.code] += 1
        else:
            self.outcomes["ok"] += 1
            return answer

    async def _break_connections(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            await self._pool.execute(
                """select pg_terminate_backend(pid) from pg_stat_activity
                   where application_name = 'storm' and datname = current_database()
                     and pid <> pg_backend_pid()
                   order by random() limit 1"""
            )


def _now() -> datetime:
    return datetime.now().astimezone()


@dataclass
class Watcher:
    """What a client knows that only applies the published changes: versions by calendar, the boards
    and the versions of the bookings."""

    versions: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    boards: dict[str, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    bookings: dict[str, int] = field(default_factory=dict)

    def apply(self, change: dict[str, Any]) -> None:
        instructor = change["instructor"]
        if change["version"] in self.versions[instructor]:  # the relay may repeat one
            return
        self.versions[instructor].append(change["version"])
        if not change["days"] and not change["events"]:
            self.boards[instructor].clear()  # it would read the board again
        self.boards[instructor] |= change["days"]
        for event in change["events"]:
            previous = self.bookings.get(event["booking_id"], 0)
            assert event["previous_version"] == previous, "an event is missing"
            self.bookings[event["booking_id"]] = change["version"]

    async def assert_equals_the_database(self, pool: Pool) -> None:
        for instructor_id, days in self.boards.items():
            board = "select board_days($1::text::uuid, array(select unnest($2::text[])::date))"
            assert days == await pool.fetchval(board, instructor_id, list(days))
        rows = await pool.fetch("select id, version from booking")
        assert self.bookings == {str(row["id"]): row["version"] for row in rows}


@asynccontextmanager
async def watch_relay(redis_url: str) -> AsyncIterator[Watcher]:
    """A watcher of all calendars, which receives what the relay publishes."""
    watcher = Watcher()
    client = redis.client(redis_url, name="test")
    async with client.pubsub() as subscription:
        await subscription.subscribe(*channels.PARTITION_CHANNELS)
        for _ in channels.PARTITION_CHANNELS:
            await subscription.get_message(timeout=PATIENCE)

        async def read() -> None:
            while True:
                message = await subscription.get_message(timeout=1)
                if message is not None and message["data"]:  # an empty one is the relay's heartbeat
                    watcher.apply(json.loads(message["data"]))

        reading = asyncio.create_task(read())
        try:
            yield watcher
        finally:
            reading.cancel()
            (error,) = await asyncio.gather(reading, return_exceptions=True)
            assert isinstance(error, asyncio.CancelledError), error
    await redis.close(client)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = PATIENCE) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


async def test_a_storm_leaves_everything_consistent(
    pool: Pool, settings: Settings, start: Starter
) -> None:
    instructors = [
        await factories.instructor(pool, name) for name in ("Anna", "Clara", "Dora", "Emma")
    ]
    students = [await factories.student(pool, f"Ben {number}") for number in range(12)]
    await record_availability(pool)
    start("relay", log_level="info").wait_for("relay_active")
    crowd = await db.connect(settings.database_url.get_secret_value(), size=24, name="storm")
    storm = Storm(crowd, instructors, students)
    async with watch_relay(settings.redis_url.get_secret_value()) as watcher:
        await storm.run()
        await hold_and_sweep(pool, instructors)
        await db.close(crowd)  # backends report their statistics when they end

        async def nothing_waits() -> bool:
            return not await pool.fetchval("select exists (select from outbox_unpublished)")

        await until(nothing_waits)
        calendars = await pool.fetch("select instructor_id, version from calendar")
        newest = {str(row["instructor_id"]): row["version"] for row in calendars}

        async def all_arrived() -> bool:
            return all(
                max(watcher.versions[instructor], default=0) == version
                for instructor, version in newest.items()
            )

        await until(all_arrived)
    for instructor_id, version in newest.items():
        assert watcher.versions[instructor_id] == list(range(1, version + 1))
    assert (
        await pool.fetchval(
            "select deadlocks from pg_stat_database where datname = current_database()"
        )
        == 0
    )
    await watcher.assert_equals_the_database(pool)
    await assert_nothing_overlaps(pool)
    await assert_changes_match_board(pool)
    for each in instructors:
        await assert_board_equals_the_rows(pool, each)
    await assert_answers_match_rows(pool, storm)
    await assert_every_booking_is_complete(pool)
    await assert_booked_within_availability(pool)
    await assert_availability_leaves_bookings_alone(pool, storm)
    assert len(storm.edits) == 6, storm.edits
    for result in ("ok", "gave up", "SLOT_TAKEN", "OUTSIDE_AVAILABILITY"):
        assert storm.outcomes[result] > 0, storm.outcomes


async def assert_answers_match_rows(pool: Pool, storm: Storm) -> None:
    """Every booking in an answer exists, no key has two, and every other booking belongs to a
    caller that gave up."""
    existing = {row["id"] for row in await pool.fetch("select id from booking")}
    assert storm.bookings.keys() <= existing
    assert len(existing - storm.bookings.keys()) <= storm.unknown
    assert all(len(ids) == 1 for ids in storm.answers.values())
    stored = {
        (row["account_id"], row["key"]): json.loads(row["answer"])
        for row in await pool.fetch("select account_id, key, answer::text from idempotency_key")
    }
    for key, (booking_id,) in storm.answers.items():
        assert stored[key]["id"] == str(booking_id)
    changing = {"state", "version", "late", "cancel_reason", "sequence", "instructor_note"}
    changing |= {"starts_at", "ends_at", "duration_minutes", "price_cents", "free_cancel_until"}
    changing |= {"held_until", "location", "note"}
    rows = await pool.fetch("select to_jsonb(d)::text as row from booking_detail d")
    details = {row["id"]: row for row in (json.loads(record["row"]) for record in rows)}
    for answer in stored.values():
        row = details[answer["id"]]
        assert answer["version"] <= row["version"]
        unchanged = answer["version"] == row["version"]
        for name in row.keys() - ({"held_until"} if unchanged else changing):
            assert answer[name] == row[name]


async def hold_and_sweep(pool: Pool, instructors: list[Instructor]) -> None:
    """The sweep makes the last change of a day, so that a missing one would be noticed."""
    for number, target in enumerate(instructors):
        student = await factories.student(pool, f"Dan {number}")
        on = target.day(30)
        await filling.fill(pool, target.id, ALWAYS, on, on, now=_now())
        await hold.create(
            pool,
            student.id,
            service_id=target.service_id,
            start=target.at("12:00", day=30),
            minutes=60,
            location_type=None,
            location="",
            note="",
            seconds=300,
            now=_now(),
        )
    assert await sweep.run(pool, now=_now() + timedelta(hours=1)) >= len(instructors)


async def record_availability(pool: Pool) -> None:
    """Stores every state of availability and blackouts with its calendar's version, from now on.
    The trigger runs at commit, so that it sees what the transaction has changed."""
    await pool.execute(
        """create table availability_history (
             instructor_id uuid, version bigint, ranges tstzmultirange, closed date[],
             primary key (instructor_id, version));
           create function record_availability() returns trigger language plpgsql as $$
           begin
             insert into availability_history
             select new.instructor_id, new.version,
                    (select range_agg(a.during) from availability a
                     where a.instructor_id = new.instructor_id),
                    array(select x.day from blackout x where x.instructor_id = new.instructor_id)
             on conflict do nothing;
             return null;
           end $$;
           create constraint trigger record_availability after insert or update on calendar
           deferrable initially deferred for each row execute function record_availability();
           update calendar set version = version"""
    )


async def assert_booked_within_availability(pool: Pool) -> None:
    """Each lesson was inside availability and outside blackouts at the step that created or last
    moved it."""
    row = await pool.fetchrow(
        """select count(*) as booked, count(*) filter (
             where not coalesce(h.ranges @> b.during::tstzrange, false)
               or (lower(b.during) at time zone c.time_zone)::date = any (h.closed)) as outside
           from outbox o, jsonb_array_elements(o.events) as e, booking b, calendar c,
                availability_history h
           where e ->> 'event' in ('created', 'rescheduled')
             and b.id = (e ->> 'booking_id')::uuid and o.version = (
               select max(x.version) from outbox x, jsonb_array_elements(x.events) as last
               where x.instructor_id = b.instructor_id
                 and last ->> 'booking_id' = e ->> 'booking_id'
                 and last ->> 'event' in ('created', 'rescheduled'))
             and c.instructor_id = b.instructor_id
             and h.instructor_id = o.instructor_id and h.version = o.version"""
    )
    assert row is not None
    assert row["booked"] == await pool.fetchval("select count(*) from booking")
    assert row["outside"] == 0


async def assert_availability_leaves_bookings_alone(pool: Pool, storm: Storm) -> None:
    """Lessons are as they were booked, in both lists, and can be cancelled, also those that are
    outside the availability by now."""
    outside = {
        row["id"]
        for row in await pool.fetch(
            """select b.id from booking b where b.state = 'confirmed' and (not exists (
                 select from availability a
                 where a.instructor_id = b.instructor_id and a.during @> b.during)
               or exists (
                 select from blackout x join calendar c on c.instructor_id = x.instructor_id
                 where x.instructor_id = b.instructor_id
                   and x.day = (lower(b.during) at time zone c.time_zone)::date))"""
        )
    }
    assert outside
    for lesson in storm.bookings.values():
        row = await booking.find(pool, lesson.id, viewer=lesson.student_id)
        if row.version == lesson.version:
            assert replace(row, held_until=lesson.held_until) == lesson
        if row.state != "confirmed":
            continue
        roles: list[tuple[booking.Role, UUID]] = [
            ("student", lesson.student_id),
            ("instructor", lesson.instructor_id),
        ]
        for role, account_id in roles:
            upcoming = await booking.list_of(
                pool, account_id, role=role, scope="upcoming", now=_now(), limit=1_000
            )
            assert row in upcoming
        if lesson.id in outside:
            cancelled = await cancellation.cancel(
                pool, lesson.student_id, lesson.id, reason="", now=_now()
            )
            assert cancelled.state == "cancelled"


async def assert_every_booking_is_complete(pool: Pool) -> None:
    """The audit of each booking is a chain of allowed transitions that ends in its state. Each
    entry has an event, and each confirmation, move and cancellation two notifications. A booking's
    version is that of its last event."""
    trails: dict[UUID, list[Any]] = defaultdict(list)
    for row in await pool.fetch("select * from booking_audit order by id"):
        trails[row["booking_id"]].append(row)
    states = {row["id"]: row["state"] for row in await pool.fetch("select id, state from booking")}
    assert trails.keys() == states.keys()
    for booking_id, trail in trails.items():
        assert [entry["from_state"] for entry in trail] == [
            None,
            *(entry["to_state"] for entry in trail[:-1]),
        ]
        assert trail[-1]["to_state"] == states[booking_id]
        for entry in trail:
            transition = (entry["event"], entry["from_state"], entry["to_state"])
            assert transition in TRANSITIONS or (
                entry["event"] == "noted" and entry["from_state"] == entry["to_state"]
            )
    audited = Counter(entry["event"] for trail in trails.values() for entry in trail)
    published = await pool.fetch(
        "select e ->> 'event' as event, count(*) from outbox, jsonb_array_elements(events) e"
        " group by event"
    )
    assert audited == Counter({row["event"]: row["count"] for row in published})
    assert audited.keys() == {event for event, _, _ in TRANSITIONS} - {"no_show"} | {"noted"}
    confirmed = sum(
        entry["to_state"] == "confirmed" and entry["event"] in {"created", "confirmed"}
        for trail in trails.values()
        for entry in trail
    )
    sent = await pool.fetch("select kind, count(*) from notification group by kind")
    assert {row["kind"]: row["count"] for row in sent} == {
        "booking_confirmed": 2 * confirmed,
        "booking_cancelled": 2 * audited["cancelled"],
        "booking_rescheduled": 2 * audited["rescheduled"],
    }
    out_of_step = await pool.fetchval(
        """select count(*) from booking b
           where b.version is distinct from (
             select max(o.version) from outbox o, jsonb_array_elements(o.events) e
             where o.instructor_id = b.instructor_id and e ->> 'booking_id' = b.id::text)"""
    )
    assert out_of_step == 0


async def assert_board_equals_the_rows(pool: Pool, instructor: Instructor) -> None:
    """The board, recomputed in Python from availability and bookings without functions in SQL."""
    days = 14
    first = instructor.today + timedelta(days=1)
    board = json.loads(
        await pool.fetchval("select days::text from board($1, $2, $3)", instructor.id, first, days)
    )
    calendar = await pool.fetchrow(
        "select time_zone, travel_buffer_minutes from calendar where instructor_id = $1",
        instructor.id,
    )
    assert calendar is not None
    zone = ZoneInfo(calendar["time_zone"])
    buffer = timedelta(minutes=calendar["travel_buffer_minutes"])
    free = [
        (row["opens"], row["closes"])
        for row in await pool.fetch(
            """select lower(during) as opens, upper(during) as closes from availability
               where instructor_id = $1 order by 1""",
            instructor.id,
        )
    ]
    closed = await pool.fetch("select day from blackout where instructor_id = $1", instructor.id)
    for each in (row["day"] for row in closed):
        begin, end = start_of(each, zone), start_of(each + timedelta(days=1), zone)
        free = [part for span in free for part in without(span, begin, end)]
    for lesson in await pool.fetch(
        """select lower(during) as begin, upper(blocked) as end from booking
           where instructor_id = $1 and state in ('held', 'confirmed', 'completed', 'no_show')""",
        instructor.id,
    ):
        free = [
            part for span in free for part in without(span, lesson["begin"] - buffer, lesson["end"])
        ]
    holds = await pool.fetch(
        """select lower(during) as begin, upper(during) as end from booking
           where instructor_id = $1 and state = 'held' order by 1""",
        instructor.id,
    )
    expected = {}
    for on in (first + timedelta(days=n) for n in range(days)):
        midnight, next_midnight = start_of(on, zone), start_of(on + timedelta(days=1), zone)
        parts = [(max(opens, midnight), min(closes, next_midnight)) for opens, closes in free]
        ranges = [
            [wire.instant(opens), wire.instant(closes)] for opens, closes in parts if opens < closes
        ]
        held = [
            [wire.instant(row["begin"]), wire.instant(row["end"])]
            for row in holds
            if midnight <= row["begin"] < next_midnight
        ]
        expected[on.isoformat()] = {"free": ranges, "held": held}
    assert board == expected


def without(
    span: tuple[datetime, datetime], begin: datetime, end: datetime
) -> list[tuple[datetime, datetime]]:
    """The rest of a span of time without another."""
    opens, closes = span
    parts = [(opens, min(closes, begin)), (max(opens, end), closes)]
    return [(first, last) for first, last in parts if first < last]


def start_of(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)
