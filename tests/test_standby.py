"""A streaming standby: its epoch, reads from it, and a failover to it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
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
def primary(postgres_template: Path | None) -> Iterator[Server]:
    server = Server("full_page_writes=on", template=postgres_template)  # needed to copy a standby
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


async def until_value(pool: Pool, sql: str, expected: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while await pool.fetchval(sql) != expected:
            await asyncio.sleep(0.02)


async def promote(pool: Pool) -> None:
    assert await pool.fetchval("select pg_promote()")


async def test_a_standby_has_its_primarys_epoch_and_boards_until_it_is_promoted(
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
    await until_value(on_standby, "select max(version) from calendar", 1)
    board = "select epoch, version, days::text from board($1, $2, 7)"
    arguments = (anna.id, anna.day())
    standby_board = await on_standby.fetchrow(board, *arguments)
    assert standby_board == await on_primary.fetchrow(board, *arguments)

    await on_primary.execute("update site set epoch_seed = gen_random_uuid()")
    new_epoch = await epoch(on_primary)
    await until_value(on_standby, "select epoch()", new_epoch)
    assert new_epoch != before

    await promote(on_standby)
    assert await epoch(on_standby) not in {before, new_epoch}
    assert await epoch(on_primary) == new_epoch


async def test_the_reconciler_does_not_use_a_standby(on_standby: Pool) -> None:
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


async def test_a_standby_of_a_promoted_standby_has_its_new_epoch(
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
        await until_value(pool, "select epoch()", after)
        assert await pool.fetchval("select pg_is_in_recovery()")
        await db.close(pool)
    finally:
        follower.close()


async def test_a_role_that_may_not_read_the_replication_state_gets_the_same_epoch(
    on_primary: Pool, on_standby: Pool, standby: Standby
) -> None:
    await on_primary.execute(
        "create role reader login; grant select on site to reader;"
        "grant usage on schema code to reader"
    )
    await until_value(on_standby, "select count(*) from pg_roles where rolname = 'reader'", 1)
    url = standby.cluster.database(TEMPLATE).replace("postgres@", "reader@")
    connection = await asyncpg.connect(url)
    await connection.execute("set search_path = public, code")
    assert await connection.fetchval("select epoch()") == await epoch(on_primary)
    await connection.close()


async def test_a_write_to_a_standby_is_unavailable_until_it_is_promoted(
    on_primary: Pool, on_standby: Pool
) -> None:
    dora, carl = (
        await factories.instructor(on_primary, "Dora", service="guitar"),
        await factories.student(on_primary, "Carl"),
    )
    await until_value(on_standby, f"select count(*) from account where id = '{carl.id}'", 1)
    with capture_logs() as lines, pytest.raises(refusal.Unavailable):
        await reserve(on_standby, carl, dora, dora.at("10:00"))
    assert "25006 ReadOnlySQLTransactionError" in {line.get("cause") for line in lines}
    await promote(on_standby)
    lesson = await reserve(on_standby, carl, dora, dora.at("10:00"))
    assert lesson.state == "confirmed"


async def test_a_process_continues_on_the_new_primary_after_a_failover(
    postgres_server: Server,
) -> None:
    """One address contains both servers."""
    standby = Standby(postgres_server)
    try:
        hosts = f"{postgres_server.cluster.sockets},{standby.cluster.sockets}"
        url = (
            f"postgresql://postgres@/{TEMPLATE}?host={hosts}&port=5432,5432"
            "&target_session_attrs=read-write"
        )
        pool = await db.connect(url, size=4, name="test")
        anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
        before = await epoch(pool)
        second = await db.connect(standby.cluster.database(TEMPLATE), size=1, name="test")
        await until_value(second, f"select count(*) from account where id = '{ben.id}'", 1)

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


async def test_migrating_a_standby_is_refused_with_the_reason(standby: Standby) -> None:
    with pytest.raises(MigrationError, match="standby"):
        await migrate.migrate(standby.cluster.database(TEMPLATE))
