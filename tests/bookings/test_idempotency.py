"""Idempotency keys under concurrency, with real transactions."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from app import refusal
from app.bookings import booking, cancellation, idempotency
from app.bookings.booking import Booking
from app.bookings.idempotency import Call
from app.db import Pool
from tests import factories
from tests.factories import Account, Instructor

NOW = datetime.now(UTC)


def call(key: str, body: str = "") -> Call:
    return idempotency.call(key, "POST", "/api/bookings", body.encode())


async def book(
    pool: Pool, student: Account, anna: Instructor, hour: str, key: Call, *, now: datetime = NOW
) -> Booking | str:
    try:
        return await booking.reserve(
            pool, student.id, service_id=anna.service_id, start=anna.at(hour), minutes=60,
            location_type=None, location="12 Main St", note="", now=now, call=key,
        )  # fmt: skip
    except refusal.Refusal as refused:
        return refused.code


async def test_concurrent_repeats_share_one_booking_and_one_key(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    for hour in ("09:00", "11:00", "13:00"):
        repeats = [book(pool, ben, anna, hour, call(hour)) for _ in range(10)]
        lessons = await asyncio.gather(*repeats)
        assert all(isinstance(lesson, Booking) and lesson == lessons[0] for lesson in lessons)
    assert await pool.fetchval("select count(*) from booking") == 3
    assert await pool.fetchval("select count(*) from idempotency_key") == 3


async def test_one_key_for_several_concurrent_bodies_books_once(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    for day in range(8):
        hours = ("09:00", "11:00", "13:00", "15:00")
        outcomes: Counter[Any] = Counter()
        attempts = [
            booking.reserve(
                pool, ben.id, service_id=anna.service_id, start=anna.at(hour, day=day + 1),
                minutes=60, location_type=None, location="12 Main St", note="", now=NOW,
                call=call(f"key {day}", hour),
            )
            for hour in hours
        ]  # fmt: skip
        for result in await asyncio.gather(*attempts, return_exceptions=True):
            outcomes[getattr(result, "code", type(result).__name__)] += 1
        assert outcomes == {"Booking": 1, "IDEMPOTENCY_MISMATCH": 3}
    assert await pool.fetchval("select count(*) from booking") == 8
    assert (
        await pool.fetchval(
            "select deadlocks from pg_stat_database where datname = current_database()"
        )
        == 0
    )


async def test_a_repeat_after_a_cancellation_returns_the_first_answer(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    lesson = await book(pool, ben, anna, "09:00", call("k"))
    assert isinstance(lesson, Booking)
    await cancellation.cancel(pool, ben.id, lesson.id, reason="", now=NOW)
    assert await book(pool, ben, anna, "09:00", call("k")) == lesson
    assert await pool.fetchval("select count(*) from booking where state = 'confirmed'") == 0


async def test_a_repeat_returns_the_first_answer_even_when_the_time_is_too_soon_by_now(
    pool: Pool,
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    lesson = await book(pool, ben, anna, "09:00", call("k"))
    assert isinstance(lesson, Booking)
    late = lesson.starts_at - timedelta(minutes=1)
    assert await book(pool, ben, anna, "10:00", call("other"), now=late) == "TOO_SOON"
    in_time = NOW + timedelta(hours=23)
    assert await book(pool, ben, anna, "09:00", call("k"), now=min(late, in_time)) == lesson


async def test_after_24_hours_a_key_can_be_used_for_another_body(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    assert isinstance(await book(pool, ben, anna, "09:00", call("k", "a")), Booking)
    tomorrow = NOW + timedelta(hours=24)
    assert await book(pool, ben, anna, "11:00", call("k", "b")) == "IDEMPOTENCY_MISMATCH"
    later = await booking.reserve(
        pool, ben.id, service_id=anna.service_id, start=anna.at("11:00", day=4), minutes=60,
        location_type=None, location="12 Main St", note="", now=tomorrow, call=call("k", "b"),
    )  # fmt: skip
    assert later.starts_at == anna.at("11:00", day=4)


async def test_a_refusal_stores_no_key(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    assert await book(pool, ben, anna, "18:00", call("k")) == "OUTSIDE_AVAILABILITY"
    assert await pool.fetchval("select count(*) from idempotency_key") == 0
    assert isinstance(await book(pool, ben, anna, "09:00", call("k")), Booking)


async def test_concurrent_repeats_of_a_cancellation_cancel_once(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    lesson = await book(pool, ben, anna, "09:00", call("k"))
    assert isinstance(lesson, Booking)
    key = idempotency.call("c", "POST", f"/api/bookings/{lesson.id}/cancellation", b"{}")
    repeats = [
        cancellation.cancel(pool, anna.id, lesson.id, reason="ill", now=NOW, call=key)
        for _ in range(8)
    ]
    assert len({answer.version for answer in await asyncio.gather(*repeats)}) == 1
    assert await pool.fetchval("select count(*) from booking_audit where event = 'cancelled'") == 1


async def test_one_key_for_two_concurrent_cancellations_cancels_one(pool: Pool) -> None:
    anna, clara = (
        await factories.instructor(pool, "Anna"),
        await factories.instructor(pool, "Clara"),
    )
    ben = await factories.student(pool)
    lessons = [
        await book(pool, ben, anna, "09:00", call("1")),
        await book(pool, ben, clara, "11:00", call("2")),
    ]
    attempts = [
        cancellation.cancel(
            pool, ben.id, lesson.id, reason="", now=NOW,
            call=idempotency.call("c", "POST", f"/api/bookings/{lesson.id}/cancellation", b""),
        )
        for lesson in lessons if isinstance(lesson, Booking)
    ]  # fmt: skip
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Booking", "IdempotencyMismatch"]
    assert await pool.fetchval("select count(*) from booking where state = 'cancelled'") == 1
