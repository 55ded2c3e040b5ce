"""A streaming standby: what it tells of the epoch, what may be read from it, and what a failover to it is to a process."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from app import db, migrate, refusal
from app.db import Pool
from app.migrate import MigrationError
from app.settings import read
from realtime.calendar import Requests
from realtime.hub import Hub
from realtime.loader import Loader
from realtime.reconciler import Reconciler
from tests import factories
from tests.bookings.reservations import reserve
from tests.cluster import PATIENCE, TEMPLATE, Server, Standby


@pytest.fixture(scope="module")
def primary() -> Iterator[Server]:
    server = Server("full_page_writes=on")  # without, a standby cannot be copied
    yield server
    server.close()


@pytest.fixture
def standby(primary: Server) -> Iterator[Standby]:
    server = Standby(primary)
    yield server
    server.close()


@pytest.fixture
async def on_primary(primary: Server) -> AsyncIterator[Pool]:
    pool = await db.connect(primary.cluster.database(TEMPLATE), size=2, name="test")
    yield pool
    await db.close(pool)


@pytest.fixture
async def on_standby(standby: Standby) -> AsyncIterator[Pool]:
    pool = await db.connect(standby.cluster.database(TEMPLATE), size=2, name="test")
    yield pool
    await db.close(pool)


async def epoch(pool: Pool) -> str:
    value: str = await pool.fetchval("select epoch()")
    return value


async def until_it_says(pool: Pool, sql: str, expected: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while await pool.fetchval(sql) != expected:
            await asyncio.sleep(0.02)


async def promote(pool: Pool) -> None:
    assert await pool.fetchval("select pg_promote()")


async def test_a_standby_has_the_epoch_and_the_boards_of_its_primary_and_another_epoch_once_promoted(
    on_primary: Pool, on_standby: Pool
) -> None:
    before = await epoch(on_primary)
    assert await on_standby.fetchval("select pg_is_in_recovery()")
    assert await epoch(on_standby) == before

    anna, ben = (
        await factories.instructor(on_primary, "Anna"),
        await factories.student(on_primary, "Ben"),
    )
    await reserve(on_primary, ben, anna, anna.at("10:00"))
    await until_it_says(on_standby, "select max(version) from calendar", 1)
    shown = "select epoch, version, days::text from board($1, $2, 7)"
    arguments = (anna.id, anna.day())
    assert await on_standby.fetchrow(shown, *arguments) == await on_primary.fetchrow(
        shown, *arguments
    )

    await on_primary.execute("update site set epoch_seed = gen_random_uuid()")
    raised = await epoch(on_primary)
    await until_it_says(on_standby, "select epoch()", raised)
    assert raised != before

    await promote(on_standby)
    assert await epoch(on_standby) not in {before, raised}
    assert await epoch(on_primary) == raised


async def test_screens_are_not_compared_with_a_standby(on_standby: Pool) -> None:
    now = datetime.now(UTC)
    requests = Requests()
    hub = Hub(read(_env_file=None), requests, now=lambda: now)
    loader = Loader(hub, requests, on_standby)
    reconciler = Reconciler(
        hub, requests, loader, on_standby, read(_env_file=None), now=lambda: now
    )
    assert not await reconciler.reconcile()
    assert reconciler.age == float("inf")
    assert hub.epoch == ""
    await promote(on_standby)
    assert await reconciler.reconcile()
    assert hub.epoch == await epoch(on_standby)


async def test_a_standby_of_a_standby_that_is_promoted_has_its_new_epoch(
    on_standby: Pool, standby: Standby
) -> None:
    follower = Standby(standby)
    try:
        pool = await db.connect(follower.cluster.database(TEMPLATE), size=1, name="test")
        before = await epoch(on_standby)
        assert await epoch(pool) == before
        await promote(on_standby)
        after = await epoch(on_standby)
        assert after != before
        await until_it_says(pool, "select epoch()", after)
        assert await pool.fetchval("select pg_is_in_recovery()")
        await db.close(pool)
    finally:
        follower.close()


async def test_a_role_without_rights_to_look_at_replication_gets_the_same_epoch(
    on_primary: Pool, on_standby: Pool, standby: Standby
) -> None:
    await on_primary.execute(
        "create role reader login; grant select on site to reader; grant usage on schema code to reader"
    )
    await until_it_says(on_standby, "select count(*) from pg_roles where rolname = 'reader'", 1)
    url = standby.cluster.database(TEMPLATE).replace("postgres@", "reader@")
    connection = await asyncpg.connect(url)
    await connection.execute("set search_path = public, code")
    assert await connection.fetchval("select epoch()") == await epoch(on_primary)
    await connection.close()


async def test_who_writes_to_a_standby_is_told_to_try_again_and_can_once_it_is_promoted(
    on_primary: Pool, on_standby: Pool
) -> None:
    dora, carl = (
        await factories.instructor(on_primary, "Dora", service="guitar"),
        await factories.student(on_primary, "Carl"),
    )
    await until_it_says(on_standby, f"select count(*) from account where id = '{carl.id}'", 1)
    with capture_logs() as lines, pytest.raises(refusal.Unavailable):
        await reserve(on_standby, carl, dora, dora.at("10:00"))
    assert "25006 ReadOnlySQLTransactionError" in {line.get("cause") for line in lines}
    await promote(on_standby)
    lesson = await reserve(on_standby, carl, dora, dora.at("10:00"))
    assert lesson.state == "confirmed"


async def test_a_process_goes_on_at_the_new_primary_when_the_old_one_dies(
    postgres_server: Server,
) -> None:
    """With one address that names both servers."""
    standby = Standby(postgres_server)
    try:
        hosts = f"{postgres_server.cluster.sockets},{standby.cluster.sockets}"
        both = f"postgresql://postgres@/{TEMPLATE}?host={hosts}&port=5432,5432&target_session_attrs=read-write"
        pool = await db.connect(both, size=4, name="test")
        anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
        before = await epoch(pool)
        second = await db.connect(standby.cluster.database(TEMPLATE), size=1, name="test")
        await until_it_says(second, f"select count(*) from account where id = '{ben.id}'", 1)

        postgres_server.kill()
        with pytest.raises(refusal.Unavailable):
            await reserve(pool, ben, anna, anna.at("10:00"))
        await promote(second)
        lesson = await reserve(pool, ben, anna, anna.at("10:00"))
        assert lesson.state == "confirmed"
        assert await epoch(pool) == await epoch(second) != before
        await db.close(second)
        await db.close(pool)
    finally:
        standby.close()


async def test_a_standby_cannot_be_migrated_and_says_why(standby: Standby) -> None:
    with pytest.raises(MigrationError, match="standby"):
        await migrate.migrate(standby.cluster.database(TEMPLATE))
