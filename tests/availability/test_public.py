"""Public availability, without signing in."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.conftest import _running
from tests.factories import Instructor

# A Monday, 10:07 in New York, between two quarter-hours.
NOW = datetime(2026, 11, 23, 15, 7, 30, tzinfo=UTC)


class At:
    """The application at any time, with any settings, by default without the cache:
    tests/realtime/test_public_cache.py tests that."""

    def __init__(self, stack: AsyncExitStack, settings: Settings) -> None:
        self.stack = stack
        self.settings = settings
        self.now = NOW

    async def client(self, **changed: Any) -> httpx.AsyncClient:
        from app.main import build

        changes = {"public_availability_cache_ttl": 0} | changed
        application = await _running(
            self.stack, build(self.settings.model_copy(update=changes), now=lambda: self.now)
        )
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(application), base_url=self.settings.site_url
        )
        return await self.stack.enter_async_context(client)


@pytest.fixture
async def at(settings: Settings) -> AsyncIterator[At]:
    async with AsyncExitStack() as stack:
        yield At(stack, settings)


@pytest.fixture
async def anna(pool: Pool) -> Instructor:
    return await factories.instructor(pool, "Anna", now=NOW, hours=("09:00", "17:00"), days=60)


def path(instructor: Instructor, query: str = "") -> str:
    return f"/api/public/instructors/{instructor.id}/availability{query}"


async def test_in_full_days_have_their_ranges_from_the_minimum_notice_on(
    at: At, anna: Instructor
) -> None:
    answer = await (await at.client()).get(path(anna, "?start_date=2026-11-23&end_date=2026-11-24"))
    assert answer.json() == {
        "instructor_id": str(anna.id),
        "instructor_name": "Anna",
        "time_zone": "America/New_York",
        "version": 0,
        "days": {
            "2026-11-23": {
                "ranges": [{"start_time": "12:15", "end_time": "17:00"}],
                "total_minutes": 285,
            },
            "2026-11-24": {
                "ranges": [{"start_time": "09:00", "end_time": "17:00"}],
                "total_minutes": 480,
            },
        },
    }
    assert answer.headers["cache-control"] == "public, max-age=0, must-revalidate"
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_a_summary_has_the_parts_of_the_day(at: At, anna: Instructor) -> None:
    client = await at.client(public_availability_detail_level="summary")
    answer = (await client.get(path(anna, "?end_date=2026-11-24"))).json()
    assert answer["days"] == {
        "2026-11-23": {"morning": False, "afternoon": True, "evening": False, "ranges_count": 1},
        "2026-11-24": {"morning": True, "afternoon": True, "evening": False, "ranges_count": 1},
    }


async def test_the_minimal_level_has_only_the_earliest_date(
    at: At, anna: Instructor, pool: Pool
) -> None:
    client = await at.client(
        public_availability_detail_level="minimal", public_availability_show_instructor_name=False
    )
    answer = (await client.get(path(anna))).json()
    expected = {"instructor_id": str(anna.id), "time_zone": "America/New_York", "version": 0}
    assert answer == expected | {"has_availability": True, "earliest_date": "2026-11-23"}
    await pool.execute("delete from availability")
    await pool.execute("update calendar set version = 1")
    answer = (await client.get(path(anna))).json()
    assert answer == expected | {"version": 1, "has_availability": False, "earliest_date": None}


async def test_lessons_and_travel_buffers_are_not_free(at: At, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", now=NOW, buffer_minutes=15)
    ben = await factories.student(pool, "Ben")
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("11:00"), now=NOW)
    answer = (
        await (await at.client()).get(path(anna, "?start_date=2026-11-24&end_date=2026-11-24"))
    ).json()
    assert answer["version"] == 1
    assert answer["days"]["2026-11-24"] == {
        "ranges": [
            {"start_time": "09:00", "end_time": "10:45"},
            {"start_time": "12:15", "end_time": "17:00"},
        ],
        "total_minutes": 105 + 285,
    }
    assert "Ben" not in str(answer)


async def test_days_reach_from_today_to_the_setting(at: At, anna: Instructor) -> None:
    client = await at.client(public_availability_days=10)
    expected = [(date(2026, 11, 23) + timedelta(days=n)).isoformat() for n in range(10)]
    for query in (
        "",
        "?start_date=2020-01-01",
        "?end_date=8999-12-31",
        "?start_date=1970-01-01&end_date=2027-11-23",
    ):
        assert list((await client.get(path(anna, query))).json()["days"]) == expected
    assert (await client.get(path(anna, "?start_date=2027-01-01"))).json()["days"] == {}
    assert (await client.get(path(anna, "?start_date=2020-01-01&end_date=2020-01-02"))).json()[
        "days"
    ] == {}


async def test_a_day_ends_at_24_and_a_short_night_counts_its_real_minutes(
    at: At, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", now=NOW, hours=("00:00", "24:00"), days=200)
    at.now = datetime(2027, 3, 1, 15, tzinfo=UTC)
    answer = (
        await (await at.client()).get(path(anna, "?start_date=2027-03-14&end_date=2027-03-14"))
    ).json()
    assert answer["days"] == {
        "2027-03-14": {
            "ranges": [{"start_time": "00:00", "end_time": "24:00"}],
            "total_minutes": 23 * 60,
        }
    }


async def test_a_repeated_request_gets_304_until_something_changes(
    at: At, anna: Instructor, pool: Pool
) -> None:
    client = await at.client()
    first = await client.get(path(anna))

    async def again(query: str = "", etag: str = first.headers["etag"]) -> httpx.Response:
        return await client.get(path(anna, query), headers={"If-None-Match": etag})

    unchanged = await again()
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["etag"] == first.headers["etag"]
    assert unchanged.headers["cache-control"] == first.headers["cache-control"]
    assert (await again(etag=f'"another", W/{first.headers["etag"]}')).status_code == 304
    assert (await again(etag="*")).status_code == 304
    assert (await again(etag='"another"')).status_code == 200
    assert (await again("?end_date=2026-11-25")).status_code == 200
    at.now = NOW + timedelta(minutes=7)
    assert (await again()).status_code == 304
    at.now = NOW + timedelta(minutes=8)
    assert (await again()).status_code == 200
    at.now = NOW
    ben = await factories.student(pool, "Ben")
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("11:00"), now=NOW)
    assert (await again()).status_code == 200
    fresh = (await again()).headers["etag"]
    assert (await again(etag=fresh)).status_code == 304
    await pool.execute("update site set epoch_seed = gen_random_uuid()")
    assert (await again(etag=fresh)).status_code == 200
    other = await at.client(public_availability_detail_level="minimal")
    assert (await other.get(path(anna), headers={"If-None-Match": fresh})).status_code == 200


async def test_a_notice_off_the_quarter_hour_is_kept_to_the_minute(at: At, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", now=NOW, notice_minutes=10)
    client = await at.client(public_availability_cache_ttl=300)
    starts = []
    for minute in range(4, 8):
        at.now = NOW.replace(minute=minute, second=0)
        answer = await client.get(path(anna, "?end_date=2026-11-23"))
        starts.append(answer.json()["days"]["2026-11-23"]["ranges"][0]["start_time"])
    assert starts == ["10:15", "10:15", "10:30", "10:30"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("start_date=tomorrow", "start_date"),
        ("start_date=0001-01-01", "start_date"),
        ("end_date=9999-12-31", "end_date"),
        ("end_date=2026-02-30", "end_date"),
        ("start_date=2026-11-25&end_date=2026-11-24", "end_date"),
    ],
)
async def test_invalid_dates_are_named_and_readable_from_any_site(
    at: At, anna: Instructor, query: str, field: str
) -> None:
    answer = await (await at.client()).get(path(anna, f"?{query}"))
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (
        422,
        "VALIDATION_ERROR",
        field,
    )
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_only_instructors_have_public_availability(at: At, pool: Pool) -> None:
    ben = await factories.student(pool, "Ben")
    former = await factories.instructor(pool, "Gone")
    await pool.execute("update calendar set is_active = false")
    client = await at.client()
    for wrong in (ben.id, former.id, "none", "01980000-0000-7000-8000-000000000000"):
        for call in ("availability", "next-available"):
            answer = await client.get(f"/api/public/instructors/{wrong}/{call}")
            assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


async def test_a_preflight_request_is_answered(at: At, anna: Instructor) -> None:
    headers = {
        "Origin": "https://school.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "if-none-match",
    }
    answer = await (await at.client()).options(path(anna), headers=headers)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-headers"] == "If-None-Match"


async def test_the_next_available_start_can_be_booked(at: At, anna: Instructor, pool: Pool) -> None:
    client = await at.client()
    next_path = f"/api/public/instructors/{anna.id}/next-available"
    answer = await client.get(next_path)
    assert answer.json() == {
        "start": "2026-11-23T17:30:00Z",
        "duration_minutes": 30,
        "time_zone": "America/New_York",
        "version": 0,
    }
    assert (
        await client.get(next_path, headers={"If-None-Match": answer.headers["etag"]})
    ).status_code == 304
    ben, carl = await factories.student(pool, "Ben"), await factories.student(pool, "Carl")
    await factories.lesson(
        pool,
        ben.id,
        anna.service_id,
        datetime(2026, 11, 23, 17, 30, tzinfo=UTC),
        minutes=30,
        now=NOW,
    )
    hour = (await client.get(f"{next_path}?duration_minutes=60")).json()
    assert hour == {
        "start": "2026-11-23T18:00:00Z",
        "duration_minutes": 60,
        "time_zone": "America/New_York",
        "version": 1,
    }
    await factories.lesson(
        pool, carl.id, anna.service_id, datetime.fromisoformat(hour["start"]), minutes=60, now=NOW
    )


async def test_a_length_that_is_not_offered_has_no_start(
    at: At, anna: Instructor, pool: Pool
) -> None:
    client = await at.client()
    next_path = f"/api/public/instructors/{anna.id}/next-available"
    assert (await client.get(f"{next_path}?duration_minutes=45")).json()["start"] is None
    for wrong in ("0", "-30", "1441", "long", "9" * 30):
        assert (await client.get(f"{next_path}?duration_minutes={wrong}")).status_code == 422
    await pool.execute("update service set is_active = false")
    answer = (await client.get(next_path)).json()
    assert (answer["start"], answer["duration_minutes"]) == (None, 60)
