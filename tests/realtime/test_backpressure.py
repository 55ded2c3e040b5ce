"""Clients that read slowly or not at all: memory stays bounded, they get fewer and larger steps,
and other clients are not affected."""

import asyncio
import base64
import contextlib
import json
import os
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import psutil

from app.db import Pool
from tests import factories
from tests.cluster import PATIENCE
from tests.factories import Instructor
from tests.processes import Starter
from tests.realtime.screens import Screens, catches_up, database_board

# Unasked for, but enough to seem alive.
PONG = b"\x8a\x80\0\0\0\0"


class Unread:
    """A client that reads only on request. It seems alive by sending pongs."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._beating = asyncio.create_task(self._beat())

    @staticmethod
    @contextlib.asynccontextmanager
    async def at(url: str) -> "AsyncIterator[Unread]":
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect((urlsplit(url).hostname, urlsplit(url).port))
        reader, writer = await asyncio.open_connection(sock=plain, limit=1024)
        key = base64.b64encode(os.urandom(16)).decode()
        upgrade = [
            "GET /live HTTP/1.1",
            "Host: localhost",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
        ]
        upgrade += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: lesson.v1", "", ""]
        writer.write("\r\n".join(upgrade).encode())
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        unread = Unread(reader, writer)
        try:
            yield unread
        finally:
            unread.be_silent()
            writer.transport.abort()
            await asyncio.gather(unread._beating, return_exceptions=True)

    async def watch(self, instructor: Instructor, days: int) -> None:
        message = {
            "type": "watch",
            "instructor": str(instructor.id),
            "first": str(instructor.day(0)),
            "days": days,
        }
        text = json.dumps(message).encode()
        self.writer.write(b"\x81\xfe" + struct.pack("!H", len(text)) + b"\0\0\0\0" + text)

    async def _beat(self) -> None:
        while not self.writer.transport.is_closing():
            self.writer.write(PONG)
            await asyncio.sleep(0.2)

    async def read(self) -> dict[str, Any]:
        """The next message, past pings."""
        while True:
            opcode, length = await self.reader.readexactly(2)
            if length == 126:
                (length,) = struct.unpack("!H", await self.reader.readexactly(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
            text = await self.reader.readexactly(length)
            if opcode == 0x81:
                message: dict[str, Any] = json.loads(text)
                return message

    async def cut_off(self) -> None:
        """Until the server has ended the connection, without reading what it says."""
        while not self.writer.transport.is_closing():
            await asyncio.sleep(0.05)

    def be_silent(self) -> None:
        self._beating.cancel()


async def many_changes(pool: Pool, instructor: Instructor, count: int) -> None:
    """Steps that each carry 35 days."""
    await pool.execute(
        "select step($1, array(select $2::date + n from generate_series(0, 34) as n))"
        " from generate_series(1, $3)",
        instructor.id, instructor.day(0), count,
    )  # fmt: skip


async def test_a_stuck_client_is_aborted_while_the_others_are_served(
    start: Starter, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    start("relay")
    web = start("serve", stuck_seconds=6, log_level="info")  # the good one answers sooner
    screens = Screens(web.url)
    good = await screens.open()
    await good.shows(anna, days=35)
    async with Unread.at(web.url) as stuck:
        await stuck.watch(anna, 35)
        for _ in range(30):
            await many_changes(pool, anna, 20)
            await catches_up(pool, good, anna)
        await asyncio.wait_for(stuck.cut_off(), PATIENCE)
        await asyncio.to_thread(web.wait_for, "reason=stuck")
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
    await catches_up(pool, good, anna)
    await screens.close()


async def test_an_idle_socket_takes_little_memory(start: Starter, pool: Pool) -> None:
    anna = await factories.instructor(pool)
    web = start("serve")

    async def resident() -> int:
        await asyncio.sleep(0.5)
        return int(psutil.Process(web.pid).memory_info().rss)

    async with contextlib.AsyncExitStack() as stack:

        async def open_some(count: int) -> None:
            for _ in range(count):
                client = await stack.enter_async_context(Unread.at(web.url))
                client.be_silent()
                await client.watch(anna, 7)

        await open_some(50)  # what is needed for the first ones is not counted
        before = await resident()
        await open_some(400)
        assert (await resident() - before) / 400 < 12_000  # bytes; it was 25,000


async def test_a_silent_client_is_aborted(start: Starter) -> None:
    web = start("serve", stuck_seconds=2, log_level="info")
    async with Unread.at(web.url) as client:
        client.be_silent()
        assert b"\x89\0" in await asyncio.wait_for(client.reader.read(), PATIENCE)
        await asyncio.to_thread(web.wait_for, "reason=silent")


async def test_a_slow_client_gets_fewer_and_larger_steps(start: Starter, pool: Pool) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    start("relay")
    web = start("serve", stuck_seconds=30)
    screens = Screens(web.url)
    good = await screens.open()
    await good.shows(anna, days=35)
    async with Unread.at(web.url) as slow:
        await slow.watch(anna, 35)
        for _ in range(30):
            await many_changes(pool, anna, 20)
            await catches_up(pool, good, anna)
        await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
        messages = [await slow.read()]
        while messages[-1].get("version") != 601:
            messages.append(await asyncio.wait_for(slow.read(), PATIENCE))
    steps = [message for message in messages if message["type"] in {"board", "change"}]
    assert steps[0]["type"] == "board"
    assert len(steps) < 300
    board: dict[str, Any] = {}
    for step in steps:
        if step["type"] == "board":
            board = step
        else:
            assert step["version"] == board["version"] + 1
            board["version"] = step["version"]
            board["days"] |= step["days"]
    assert board["days"] == (await database_board(pool, anna, str(anna.day(0)), 35))["days"]
    await catches_up(pool, good, anna)
    assert len(good.of("change")) == 601
    await screens.close()
