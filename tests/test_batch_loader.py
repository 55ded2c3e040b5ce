"""Rows that concurrent callers read together, on the example of sessions."""

import asyncio
from uuid import UUID, uuid4

import pytest

from app import db, refusal
from app.accounts import session
from app.batch_loader import BatchLoader
from app.db import Pool
from app.settings import Settings
from app.statements import CATALOG
from tests import factories
from tests.conftest import patient_pool
from tests.locks import until_lock_waits
from tests.statement_counts import executed


def new_loader() -> BatchLoader[UUID, session._SessionRow]:
    return BatchLoader(session._open_sessions._statement, key_of=lambda row: row.session_id)


def name_of(row: session._SessionRow | None) -> str | None:
    return row.full_name if row else None


async def session_of(pool: Pool, name: str, settings: Settings) -> UUID:
    account = await factories.student(pool, name)
    await factories.token_of(pool, account.id, settings)
    session_id: UUID = await pool.fetchval(
        "select id from session where account_id = $1", account.id
    )
    return session_id


def reads_of_sessions() -> int:
    statement = session._open_sessions._statement.name
    return executed(CATALOG[statement][0].__eq__)


async def test_concurrent_callers_share_a_statement_and_get_their_own_rows(
    pool: Pool, settings: Settings
) -> None:
    anna, ben = [await session_of(pool, name, settings) for name in ("Anna", "Ben")]
    loader, before = new_loader(), reads_of_sessions()
    rows = await asyncio.gather(
        *(loader.first(pool, key) for key in [anna, ben, uuid4(), *[anna] * 30])
    )
    assert [name_of(row) for row in rows] == ["Anna", "Ben", None, *["Anna"] * 30]
    assert reads_of_sessions() == before + 1
    assert name_of(await loader.first(pool, ben)) == "Ben"
    assert reads_of_sessions() == before + 2


async def test_in_a_transaction_the_row_is_as_the_transaction_sees_it(
    pool: Pool, settings: Settings
) -> None:
    anna = await session_of(pool, "Anna", settings)
    loader = new_loader()

    async def work(tx: db.Tx) -> session._SessionRow | None:
        await tx.execute("update session set revoked_at = now()")
        return await loader.first(tx, anna)

    assert await db.transact(pool, work) is None


async def test_a_call_never_gets_a_row_that_was_read_before_it(
    database_url: str, pool: Pool, settings: Settings
) -> None:
    """While a statement waits for Postgres, later callers begin another one."""
    anna = await session_of(pool, "Anna", settings)
    loader = new_loader()
    async with patient_pool(database_url, size=3) as own, pool.acquire() as outside:
        transaction = outside.transaction()
        await transaction.start()
        await outside.execute("lock table session in access exclusive mode")
        first = asyncio.create_task(loader.first(own, anna))
        await until_lock_waits(pool, 1)
        second = asyncio.create_task(loader.first(own, anna))
        await until_lock_waits(pool, 2)
        await transaction.rollback()
        assert name_of(await first) == name_of(await second) == "Anna"


async def test_while_all_connections_are_busy_callers_gather_and_see_the_newest_row(
    database_url: str, pool: Pool, settings: Settings
) -> None:
    anna = await session_of(pool, "Anna", settings)
    loader = new_loader()
    async with patient_pool(database_url, size=1) as own:
        async with own.acquire():
            calls = [asyncio.create_task(loader.first(own, anna)) for _ in range(3)]
            await asyncio.sleep(0)
            await session.revoke(pool, anna)
            calls[0].cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [None, None]  # the cancelled call took nobody along


async def test_a_fault_reaches_every_caller_and_the_next_call_works(
    database_url: str, pool: Pool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = await session_of(pool, "Anna", settings)
    loader = new_loader()
    own = await db.connect(database_url, size=1, name="test")
    monkeypatch.setattr(db, "ACQUIRE_SECONDS", 0.05)
    async with own.acquire():
        results = await asyncio.gather(
            *(loader.first(own, anna) for _ in range(3)), return_exceptions=True
        )
        assert [type(result) for result in results] == [refusal.Unavailable] * 3
    monkeypatch.undo()
    assert name_of(await loader.first(own, anna)) == "Anna"
    await db.close(own)


async def test_a_batch_is_bounded(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.batch_loader.MAX_KEYS", 2)
    sizes: list[int] = []
    loader = new_loader()
    read_all = loader._statement.all

    async def counting(tx: db.Tx, *, keys: list[UUID]) -> list[session._SessionRow]:
        sizes.append(len(keys))
        return await read_all(tx, keys=keys)

    monkeypatch.setattr(loader._statement, "all", counting)
    assert await asyncio.gather(*(loader.first(pool, uuid4()) for _ in range(5))) == [None] * 5
    assert sorted(sizes) == [1, 2, 2]
