"""The next start of every instructor matches the boards after any change."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import httpx
import pytest

from app import refusal
from app.availability import next_start, start_times, week
from app.availability.board import snapshot
from app.bookings import cancellation
from app.bookings.booking import Booking
from app.catalog import instructor, service
from app.db import Pool
from tests import factories
from tests.availability.starts import free_of_day
from tests.cluster import PATIENCE
from tests.factories import Account, Instructor

NOW = datetime(2026, 11, 24, 13, 5, tzinfo=UTC)
Pair = tuple[UUID, int]


async def next_of_board(
    pool: Pool, instructor_id: UUID, minutes: int, now: datetime
) -> datetime | None:
    """The first free start on the boards up to the horizon."""
    for first in range(-1, 96, 31):
        board = await snapshot(pool, instructor_id, (now + timedelta(days=first)).date(), 31)
        assert board is not None
        limits = start_times.Limits.at(now, board.min_advance_minutes)
        for day in sorted(board.days):
            starts = free_of_day(board.days[day], minutes, zone=board.time_zone, limits=limits)
            if starts:
                return starts[0]
    return None


async def pairs_on_offer(pool: Pool) -> list[Pair]:
    rows = await pool.fetch(
        """select distinct s.instructor_id, unnest(s.durations_minutes) from service s
           join calendar c on c.instructor_id = s.instructor_id and c.is_active
           where s.is_active order by 1, 2"""
    )
    return [(row[0], row[1]) for row in rows]


async def starts_of_boards(pool: Pool, now: datetime) -> dict[Pair, datetime | None]:
    return {
        (instructor_id, minutes): await next_of_board(pool, instructor_id, minutes, now)
        for instructor_id, minutes in await pairs_on_offer(pool)
    }


async def card_starts_of_boards(pool: Pool, now: datetime) -> list[datetime | None]:
    """The next start of each instructor's card, soonest first."""
    starts: dict[UUID, datetime | None] = {}
    for row in await pool.fetch(
        """select s.instructor_id, s.card_minutes from service s
           join calendar c on c.instructor_id = s.instructor_id and c.is_active where s.is_active"""
    ):
        start = await next_of_board(pool, row["instructor_id"], row["card_minutes"], now)
        before = starts.get(row["instructor_id"])
        starts[row["instructor_id"]] = min(before, start) if before and start else before or start
    return sorted(starts.values(), key=next_start._order)


async def assert_bounds_hold(
    pool: Pool, expected: dict[Pair, datetime | None], now: datetime
) -> None:
    """No stored bound is later than the first free start on the boards."""
    for row in await pool.fetch("select instructor_id, minutes, start::text from next_start"):
        start = expected.get((row["instructor_id"], row["minutes"]))
        if start is not None:
            later = await pool.fetchval("select $1::text::timestamptz > $2", row["start"], start)
            assert not later, row


class Town:
    """A few instructors and students, and random changes to them."""

    def __init__(self, pool: Pool, random: Random) -> None:
        self.pool = pool
        self.random = random
        self.now = NOW
        self.instructors: list[Instructor] = []
        self.students: list[Account] = []
        self.lessons: list[Booking] = []

    async def settle(self) -> None:
        for name in ("Anna", "Carl", "Dora", "Emil"):
            hours = (("09:00", "17:00"), ("08:15", "10:00"), ("22:00", "24:00"))
            self.instructors.append(
                await factories.instructor(
                    self.pool,
                    name,
                    now=NOW,
                    days=self.random.choice((0, 3, 30)),
                    durations=self.random.choice(((30, 60), (15, 45), (60,))),
                    hours=self.random.choice(hours),
                    notice_minutes=self.random.choice((0, 120)),
                    buffer_minutes=self.random.choice((0, 15)),
                    time_zone=self.random.choice(("America/New_York", "Asia/Kathmandu")),
                )
            )
        self.students = [await factories.student(self.pool, name) for name in ("Ben", "Clara")]

    async def act(self) -> None:
        acts: list[Callable[[], Awaitable[object]]] = [
            self.book, self.book, self.book, self.cancel, self.replace_day, self.settings,
            self.services, self.teach, self.hold_ends, self.wait,
        ]  # fmt: skip
        await self.random.choice(acts)()

    async def book(self) -> None:
        """Often the next start; sometimes any quarter of an hour."""
        anna = self.random.choice(self.instructors)
        row = await self.pool.fetchrow(
            """select id, durations_minutes from service
               where instructor_id = $1 and is_active limit 1""",
            anna.id,
        )
        if row is None:
            return
        minutes = self.random.choice(row["durations_minutes"])
        start = await next_of_board(self.pool, anna.id, minutes, self.now)
        if start is None or self.random.random() < 0.4:
            start = self.now.replace(minute=0) + timedelta(
                minutes=15 * self.random.randrange(4 * 48)
            )
        try:
            lesson = await factories.lesson(
                self.pool, self.random.choice(self.students).id, row["id"], start,
                minutes=minutes, now=self.now,
            )  # fmt: skip
        except refusal.Refusal:
            return
        self.lessons.append(lesson)

    async def cancel(self) -> None:
        if self.lessons:
            lesson = self.lessons.pop(self.random.randrange(len(self.lessons)))
            try:
                await cancellation.cancel(
                    self.pool, lesson.student_id, lesson.id, reason="", now=self.now
                )
            except refusal.TooLate:
                return

    async def replace_day(self) -> None:
        anna = self.random.choice(self.instructors)
        begin = 15 * self.random.randrange(80)
        ranges = self.random.choice(
            ([], [(begin, begin + 90)], [(n * 30, n * 30 + 15) for n in range(48)])
        )
        day = self.now.date() + timedelta(days=self.random.choice((1, 2, 80, 100)))
        await week.replace_days(self.pool, anna.id, {day: ranges}, now=self.now)

    async def settings(self) -> None:
        change: dict[str, Any] = self.random.choice(
            ({"min_advance_minutes": 0}, {"min_advance_minutes": 600},
             {"travel_buffer_minutes": 0}, {"travel_buffer_minutes": 40},
             {"travel_buffer_minutes": 7})
        )  # fmt: skip
        await instructor.change(
            self.pool, self.random.choice(self.instructors).id, change, now=self.now
        )

    async def services(self) -> None:
        anna = self.random.choice(self.instructors)
        durations = self.random.choice(([30, 60], [15], [45, 90]))
        services = await service.of_instructor(self.pool, anna.id)
        if len(services) > 1:
            await service.withdraw(self.pool, anna.id, services[0].id)
        elif self.random.random() < 0.5 and services:
            await service.change(
                self.pool, anna.id, services[0].id, {"durations_minutes": durations}
            )
        else:
            slug = self.random.choice(("piano", "guitar", "spanish"))
            try:
                await service.offer(
                    self.pool, anna.id, slug, hourly_rate_cents=5000, durations_minutes=durations
                )
            except refusal.ValidationError:
                return

    async def teach(self) -> None:
        anna = self.random.choice(self.instructors)
        await self.pool.fetchval("select set_teaching($1, $2)", anna.id, self.random.random() < 0.7)

    async def hold_ends(self) -> None:
        """An expired hold on the next start, and a booking that takes it over."""
        anna, (ben, clara) = self.random.choice(self.instructors), self.students
        service_id = await self.pool.fetchval(
            """select id from service
               where instructor_id = $1 and 30 = any (durations_minutes) limit 1""",
            anna.id,
        )
        start = await next_of_board(self.pool, anna.id, 60, self.now)
        if service_id is None or start is None:
            return
        await self.pool.execute(
            """insert into booking (instructor_id, student_id, service_id, state, during, blocked,
                                    held_until, service_name, price_cents, location_type,
                                    hourly_rate_cents, free_cancel_hours, free_cancel_until,
                                    version, created_at)
               select $1, $2, $3, 'held', tstzrange($4, $6), tstzrange($4, $6),
                      $5, '', 0, 'student', 7000, 12,
                      $5, 0, $5
               on conflict do nothing""",
            anna.id,
            ben.id,
            service_id,
            start,
            self.now - timedelta(seconds=1),
            start + timedelta(hours=1),
        )
        try:
            lesson = await factories.lesson(
                self.pool, clara.id, service_id, start, minutes=30, now=self.now
            )
        except refusal.Refusal:
            return
        self.lessons.append(lesson)

    async def wait(self) -> None:
        self.now += timedelta(minutes=self.random.choice((1, 30, 400, 2000)))


@asynccontextmanager
async def refreshing(pool: Pool, town: Town, tasks: int) -> AsyncIterator[None]:
    """Runs the worker's refresh without a pause during the test."""

    async def refresh() -> None:
        while True:
            await next_start.refresh(pool, limit=5, now=town.now)
            await asyncio.sleep(0.001)

    running = [asyncio.create_task(refresh()) for _ in range(tasks)]
    try:
        yield
        assert not any(task.done() for task in running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@pytest.mark.parametrize("seed", range(4))
async def test_the_next_start_matches_the_boards_after_random_changes(
    pool: Pool, seed: int
) -> None:
    """Step by step; in every second run the worker refreshes at the same time."""
    town = Town(pool, Random(seed))
    await town.settle()
    async with refreshing(pool, town, seed % 2):
        for _ in range(40):
            await town.act()
            expected = await starts_of_boards(pool, town.now)
            if town.random.random() < 0.6:
                assert await next_start.of(pool, expected, now=town.now) == expected
            soonest = await next_start.soonest(pool, limit=3, now=town.now)
            assert [row.start for row in soonest] == (await card_starts_of_boards(pool, town.now))[
                :3
            ]
            await assert_bounds_hold(pool, expected, town.now)


async def test_time_freed_during_a_computation_is_not_overwritten(pool: Pool) -> None:
    anna, ben = (
        await factories.instructor(pool, "Anna", now=NOW),
        await factories.student(pool, "Ben"),
    )
    lesson = await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"), now=NOW)
    now = anna.at("08:00") - timedelta(hours=1)
    [row] = await next_start._read(pool, [(anna.id, 60)], next_start.NEAR_DAYS, now)
    assert row.next(now) == anna.at("10:00")
    await cancellation.cancel(pool, ben.id, lesson.id, reason="", now=now)
    await next_start._store_starts(pool, [(row, row.next(now))])
    assert await pool.fetchval(
        "select start = '-infinity' from next_start where instructor_id = $1 and minutes = 60",
        anna.id,
    )
    assert await next_start.of(pool, [(anna.id, 60)], now=now) == {(anna.id, 60): anna.at("09:00")}


async def test_every_way_to_free_time_is_noticed(pool: Pool) -> None:
    """Each time a stored next start becomes earlier."""
    anna = await factories.instructor(
        pool, "Anna", hours=("09:00", "12:00"), notice_minutes=600, buffer_minutes=60, now=NOW
    )
    ben, clara = await factories.student(pool, "Ben"), await factories.student(pool, "Clara")
    evening = anna.at("20:00", day=0)
    lessons = [
        await factories.lesson(pool, ben.id, anna.service_id, anna.at(clock), now=NOW)
        for clock in ("09:00", "11:00")
    ]

    async def next_hour() -> datetime | None:
        start = (await next_start.of(pool, [(anna.id, 60)], now=evening))[anna.id, 60]
        assert start == await next_of_board(pool, anna.id, 60, evening)
        return start

    assert await next_hour() == anna.at("09:00", day=2)
    await instructor.change(pool, anna.id, {"travel_buffer_minutes": 0}, now=evening)
    # A booked lesson keeps its buffer until it moves.
    assert await next_hour() == anna.at("09:00", day=2)
    await cancellation.cancel(pool, ben.id, lessons[0].id, reason="", now=evening)
    assert await next_hour() == anna.at("09:00")
    hold = "update booking set state = 'held', held_until = $2 where id = $1"
    start = await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"), now=evening)
    await pool.execute(hold, start.id, evening - timedelta(seconds=1))
    assert await next_hour() == anna.at("10:00")
    assert (await next_start.of(pool, [(anna.id, 30)], now=evening))[anna.id, 30] == anna.at(
        "10:00"
    )
    await factories.lesson(
        pool, clara.id, anna.service_id, anna.at("09:30"), minutes=30, now=evening
    )
    assert (await next_start.of(pool, [(anna.id, 30)], now=evening))[anna.id, 30] == anna.at(
        "09:00"
    )
    await week.replace_days(pool, anna.id, {anna.day(1): [(8 * 60, 12 * 60)]}, now=evening)
    assert await next_hour() == anna.at("08:00")
    await week.replace_days(pool, anna.id, {anna.day(0): [(21 * 60, 24 * 60)]}, now=evening)
    assert await next_hour() == anna.at("08:00")
    await instructor.change(pool, anna.id, {"min_advance_minutes": 0}, now=evening)
    assert await next_hour() == anna.at("21:00", day=0)
    await instructor.stop(pool, anna.id)
    assert await next_hour() is None
    await pool.fetchval("select set_teaching($1, true)", anna.id)
    assert await next_hour() == anna.at("21:00", day=0)


async def test_storing_waits_for_no_lock(pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", now=NOW)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("select forget_next_start($1)", anna.id)
        starts = await asyncio.wait_for(next_start.of(pool, [(anna.id, 60)], now=NOW), PATIENCE)
        assert starts == {(anna.id, 60): await next_of_board(pool, anna.id, 60, NOW)}
        await asyncio.wait_for(next_start.refresh(pool, limit=10, now=NOW), PATIENCE)
        await transaction.rollback()


async def test_racing_writers_and_readers_leave_no_bound_too_late(pool: Pool) -> None:
    town = Town(pool, Random(99))
    await town.settle()

    async def writer() -> None:
        for _ in range(25):
            await town.random.choice((town.book, town.book, town.cancel, town.replace_day))()

    async def reader() -> None:
        for _ in range(25):
            await next_start.soonest(pool, limit=2, now=town.now)
            await next_start.of(pool, await pairs_on_offer(pool), now=town.now)

    async with refreshing(pool, town, 2):
        await asyncio.gather(writer(), writer(), writer(), reader(), reader())
    expected = await starts_of_boards(pool, town.now)
    await assert_bounds_hold(pool, expected, town.now)
    assert await next_start.of(pool, expected, now=town.now) == expected


async def test_the_soonest_are_found_behind_many_outdated_bounds(pool: Pool) -> None:
    """Forty instructors with outdated bounds come before one with a free start."""
    evening = NOW + timedelta(hours=12)
    for n in range(40):
        carl = await factories.instructor(pool, f"Carl {n}", hours=("09:00", "18:00"), now=NOW)
        await next_start.of(pool, [(carl.id, 60), (carl.id, 30)], now=evening)
        ben = await factories.student(pool, f"Ben {n}")
        await pool.execute(
            """insert into booking (instructor_id, student_id, service_id, state, during, blocked,
                                    service_name, price_cents, location_type,
                                    hourly_rate_cents, free_cancel_hours, free_cancel_until,
                                    version, created_at)
               values ($1, $5, $2, 'confirmed', tstzrange($3, $4), tstzrange($3, $4),
                       '', 0, 'student', 7000, 12, $3, 0, $3)""",
            carl.id,
            carl.service_id,
            carl.at("09:00"),
            carl.at("17:00"),
            ben.id,
        )
    anna = await factories.instructor(pool, "Anna", hours=("10:00", "11:00"), now=NOW)
    await next_start.of(pool, [(anna.id, 60)], now=evening)
    soonest = await next_start.soonest(pool, limit=2, now=evening)
    assert soonest[0].instructor_id == anna.id
    assert [row.start for row in soonest] == [anna.at("10:00"), anna.at("17:00")]


async def test_a_repeated_request_computes_nothing(pool: Pool) -> None:
    pairs = [((await factories.instructor(pool, f"Anna {n}", now=NOW)).id, 30) for n in range(5)]
    never = await factories.instructor(pool, "Never", days=0, now=NOW)
    pairs.append((never.id, 30))
    first = await next_start.of(pool, pairs, now=NOW)
    queries: list[str] = []
    async with pool.acquire() as connection:
        with connection.query_logger(lambda record: queries.append(record.query)):
            assert await next_start.of(connection, pairs, now=NOW + timedelta(minutes=5)) == first
            await next_start.soonest(connection, limit=3, now=NOW + timedelta(minutes=5))
        await asyncio.sleep(0)
    assert len(queries) == 2
    assert not any("free_time(" in query for query in queries)
    assert await next_start.refresh(pool, limit=100, now=NOW + timedelta(minutes=5)) == 5 + 1
    assert await next_start.refresh(pool, limit=100, now=NOW + timedelta(minutes=5)) == 0


async def test_long_calendars_are_computed_in_batches(pool: Pool) -> None:
    """For 25 calendars without free time: one read of the near days, then two of all days."""
    pairs = [
        ((await factories.instructor(pool, f"Anna {n}", days=0, durations=(60,), now=NOW)).id, 60)
        for n in range(25)
    ]
    sizes: list[int] = []

    def note(record: Any) -> None:
        if "free_time(" in record.query:
            sizes.append(next(len(value) for value in record.args if isinstance(value, list)))

    async with pool.acquire() as connection:
        with connection.query_logger(note):
            assert await next_start.of(connection, pairs, now=NOW) == dict.fromkeys(pairs)
        await connection.execute("select 1")
    assert sizes == [25, 20, 5]
    assert await pool.fetchval("select count(*) from next_start where start = 'infinity'") == 25


async def test_a_public_read_is_cancelled_at_its_time_out(
    pool: Pool, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It costs neither the connection nor other requests."""
    anna = await factories.instructor(pool, "Anna")
    monkeypatch.setattr(next_start._next_starts, "seconds", 0.3)
    monkeypatch.setattr(next_start._free_next, "seconds", 0.3)
    pids = {await pool.fetchval("select pg_backend_pid()")}
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("lock table next_start in access exclusive mode")
        for path in ("/", "/api/instructors"):
            answer = await asyncio.wait_for(client.get(path), 2)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        with pytest.raises(refusal.Unavailable):
            await next_start.of(pool, [(anna.id, 60)], now=NOW)
        assert (await client.get(f"/api/instructors/{anna.id}")).status_code == 200
        # The cancelled statement does not keep running.
        waiting = """select count(*) from pg_stat_activity
                     where wait_event_type = 'Lock' and datname = current_database()"""
        assert await connection.fetchval(waiting) == 0
        pids.add(await connection.fetchval("select pg_backend_pid()"))
        await transaction.rollback()
    assert await pool.fetchval("select pg_backend_pid()") in pids
    assert (await client.get("/")).status_code == 200
