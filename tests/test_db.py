"""The connection pool: releases without a reset, timeouts, failover and retries."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from app import db, maintenance, refusal
from app.catalog import service
from app.db import Pool
from tests.cluster import PATIENCE


@pytest.fixture(autouse=True)
def new_fault_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeated faults are logged once, so forget those of earlier tests."""
    monkeypatch.setattr(db, "faults", db.Faults())


async def test_releasing_a_connection_sends_nothing_to_postgres(database_url: str) -> None:
    """A reset could fail after the statement was committed."""
    pool = await db.connect(database_url, size=1, name="test")
    async with pool.acquire() as connection:
        await connection.execute("set application_name = 'unchanged'")
    assert await pool.fetchval("show application_name") == "unchanged"
    await db.close(pool)


async def test_only_the_first_connection_asks_for_the_array_types_of_postgres(
    database_url: str,
) -> None:
    ids, queries = [uuid4()], list[str]()
    for _ in range(2):
        pool = await db.connect(database_url, size=1, name="test")
        queries.clear()
        async with pool.acquire() as connection:
            with connection.query_logger(lambda query: queries.append(query.query)):
                assert await connection.fetchval("select $1::uuid[]", ids) == ids
            # The ids of other types differ between databases.
            assert await connection.fetchval("select '{Anna}'::short_text[]") == ["Anna"]
        await db.close(pool)
    assert queries == ["select $1::uuid[]"]


async def test_a_failed_transaction_is_rolled_back(pool: Pool) -> None:
    async def work(tx: db.Tx) -> None:
        await tx.execute("insert into role (name) values ('pirate')")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await db.transact(pool, work)
    assert await pool.fetchval("select count(*) from role where name = 'pirate'") == 0


async def test_session_state_ends_with_an_exclusive_connection(
    database_url: str, pool: Pool
) -> None:
    lock = "select pg_try_advisory_lock(4711)"
    alone = await db.connect(database_url, size=1, name="test")
    async with db.exclusive_connection(alone) as connection:
        assert await connection.fetchval(lock)
        assert not await pool.fetchval(lock)
    async with asyncio.timeout(PATIENCE):  # Postgres notices the end of the session with a delay
        while not await pool.fetchval(lock):
            await asyncio.sleep(0.01)
    assert await alone.fetchval("select 1") == 1
    await db.close(alone)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InternalClientError("cannot switch to state 12"),
        ConnectionResetError(),
        TimeoutError(),
    ],
)
async def test_a_lost_connection_is_unavailable(pool: Pool, error: Exception) -> None:
    async def lost(_: db.Tx) -> None:
        raise error

    with pytest.raises(refusal.Unavailable):
        await db.execute(pool, lost)


async def test_a_terminated_backend_is_unavailable_and_the_next_one_serves(
    database_url: str,
) -> None:
    pool = await db.connect(database_url, size=1, name="test")
    with pytest.raises(refusal.Unavailable):
        await db.execute(
            pool, lambda tx: tx.execute("select pg_terminate_backend(pg_backend_pid())")
        )
    assert await db.execute(pool, lambda tx: tx.fetchval("select 1")) == 1
    await db.close(pool)


@pytest.mark.parametrize("begin", [True, False])
async def test_a_server_that_stops_answering_is_waited_for_once_and_its_pool_expires(
    database_url: str, begin: bool
) -> None:
    """Also in a transaction, whose rollback would wait again."""
    pool = await db.connect(database_url, size=2, name="test", seconds=2)
    stopped: list[int] = []

    async def work(tx: db.Tx) -> None:
        stopped.append(await tx.fetchval("select pg_backend_pid()"))
        os.kill(stopped[0], signal.SIGSTOP)
        await tx.fetchval("select 1")

    try:
        with capture_logs() as lines, pytest.raises(refusal.Unavailable):
            await db.transact(pool, work, begin=begin)
        assert [line["cause"] for line in lines] == ["TimeoutError"]
        assert stopped[0] not in await _pids(pool)
    finally:
        os.kill(stopped[0], signal.SIGCONT)
        pool.terminate()


async def _pids(pool: Pool) -> set[int]:
    """The server processes of two connections of the pool."""
    async with pool.acquire() as first, pool.acquire() as second:
        return {
            await connection.fetchval("select pg_backend_pid()") for connection in (first, second)
        }


@pytest.fixture
async def old_primary(database_url: str, pool: Pool) -> AsyncIterator[Pool]:
    """A pool whose open connections are read-only, as after a failover; new ones can write."""
    name = await pool.fetchval("select current_database()")
    await pool.execute(f'alter database "{name}" set default_transaction_read_only = on')
    stale = await db.connect(database_url, size=2, name="stale")
    await _pids(stale)
    await pool.execute(f'alter database "{name}" reset default_transaction_read_only')
    yield stale
    await db.close(stale)


async def test_a_statement_on_the_old_primary_fails_and_the_next_reaches_the_new_one(
    old_primary: Pool,
) -> None:
    with pytest.raises(refusal.Unavailable):
        await maintenance.replace_epoch_seed.run(old_primary)
    assert await maintenance.replace_epoch_seed.run(old_primary) == 1


async def test_a_transaction_on_the_old_primary_fails_and_the_next_reaches_the_new_one(
    old_primary: Pool,
) -> None:
    with pytest.raises(refusal.Unavailable):
        await db.transact(old_primary, maintenance.replace_epoch_seed.run)
    assert await db.transact(old_primary, maintenance.replace_epoch_seed.run) == 1


async def test_a_separate_session_on_the_old_primary_expires_the_pool(old_primary: Pool) -> None:
    with pytest.raises(refusal.Unavailable):
        async with db.exclusive_connection(old_primary) as connection:
            await maintenance.replace_epoch_seed.run(connection)
    assert await maintenance.replace_epoch_seed.run(old_primary) == 1


@pytest.mark.parametrize("begin", [True, False])
async def test_a_client_time_out_replaces_all_connections(database_url: str, begin: bool) -> None:
    """The server may be an old primary that no longer answers."""

    async def sleep(tx: db.Tx) -> None:
        await tx.execute("select pg_sleep(60)")

    pool = await db.connect(database_url, size=2, name="test", seconds=2)
    before = await _pids(pool)
    with pytest.raises(refusal.Unavailable):
        await db.transact(pool, sleep, begin=begin)
    assert not before & await _pids(pool)
    await db.close(pool)


async def test_an_exhausted_pool_keeps_its_connections(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await db.connect(database_url, size=2, name="test")
    before = await _pids(pool)
    monkeypatch.setattr(db, "ACQUIRE_SECONDS", 0.1)
    with capture_logs() as lines:
        async with pool.acquire(), pool.acquire():
            with pytest.raises(refusal.Unavailable):
                await maintenance.replace_epoch_seed.run(pool)
    assert [line["cause"] for line in lines] == ["NoConnectionError"]
    assert await _pids(pool) == before
    await db.close(pool)


@pytest.fixture
async def deadlocking(pool: Pool) -> Pool:
    """`select withdraw_service(…)` deadlocks, and counts its calls."""
    await pool.execute(
        """
        create sequence attempt;
        create or replace function withdraw_service(p_instructor uuid, p_service uuid)
        returns boolean language plpgsql as $$
        begin
          perform nextval('attempt');
          raise exception 'a deadlock' using errcode = 'deadlock_detected';
        end
        $$
        """
    )
    return pool


async def test_a_deadlocked_statement_is_not_retried(deadlocking: Pool) -> None:
    with pytest.raises(refusal.Unavailable):
        await service.withdraw(deadlocking, uuid4(), uuid4())
    assert await deadlocking.fetchval("select last_value from attempt") == 1


@pytest.mark.parametrize("begin", [True, False])
async def test_a_deadlocked_transaction_is_retried_once_and_logged(
    deadlocking: Pool, begin: bool
) -> None:
    with capture_logs() as lines, pytest.raises(refusal.Unavailable):
        await db.transact(
            deadlocking, lambda tx: service.withdraw(tx, uuid4(), uuid4()), begin=begin
        )
    assert await deadlocking.fetchval("select last_value from attempt") == 2
    assert [(line["event"], line["cause"]) for line in lines] == [
        ("transaction_retried", "40P01 DeadlockDetectedError"),
        ("unavailable", "40P01 DeadlockDetectedError"),
    ]


async def test_a_transaction_is_retried_after_a_migration_changed_its_statement(
    database_url: str, pool: Pool
) -> None:
    async def work(tx: db.Tx) -> list[str]:
        return list((await tx.fetch("select * from role limit 1"))[0].keys())

    alone = await db.connect(database_url, size=1, name="test")
    assert await db.transact(alone, work) == ["name"]
    await pool.execute("alter table role add column title text")
    assert await db.transact(alone, work) == ["name", "title"]
    await db.close(alone)


IS_A_LOCK_AWAITED = """
select exists (select from pg_stat_activity
               where datname = current_database() and wait_event_type = 'Lock')
"""
PAUSING_FUNCTION = """
create function code.pausing() returns integer language plpgsql as
$$ begin perform pg_advisory_xact_lock_shared(1); perform from site; return 1; end $$
"""


@pytest.mark.parametrize("begin", [True, False])
async def test_a_transaction_is_retried_after_a_migration_replaced_its_function(
    database_url: str, pool: Pool, begin: bool
) -> None:
    async def work(tx: db.Tx) -> int:
        count: int = await tx.fetchval("select count(pausing()) from generate_series(1, 2)")
        return count

    await pool.execute(PAUSING_FUNCTION)
    with capture_logs() as lines:
        async with pool.acquire() as migration, migration.transaction():
            await migration.execute("select pg_advisory_xact_lock(1)")
            counting = asyncio.create_task(db.transact(pool, work, begin=begin))
            async with asyncio.timeout(PATIENCE):
                while not await pool.fetchval(IS_A_LOCK_AWAITED):
                    await asyncio.sleep(0.01)
            await migration.execute("drop function code.pausing()")
            await migration.execute(PAUSING_FUNCTION)
        assert await counting == 2
    assert [line["cause"] for line in lines] == ["FunctionReplacedError"]


async def test_sessions_that_may_call_a_dropped_function_for_good_are_replaced(
    database_url: str,
) -> None:
    dropped = """do $$ begin
      raise exception 'cache lookup failed for function 1' using errcode = 'internal_error';
    end $$"""
    pool = await db.connect(database_url, size=2, name="test")
    before = await _pids(pool)
    with pytest.raises(refusal.Unavailable):
        await db.execute(pool, lambda session: session.execute(dropped))
    assert not before & await _pids(pool)
    before = await _pids(pool)
    with pytest.raises(refusal.Unavailable):
        async with db.snapshot(pool) as tx:
            await db.execute(tx, lambda session: session.execute(dropped))
    assert not before & await _pids(pool)
    before = await _pids(pool)
    calls: list[int] = []

    async def work(tx: db.Tx) -> int:
        calls.append(await tx.fetchval("select pg_backend_pid()"))
        if len(calls) == 1:
            await db.execute(tx, lambda session: session.execute(dropped))
        return calls[-1]

    assert await db.transact(pool, work) not in before
    await db.close(pool)


async def test_calls_of_a_missing_function_do_not_replace_the_connections_each_time(
    database_url: str,
) -> None:
    async def call(pool: Pool) -> None:
        with pytest.raises(refusal.Unavailable):
            await db.execute(pool, lambda session: session.fetchval("select no_function()"))
        with pytest.raises(refusal.Unavailable):
            await db.transact(pool, lambda tx: tx.fetchval("select no_function()"))

    pool = await db.connect(database_url, size=2, name="test")
    before = await _pids(pool)
    await call(pool)
    after = await _pids(pool)
    assert not before & after
    for _ in range(3):
        await call(pool)
    assert await _pids(pool) == after
    await db.close(pool)
    # The process has other connections, which are replaced once as well.
    pool = await db.connect(database_url, size=2, name="test")
    before = await _pids(pool)
    await call(pool)
    assert not before & await _pids(pool)
    await db.close(pool)


async def test_a_missing_function_works_once_it_exists_without_new_connections(
    database_url: str,
) -> None:
    """As when a process of a new release did not wait for its migration."""
    inner = "create function f_inner() returns integer language sql as 'select 7'"
    outer = """create function f_outer() returns integer language plpgsql as
               'begin return f_inner(); end'"""
    pool = await db.connect(database_url, size=2, name="test")

    async def call(name: str) -> int:
        number: int = await db.execute(pool, lambda session: session.fetchval(f"select {name}()"))
        return number

    await pool.execute(inner)
    await pool.execute(outer)
    assert (await call("f_inner"), await call("f_outer")) == (7, 7)
    await pool.execute("drop function f_inner")
    for name in ("f_inner", "f_outer") * 2:
        with pytest.raises(refusal.Unavailable):
            await call(name)
    before = await _pids(pool)
    await pool.execute(inner)
    for name in ("f_inner", "f_outer") * 2:
        assert await call(name) == 7
    assert await _pids(pool) == before
    await db.close(pool)


async def test_a_lock_wait_ends_before_the_client_times_out(pool: Pool) -> None:
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("select from site for update")
        with capture_logs() as lines, pytest.raises(refusal.Unavailable):
            await maintenance.replace_epoch_seed.run(pool)
    causes = [line["cause"] for line in lines if line["event"] != "slow_statement"]
    assert causes == ["55P03 LockNotAvailableError"]


async def test_the_server_ends_a_slow_statement_before_the_client_times_out(pool: Pool) -> None:
    values = await pool.fetch(
        """select name, setting::bigint as milliseconds from pg_settings
           where name in ('lock_timeout', 'statement_timeout',
                          'idle_in_transaction_session_timeout')"""
    )
    milliseconds = {row["name"]: row["milliseconds"] for row in values}
    assert (
        0
        < milliseconds["lock_timeout"]
        < milliseconds["statement_timeout"]
        < db.COMMAND_SECONDS * 1000
    )
    assert milliseconds["idle_in_transaction_session_timeout"] > 0


async def test_a_session_uses_role_settings_and_sends_only_parameters_pgbouncer_accepts(
    pool: Pool,
) -> None:
    settings = await pool.fetch(
        "select name, setting from pg_settings where name in ('TimeZone', 'jit') order by name"
    )
    assert [tuple(row) for row in settings] == [("TimeZone", "UTC"), ("jit", "off")]
    sent = {
        row["name"]
        for row in await pool.fetch("select name from pg_settings where source = 'client'")
    }
    assert sent <= {"application_name", "client_encoding"}


def test_repeated_faults_with_one_cause_are_one_log_line_with_a_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faults = db.Faults()
    with capture_logs() as lines:
        for _ in range(10):
            faults.record("57P03 CannotConnectNowError", "starting up")
        faults.record("ConnectionRefusedError", "refused")
        monkeypatch.setattr(db, "LOG_SECONDS", 0)
        faults.record("57P03 CannotConnectNowError", "starting up")
    assert [(line["event"], line["cause"], line["count"]) for line in lines] == [
        ("unavailable", "57P03 CannotConnectNowError", 1),
        ("unavailable", "ConnectionRefusedError", 1),
        ("unavailable", "57P03 CannotConnectNowError", 10),
    ]
