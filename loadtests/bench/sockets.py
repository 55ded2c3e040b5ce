"""Many sockets that follow one board each. The kernel records arrivals (SO_TIMESTAMPNS), so that
reading thousands of sockets does not affect the results. If a beacon or a ping arrives between a
frame and its reading, only the last arrival is known, and the frame is not measured."""

import asyncio
import socket
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

import orjson

from loadtests.bench.stack import BenchError, Web

_LINUX = sys.platform == "linux"
_SO_TIMESTAMPNS = 35  # asm-generic/socket.h; Python does not name it
_TIMESPEC = struct.Struct("@qq")
_CHUNK = 1 << 16
_AT_ONCE = 100
OPEN_SECONDS = 20
_SWEEP_SECONDS = 0.02
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


@dataclass
class Socket:
    """One client. `frames` contains the arrival (seconds since 1970; None: unknown) and the content
    of each text frame except beacons."""

    socket: socket.socket
    buffer: bytearray = field(default_factory=bytearray)
    frames: list[tuple[float | None, bytes]] = field(default_factory=list)
    closed: bool = False

    def read(self) -> None:
        """Reads the available bytes without waiting."""
        while not self.closed:
            try:
                data, ancillary, _, _ = self.socket.recvmsg(_CHUNK, 64)
            except BlockingIOError:
                return
            except OSError:
                data, ancillary = b"", []
            if not data:
                self.closed = True
                return
            at = time.time()
            for level, kind, value in ancillary:
                if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
                    seconds, nanoseconds = _TIMESPEC.unpack(value[: _TIMESPEC.size])
                    at = seconds + nanoseconds / 1e9
            self.handle(data, at)

    def handle(self, data: bytes, at: float) -> None:
        """Handles bytes that arrived at `at`."""
        self.buffer += data
        texts, count = [], 0
        while (frame := _first_frame(self.buffer)) is not None:
            opcode, payload, length = frame
            del self.buffer[:length]
            count += 1
            if opcode == TEXT and b'"beacon"' not in payload[:40]:
                texts.append(payload)
            elif opcode == PING:
                self.socket.sendall(_masked(PONG, payload))
            elif opcode == CLOSE:
                self.closed = True
        self.frames += [(at if count == 1 else None, text) for text in texts]


def _first_frame(buffer: bytearray) -> tuple[int, bytes, int] | None:
    """Opcode, payload and total length of the first complete frame. Frames of a server are unmasked
    and, here, unfragmented."""
    if len(buffer) < 2:
        return None
    size, head = buffer[1] & 0x7F, 2
    if size == 126:
        size, head = int.from_bytes(buffer[2:4]), 4
    elif size == 127:
        size, head = int.from_bytes(buffer[2:10]), 10
    if len(buffer) < head + size:
        return None
    return buffer[0] & 0x0F, bytes(buffer[head : head + size]), head + size


def _masked(opcode: int, payload: bytes) -> bytes:
    """A client's frame with mask 0, which does not change the payload."""
    size = len(payload)
    head = (
        bytes([0x80 | opcode, 0x80 | size])
        if size < 126
        else bytes([0x80 | opcode, 0xFE]) + size.to_bytes(2)
    )
    return head + b"\0\0\0\0" + payload


class Crowd:
    """All sockets of a measurement. They are read, and answer pings, only in `read`."""

    def __init__(self) -> None:
        self.sockets: list[Socket] = []

    async def connect(self, address: tuple[str, int], openings: Sequence["Opening"]) -> None:
        """Opens one socket per opening. Raises OSError, TimeoutError."""
        for n in range(0, len(openings), _AT_ONCE):
            async with asyncio.timeout(OPEN_SECONDS):
                self.sockets += await asyncio.gather(
                    *(_open(address, opening) for opening in openings[n : n + _AT_ONCE])
                )

    async def receive(self, frames: int, seconds: float) -> None:
        """Reads until every socket has received `frames` frames in total. Raises BenchError after
        `seconds`."""
        for _ in range(round(seconds / _SWEEP_SECONDS)):
            if not self.behind(frames):
                return
            await asyncio.sleep(_SWEEP_SECONDS)
        raise BenchError(
            f"{self.behind(frames)} of {len(self.sockets)} sockets did not receive {frames} frames "
            f"within {seconds:.0f} s."
        )

    def behind(self, frames: int) -> int:
        """The number of sockets with fewer frames."""
        self.read()
        return sum(len(each.frames) < frames for each in self.sockets)

    def read(self) -> None:
        for each in self.sockets:
            each.read()

    def clear(self) -> None:
        for each in self.sockets:
            each.frames.clear()

    def close(self) -> None:
        for each in self.sockets:
            each.socket.close()
        self.sockets.clear()


@dataclass(frozen=True)
class Opening:
    """The first bytes of a socket, and the bytes `then` to send after a response that contains
    `response`."""

    first: bytes
    response: bytes = b""
    then: bytes = b""


def frame(text: bytes) -> bytes:
    """A server's text frame."""
    size = len(text)
    head = (
        bytes([0x81, size])
        if size < 126
        else bytes([0x81, 126]) + size.to_bytes(2)
        if size < 65536
        else None
    )
    assert head is not None, "changes are shorter"
    return head + text


def upgrade(
    address: tuple[str, int], path: str, then: bytes = b"", subprotocol: str = ""
) -> Opening:
    """A WebSocket that sends `then` first, unless it is empty."""
    host, port = address
    protocol = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
    head = (
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"{protocol}\r\n"
    )
    return Opening(head.encode(), b"\r\n\r\n", _masked(TEXT, then) if then else b"")


def watching(web: Web, instructor_id: UUID, first: date, days: int) -> Opening:
    """A socket of the live protocol that watches one board."""
    watch = orjson.dumps(
        {"type": "watch", "instructor": str(instructor_id), "first": first, "days": days}
    )
    return upgrade((web.host, web.port), "/live", watch, "lesson.v1")


async def _open(address: tuple[str, int], opening: Opening) -> Socket:
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setblocking(False)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if _LINUX:
        client.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    await loop.sock_connect(client, address)
    await loop.sock_sendall(client, opening.first)
    response = b""
    if opening.response:
        while opening.response not in response:
            more = await loop.sock_recv(client, _CHUNK)
            response += more
            if not more or not response.startswith(b"HTTP/1.1 101"):
                client.close()
                raise ConnectionRefusedError(f"The socket was refused: {response[:200]!r}")
        await loop.sock_sendall(client, opening.then)
    opened = Socket(client)
    if opening.response:
        opened.handle(
            response.partition(opening.response)[2], time.time()
        )  # the server may send first
    return opened
