"""The nightly job runs once a night, even if workers die or Redis is down."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from app.availability import filling
from app.db import Pool
from app.privacy import retention
from app.settings import Settings
from jobs import nightly
from tests import factories
from tests.cluster import PATIENCE
from tests.conftest import RedisServer
from tests.jobs.conftest import running_worker

EVENING = datetime(2026, 11, 24, 22, 0, tzinfo=UTC)


async def old_mail(pool: Pool, now: datetime) -> None:
    await pool.execute(
        """insert into dev_mail (created_at, sender, recipient, subject, body_text, body_html)
           values ($1, '', '', '', '', '')""",
        now - timedelta(days=30),
    )


async def mails(pool: Pool) -> int:
    count: int = await pool.fetchval("select count(*) from dev_mail")
    return count


@pytest.mark.parametrize(
    ("now", "due"),
    [
        (datetime(2026, 11, 24, 7, 59, tzinfo=UTC), datetime(2026, 11, 23, 8, 0, tzinfo=UTC)),
        (datetime(2026, 11, 24, 8, 0, tzinfo=UTC), datetime(2026, 11, 24, 8, 0, tzinfo=UTC)),
        (EVENING, datetime(2026, 11, 24, 8, 0, tzinfo=UTC)),
    ],
)
def test_the_job_is_due_at_eight_utc(now: datetime, due: datetime) -> None:
    assert nightly.last_due(now) == due


async def test_the_job_runs_once_a_night(pool: Pool) -> None:
    assert await nightly.run_if_due(pool, "retention", now=EVENING)
    for hours in (0, 1, 5, 9.9):
        assert not await nightly.run_if_due(pool, "retention", now=EVENING + timedelta(hours=hours))
    await old_mail(pool, EVENING)
    assert await nightly.run_if_due(pool, "retention", now=EVENING + timedelta(hours=10))
    assert await mails(pool) == 0
    assert not await nightly.run_if_due(
        pool, "retention", now=EVENING + timedelta(hours=10, minutes=5)
    )


async def test_missed_nights_are_caught_up_once(pool: Pool) -> None:
    assert await nightly.run_if_due(pool, "retention", now=EVENING)
    later = EVENING + timedelta(days=5)
    assert [await nightly.run_if_due(pool, "retention", now=later) for _ in range(2)] == [
        True,
        False,
    ]


async def test_only_one_of_several_workers_runs_the_job(pool: Pool) -> None:
    ran = await asyncio.gather(
        *(nightly.run_if_due(pool, "retention", now=EVENING) for _ in range(5))
    )
    assert sorted(ran) == [False] * 4 + [True]


async def test_an_hour_later_another_worker_takes_over_an_unfinished_job(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await old_mail(pool, EVENING)
    with monkeypatch.context() as patched:
        patched.setattr(retention, "PAUSE_SECONDS", 60)
        dying = asyncio.create_task(nightly.run_if_due(pool, "retention", now=EVENING))
        async with asyncio.timeout(PATIENCE):
            while await mails(pool):
                await asyncio.sleep(0.02)
        dying.cancel()
    await old_mail(pool, EVENING)
    assert not await nightly.run_if_due(pool, "retention", now=EVENING + timedelta(minutes=59))
    assert await nightly.run_if_due(pool, "retention", now=EVENING + timedelta(minutes=61))
    assert await mails(pool) == 0


async def test_a_job_that_failed_is_due_again_at_once(pool: Pool) -> None:
    await pool.execute("alter table search rename to search_away")
    with pytest.raises(asyncpg.UndefinedTableError):
        await nightly.run_if_due(pool, nightly.REPORT, now=EVENING)
    await pool.execute("alter table search_away rename to search")
    soon = EVENING + timedelta(seconds=nightly.PERIOD_SECONDS)
    assert await nightly.run_if_due(pool, nightly.REPORT, now=soon)
    assert not await nightly.run_if_due(pool, nightly.REPORT, now=soon)


async def test_the_last_run_of_retention_has_no_start_after_a_failure(pool: Pool) -> None:
    await pool.execute("alter table search rename to search_away")
    with pytest.raises(asyncpg.UndefinedTableError):
        await nightly.run_if_due(pool, retention.NAME, now=EVENING)
    assert (await retention.overview(pool))["last_started_at"] is None


async def test_a_job_that_failed_late_stays_with_the_worker_that_took_it_over(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = EVENING + timedelta(minutes=61)

    async def fail(pool: Pool, *, now: datetime) -> None:
        await pool.execute("update nightly_job set started_at = $1", later)
        raise ValueError(now)

    monkeypatch.setattr(nightly, "JOBS", {"late": fail})
    with pytest.raises(ValueError, match="2026"):
        await nightly.run_if_due(pool, "late", now=EVENING)
    assert await pool.fetchval("select started_at from nightly_job where name = 'late'") == later


async def test_standing_patterns_are_filled_every_night(pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    pattern = {"2": [{"start": "09:00", "end": "12:00"}]}
    await filling.set_standing_pattern(pool, anna.id, pattern, now=datetime.now(UTC))
    ranges = "select count(*) from availability where instructor_id = $1"
    before = await pool.fetchval(ranges, anna.id)
    later = datetime.now(UTC) + timedelta(days=14)
    assert await nightly.run_if_due(pool, "standing_patterns", now=later)
    assert await pool.fetchval(ranges, anna.id) == before + 2
    assert not await nightly.run_if_due(pool, "standing_patterns", now=later)


async def test_a_worker_runs_the_job_without_redis(
    pool: Pool, settings: Settings, redis_server: RedisServer
) -> None:
    redis_server.kill()
    finished = "select finished_at is not null from nightly_job where name = 'retention'"
    await old_mail(pool, datetime.now(UTC))
    async with running_worker(settings), asyncio.timeout(PATIENCE):
        while not await pool.fetchval(finished):
            await asyncio.sleep(0.05)
    assert await mails(pool) == 0


async def test_arq_rolls_searches_up_at_night_and_catches_up_once_redis_is_back(
    pool: Pool, settings: Settings, redis_server: RedisServer
) -> None:
    async def search(days_ago: int) -> None:
        await pool.execute(
            """insert into search (id, visitor_id, is_guest, query, results, searched_at)
               values (uuidv7(), uuidv7(), true, 'piano', 1, $1)""",
            datetime.now(UTC) - timedelta(days=days_ago),
        )

    async def days(count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while await pool.fetchval("select count(distinct day) from search_day") < count:
                await asyncio.sleep(0.05)

    await search(days_ago=2)
    async with running_worker(settings):
        await days(1)
    redis_server.kill()
    # The night after.
    await pool.execute("update nightly_job set started_at = started_at - interval '1 day'")
    await pool.execute("update nightly_job set finished_at = finished_at - interval '1 day'")
    await search(days_ago=1)
    async with running_worker(settings):
        async with asyncio.timeout(PATIENCE):
            while not await pool.fetchval(
                "select finished_at > now() - interval '1 hour' from nightly_job where name = $1",
                retention.NAME,
            ):
                await asyncio.sleep(0.05)
        assert await pool.fetchval("select count(distinct day) from search_day") == 1
        redis_server.start()
        await days(2)
