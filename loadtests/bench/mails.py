"""The worker's CPU for the two mails of a booking, and its mails per second to a local SMTP server
that responds at once and discards them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import aiosmtplib

from app.statements import statement
from loadtests.bench import accounts, booking
from loadtests.bench.cpu import cpu_seconds
from loadtests.bench.report import Result, say
from loadtests.bench.stack import Stack

BOOKINGS = 1_500
WARM_MAILS = 200
AIM_RATE = 200.0
AIM_CPU_MS = 5.0
_DELIVERY_SECONDS = 120

_unsent = statement("bench_unsent", int)


class Sink(asyncio.Protocol):
    """One SMTP connection that accepts every command, and counts and discards mails."""

    def __init__(self, mail_arrived: Callable[[bytes], None]) -> None:
        self._mail_arrived = mail_arrived
        self._received = b""
        self._in_data = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._received += data
        while True:
            end = b"\r\n.\r\n" if self._in_data else b"\r\n"
            text, complete, rest = self._received.partition(end)
            if not complete:
                return
            self._received = rest
            self._answer(text)

    def _answer(self, text: bytes) -> None:
        assert self._transport is not None
        if self._in_data:
            self._in_data = False
            self._mail_arrived(text)
            self._transport.write(b"250 accepted\r\n")
            return
        command = text[:4].upper()
        self._in_data = command == b"DATA"
        self._transport.write(
            {b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}.get(command, b"250 ok\r\n")
        )
        if command == b"QUIT":
            self._transport.close()


@asynccontextmanager
async def sink(mail_arrived: Callable[[bytes], None]) -> AsyncIterator[int]:
    """The port of a running sink."""
    server = await asyncio.get_running_loop().create_server(
        lambda: Sink(mail_arrived), "127.0.0.1", 0
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


async def delivery(stack: Stack, *, quick: bool) -> list[Result]:
    """The worker's CPU for a booking's two mails, and its rate."""
    bookings = BOOKINGS // 5 if quick else BOOKINGS
    mails = 2 * bookings
    await _book(stack, bookings)
    arrived = 0
    last_mail = b""
    warm, done = asyncio.Event(), asyncio.Event()

    def count(text: bytes) -> None:
        nonlocal arrived, last_mail
        arrived += 1
        last_mail = text
        if arrived == WARM_MAILS:
            warm.set()
        if arrived == mails:
            done.set()

    say(f"{mails:,} mails by one worker")
    async with sink(count) as port, asyncio.timeout(_DELIVERY_SECONDS):
        with stack.worker(f"smtp://127.0.0.1:{port}") as pid:
            await warm.wait()
            started, cpu_before = time.perf_counter(), cpu_seconds(pid)
            await done.wait()
            while await _unsent.one(stack.pool):  # noqa: ASYNC110 — another process
                await asyncio.sleep(0.01)
            seconds, cpu = time.perf_counter() - started, cpu_seconds(pid) - cpu_before
        measured = mails - WARM_MAILS
        floor = await _bare_rate(port, last_mail)
    rate, cpu_ms = measured / seconds, 1000 * cpu / measured * 2
    return [
        Result(
            "mails a second by one worker",
            f"{rate:,.0f}/s",
            f"{floor:,.0f}/s (one SMTP connection)",
            f"{rate / floor:.2f}",
            f"≥ {AIM_RATE:.0f}/s",
            rate >= AIM_RATE,
        ),
        Result(
            "… the worker's CPU for a booking's two mails",
            f"{cpu_ms:.2f} ms",
            "",
            "",
            f"≤ {AIM_CPU_MS:.0f} ms",
            cpu_ms <= AIM_CPU_MS,
        ),
    ]


async def _book(stack: Stack, count: int) -> None:
    students = await accounts.signed_in(stack, "mails", 100)
    offers = await accounts.instructors(stack.pool, "mails", 100, first=accounts.today())
    schedule = booking.lessons(students, offers)
    async with booking.direct(stack) as book:
        for n in range(0, count, booking.CALLERS):
            batch = range(min(booking.CALLERS, count - n))
            await asyncio.gather(*(book(number, *next(schedule)) for number in batch))


async def _bare_rate(port: int, text: bytes, count: int = 500) -> float:
    """Mails per second over one connection, without composing or recording them."""
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as client:
        started = time.perf_counter()
        for _ in range(count):
            await client.sendmail("a@example.com", ["b@example.com"], text)
        return count / (time.perf_counter() - started)
