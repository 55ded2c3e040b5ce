"""Limits the writers per locked row: in each process, at most WIDTH writers of one calendar and
WIDTH bookings of one student hold a database connection. Others wait here, outside the pool, so
that a locked row leaves connections for everyone else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from app import refusal
from app.db import Pool, Tx, faults

WIDTH = 3
# How many writers may wait, and how long. A quick error is better than a longer wait.
QUEUE = 300
WAIT_SECONDS = 4


class _Gate:
    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(WIDTH)
        self.writers = 0


# For calendars with writers, and for students with a booking in progress.
_calendars: dict[UUID, _Gate] = {}
_students: dict[UUID, _Gate] = {}


@asynccontextmanager
async def writer(
    db: Pool | Tx, calendar: UUID | None, *, student: UUID | None = None
) -> AsyncIterator[None]:
    """A turn to write to a calendar (an instructor's id). Take it before a connection of the pool.
    A booking also takes a turn of its student, whose row it locks first. In a caller's transaction,
    which already has a connection, this does nothing. Raises Unavailable when too many writers
    wait, or one waits too long."""
    if not isinstance(db, Pool):  # type: ignore[misc]  # only the stubs make it generic
        yield
        return
    # In lock order, so that a student who waits for one calendar holds no turn of another.
    async with _turn(_students, student, "student"), _turn(_calendars, calendar, "calendar"):
        yield


@asynccontextmanager
async def _turn(gates: dict[UUID, _Gate], key: UUID | None, name: str) -> AsyncIterator[None]:
    if key is None:
        yield
        return
    gate = gates.get(key) or gates.setdefault(key, _Gate())
    if gate.writers >= WIDTH + QUEUE:
        faults.record(f"{name}_queue_full", f"{QUEUE} writers wait for one {name}")
        raise refusal.Unavailable
    gate.writers += 1
    try:
        await _acquire(gate, name)
        try:
            yield
        finally:
            gate.turns.release()
    finally:
        gate.writers -= 1
        if not gate.writers:
            del gates[key]


async def _acquire(gate: _Gate, name: str) -> None:
    if not gate.turns.locked():
        await gate.turns.acquire()  # at once
        return
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await gate.turns.acquire()
    except TimeoutError:
        faults.record(f"{name}_queue_slow", f"no turn of a {name} within {WAIT_SECONDS} s")
        raise refusal.Unavailable from None
