"""A calendar locked by another process takes three connections of this process, and affects no
other calendar."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from structlog.testing import capture_logs

from app import db, gate, refusal
from app.availability import week
from app.bookings import cancellation, outcome
from app.catalog import instructor, service
from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.bookings.reservations import NOW, reserve
from tests.cluster import PATIENCE
from tests.conftest import patient_pool
from tests.factories import Instructor
from tests.health import wait_until_ready
from tests.locks import lock_waits, until_lock_waits


class Lock:
    """Another process's transaction that locks a calendar's row."""

    def __init__(self, pool: Pool, calendar: UUID) -> None:
        self._pool = pool
        self._calendar = calendar

    async def __aenter__(self) -> None:
        self._connection = await self._pool.acquire()
        self._transaction = self._connection.transaction()
        await self._transaction.start()
        await self._connection.execute(
            "select from calendar where instructor_id = $1 for update", self._calendar
        )

    async def __aexit__(self, *_: object) -> None:
        await self._transaction.rollback()
        await self._pool.release(self._connection)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    async with patient_pool(database_url) as pool:
        yield pool


@pytest.fixture
async def outside(database_url: str) -> AsyncIterator[Pool]:
    """Connections of another process."""
    async with patient_pool(database_url, size=2) as pool:
        yield pool


async def book(
    client: httpx.AsyncClient, token: str, instructor: Instructor, wall_clock: str
) -> httpx.Response:
    return await client.post(
        "/api/bookings",
        headers={"Authorization": f"Bearer {token}", "Idempotency-Key": str(uuid4())},
        json={
            "service_id": str(instructor.service_id),
            "start": instructor.at(wall_clock).isoformat(),
            "duration_minutes": 30,
            "location": "12 Main Street",
        },
    )


async def test_thirty_bookings_of_a_locked_calendar_block_nothing_else(
    client: httpx.AsyncClient,
    pool: Pool,
    outside: Pool,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gate, "WAIT_SECONDS", 60)  # so that they still wait on a slow machine
    anna, dora = (
        await factories.instructor(pool, "Anna"),
        await factories.instructor(pool, "Dora", service="guitar"),
    )
    students = [await factories.student(pool, f"Student {number}") for number in range(30)]
    tokens = [await factories.token_of(pool, student.id, settings) for student in students]
    bens_token = await factories.token_of(pool, (await factories.student(pool, "Ben")).id, settings)
    times = [f"{9 + n // 2 % 8:02}:{n % 2 * 30:02}" for n in range(30)]
    await wait_until_ready(client, 200)
    async with Lock(outside, anna.id):
        bookings = [
            asyncio.create_task(book(client, token, anna, wall_clock))
            for token, wall_clock in zip(tokens, times, strict=True)
        ]
        await until_lock_waits(outside, 3)
        await wait_until_ready(client, 200)
        assert (await client.get(f"/instructors/{dora.id}")).status_code == 200
        assert (await client.get(f"/instructors/{anna.id}")).status_code == 200
        other = await book(client, bens_token, dora, "10:00")
        assert other.status_code == 201
        assert await lock_waits(outside) <= 3
        assert sum(not task.done() for task in bookings) >= 15
    answers = await asyncio.gather(*bookings)
    for answer in answers:
        if answer.status_code == 503:
            assert answer.json()["code"] == "UNAVAILABLE"
            assert answer.headers["Retry-After"]
    created = sum(answer.status_code == 201 for answer in answers)
    assert created >= 1  # of 16 times; calls that are late or wait too long are refused
    assert {answer.status_code for answer in answers} <= {201, 409, 503}
    counts = await pool.fetchrow(
        """select (select count(*) from booking where instructor_id = $1) as bookings,
                  (select version from calendar where instructor_id = $1) as version,
                  (select count(*) from outbox where instructor_id = $1) as changes,
                  (select count(*) from idempotency_key) as keys""",
        anna.id,
    )
    assert counts is not None
    assert tuple(counts) == (created, created, created, created + 1)


@pytest.mark.parametrize(
    "write", ["reserve", "cancel", "note", "week", "profile", "stop", "begin", "withdraw"]
)
async def test_every_writer_of_a_calendar_passes_the_gate(
    pool: Pool, outside: Pool, write: str
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    others = iter([await factories.student(pool, f"Student {number}") for number in range(6)])
    lesson = await reserve(pool, ben, anna, anna.at("10:00"))
    writes: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
        "reserve": lambda: reserve(pool, next(others), anna, anna.at("12:00")),
        "cancel": lambda: cancellation.cancel(pool, ben.id, lesson.id, reason="", now=NOW),
        "note": lambda: outcome.note(pool, anna.id, lesson.id, "x", now=NOW),
        "week": lambda: week.replace_days(pool, anna.id, {anna.day(): [(540, 600)]}, now=NOW),
        "profile": lambda: instructor.change(pool, anna.id, {"travel_buffer_minutes": 15}, now=NOW),
        "stop": lambda: instructor.stop(pool, anna.id),
        "begin": lambda: instructor.begin(pool, anna.id, {}, now=NOW),
        "withdraw": lambda: service.withdraw(pool, anna.id, anna.service_id),
    }
    async with Lock(outside, anna.id):
        tasks = [asyncio.create_task(writes[write]()) for _ in range(6)]
        await until_lock_waits(outside, gate.WIDTH)
        async with asyncio.timeout(PATIENCE):
            while gate._calendars[anna.id].writers < 6:
                await asyncio.sleep(0.01)
        assert await lock_waits(outside) == gate.WIDTH
    await asyncio.gather(*tasks, return_exceptions=True)
    assert gate._calendars == {}


async def test_a_student_who_waits_for_a_calendar_takes_at_most_three_connections(
    pool: Pool, outside: Pool
) -> None:
    anna, ben, carl = (
        await factories.instructor(pool, "Anna"),
        await factories.student(pool, "Ben"),
        await factories.student(pool, "Carl"),
    )
    instructors = [await factories.instructor(pool, f"Instructor {number}") for number in range(12)]
    async with Lock(outside, anna.id):
        lessons = [asyncio.create_task(reserve(pool, ben, anna, anna.at("10:00")))]
        await until_lock_waits(outside, 1)  # it has the lock of Ben's row now
        lessons += [
            asyncio.create_task(reserve(pool, ben, other, other.at("12:00")))
            for other in instructors
        ]
        await until_lock_waits(outside, gate.WIDTH)
        assert (
            await reserve(pool, carl, instructors[0], instructors[0].at("10:00"))
        ).state == "confirmed"
        assert await lock_waits(outside) <= gate.WIDTH
    await asyncio.gather(*lessons, return_exceptions=True)
    assert gate._students == gate._calendars == {}


async def test_a_writer_that_waits_too_long_is_refused(
    pool: Pool, outside: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = await factories.instructor(pool, "Anna")
    monkeypatch.setattr(gate, "WAIT_SECONDS", 0.1)
    monkeypatch.setattr(gate, "faults", db.Faults())
    async with Lock(outside, anna.id):
        first = [asyncio.create_task(instructor.stop(pool, anna.id)) for _ in range(gate.WIDTH)]
        await until_lock_waits(outside, gate.WIDTH)
        with capture_logs() as lines, pytest.raises(refusal.Unavailable):
            await instructor.stop(pool, anna.id)
    assert [line["cause"] for line in lines] == ["calendar_queue_slow"]
    await asyncio.gather(*first)
    await instructor.stop(pool, anna.id)  # the slots are free again


async def test_a_writer_is_refused_at_once_if_the_queue_is_full(
    pool: Pool, outside: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = await factories.instructor(pool, "Anna")
    monkeypatch.setattr(gate, "QUEUE", 1)
    monkeypatch.setattr(gate, "faults", db.Faults())
    async with Lock(outside, anna.id):
        waiters = [
            asyncio.create_task(instructor.stop(pool, anna.id)) for _ in range(gate.WIDTH + 1)
        ]
        await until_lock_waits(outside, gate.WIDTH)
        with capture_logs() as lines, pytest.raises(refusal.Unavailable):
            await instructor.stop(pool, anna.id)
        assert not any(waiter.done() for waiter in waiters)
    assert [line["cause"] for line in lines] == ["calendar_queue_full"]
    await asyncio.gather(*waiters)


async def test_a_cancelled_writer_leaves_the_queue(pool: Pool, outside: Pool) -> None:
    anna = await factories.instructor(pool, "Anna")
    async with Lock(outside, anna.id):
        waiters = [
            asyncio.create_task(instructor.stop(pool, anna.id)) for _ in range(gate.WIDTH + 2)
        ]
        await until_lock_waits(outside, gate.WIDTH)
        for waiter in waiters:
            waiter.cancel()
        await asyncio.gather(*waiters, return_exceptions=True)
        assert gate._calendars == {}


async def test_the_cache_of_instructors_by_service_is_bounded(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_MAX_CACHED", 2)
    monkeypatch.setattr(service, "_instructors", {})
    anna = await factories.instructor(pool, "Anna")
    services = [
        anna.service_id,
        *[await factories.service_of(pool, anna.id, slug) for slug in ("guitar", "spanish")],
    ]
    assert [await service.instructor_of(pool, service_id) for service_id in services] == [
        anna.id
    ] * 3
    assert list(service._instructors) == services[1:]
    assert await service.instructor_of(pool, services[1]) == anna.id
    assert list(service._instructors) == [services[2], services[1]]
    assert await service.instructor_of(pool, uuid4()) is None
    assert len(service._instructors) == 2
