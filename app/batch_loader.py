"""Rows by key, read for concurrent callers together: when hundreds of requests arrive at once, one
statement reads the sessions of all of them."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from app import db
from app.db import Db, Pool, Tx
from app.statements import Statement

Key = TypeVar("Key")
Row = TypeVar("Row")

MAX_KEYS = 500  # per statement

_Calls = list[tuple[Key, asyncio.Future[Row | None]]]


class BatchLoader(Generic[Key, Row]):
    """`statement` has one parameter, `keys`, and returns at most one row for each of them; `key_of`
    names a row's key. A batch waits for a connection, and for nothing else: it reads all keys that
    arrived until then. So every caller gets a row that was read after its call."""

    def __init__(self, statement: Statement[Row], key_of: Callable[[Row], Key]) -> None:
        self._statement = statement
        self._key_of = key_of
        # The batch that still waits for a connection of this pool.
        self._batches: dict[Pool, _Calls[Key, Row]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def first(self, db: Db, key: Key) -> Row | None:
        """The row of `key`. Raises what the statement raises."""
        if not isinstance(db, Pool):  # type: ignore[misc]  # only asyncpg's stubs make it generic
            rows = await self._statement.all(db, keys=[key])
            return rows[0] if rows else None
        batch = self._batches.get(db)
        if batch is None or len(batch) >= MAX_KEYS:
            batch = self._batches[db] = []
            task = asyncio.create_task(self._run(db, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        row: asyncio.Future[Row | None] = asyncio.get_running_loop().create_future()
        batch.append((key, row))
        return await row

    async def _run(self, pool: Pool, batch: _Calls[Key, Row]) -> None:
        async def read(tx: Tx) -> list[Row]:
            self._close(pool, batch)
            return await self._statement.all(tx, keys=[key for key, _ in batch])

        try:
            rows = {self._key_of(row): row for row in await db.execute(pool, read)}
        except Exception as error:  # noqa: BLE001 — every caller gets it
            for _, waiting in batch:
                if not waiting.done():
                    waiting.set_exception(error)
        else:
            for key, waiting in batch:
                if not waiting.done():  # its caller was cancelled
                    waiting.set_result(rows.get(key))
        finally:
            self._close(pool, batch)
            for _, waiting in batch:
                waiting.cancel()  # if this task was; has no effect on the others

    def _close(self, pool: Pool, batch: _Calls[Key, Row]) -> None:
        """Later callers begin another batch."""
        if self._batches.get(pool) is batch:
            del self._batches[pool]
