"""The demo, at any date and time."""

import asyncio
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from app import demo
from app.availability import next_start
from app.db import Pool
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


# The most asked services.
ASKED = """
    piano kids-piano guitar bass-guitar violin music-theory voice musical-theater drums saxophone
    flute ukulele songwriting spanish portuguese french italian mandarin english accent-reduction
    math algebra calculus statistics physics chemistry biology sat-prep act-prep essay-writing
    college-essays shsat-prep regents-prep reading homework-help yoga meditation pilates
    personal-training strength-training boxing swimming running tennis basketball soccer painting
    drawing photography photoshop acting public-speaking ballet salsa-dance python data-science
    web-development excel chess home-cooking
""".split()  # noqa: SIM905 — a list of sixty words
TIERS = ((30, 48), (55, 68), (80, 110))
BOROUGHS = ("Brooklyn", "Manhattan")
URL = re.compile(r"https?:|www[.]|[.](com|org|net)\b", re.IGNORECASE)

SERVICES = """
select s.catalog_service, s.instructor_id, s.hourly_rate_cents / 100 as dollars,
       (select min(m) from unnest(s.durations_minutes) as m) as minutes,
       array(select r.borough from instructor_area x join area r on r.slug = x.area
             where x.instructor_id = s.instructor_id) as boroughs
from service s where s.is_active"""
FREE = """
select c.instructor_id, r as during
from calendar c, unnest(free_time(
       c.instructor_id, $1::timestamptz + make_interval(mins => c.min_advance_minutes), $2)) as r"""


@dataclass
class Demo:
    """`free_days`: the days on which an instructor is free for an hour, by "evening" (17–22) and
    "day" (6–22)."""

    tomorrow: date
    days: set[date]
    services: list[asyncpg.Record]
    free_days: dict[tuple[Any, str], set[date]]

    def free(self, service: str, borough: str, part: str, below: int = 1000) -> set[date]:
        """The days on which anyone who teaches the service in the borough is free."""
        days: set[date] = set()
        for row in self.services:
            if (
                row["catalog_service"] == service
                and borough in row["boroughs"]
                and row["dollars"] < below
            ):
                days |= self.free_days[row["instructor_id"], part]
        return days


async def seeded(pool: Pool, now: datetime) -> Demo:
    assert await demo.seed(pool, now=now)
    tomorrow = now.astimezone(demo.ZONE).date() + timedelta(days=1)
    days = {tomorrow + timedelta(days=n) for n in range(7 * demo.WEEKS - 1)}
    end = datetime.combine(max(days) + timedelta(days=1), time(), demo.ZONE)
    free_days = defaultdict(set)
    for row in await pool.fetch(FREE, now, end):
        start, stop = (
            each.astimezone(demo.ZONE) for each in (row["during"].lower, row["during"].upper)
        )
        for part, first in (("evening", 17), ("day", 6)):
            opens = datetime.combine(start.date(), time(first), demo.ZONE)
            closes = datetime.combine(start.date(), time(22), demo.ZONE)
            if min(stop, closes) - max(start, opens) >= timedelta(hours=1):
                free_days[row["instructor_id"], part].add(start.date())
    return Demo(tomorrow, days, await pool.fetch(SERVICES), free_days)


@pytest.mark.parametrize("now", MOMENTS[1:4], ids=str)
async def test_someone_teaches_each_asked_service_at_each_price_on_every_evening(
    pool: Pool, now: datetime
) -> None:
    assert len(set(ASKED)) == 60
    site = await seeded(pool, now)
    weekends = {day for day in site.days if day.weekday() >= 5}
    for service in ASKED:
        rates = [row["dollars"] for row in site.services if row["catalog_service"] == service]
        for low, high in TIERS:
            assert any(low <= rate <= high for rate in rates), (service, rates)
        for borough in BOROUGHS:
            assert site.days - site.free(service, borough, "evening") == set(), (service, borough)
            assert weekends - site.free(service, borough, "day") == set(), (service, borough)
    assert site.days - site.free("piano", "Brooklyn", "evening", below=80) == set()


@pytest.mark.parametrize("now", MOMENTS, ids=str)
async def test_demo_data_has_free_times_at_any_date(pool: Pool, now: datetime) -> None:
    assert await demo.seed(pool, now=now, instructors=demo.FEATURED)
    lengths = await pool.fetch("select instructor_id, minutes from next_start")
    starts = await next_start.of(pool, [tuple(row) for row in lengths], now=now)
    assert len(starts) == len(lengths) > len(demo.FEATURED)
    assert all(start and start < now + timedelta(days=4) for start in starts.values())
    last = await pool.fetchval("select max(upper(during)) from availability")
    assert last > now + timedelta(weeks=demo.WEEKS) - timedelta(days=2)


async def test_120_believable_instructors_teach(pool: Pool, client: httpx.AsyncClient) -> None:
    await demo.seed(pool, now=datetime.now(UTC))
    assert await pool.fetchval("select count(*) from calendar where is_active") == 120
    rows = await pool.fetch(
        "select a.full_name, a.email::text, i.headline, i.bio, i.years_experience,"
        " c.travel_buffer_minutes, c.min_advance_minutes"
        " from instructor i join account a using (id) join calendar c on c.instructor_id = i.id"
    )
    for column in ("full_name", "email", "headline", "bio"):
        assert len({row[column] for row in rows}) == 120, column
    for column in ("years_experience", "travel_buffer_minutes", "min_advance_minutes"):
        assert len({row[column] for row in rows}) >= 4, column
    texts = [row["description"] for row in await pool.fetch("select description from service")]
    for text in [*texts, *(row[column] for row in rows for column in ("headline", "bio"))]:
        assert 10 < len(text) < 300
        assert not URL.search(text)
        assert "lorem" not in text.lower()
        assert "'" not in text  # typographic
    services = await pool.fetch("select durations_minutes, levels, audiences from service")
    for column in ("durations_minutes", "levels", "audiences"):
        assert len({tuple(row[column]) for row in services}) >= 3, column
    boroughs = await pool.fetch(
        "select distinct r.borough from instructor_area x join area r on r.slug = x.area"
    )
    assert len(boroughs) == 5
    # The search finds them, even with a typo.
    query = "paino under $80 tomorrow evening in brooklyn"
    answer = (await client.get("/api/search", params={"q": query})).json()
    assert answer["items"]
    for item in answer["items"]:
        assert item["service"]["catalog_service"] == "piano"
        assert item["hourly_rate_cents"] <= 8000
    answer = (await client.get("/api/search", params={"q": "Sarah Chen"})).json()
    assert {item["instructor"]["name"] for item in answer["items"]} == {"Sarah Chen"}
    assert "Sarah Chen" in (await client.get("/search?q=sarah+chen")).text


async def test_the_demo_is_the_same_each_time() -> None:
    assert [*demo.profiles.featured(), *demo.profiles.others()] == demo.INSTRUCTORS
    assert len({instructor.email for instructor in demo.INSTRUCTORS}) == 120


async def test_demo_people_have_past_and_upcoming_lessons(pool: Pool) -> None:
    now = MOMENTS[0]
    await demo.seed(pool, now=now)
    lessons = await pool.fetch("select state, lower(during) as start, student_id from booking")
    past = [row for row in lessons if row["start"] < now]
    assert Counter(row["state"] for row in past) == {"completed": len(past)}
    assert len(past) >= 20
    upcoming = [row for row in lessons if row["start"] >= now]
    assert Counter(row["state"] for row in upcoming) == {"confirmed": len(upcoming)}
    assert len(upcoming) >= 40
    assert len({row["student_id"] for row in upcoming}) == len(demo.STUDENTS)
    # Mails of past lessons are not sent again.
    waiting = await pool.fetch(
        "select distinct lower(b.during) > $1 as is_ahead from notification n"
        " join booking b on b.id = n.booking_id where n.sent_at is null",
        now,
    )
    assert [row["is_ahead"] for row in waiting] == [True]
    # Each step of a calendar is in the outbox, and each length on offer has its next start.
    assert (
        await pool.fetch(
            "select c.instructor_id from calendar c join outbox o using (instructor_id)"
            " group by 1 having c.version <> max(o.version) or c.version <> count(*)"
        )
        == []
    )
    on_offer = await pool.fetch(
        "select distinct s.instructor_id, m as minutes from service s, unnest(durations_minutes) m"
    )
    stored = await pool.fetch("select instructor_id, minutes from next_start")
    assert {tuple(row) for row in stored} == {tuple(row) for row in on_offer}


@pytest.mark.parametrize("days", range(7))
def test_on_any_weekday_no_student_has_two_lessons_on_a_day(days: int) -> None:
    today = date(2026, 11, 23) + timedelta(days=days)
    lessons = list(demo._lessons(demo.INSTRUCTORS, today))
    assert len({(lesson.student, lesson.start.date()) for lesson in lessons}) == len(lessons)
    assert len({(lesson.instructor.email, lesson.start.date()) for lesson in lessons}) == len(
        lessons
    )
    assert max(Counter(lesson.student for lesson in lessons).values()) < 10
    for lesson in lessons:
        start = lesson.start.hour * 60 + lesson.start.minute
        assert any(
            first < start and start + lesson.minutes <= last
            for first, last in lesson.instructor.ranges(lesson.start.date())
        )


async def test_the_first_free_time_of_a_demo_instructor_can_be_booked(pool: Pool) -> None:
    now = datetime.now(UTC)
    await demo.seed(pool, now=now, instructors=demo.FEATURED)
    emma = await pool.fetchval("select id from account where email = 'emma.johnson@example.com'")
    (piano,) = await pool.fetch(
        "select s.id, s.instructor_id from service s join account a on a.id = s.instructor_id"
        " where a.full_name = 'Sarah Chen' and s.catalog_service = 'piano'"
    )
    pair = (piano["instructor_id"], 30)
    start = (await next_start.of(pool, [pair], now=now))[pair]
    assert start
    await factories.lesson(pool, emma, piano["id"], start, minutes=30, now=now)


async def test_all_documented_demo_accounts_can_sign_in(
    pool: Pool, client: httpx.AsyncClient
) -> None:
    await demo.seed(pool, now=datetime.now(UTC), instructors=demo.FEATURED)
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


async def test_seed_changes_nothing_if_accounts_exist(pool: Pool) -> None:
    await factories.student(pool, "Ben")
    assert await demo.seed(pool, now=datetime.now(UTC)) is False
    assert await pool.fetchval("select count(*) from account") == 1


async def test_concurrent_seeds_insert_the_demo_data_once(pool: Pool) -> None:
    now = datetime.now(UTC)
    assert sorted(
        await asyncio.gather(
            *(demo.seed(pool, now=now, instructors=demo.FEATURED) for _ in range(3))
        )
    ) == [
        False,
        False,
        True,
    ]
    assert (
        await pool.fetchval("select count(*) from account")
        == len(demo.FEATURED) + len(demo.STUDENTS) + 1
    )


async def test_a_seed_waits_while_another_process_creates_the_demo(pool: Pool) -> None:
    async with pool.acquire() as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("lock table account in share row exclusive mode")
        seeding = asyncio.create_task(
            demo.seed(pool, now=datetime.now(UTC), instructors=demo.FEATURED)
        )
        await asyncio.sleep(2.5)  # longer than the lock_timeout of sql/session.sql
        await transaction.commit()
    assert await seeding
