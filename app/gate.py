"""The gate before each calendar: at most WIDTH of its writers per process hold a database connection.
The others wait here, outside the pool, so that a locked calendar leaves connections for everyone else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from app import refusal
from app.db import Pool, Tx, faults

WIDTH = 3
# Writers that may wait, and how long. After that it is better to say so than to keep people waiting.
QUEUE = 300
WAIT_SECONDS = 4


class _Gate:
    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(WIDTH)
        self.writers = 0


# Of the calendars that somebody is writing to now.
_gates: dict[UUID, _Gate] = {}


@asynccontextmanager
async def writer(db: Pool | Tx, calendar: UUID | None) -> AsyncIterator[None]:
    """A turn to write to that calendar (an instructor's id), to be taken before a connection of the pool.
    In a caller's transaction, which has its connection, or where there is no such calendar, nothing is
    waited for. Raises Unavailable when too many wait, or for too long."""
    if calendar is None or not isinstance(db, Pool):  # type: ignore[misc]  # only the stubs make it generic
        yield
        return
    gate = _gates.setdefault(calendar, _Gate())
    if gate.writers >= WIDTH + QUEUE:
        faults.record("calendar_queue_full", f"{QUEUE} writers wait for one calendar")
        raise refusal.Unavailable
    gate.writers += 1
    try:
        await _turn(gate)
        try:
            yield
        finally:
            gate.turns.release()
    finally:
        gate.writers -= 1
        if not gate.writers:
            del _gates[calendar]


async def _turn(gate: _Gate) -> None:
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await gate.turns.acquire()
    except TimeoutError:
        faults.record("calendar_queue_slow", f"no turn to write to a calendar within {WAIT_SECONDS} s")
        raise refusal.Unavailable from None
