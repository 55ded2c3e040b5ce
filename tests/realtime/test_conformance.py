"""RFC 6455, byte by byte: valid frames of a client, and the close code of each violation. Frames
are parsed by websockets' code; joining fragments and closing are ours. All of it is tested here, on
a real transport without an upgrade (for that see test_protocol.py)."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from realtime import messages
from realtime.connection import Connection
from tests.cluster import PATIENCE
from tests.processes import Starter
from tests.realtime.in_memory import Database
from tests.realtime.raw import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    closing,
    connected,
    frame,
    upgraded,
)


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    """A port on which every connection is an open socket at once."""
    hub = Database().hub
    connections: set[Connection] = set()

    class Accepted(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            Connection(transport, hub, None, connections=connections, release=lambda: None)

    server = await asyncio.get_running_loop().create_server(Accepted, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    async with asyncio.timeout(PATIENCE):
        while connections:
            await asyncio.sleep(0.01)
    assert not hub.watchers, "every connection left the hub"


def message(size: int = 0) -> bytes:
    """A message of `size` bytes that is answered by NOT_FOUND."""
    content = {"type": "unwatch", "instructor": "nobody", "padding": ""}
    content["padding"] = "x" * max(0, size - len(json.dumps(content)))
    return json.dumps(content).encode()


async def test_a_message_may_come_in_fragments(port: int) -> None:
    text = message()
    async with connected(port) as socket:
        await socket.send(
            frame(TEXT, text[:10], final=False),
            frame(CONTINUATION, b"", final=False),
            frame(CONTINUATION, text[10:50], final=False),
            frame(CONTINUATION, text[50:]),
        )
        assert (await socket.message())["code"] == "NOT_FOUND"
        await socket.send(frame(TEXT, text))
        assert (await socket.message())["code"] == "NOT_FOUND"


async def test_a_message_may_come_byte_by_byte(port: int) -> None:
    text = message(200)
    async with connected(port) as socket:
        await socket.dribble(
            frame(TEXT, text[:130], final=False)
            + frame(PING, b"ping")
            + frame(CONTINUATION, text[130:])
        )
        assert await socket.frame() == (PONG, b"ping")
        assert (await socket.message())["code"] == "NOT_FOUND"
        await socket.lives()


async def test_many_frames_may_come_at_once(port: int) -> None:
    async with connected(port) as socket:
        await socket.send((frame(TEXT, message(600)) + frame(PING, b"x")) * 40)
        answers = [await socket.frame() for _ in range(80)]
        assert [opcode for opcode, _ in answers].count(PONG) == 40
        assert sum(b"NOT_FOUND" in payload for _, payload in answers) == 40


async def test_control_frames_may_come_between_fragments(port: int) -> None:
    text = message()
    async with connected(port) as socket:
        await socket.send(frame(TEXT, text[:20], final=False), frame(PING, b"between"))
        assert await socket.frame() == (PONG, b"between")
        await socket.send(frame(PONG, b"unasked for"), frame(CONTINUATION, text[20:]))
        assert (await socket.message())["code"] == "NOT_FOUND"
    async with connected(port) as socket:
        # Even if the message itself has almost reached its limit.
        await socket.send(
            frame(TEXT, b"x" * (messages.MAX_FRAME - 1), final=False), frame(PING, b"p" * 125)
        )
        assert await socket.frame() == (PONG, b"p" * 125)
        await socket.send(frame(TEXT, text[:20], final=False))
        assert await socket.close_code() == 1002


async def test_a_close_frame_may_come_between_fragments(port: int) -> None:
    async with connected(port) as socket:
        await socket.send(frame(TEXT, b"{", final=False), closing(1000))
        assert await socket.close_code() == 1000


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([frame(CONTINUATION, b"x")], id="a continuation of nothing"),
        pytest.param(
            [frame(CONTINUATION, b"x", final=False)], id="an unfinished continuation of nothing"
        ),
        pytest.param(
            [frame(TEXT, b"x", final=False), frame(TEXT, b"y")], id="a text within a text"
        ),
        pytest.param(
            [frame(TEXT, b"x", final=False), frame(BINARY, b"y", final=False)],
            id="a binary within a text",
        ),
        pytest.param(
            [frame(BINARY, b"x", final=False), frame(TEXT, b"y")], id="a text within a binary"
        ),
        pytest.param([frame(TEXT, b"{}", mask=None)], id="an unmasked text"),
        pytest.param([frame(PING, b"", mask=None)], id="an unmasked ping"),
        pytest.param([frame(CLOSE, b"", mask=None)], id="an unmasked close"),
        *[
            pytest.param([frame(TEXT, b"{}", reserved=bits)], id=f"reserved bits {bits:03b}")
            for bits in range(1, 8)
        ],
        *[
            pytest.param([frame(PING, reserved=bits)], id=f"reserved bits {bits:03b} in a ping")
            for bits in (1, 2, 4)
        ],
        *[
            pytest.param([frame(opcode)], id=f"opcode {opcode}")
            for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
        ],
        *[
            pytest.param([frame(opcode, b"x" * 126)], id=f"a control frame {opcode} of 126 bytes")
            for opcode in (CLOSE, PING, PONG)
        ],
        *[
            pytest.param([frame(opcode, final=False)], id=f"a fragmented control frame {opcode}")
            for opcode in (CLOSE, PING, PONG)
        ],
        pytest.param([frame(CLOSE, b"x")], id="a close code of one byte"),
        *[
            pytest.param([closing(code)], id=f"close code {code}")
            for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535)
        ],
    ],
)
async def test_a_protocol_error_ends_with_1002(port: int, frames: list[bytes]) -> None:
    async with connected(port) as socket:
        await socket.send(*frames)
        assert await socket.close_code() == 1002


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]
)
async def test_a_close_frame_is_repeated_and_the_connection_ends(port: int, code: int) -> None:
    async with connected(port) as socket:
        await socket.send(closing(code, b"see you"))
        assert await socket.close_code() == code


async def test_a_close_frame_may_be_empty(port: int) -> None:
    async with connected(port) as socket:
        await socket.send(frame(CLOSE))
        assert await socket.close_code() == 1005


async def test_a_close_reason_must_be_utf_8(port: int) -> None:
    async with connected(port) as socket:
        await socket.send(closing(1000, b"\xff"))
        assert await socket.close_code() == 1007


async def test_nothing_after_a_close_frame_is_answered(port: int) -> None:
    async with connected(port) as socket:
        await socket.send(closing(1000) + frame(PING, b"too late") + frame(TEXT, message()))
        assert await socket.close_code() == 1000


@pytest.mark.parametrize("size", [0, 1, 124, 125])
async def test_a_ping_is_answered_with_its_payload(port: int, size: int) -> None:
    async with connected(port) as socket:
        await socket.send(frame(PING, b"\xff" * size))
        assert await socket.frame() == (PONG, b"\xff" * size)


@pytest.mark.parametrize("mask", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x12\x34\x56\x78"])
async def test_any_mask_is_undone(port: int, mask: bytes) -> None:
    async with connected(port) as socket:
        await socket.send(frame(TEXT, message(137), mask=mask), frame(PING, b"12345", mask=mask))
        assert (await socket.message())["code"] == "NOT_FOUND"
        assert await socket.frame() == (PONG, b"12345")


@pytest.mark.parametrize(
    ("size", "length_bytes"),
    [
        (125, 0), (126, 2), (127, 2), (128, 2), (4095, 2), (4096, 2),
        (125, 2), (125, 8), (126, 8), (200, 8), (4096, 8),  # longer than needed, which is accepted
    ],
)  # fmt: skip
async def test_a_message_may_have_any_length_up_to_4_kb(
    port: int, size: int, length_bytes: int
) -> None:
    async with connected(port) as socket:
        await socket.send(frame(TEXT, message(size), length_bytes=length_bytes))
        assert (await socket.message())["code"] == "NOT_FOUND"
        await socket.lives()


@pytest.mark.parametrize("size", [4097, messages.MAX_FRAME - 1, messages.MAX_FRAME])
async def test_a_message_up_to_16_kb_is_refused_and_the_socket_stays_open(
    port: int, size: int
) -> None:
    async with connected(port) as socket:
        await socket.send(frame(TEXT, message(size)))
        assert (await socket.message())["code"] == "LIMIT"
        await socket.send(
            frame(TEXT, message(size)[:3000], final=False),
            frame(CONTINUATION, message(size)[3000:]),
        )
        assert (await socket.message())["code"] == "LIMIT"
        await socket.lives()


@pytest.mark.parametrize("size", [messages.MAX_FRAME + 1, 65535, 65536, 65537])
async def test_a_longer_message_ends_with_1009(port: int, size: int) -> None:
    async with connected(port) as socket:
        await socket.send(frame(TEXT, b"x" * size))
        assert await socket.close_code() == 1009


@pytest.mark.parametrize("size", [2**31, 2**32, 2**62, 2**63, 2**64 - 1])
async def test_a_huge_length_ends_with_1009_before_the_payload_arrives(
    port: int, size: int
) -> None:
    async with connected(port) as socket:
        await socket.send(bytes([0x81, 0xFF]) + size.to_bytes(8))
        assert await socket.close_code() == 1009


async def test_fragments_that_are_too_long_together_end_with_1009(port: int) -> None:
    for last in (
        frame(CONTINUATION, b"x"),
        frame(CONTINUATION, b"x" * 126),
        frame(CONTINUATION, b"x" * 60_000, final=False),
    ):
        async with connected(port) as socket:
            await socket.send(
                frame(TEXT, b"x" * 10_000, final=False),
                frame(CONTINUATION, b"x" * (messages.MAX_FRAME - 10_000), final=False),
            )
            await socket.lives()
            await socket.send(last)
            assert await socket.close_code() == 1009


async def test_text_is_utf_8_also_where_a_character_is_split_over_fragments(port: int) -> None:
    text = json.dumps(
        {"type": "unwatch", "instructor": "Żółć 🎹 Ελλάς"}, ensure_ascii=False
    ).encode()
    async with connected(port) as socket:
        for at in range(30, len(text)):
            await socket.send(frame(TEXT, text[:at], final=False), frame(CONTINUATION, text[at:]))
            assert (await socket.message())["instructor"] == "Żółć 🎹 Ελλάς"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"\xff", id="no UTF-8 byte"),
        pytest.param(b"\xc3\x28", id="a broken sequence"),
        pytest.param(b"\xc0\xaf", id="longer than needed"),
        pytest.param(b"\xed\xa0\x80", id="a surrogate"),
        pytest.param(b"\xf4\x90\x80\x80", id="beyond Unicode"),
        pytest.param(b'{"type": "\xe2\x82', id="ends within a character"),
    ],
)
async def test_text_that_is_not_utf_8_ends_with_1007(port: int, text: bytes) -> None:
    async with connected(port) as socket:
        await socket.send(frame(TEXT, text))
        assert await socket.close_code() == 1007
    async with connected(port) as socket:
        await socket.send(frame(TEXT, text[:1], final=False), frame(CONTINUATION, text[1:]))
        assert await socket.close_code() == 1007


async def test_binary_messages_are_refused_and_may_be_fragmented(port: int) -> None:
    async with connected(port) as socket:
        await socket.send(frame(BINARY, b"\xff\xfe"))
        assert (await socket.message())["code"] == "BAD_MESSAGE"
        await socket.send(
            frame(BINARY, b"\xff", final=False), frame(PING, b"x"), frame(CONTINUATION, b"\xfe")
        )
        assert await socket.frame() == (PONG, b"x")
        assert (await socket.message())["code"] == "BAD_MESSAGE"
        await socket.lives()


async def test_a_web_process_on_its_own_event_loop_does_the_same(start: Starter) -> None:
    web = start("serve")
    text = message(300)
    for frames, code in (
        ([frame(TEXT, b"{", final=False), frame(TEXT, b"}")], 1002),
        ([frame(TEXT, b"{}", mask=None)], 1002),
        ([frame(TEXT, b"{}", reserved=4)], 1002),
        ([frame(PING, b"x" * 126)], 1002),
        ([frame(3)], 1002),
        ([closing(1005)], 1002),
        ([frame(TEXT, b"\xff")], 1007),
        ([frame(TEXT, b"x" * 100_000)], 1009),
        ([closing(1000) + frame(PING)], 1000),
        ([closing(4999, b"bye")], 4999),
        ([frame(CLOSE)], 1005),
    ):
        async with upgraded(web.url) as socket:
            await socket.dribble(
                frame(TEXT, text[:100], final=False)
                + frame(PING, b"ping")
                + frame(CONTINUATION, text[100:])
            )
            assert await socket.frame() == (PONG, b"ping")
            assert (await socket.message())["code"] == "NOT_FOUND"
            await socket.send(*frames)
            assert await socket.close_code() == code
    assert web.stop() == 0
    assert web.warnings == []


async def test_a_client_that_disconnects_leaves_the_hub(port: int) -> None:
    for _ in range(3):
        async with connected(port) as socket:
            await socket.send(frame(TEXT, message())[:7])
            socket.hang_up()
    async with connected(port) as socket:
        await socket.lives()
