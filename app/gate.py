"""Limits the writers per locked row: in each process, at most WIDTH writers of one calendar and
WIDTH bookings of one student hold a database connection. Others wait here, outside the pool, so
that a locked row leaves connections for everyone else."""

import asyncio
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


class _Gates(dict[UUID, _Gate]):
    """The gates of one kind of row, by the row's id: those of rows with writers."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    async def enter(self, key: UUID) -> None:
        """Waits for a turn. Raises Unavailable."""
        gate = self.get(key) or self.setdefault(key, _Gate())
        if gate.writers >= WIDTH + QUEUE:
            faults.record(f"{self._name}_queue_full", f"{QUEUE} writers wait for one {self._name}")
            raise refusal.Unavailable
        gate.writers += 1
        try:
            if not gate.turns.locked():
                await gate.turns.acquire()  # at once
                return
            async with asyncio.timeout(WAIT_SECONDS):
                await gate.turns.acquire()
        except BaseException as error:
            self._forget(key, gate)
            if not isinstance(error, TimeoutError):
                raise
            faults.record(
                f"{self._name}_queue_slow", f"no turn of a {self._name} within {WAIT_SECONDS} s"
            )
            raise refusal.Unavailable from None

    def leave(self, key: UUID) -> None:
        gate = self[key]
        gate.turns.release()
        self._forget(key, gate)

    def _forget(self, key: UUID, gate: _Gate) -> None:
        gate.writers -= 1
        if not gate.writers:
            del self[key]


_calendars = _Gates("calendar")
_students = _Gates("student")


class writer:  # noqa: N801 — read as `async with gate.writer(…)`
    """A turn to write to a calendar (an instructor's id). Take it before a connection of the pool.
    A booking also takes a turn of its student, whose row it locks first. In a caller's transaction,
    which already has a connection, this does nothing. Raises Unavailable when too many writers
    wait, or one waits too long."""

    # A class, because a generator for every turn takes twice as long.
    def __init__(
        self, db: Pool | Tx, calendar: UUID | None, *, student: UUID | None = None
    ) -> None:
        self._rows: list[tuple[_Gates, UUID]] = []
        self._entered = 0
        if not isinstance(db, Pool):  # type: ignore[misc]  # only the stubs make it generic
            return
        # In lock order, so that a student who waits for one calendar holds no turn of another.
        if student is not None:
            self._rows.append((_students, student))
        if calendar is not None:
            self._rows.append((_calendars, calendar))

    async def __aenter__(self) -> None:
        try:
            for gates, key in self._rows:
                await gates.enter(key)
                self._entered += 1
        except BaseException:
            self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        for gates, key in reversed(self._rows[: self._entered]):
            gates.leave(key)
