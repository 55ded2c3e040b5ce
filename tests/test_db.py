"""The pool: connections go back to it as they are, and Postgres's absence is no bug of ours."""

import asyncpg
import pytest

from app import db, refusal
from app.db import Pool


async def test_giving_a_connection_back_asks_postgres_nothing(database_url: str) -> None:
    """It could fail, and make a failure of a statement that was committed and answered."""
    pool = await db.connect(database_url, size=1, name="test")
    async with pool.acquire() as connection:
        await connection.execute("set application_name = 'as it was'")
    assert await pool.fetchval("show application_name") == "as it was"
    await db.close(pool)


async def test_an_open_transaction_does_not_outlive_its_failure(pool: Pool) -> None:
    async def work(tx: db.Tx) -> None:
        await tx.execute("insert into role (name) values ('pirate')")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await db.transact(pool, work)
    assert await pool.fetchval("select count(*) from role where name = 'pirate'") == 0


async def test_what_belongs_to_a_session_ends_with_the_use_of_aside(database_url: str, pool: Pool) -> None:
    lock = "select pg_try_advisory_lock(4711)"
    alone = await db.connect(database_url, size=1, name="test")
    async with db.aside(alone) as connection:
        assert await connection.fetchval(lock)
        assert not await pool.fetchval(lock)
    for _ in range(100):  # Postgres takes a moment to see that the session is over
        if free := await pool.fetchval(lock):
            break
    assert free
    assert await alone.fetchval("select 1") == 1
    await db.close(alone)


@pytest.mark.parametrize(
    "error", [asyncpg.InternalClientError("cannot switch to state 12"), ConnectionResetError(), TimeoutError()]
)
async def test_a_lost_connection_is_unavailable(pool: Pool, error: Exception) -> None:
    with pytest.raises(refusal.Unavailable):
        async with db._connection(pool):
            raise error


async def test_a_backend_that_dies_is_unavailable_and_the_next_one_serves(database_url: str) -> None:
    pool = await db.connect(database_url, size=1, name="test")
    with pytest.raises(refusal.Unavailable):
        async with db._connection(pool) as connection:
            await connection.execute("select pg_terminate_backend(pg_backend_pid())")
    async with db._connection(pool) as connection:
        assert await connection.fetchval("select 1") == 1
    await db.close(pool)
