"""Hostile connections to a web process: garbage, endless heads, trailers and pipelines, or silence,
in large numbers. Memory stays bounded, other clients are served, and nothing is logged."""

import asyncio
import contextlib
import gc
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from app import descriptors
from app.settings import Settings, read
from app.web import http_protocol
from app.web.http_protocol import HttpProtocol
from tests.cluster import PATIENCE
from tests.processes import Running, Starter
from tests.realtime.conftest import serving
from tests.realtime.raw import upgraded
from tests.realtime.screens import Screens

GET = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /api/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
MEGABYTE = 1 << 20


class Stranger:
    """A connection that sends bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Ignores that the server closed the connection."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def flood(self, piece: bytes, megabytes: int, seconds: float = 10) -> None:
        """Sends `megabytes` of data until the server closes the connection or stops reading for
        `seconds`."""
        pieces = piece * (MEGABYTE // len(piece) + 1)
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(seconds):
                for _ in range(megabytes):
                    self.writer.write(pieces)
                    await self.writer.drain()

    async def rest(self, seconds: float = PATIENCE) -> bytes:
        """Everything that the server sends until it closes the connection."""
        async with asyncio.timeout(seconds):
            with contextlib.suppress(ConnectionError):
                return await self.reader.read()
        return b""

    async def response(self) -> int:
        """The status of the next response; also reads its body."""
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = next(
                line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
            )
            await self.reader.readexactly(int(length.partition(b":")[2]))
        return int(head.split()[1])


@asynccontextmanager
async def stranger(url: str) -> AsyncIterator[Stranger]:
    reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
    try:
        yield Stranger(reader, writer)
    finally:
        writer.transport.abort()


def status(response: bytes) -> int:
    return int(response.split()[1]) if response else 0


def megabytes(web: Running) -> float:
    return psutil.Process(web.pid).memory_info().rss / MEGABYTE


# ---- content


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 10, 400, id="TLS"),
        pytest.param(b"hello\r\n\r\n", 400, id="not HTTP"),
        pytest.param(
            b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, id="a path that is not ASCII"
        ),
        pytest.param(
            b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, id="an invalid address"
        ),
        pytest.param(b"CONNECT x:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, id="a tunnel"),
        pytest.param(POST + b"Content-Length: x\r\n\r\n", 400, id="an invalid length"),
        pytest.param(
            POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400, id="two lengths"
        ),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, id="an invalid chunk"
        ),
        pytest.param(GET + b"A: b\r\n" * 101 + b"\r\n", 431, id="too many fields"),
        pytest.param(GET + b"A: " + b"b" * 60_000 + b"\r\n\r\n", 431, id="a long field"),
        pytest.param(b"GET /" + b"x" * 60_000 + b" HTTP/1.1\r\n\r\n", 431, id="a long path"),
        pytest.param(GET + b"A" * 60_000 + b": b\r\n\r\n", 431, id="a long name"),
    ],
)
async def test_an_invalid_request_is_refused_and_the_connection_ends(
    settings: Settings, request_bytes: bytes, expected: int
) -> None:
    async with serving(settings) as url, stranger(url) as client:
        await client.send(request_bytes)
        response = await client.rest()
        assert status(response) == expected
        assert b"connection: close" in response
        assert response.endswith(b"}")


UPGRADE = (
    b"GET %b HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: lesson.v1\r\n"
)
KEY = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        pytest.param(UPGRADE % b"/live" + b"\r\n", 400, id="no key"),
        pytest.param(
            UPGRADE % b"/live" + b"Sec-WebSocket-Key: \xff\r\n\r\n", 400, id="an invalid key"
        ),
        pytest.param(UPGRADE % b"/live" + KEY + KEY + b"\r\n", 400, id="two keys"),
        pytest.param(UPGRADE % b"/live\xff" + KEY + b"\r\n", 400, id="a path that is not ASCII"),
        pytest.param(
            UPGRADE % b"/live" + KEY + b"Cookie: session=" + b"x" * 9000 + b"\r\n\r\n",
            431,
            id="a long cookie",
        ),
        pytest.param(
            UPGRADE % b"/live" + KEY + b"Cookie: \xff\xfe=\xff\r\nOrigin: \xff\r\n\r\n",
            403,
            id="Latin-1",
        ),
        pytest.param(
            UPGRADE.replace(b"GET", b"POST") % b"/live" + KEY + b"Content-Length: 0\r\n\r\n",
            405,
            id="a POST",
        ),
        pytest.param(UPGRADE % b"/live" + KEY + b"Content-Length: 10\r\n\r\n{", 400, id="a body"),
        pytest.param(UPGRADE % b"/nowhere" + KEY + b"\r\n", 403, id="another path"),
        pytest.param(
            GET + b"Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n", 200, id="another protocol"
        ),
        pytest.param(
            GET + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 400, id="no other fields"
        ),
    ],
)
async def test_an_invalid_upgrade_is_refused_and_the_connection_ends(
    settings: Settings, request_bytes: bytes, expected: int
) -> None:
    async with serving(settings) as url, stranger(url) as client:
        await client.send(request_bytes)
        assert status(await client.rest()) == expected


async def test_data_after_a_refusal_is_discarded(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    refusals = (
        POST + b"Content-Length: x\r\n\r\n",
        UPGRADE % b"/live" + KEY + b"Content-Length: 10\r\n\r\n{",
    )
    async with serving(settings) as url:
        for invalid_request in refusals:
            async with stranger(url) as client:
                for part in (invalid_request, b"more", b"and more", b"and more"):
                    await client.send(part)
                    await asyncio.sleep(0.05)
                assert status(await client.rest()) == 400
    assert [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []


async def test_trailers_are_not_part_of_the_head(settings: Settings) -> None:
    async with serving(settings) as url, stranger(url) as client:
        chunked = (
            b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nAuthorization: Bearer x\r\n\r\n"
        )
        await client.send(POST + chunked + GET + b"\r\n")
        assert await client.response() == 422
        assert await client.response() == 200


async def test_pipelined_requests_are_answered_in_order(settings: Settings) -> None:
    async with serving(settings) as url, stranger(url) as client:
        await client.send((GET + b"\r\n") * 5 + GET.replace(b"live", b"nowhere") + b"\r\n")
        assert [await client.response() for _ in range(6)] == [200] * 5 + [404]


ENDLESS = {
    "a method": (b"", b"x"),
    "empty lines": (b"", b"\r\n"),
    "a path": (b"GET /", b"x"),
    "fields": (GET, b"A: b\r\n"),
    "a field": (GET + b"A: ", b"b"),
    "a name": (GET, b"A"),
    "a pipeline": (GET, b"\r\n" + GET),
    "a pipeline behind a body": (POST + b"Content-Length: 100000\r\n\r\n", b"\r\n" + GET),
    "a pipeline of bodies": (b"", POST + b"Content-Length: 1000\r\n\r\n" + b"x" * 1000),
    "trailers": (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n"),
    "a trailer": (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: ", b"b"),
    "extensions": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n",
        b"1;" + b"x" * 1000 + b"\r\na\r\n",
    ),
    "an extension": (POST + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x"),
    "small chunks": (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    "a body": (POST + b"Content-Length: 999999999\r\n\r\n", b"x"),
    "a body of a GET": (GET + b"Content-Length: 999999999\r\n\r\n", b"x"),
    "an upgrade's body": (UPGRADE % b"/live" + b"Content-Length: 999999999\r\n\r\n", b"x"),
    "a long frame": (UPGRADE % b"/live" + KEY + b"\r\n", b"\x81\xfe\x40\x01"),
    "pings": (UPGRADE % b"/live" + KEY + b"\r\n", b"\x89\x80\0\0\0\0"),
    "fragments": (UPGRADE % b"/live" + KEY + b"\r\n\x01\x80\0\0\0\0", b"\0\x80\0\0\0\0"),
}


async def test_a_head_without_a_body_is_sent_too(settings: Settings) -> None:
    async with serving(settings) as url, stranger(url) as connection:
        await connection.send(GET.replace(b"GET", b"HEAD") + b"\r\n")
        async with asyncio.timeout(PATIENCE):
            assert b" 200 " in await connection.reader.readuntil(b"\r\n\r\n")
        await connection.send(GET + b"\r\n")
        assert await connection.response() == 200


async def test_a_100_continue_is_sent_before_the_response(settings: Settings) -> None:
    async with serving(settings) as url, stranger(url) as connection:
        await connection.send(POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            assert b" 100 " in await connection.reader.readuntil(b"\r\n\r\n")
        await connection.send(b"{}")
        assert await connection.response() == 422


async def test_a_head_and_its_body_are_written_together() -> None:
    writes: list[bytes] = []

    class Recorder(asyncio.Transport):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            writes.append(bytes(data))

        def close(self) -> None:
            writes.append(b"closed")

    writer = http_protocol.SingleWriteTransport(Recorder())
    for data in (
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 100 is text",
        b"second",
    ):
        writer.write(data)
    writer.close()
    assert writes == [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 100 is text",
        b"second",
        b"closed",
    ]


async def test_endless_data_takes_no_memory_and_other_clients_are_served(start: Starter) -> None:
    web = start("serve")
    async with httpx.AsyncClient(base_url=web.url, timeout=PATIENCE) as good:
        for name, (beginning, piece) in ENDLESS.items():
            before = megabytes(web)
            async with stranger(web.url) as client, stranger(web.url) as other:
                floods = [client.flood(beginning + piece * 1000, 1), other.send(beginning)]
                await asyncio.gather(*floods, other.flood(piece, 64, seconds=3))
                assert (await good.get("/health/live")).status_code == 200, name
                assert megabytes(web) - before < 30, name
    assert web.stop() == 0
    assert web.warnings == []


async def test_many_incomplete_requests_take_little_memory(start: Starter) -> None:
    web = start("serve")
    before = megabytes(web)
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(stranger(web.url)) for _ in range(100)]
        for client in clients:
            await client.send(GET + b"A: " + b"b" * 30_000)
        assert (await _answer(web.url)).status_code == 200
        assert megabytes(web) - before < 30
    assert web.stop() == 0
    assert web.warnings == []


# ---- time limits


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(http_protocol, "BODY_SECONDS", 0.6)


def test_a_request_takes_at_most_30_seconds() -> None:
    assert http_protocol.HEAD_SECONDS + http_protocol.BODY_SECONDS <= 30


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        pytest.param(b"", 0, id="nothing"),
        pytest.param(b"\r\n", 408, id="an empty line"),
        pytest.param(GET, 408, id="a part of a head"),
        pytest.param(POST + b"Content-Length: 10\r\n\r\n{", 408, id="a part of a body"),
    ],
)
async def test_an_incomplete_request_times_out(
    settings: Settings, quick: None, request_bytes: bytes, expected: int
) -> None:
    async with serving(settings) as url, stranger(url) as client:
        await client.send(request_bytes)
        assert status(await client.rest()) == expected


async def test_a_head_that_arrives_byte_by_byte_times_out(settings: Settings, quick: None) -> None:
    async with serving(settings) as url, stranger(url) as client:

        async def send_slowly() -> None:
            while not client.writer.is_closing():
                await client.send(b"x")
                await asyncio.sleep(0.05)

        await client.send(GET)
        sender = asyncio.create_task(send_slowly())
        assert status(await client.rest()) == 408
        sender.cancel()


async def test_silence_is_allowed_between_requests_but_not_within_one(
    settings: Settings, quick: None
) -> None:
    async with serving(settings) as url, stranger(url) as client:
        await client.send(GET + b"\r\n")
        assert await client.response() == 200
        await asyncio.sleep(1)
        await client.send(GET + b"\r\n" + GET[:10])
        assert await client.response() == 200
        assert status(await client.rest()) == 408


async def test_a_client_that_does_not_read_its_responses_is_disconnected(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "UNREAD_RESPONSE_SECONDS", 0.5)
    async with serving(settings) as url, stranger(url) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        style = GET.replace(b"/health/live", b"/static/board.js") + b"\r\n"
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not client.writer.transport.is_closing():
            assert asyncio.get_running_loop().time() < deadline
            await client.send(style * 5)
            await asyncio.sleep(0.01)


async def test_a_client_that_does_not_read_its_responses_gets_no_live_socket(
    settings: Settings,
) -> None:
    """The transport is already paused, so it would never report the new socket's back-pressure."""
    style = GET.replace(b"/health/live", b"/static/style.css") + b"\r\n"
    async with serving(settings) as url, stranger(url) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(style)
        protocol = await _protocol_of_open_connection()
        while not protocol.flow.write_paused:
            answered = protocol.server_state.total_requests
            await client.send(style)
            while protocol.server_state.total_requests == answered:
                await asyncio.sleep(0.001)
        await client.send(UPGRADE % b"/live" + KEY + b"\r\n")
        await asyncio.sleep(0.3)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert b" 101 " not in await client.rest()


async def _protocol_of_open_connection() -> HttpProtocol:
    """The server's end of the only connection."""
    async with asyncio.timeout(PATIENCE):
        while True:
            for each in gc.get_objects():
                if type(each) is HttpProtocol and each.parser is not None:
                    return each
            await asyncio.sleep(0.05)


# ---- numbers of connections


def test_the_soft_limit_of_descriptors_is_raised_to_the_hard_one() -> None:
    code = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 500))
from app import descriptors
descriptors.raise_limit()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert output.split() == ["500", "500"]


def test_live_sockets_leave_descriptors_for_requests() -> None:
    settings = read(_env_file=None, max_sockets=1_000_000)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert (
        0
        < descriptors.max_sockets(settings)
        < descriptors.max_connections(settings)
        < limit - settings.database_pool
    )
    assert descriptors.max_sockets(settings.model_copy(update={"max_sockets": 7})) == 7


DESCRIPTORS = 300


async def test_silent_connections_block_others_only_briefly(start: Starter) -> None:
    web = start("serve", descriptors=DESCRIPTORS)
    screens = Screens(web.url)
    screen = await screens.open()
    async with contextlib.AsyncExitStack() as stack:
        start_time = time.monotonic()
        silent = [await stack.enter_async_context(stranger(web.url)) for _ in range(DESCRIPTORS)]
        answers = [await _answer(web.url) for _ in range(5)]
        for answer in answers:
            # None is reset. On a slow machine the silent ones may have ended by now.
            assert answer.status_code in {200, 503}
        await screen.send(type="unwatch", instructor="nobody")
        await screen.receives("error", code="NOT_FOUND")
        while (await _answer(web.url)).status_code != 200:
            assert time.monotonic() - start_time < PATIENCE
            await asyncio.sleep(0.2)
        responses = [await client.rest() for client in silent]
        assert {status(response) for response in responses} == {0, 503}
        refusal = next(response for response in responses if response)
        assert b'"UNAVAILABLE"' in refusal
        assert b"\r\nretry-after: " in refusal
    await screens.close()
    assert web.stop() == 0
    assert "Traceback" not in web.log
    assert [line for line in web.warnings if "connections_exhausted" not in line] == []


async def test_without_free_descriptors_connections_wait_and_none_is_lost(
    start: Starter,
) -> None:
    web = start("serve")
    process = psutil.Process(web.pid)
    soft, hard = process.rlimit(psutil.RLIMIT_NOFILE)
    process.rlimit(psutil.RLIMIT_NOFILE, (3, hard))  # none is free
    waiting = [asyncio.create_task(_answer(web.url)) for _ in range(10)]
    async with asyncio.timeout(PATIENCE):
        while "accept_failed" not in web.log:
            await asyncio.sleep(0.05)
    assert not any(task.done() for task in waiting)
    process.rlimit(psutil.RLIMIT_NOFILE, (soft, hard))
    assert [(await task).status_code for task in waiting] == [200] * 10
    assert web.stop() == 0
    assert "Traceback" not in web.log


async def test_more_live_sockets_than_descriptors_get_a_503(start: Starter) -> None:
    web = start("serve", descriptors=DESCRIPTORS)

    async def open_all(stack: contextlib.AsyncExitStack) -> None:
        for _ in range(DESCRIPTORS):
            await stack.enter_async_context(upgraded(web.url))

    async with contextlib.AsyncExitStack() as stack:
        with pytest.raises(AssertionError, match="503"):
            await open_all(stack)
        assert (await _answer(web.url)).status_code == 200
    assert web.stop() == 0
    assert web.warnings == []


async def _answer(url: str) -> httpx.Response:
    """The response on a new connection, which may wait to be accepted."""
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client:
        return await client.get("/health/live")
