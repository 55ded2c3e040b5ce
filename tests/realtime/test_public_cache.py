"""The cache of public availability: no database for a hit, and nothing stale beyond the live
path's bound."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from app import refusal
from app.availability import public_cache
from app.availability.public_cache import Answer, PublicCache
from app.db import SQL, Pool
from app.settings import Settings
from tests import factories
from tests.cluster import PATIENCE
from tests.conftest import RedisServer
from tests.factories import Instructor
from tests.realtime.conftest import serving


@pytest.fixture
async def anna(pool: Pool) -> Instructor:
    return await factories.instructor(pool, "Anna")


@pytest_asyncio.fixture
async def alone(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A web process without a relay, which compares its calendars rarely."""
    rarely = settings.model_copy(update={"reconcile_seconds": 12})
    async with serving(rarely) as url, httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        yield client


def paths(instructor: Instructor) -> tuple[str, str]:
    path = f"/api/public/instructors/{instructor.id}"
    return f"{path}/availability?end_date={instructor.day(6)}", f"{path}/next-available"


def hits() -> int:
    return public_cache.REQUESTS["hit"]


async def until_cached(client: httpx.AsyncClient, path: str) -> httpx.Response:
    """Repeats the request until the answer comes from the cache: the process must first have
    compared its calendars with Postgres."""
    async with asyncio.timeout(PATIENCE):
        while True:
            before = hits()
            answer = await client.get(path)
            if hits() > before:
                return answer
            await asyncio.sleep(0.05)


async def until_version(client: httpx.AsyncClient, path: str, version: int) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        while (answer := (await client.get(path)).json())["version"] < version:
            await asyncio.sleep(0.02)
    return dict(answer)


async def version_of(pool: Pool, instructor: Instructor) -> int:
    sql = "select version from calendar where instructor_id = $1"
    version: int = await pool.fetchval(sql, instructor.id)
    return version


async def test_a_cached_answer_needs_no_database(
    alone: httpx.AsyncClient, anna: Instructor, pool: Pool
) -> None:
    first = [await until_cached(alone, path) for path in paths(anna)]
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("lock table calendar, account, service in access exclusive mode")
        for path, answer in zip(paths(anna), first, strict=True):
            again = await alone.get(path)
            assert (again.status_code, again.content) == (200, answer.content)
            assert again.headers["cache-control"] == "public, max-age=0, must-revalidate"
            etag = again.headers["etag"]
            assert etag == answer.headers["etag"]
            head = await alone.head(path)
            assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", etag)
            assert head.headers["content-length"] == again.headers["content-length"]
            for tags in (etag, f'"other", W/{etag}', "*"):
                unchanged = await alone.get(path, headers={"If-None-Match": tags})
                assert (unchanged.status_code, unchanged.content) == (304, b"")
                assert unchanged.headers["access-control-allow-origin"] == "*"
            other = await alone.get(path, headers={"If-None-Match": '"other"'})
            assert other.status_code == 200


async def test_a_process_sees_its_own_writes_at_once(
    alone: httpx.AsyncClient, anna: Instructor, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    tokens = {
        account: {"Authorization": f"Bearer {await factories.token_of(pool, id_, settings)}"}
        for account, id_ in (("anna", anna.id), ("ben", ben.id))
    }
    for path in paths(anna):
        await until_cached(alone, path)

    async def write(account: str, method: str, path: str, body: Any = None) -> Any:
        """The response, after a check of what the public calls answer right after it."""
        before = await version_of(pool, anna)
        answer = await alone.request(method, path, json=body, headers=tokens[account])
        assert answer.is_success, answer.text
        present = await version_of(pool, anna)
        assert present > before, f"{method} {path} makes no step"
        for public_path in paths(anna):
            for _ in range(2):  # the second from the cache
                assert (await alone.get(public_path)).json()["version"] == present
        return answer.json() if answer.content else None

    day = str(anna.day(2))
    lesson = {
        "service_id": str(anna.service_id),
        "duration_minutes": 60,
        "location": "12 Main St",
    }
    starts = [anna.at(clock).isoformat() for clock in ("10:00", "12:00", "14:00")]
    booked = await write("ben", "POST", "/api/bookings", lesson | {"start": starts[0]})
    at = f"/api/bookings/{booked['id']}"
    await write("ben", "PUT", f"{at}/time", {"start": starts[1]})
    await write("anna", "PUT", f"{at}/instructor-note", {"note": "scales"})
    await write("ben", "POST", f"{at}/cancellation", {})
    held = await write("ben", "POST", "/api/holds", lesson | {"start": starts[2]})
    await write("ben", "DELETE", f"/api/holds/{held['id']}")
    held = await write("ben", "POST", "/api/holds", lesson | {"start": starts[2]})
    await write("ben", "POST", f"/api/bookings/{held['id']}/confirmation", {"location": "12 Main"})
    ranges = [{"start": "09:00", "end": "11:00"}]
    await write("anna", "PUT", f"/api/availability/days/{day}", {"ranges": ranges})
    span = {"date": day, "start": "12:00", "end": "13:00"}
    await write("anna", "POST", "/api/availability/ranges", span)
    await write("anna", "POST", "/api/availability/blackouts", {"first": day})
    await write("anna", "DELETE", f"/api/availability/blackouts/{day}")
    await write("anna", "PUT", "/api/instructors/me", {"min_advance_minutes": 240})
    await write("anna", "PUT", "/api/instructors/me", {"travel_buffer_minutes": 30})
    await write("anna", "PATCH", "/api/auth/me", {"full_name": "Anna Diaz"})
    assert (await alone.get(paths(anna)[0])).json()["instructor_name"] == "Anna Diaz"
    service = f"/api/instructors/me/services/{anna.service_id}"
    await write("anna", "PATCH", service, {"durations_minutes": [45]})
    assert (await alone.get(paths(anna)[1])).json()["duration_minutes"] == 45
    await write("anna", "DELETE", service)
    assert (await alone.get(paths(anna)[1])).json()["start"] is None
    await write("anna", "PATCH", service, {"active": True})
    guitar = {"catalog_service": "guitar", "hourly_rate_cents": 5000, "durations_minutes": [30]}
    await write("anna", "POST", "/api/instructors/me/services", guitar)
    assert (await alone.get(paths(anna)[1])).json()["duration_minutes"] == 30
    stopped = await alone.delete("/api/instructors/me", headers=tokens["anna"])
    assert stopped.status_code == 204
    assert {(await alone.get(path)).status_code for path in paths(anna)} == {404}


async def test_other_processes_see_a_write_through_the_live_path(
    url: str, settings: Settings, anna: Instructor, pool: Pool
) -> None:
    rarely = settings.model_copy(update={"reconcile_seconds": 12})
    async with (
        serving(rarely, only="http") as other,
        httpx.AsyncClient(base_url=other, timeout=PATIENCE) as client,
    ):
        for path in paths(anna):
            await until_cached(client, path)
        async with asyncio.timeout(PATIENCE):
            while (await client.get("/health/ready")).json()["live"] != "connected":
                await asyncio.sleep(0.1)
        ben = await factories.student(pool, "Ben")
        started = time.monotonic()
        await factories.lesson(pool, ben.id, anna.service_id, anna.at("11:00"))
        answer = await until_version(client, paths(anna)[0], 1)
        assert len(answer["days"][str(anna.day())]["ranges"]) == 2
        await until_version(client, paths(anna)[1], 1)
        # Not only by the next comparison.
        assert time.monotonic() - started < 12


async def test_without_redis_a_write_is_seen_by_the_next_reconcile(
    settings: Settings, redis_server: RedisServer, anna: Instructor, pool: Pool
) -> None:
    redis_server.stop()
    async with (
        serving(settings) as url,
        httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client,
    ):
        for path in paths(anna):
            await until_cached(client, path)
        ben = await factories.student(pool, "Ben")
        await factories.lesson(pool, ben.id, anna.service_id, anna.at("11:00"))
        for path in paths(anna):
            await until_version(client, path, 1)
        # So is an instructor without an account, and a database of another epoch.
        for path in paths(anna):
            await until_cached(client, path)
        etag = (await client.get(paths(anna)[0])).headers["etag"]
        await pool.execute("update site set epoch_seed = gen_random_uuid()")
        async with asyncio.timeout(PATIENCE):
            while (await client.get(paths(anna)[0])).headers["etag"] == etag:
                await asyncio.sleep(0.05)


async def test_a_recently_requested_answer_is_computed_again_after_a_change(
    alone: httpx.AsyncClient, anna: Instructor, pool: Pool, settings: Settings
) -> None:
    token = await factories.token_of(pool, anna.id, settings)
    for path in paths(anna):
        await until_cached(alone, path)
    warmed = public_cache.WARMED._value.get()
    body = {"first": str(anna.day(2))}
    headers = {"Authorization": f"Bearer {token}"}
    await alone.post("/api/availability/blackouts", json=body, headers=headers)
    async with asyncio.timeout(PATIENCE):
        while public_cache.WARMED._value.get() < warmed + 2:
            await asyncio.sleep(0.02)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("lock table calendar in access exclusive mode")
        cached = await until_cached(alone, f"{paths(anna)[0]}&")  # the query, not its spelling
        assert cached.json()["days"][str(anna.day(2))]["ranges"] == []


def test_every_change_of_what_public_answers_show_makes_a_step() -> None:
    """The columns below do not appear in public answers, or are set only together with a step. An
    update of any other column must make a step, too, and call `wake_up`."""
    text = "\n".join(
        path.read_text()
        for folder in ("functions", "queries")
        for path in (SQL / folder).glob("*.sql")
        if path.name != "bench.sql"
    )
    columns: dict[str, set[str]] = {}
    for table, assignments in re.findall(
        r"update (calendar|account)(?: \w)?\s+set\s+(.*?)(?=\bwhere\b|\bfrom\b|\breturning\b|;)",
        text,
        re.DOTALL,
    ):
        columns.setdefault(table, set()).update(re.findall(r"(\w+) = ", assignments))
    assert columns == {
        "account": {
            "full_name",
            "email",
            "verified_at",
            "password_hash",
            "time_zone",
            "clock",
            "erasure_began_at",
            "former_name",
            "erased_at",
        },
        "calendar": {
            "version",
            "availability_version",
            "min_advance_minutes",
            "travel_buffer_minutes",
            "free_cancel_hours",
            "is_active",
        },
    }


# ---- the cache alone

NOW = datetime(2026, 11, 23, 15, 7, tzinfo=UTC).timestamp()
EPOCH = "epoch"


def answer(version: int = 1, body: bytes = b"{}") -> Answer:
    return Answer(EPOCH, version, f'"{version}"', body, NOW - 420, NOW + 480)


@pytest.fixture
def cache() -> PublicCache:
    cache = PublicCache(300)
    cache.begin_epoch(EPOCH)
    cache.compare({}, {}, time.monotonic() - 1)
    return cache


def store(cache: PublicCache, instructor: str, key: str = "days", *, version: int = 1) -> None:
    reading = cache.begin(instructor)
    cache.store(reading, key, answer(version))
    cache.end(reading)


async def test_concurrent_misses_share_a_read_until_the_calendar_changes(
    cache: PublicCache,
) -> None:
    ends: list[asyncio.Event] = []

    async def read() -> Answer:
        ends.append(asyncio.Event())
        number = len(ends)
        await ends[-1].wait()
        return answer(version=number)

    def request() -> asyncio.Task[Answer]:
        return asyncio.create_task(cache.share("anna", "days", read))

    async def begun(count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(ends) < count:
                await asyncio.sleep(0)

    requests = [request() for _ in range(5)]
    await begun(1)
    requests[0].cancel()
    for count, version in ((2, None), (3, 7)):
        cache.changed("anna", version)
        requests.append(request())
        await begun(count)
    for end in reversed(ends):
        end.set()
    results = await asyncio.gather(*requests, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    versions = [each.version for each in results[1:] if isinstance(each, Answer)]
    assert versions == [1, 1, 1, 1, 2, 3]


async def test_a_read_that_fails_fails_for_all_and_is_not_repeated_for_the_next(
    cache: PublicCache,
) -> None:
    async def fail() -> Answer:
        await asyncio.sleep(0)
        raise refusal.NotFound

    async def succeed() -> Answer:
        return answer()

    requests = [asyncio.create_task(cache.share("anna", "days", fail)) for _ in range(3)]
    results = await asyncio.gather(*requests, return_exceptions=True)
    assert [type(each) for each in results] == [refusal.NotFound] * 3
    assert (await cache.share("anna", "days", succeed)).version == 1


def test_a_cached_answer_is_used_only_in_its_quarter_of_an_hour(cache: PublicCache) -> None:
    store(cache, "anna")
    moments = (-421, -420, 0, 479, 480)
    usable = [cache.find("anna", "days", NOW + seconds) is not None for seconds in moments]
    assert usable == [False, True, True, True, False]
    assert cache.find("anna", "other", NOW) is None


def test_an_answer_is_not_used_once_postgres_has_not_confirmed_it_for_15_seconds(
    cache: PublicCache,
) -> None:
    store(cache, "anna")
    cache.compare({}, {}, time.monotonic() - 14)
    assert cache.find("anna", "days", NOW)
    cache.compare({}, {}, time.monotonic() - 16)
    assert cache.find("anna", "days", NOW) is None


def test_a_change_during_the_read_is_not_lost(cache: PublicCache) -> None:
    for version, is_stored in ((1, False), (2, True), (3, True)):
        reading = cache.begin("anna")
        cache.changed("anna", 2)
        cache.store(reading, "days", answer(version))
        cache.end(reading)
        assert (cache.find("anna", "days", NOW) is not None) is is_stored
        cache.changed("anna")
    reading = cache.begin("anna")  # this process's own write, of which the version is not known
    cache.changed("anna")
    cache.store(reading, "days", answer(1))
    assert cache.find("anna", "days", NOW) is None


def test_an_older_read_does_not_replace_a_newer_one(cache: PublicCache) -> None:
    older, newer = cache.begin("anna"), cache.begin("anna")
    cache.store(newer, "days", answer(2))
    cache.store(older, "days", answer(1))
    assert cache.find("anna", "days", NOW) == answer(2)
    cache.store(cache.begin("anna"), "next", answer(3))
    assert cache.find("anna", "days", NOW) is None


def test_a_comparison_drops_changed_and_deleted_calendars(cache: PublicCache) -> None:
    for instructor in ("anna", "bea", "cleo"):
        store(cache, instructor)
    versions = cache.versions()
    cache.compare(versions, {"anna": 1, "bea": 2}, time.monotonic())
    assert list(cache.versions()) == ["anna"]
    cache.begin_epoch("other")
    assert cache.versions() == {}
    store(cache, "anna")
    assert cache.versions() == {}  # its answer is of the epoch before


def test_a_read_begun_before_a_reconcile_is_not_kept_after_it(cache: PublicCache) -> None:
    reading = cache.begin("anna")
    cache.compare(cache.versions(), {}, time.monotonic())
    cache.store(reading, "days", answer())
    assert cache.find("anna", "days", NOW) is None
    reading, versions, at = cache.begin("anna"), cache.versions(), time.monotonic()
    cache.store(reading, "days", answer())
    assert cache.find("anna", "days", NOW)
    cache.compare(versions, {}, at)
    assert cache.find("anna", "days", NOW) is None


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch, cache: PublicCache) -> None:
    monkeypatch.setattr(public_cache, "MAX_CALENDARS", 2)
    monkeypatch.setattr(public_cache, "MAX_ANSWERS", 3)
    for instructor in ("anna", "bea"):
        store(cache, instructor)
    assert cache.find("anna", "days", NOW)
    store(cache, "cleo")  # the least recently used one makes room
    assert list(cache.versions()) == ["anna", "cleo"]
    for number in range(10):
        store(cache, "anna", f"query {number}")
        cache.alias("anna", f"alias {number}", f"query {number}")
    calendar = cache._calendars["anna"]
    assert len(calendar.answers) <= 3
    assert len(calendar.aliases) <= 3
    monkeypatch.setattr(public_cache, "MAX_BYTES", 2 * public_cache.OVERHEAD)
    store(cache, "dana")
    assert list(cache.versions()) == ["dana"]
    reading = cache.begin("nobody")  # such as an instructor that does not exist
    cache.end(reading)
    assert "nobody" not in cache._calendars


def test_the_setting_limits_how_long_an_answer_is_kept() -> None:
    for seconds, is_usable in ((0, False), (300, True), (0.001, False)):
        cache = PublicCache(seconds)
        cache.begin_epoch(EPOCH)
        cache.compare({}, {}, time.monotonic())
        store(cache, "anna")
        time.sleep(0.002)
        assert (cache.find("anna", "days", NOW) is not None) is is_usable


def test_only_recent_queries_of_a_bounded_number_of_calendars_are_warmed(
    monkeypatch: pytest.MonkeyPatch, cache: PublicCache
) -> None:
    monkeypatch.setattr(public_cache, "MAX_WARMING", 2)
    for instructor in ("anna", "bea", "cleo", "dana"):
        store(cache, instructor)
    cache._calendars["anna"].answers["days"].requested_at -= timedelta(minutes=2).total_seconds()
    for instructor in ("anna", "bea", "cleo", "dana"):
        cache.changed(instructor, 2)
    assert cache._warming == {"bea": ["days"], "cleo": ["days"]}
