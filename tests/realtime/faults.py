"""Ways to break the live path from outside, without a hook in it."""

import asyncio
import contextlib
import selectors
import socket
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Self
from uuid import UUID

from app.db import Pool
from tests.people import Instructor, Person

RESERVE = "select * from reserve($1, $2, $3, 60, null, '', '', now())"


async def lesson_whose_message_is_lost(
    pool: Pool, student: Person, instructor: Instructor, start: datetime, *, with_its_history: bool = False
) -> UUID:
    """A booking like any other, but no relay will ever publish it, and the outbox may have forgotten it."""
    async with pool.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(RESERVE, student.id, instructor.service_id, start)
        assert row is not None
        assert row["refusal"] is None, row["refusal"]
        await connection.execute("delete from outbox_unpublished where instructor_id = $1", instructor.id)
        if with_its_history:
            await connection.execute("delete from outbox where instructor_id = $1", instructor.id)
        return UUID(row["booking"]["id"])


async def unpublished(pool: Pool) -> int:
    count: int = await pool.fetchval("select count(*) from outbox_unpublished")
    return count


async def all_published(pool: Pool, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while await unpublished(pool):
            await asyncio.sleep(0.02)


class Earplugs:
    """Between a process and Redis, on a socket of its own. While `muted`, subscriptions stand, and nothing arrives on them. In threads,
    because starting a process blocks the test's loop."""

    def __init__(self, redis_socket: Path, folder: Path) -> None:
        self.muted = False
        self._redis = str(redis_socket)
        self._own = str(folder / "earplugs.sock")
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"unix://{self._own}"

    def __enter__(self) -> Self:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(self._own)
        listening.listen()
        self._run(self._accept, listening)
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for one in self._sockets:
            one.close()

    def _run(self, work: Callable[..., None], *sockets: socket.socket) -> None:
        self._sockets += sockets
        self._threads.append(threading.Thread(target=work, args=sockets))
        self._threads[-1].start()

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                redis = socket.socket(socket.AF_UNIX)
                redis.connect(self._redis)
                self._run(self._carry, client, redis)

    def _carry(self, client: socket.socket, redis: socket.socket) -> None:
        subscribed = False
        with contextlib.suppress(OSError), selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ)
            selector.register(redis, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr]  # one of the two sockets
                    if key.fileobj is client:
                        subscribed = subscribed or b"SUBSCRIBE" in data
                        redis.sendall(data)
                    elif not (subscribed and self.muted):
                        client.sendall(data)
                    if not data:
                        client.shutdown(socket.SHUT_RDWR)
                        return
