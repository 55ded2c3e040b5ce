"""The demo accounts, at any date and time."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import httpx
import pytest

from app import demo
from app.bookings import booking
from app.db import Pool
from app.search import search
from app.search.parse import Understood
from app.search.vocabulary import Vocabulary
from tests import factories

MOMENTS = [
    datetime(2026, 11, 23, 15, tzinfo=UTC),  # a Monday morning
    # Late on Sunday night in New York, Monday in UTC.
    datetime(2026, 11, 23, 4, 59, 59, tzinfo=UTC),
    datetime(2027, 3, 13, 23, tzinfo=UTC),  # the evening before clocks go forward
    datetime(2026, 11, 1, 5, 30, tzinfo=UTC),  # in the hour that occurs twice
    datetime(2028, 2, 29, 12, tzinfo=UTC),
    datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC),
]


@pytest.mark.parametrize("now", MOMENTS, ids=str)
async def test_demo_data_has_free_times_and_lessons_at_any_date(pool: Pool, now: datetime) -> None:
    assert await demo.seed(pool, now=now)
    items = await search.items(pool, Understood(), Vocabulary.of(()), now=now, limit=100)
    assert len(items) == sum(len(instructor.offers) for instructor in demo.INSTRUCTORS)
    assert all(
        item.next_available and item.next_available < now + timedelta(days=4) for item in items
    )
    last = await pool.fetchval("select max(upper(during)) from availability")
    assert last > now + timedelta(weeks=demo.WEEKS) - timedelta(days=2)
    for lesson in await pool.fetch("select id, student_id, lower(during) as start from booking"):
        assert now < lesson["start"]
        lesson_booking = await booking.find(pool, lesson["id"], viewer=lesson["student_id"])
        assert lesson_booking.state == "confirmed"
    assert await pool.fetchval("select count(*) from booking") == 2


async def test_the_first_free_time_of_a_demo_instructor_can_be_booked(pool: Pool) -> None:
    now = datetime.now(UTC)
    await demo.seed(pool, now=now)
    emma = await pool.fetchval("select id from account where email = 'emma.johnson@example.com'")
    items = {
        item.instructor_name: item
        for item in await search.items(pool, Understood(), Vocabulary.of(()), now=now, limit=100)
    }
    sarah = items["Sarah Chen"]
    assert sarah.next_available
    await factories.lesson(
        pool,
        emma,
        sarah.service_id,
        sarah.next_available,
        minutes=sarah.minutes,
        now=now,
    )


async def test_all_documented_demo_accounts_can_sign_in(
    pool: Pool, client: httpx.AsyncClient
) -> None:
    await demo.seed(pool, now=datetime.now(UTC))
    for email, roles in {
        "sarah.chen@example.com": ["instructor"],
        "michael.rodriguez@example.com": ["instructor"],
        "john.smith@example.com": ["student"],
        "emma.johnson@example.com": ["student"],
        "admin@example.com": ["admin"],
    }.items():
        answer = await client.post(
            "/api/auth/login",
            json={"email": email, "password": "TestPassword123!"},
            headers={"Sec-Fetch-Site": "same-origin"},
        )
        assert answer.status_code == 200
        assert answer.json()["account"]["roles"] == roles
    assert (
        len({row["password_hash"] for row in await pool.fetch("select password_hash from account")})
        == 11
    )


async def test_seed_changes_nothing_if_accounts_exist(pool: Pool) -> None:
    await factories.student(pool, "Ben")
    assert await demo.seed(pool, now=datetime.now(UTC)) is False
    assert await pool.fetchval("select count(*) from account") == 1


async def test_concurrent_seeds_insert_the_demo_data_once(pool: Pool) -> None:
    now = datetime.now(UTC)
    assert sorted(await asyncio.gather(*(demo.seed(pool, now=now) for _ in range(3)))) == [
        False,
        False,
        True,
    ]
    assert await pool.fetchval("select count(*) from account") == len(demo.INSTRUCTORS) + 3


def test_every_demo_day_has_hours_for_someone() -> None:
    for day in range(7):
        on = date(2026, 11, 23) + timedelta(days=day)
        assert any(demo._coming_weeks(instructor, on)[on] for instructor in demo.INSTRUCTORS)
