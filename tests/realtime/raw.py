"""A client that sends any bytes, and reads the server's frames unchanged."""

import asyncio
import base64
import json
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from tests.cluster import PATIENCE

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 1, 2, 8, 9, 10, 0


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    final: bool = True,
    reserved: int = 0,
    mask: bytes | None = b"\x01\x02\x03\x04",
    length_bytes: int | None = None,
) -> bytes:
    """A client's frame. `mask=None`: unmasked. `length_bytes` (0, 2, 8): in how many further bytes
    the length is written, if not in the fewest."""
    size = len(payload)
    if length_bytes is None:
        length_bytes = 0 if size < 126 else 2 if size < 65536 else 8
    code = {0: size, 2: 126, 8: 127}[length_bytes]
    head = bytes(
        [(0x80 if final else 0) | reserved << 4 | opcode, (0x80 if mask is not None else 0) | code]
    )
    head += size.to_bytes(length_bytes) if length_bytes else b""
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def closing(code: int, reason: bytes = b"") -> bytes:
    """A client's close frame."""
    return frame(CLOSE, struct.pack("!H", code) + reason)


class RawSocket:
    """An open socket of the live protocol."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            self._writer.write(part)
            await self._writer.drain()

    async def dribble(self, data: bytes) -> None:
        """Byte by byte, each in a packet of its own."""
        for at in range(len(data)):
            self._writer.write(data[at : at + 1])
            await asyncio.sleep(0.002)

    async def frame(self) -> tuple[int, bytes]:
        """The server's next frame, pings and beacons aside: opcode and payload."""
        async with asyncio.timeout(PATIENCE):
            while True:
                first, second = await self._reader.readexactly(2)
                assert first & 0xF0 == 0x80, "the server sends whole frames without reserved bits"
                assert second < 128, "the server does not mask"
                size = second
                if second == 126:
                    (size,) = struct.unpack("!H", await self._reader.readexactly(2))
                elif second == 127:
                    (size,) = struct.unpack("!Q", await self._reader.readexactly(8))
                payload = await self._reader.readexactly(size)
                if first & 0x0F != PING and b'"beacon"' not in payload[:30]:
                    return first & 0x0F, payload

    async def message(self) -> dict[str, Any]:
        """The server's next message."""
        opcode, payload = await self.frame()
        assert opcode == TEXT, (opcode, payload)
        message: dict[str, Any] = json.loads(payload)
        return message

    async def close_code(self) -> int:
        """The code of the close frame, which must be the next frame and the last one."""
        opcode, payload = await self.frame()
        assert opcode == CLOSE, (opcode, payload)
        payload[2:].decode()
        async with asyncio.timeout(PATIENCE):
            assert await self._reader.read() == b""
        return struct.unpack("!H", payload[:2])[0] if payload else 1005

    async def lives(self) -> None:
        """The server still answers."""
        await self.send(frame(PING, b"still there?"))
        assert await self.frame() == (PONG, b"still there?")

    def hang_up(self) -> None:
        self._writer.transport.abort()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[RawSocket]:
    """A connection to a server that needs no upgrade."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield RawSocket(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def upgraded(
    url: str, path: str = "/live", headers: tuple[str, ...] = (), early: bytes = b""
) -> AsyncIterator[RawSocket]:
    """A socket whose upgrade was accepted. `early` is sent together with the request's head."""
    reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
    ]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: lesson.v1", *headers, "", ""]
    writer.write("\r\n".join(lines).encode() + early)
    try:
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in head, head
        yield RawSocket(reader, writer)
    finally:
        writer.transport.abort()
