"""Writes that no request waits for: a bounded queue of rows, written in batches by a supervised
task. Rows that do not fit, or cannot be written, are dropped and counted."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from prometheus_client import Counter

from app import refusal
from app.db import Pool

log = structlog.get_logger("write_behind")

MAX_ROWS = 10_000
BATCH = 500
# How long a read waits for earlier writes.
FLUSH_SECONDS = 1.0
_RETRY_SECONDS = 1.0
# After this many attempts a batch is dropped, so that it does not block the rows behind it.
MAX_ATTEMPTS = 60

_WRITTEN = Counter("write_behind_written", "Rows written after their request.")
_DROPPED = Counter("write_behind_dropped", "Rows dropped instead of written.", ["reason"])

Row = TypeVar("Row")
Write = Callable[[Pool, list[Row]], Awaitable[None]]


class WriteBehind:
    def __init__(self, pool: Pool, *, max_rows: int = MAX_ROWS) -> None:
        self._pool = pool
        self._max_rows = max_rows
        self._rows: deque[tuple[Write[Any], Any]] = deque()
        self._wakeup = asyncio.Event()
        # Rows queued, and rows written or dropped, since the start.
        self._queued = 0
        self._finished = 0
        # Waiting reads, and the number of finished rows that each waits for.
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def put(self, write: Write[Row], row: Row) -> None:
        """Queues a row for `write`, or drops it if the queue is full. Returns at once."""
        if len(self._rows) >= self._max_rows:
            _DROPPED.labels("queue_full").inc()
            return
        self._rows.append((write, row))
        self._queued += 1
        self._wakeup.set()

    async def flush(self) -> None:
        """Waits until the rows that are queued now are written, for at most FLUSH_SECONDS."""
        if self._finished == self._queued:
            return
        finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = (self._queued, finished)
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await finished
        except TimeoutError:
            log.warning("flush_timed_out", rows=len(self._rows))
        finally:
            with contextlib.suppress(ValueError):  # its rows are written
                self._waiting.remove(waiting)

    async def run(self) -> None:
        """Writes the queue, in order. Runs until cancelled."""
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            while self._rows:
                await self._write_batch()

    async def _write_batch(self) -> None:
        """Writes the first rows that have the same `write`."""
        write, _ = self._rows[0]
        batch: list[Any] = []
        for other, row in self._rows:
            if other is not write or len(batch) == BATCH:
                break
            batch.append(row)
        try:
            await self._write(write, batch)
            _WRITTEN.inc(len(batch))
        except Exception:  # a bug must not stop the rows behind it
            log.exception("batch_dropped", rows=len(batch))
            _DROPPED.labels("error").inc(len(batch))
        for _ in batch:
            self._rows.popleft()
        self._finished += len(batch)
        while self._waiting and self._waiting[0][0] <= self._finished:
            _, finished = self._waiting.popleft()
            if not finished.done():  # the read may have given up
                finished.set_result(None)

    async def _write(self, write: Write[Any], batch: list[Any]) -> None:
        """Waits for Postgres while it is unavailable."""
        for _ in range(MAX_ATTEMPTS - 1):
            try:
                return await write(self._pool, batch)
            except refusal.Unavailable:
                await asyncio.sleep(_RETRY_SECONDS)
        return await write(self._pool, batch)
