"""Faults of the live path, made from outside."""

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
from tests.cluster import PATIENCE
from tests.factories import Account, Instructor

RESERVE = "select * from reserve($1, $2, $3, 60, null, 'Here', '', now())"


async def lesson_whose_message_is_lost(
    pool: Pool,
    student: Account,
    instructor: Instructor,
    start: datetime,
    *,
    without_history: bool = False,
) -> UUID:
    """A booking that no relay will ever publish. With `without_history`, its change is not in the
    outbox either."""
    async with pool.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(RESERVE, student.id, instructor.service_id, start)
        assert row is not None
        assert row["refusal"] is None, row["refusal"]
        await connection.execute(
            "delete from outbox_unpublished where instructor_id = $1", instructor.id
        )
        if without_history:
            await connection.execute("delete from outbox where instructor_id = $1", instructor.id)
        return UUID(row["booking"]["id"])


async def unpublished(pool: Pool, instructor: Instructor | None = None) -> int:
    """How many changes wait for the relay, of this instructor or in all."""
    count: int = await pool.fetchval(
        "select count(*) from outbox_unpublished where $1::uuid is null or instructor_id = $1",
        instructor.id if instructor else None,
    )
    return count


async def all_published(pool: Pool, seconds: float = PATIENCE) -> None:
    async with asyncio.timeout(seconds):
        while await unpublished(pool):
            await asyncio.sleep(0.02)


class Proxy:
    """Between a process and Redis or Postgres, on a Unix socket of its own. In threads, because
    starting a process blocks the test's loop. While `muted`, subscriptions deliver nothing.
    `silence` makes the open connections silent from then on, as a failover behind a firewall does;
    while `unreachable`, new ones are silent too."""

    def __init__(self, server: Path, own: Path) -> None:
        self.muted = False
        self.unreachable = False
        self._server = str(server)
        self._own = own
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._silent: set[socket.socket] = set()

    @property
    def redis_url(self) -> str:
        return f"unix://{self._own}"

    @property
    def connections(self) -> int:
        return len(self._sockets) // 2

    def silence(self) -> None:
        self._silent.update(self._sockets)

    def __enter__(self) -> Self:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(self._own))
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
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                self._run(self._carry, client, server)

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        subscribed = False
        with contextlib.suppress(OSError), selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ)
            selector.register(server, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    assert isinstance(key.fileobj, socket.socket)
                    data = key.fileobj.recv(65536)
                    silent = self.unreachable or client in self._silent
                    if key.fileobj is client:
                        subscribed = subscribed or b"SUBSCRIBE" in data
                        if not silent:
                            server.sendall(data)
                    elif not silent and not (subscribed and self.muted):
                        client.sendall(data)
                    if not data:
                        client.shutdown(socket.SHUT_RDWR)
                        if not silent:
                            server.shutdown(socket.SHUT_RDWR)
                        return
