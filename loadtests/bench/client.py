"""A lean HTTP client: it sends prepared bytes, and reads only status and body. It runs in the
process of the benchmark and uses about a tenth of the web process's CPU per response, so it does
not limit the result."""

import asyncio
import uuid
from datetime import datetime
from typing import cast

import orjson

from loadtests.bench.accounts import Offer, Student
from loadtests.bench.stack import Web

ANSWER_SECONDS = 30


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or self._answer is None:
            return
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(body) >= length and not self._answer.done():
            self._received = b""
            self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 — asyncio passes it
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the server closed the connection"))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the response. Raises ConnectionResetError, TimeoutError."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def connections(web: Web, count: int) -> list[Connection]:
    """Opens `count` connections."""
    loop = asyncio.get_running_loop()
    opened: list[Connection] = []
    for n in range(0, count, 50):
        batch = range(min(50, count - n))
        opened += [
            connection
            for _, connection in await asyncio.gather(
                *(loop.create_connection(Connection, web.host, web.port) for _ in batch)
            )
        ]
    return opened


def booking(
    web: Web, student: Student, offer: Offer, start: datetime, path: str = "/api/bookings"
) -> bytes:
    """The bytes of a POST of 30 minutes to /api/bookings or /api/holds, with a new key."""
    lesson = {
        "service_id": str(offer.service_id),
        "start": start,
        "duration_minutes": 30,
        "location": "12 Main Street",
    }
    return call(web, student, "POST", path, lesson)


def call(web: Web, student: Student, method: str, path: str, body: object) -> bytes:
    """The bytes of a call with a new key."""
    content = orjson.dumps(body)
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {web.host}:{web.port}\r\n"
        f"Authorization: Bearer {student.token}\r\nIdempotency-Key: {uuid.uuid4()}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content
