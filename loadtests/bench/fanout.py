"""Two thousand sockets on one board: the time from the first to the last arrival of a change, and
the web process's memory per idle socket. The floor is a bare server that writes the same bytes to
as many sockets."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from statistics import median

import psutil

from loadtests.bench import accounts, client
from loadtests.bench.cpu import cpu_seconds
from loadtests.bench.report import Result, say
from loadtests.bench.screens import bare
from loadtests.bench.sockets import Crowd, Opening, frame, watching
from loadtests.bench.stack import Stack
from loadtests.table import milliseconds

SOCKETS = 2_000
WINDOW_DAYS = 14
AIM_RATIO = 1.2
AIM_BYTES = 8_000
# Pause between a change and reading the sockets; the kernel records the arrival.
OUT_SECONDS = 0.5


async def fan_out(stack: Stack, *, quick: bool) -> list[Result]:
    rounds = 5 if quick else 15
    (student,) = await accounts.signed_in(stack, "fanout", 1)
    (offer,) = await accounts.instructors(stack.pool, "fanout", 1, first=accounts.today())
    starts = accounts.half_hours(2, WINDOW_DAYS - 3)
    say(f"one change to {SOCKETS:,} sockets, through the product and bare, alternately")
    screens, plain = Crowd(), Crowd()
    async with stack.product() as web, bare(stack) as plain_server:
        try:
            await screens.connect(
                (web.host, web.port),
                [watching(web, offer.instructor_id, accounts.today(), WINDOW_DAYS)] * SOCKETS,
            )
            await screens.receive(1, 30)
            await plain.connect(("127.0.0.1", plain_server.port), [Opening(b"all\n")] * SOCKETS)
            await plain.receive(1, 30)
            (connection,) = await client.connections(web, 1)

            async def book(nth: int) -> None:
                await connection.ask(client.booking(web, student, offer, starts[nth]))

            async def write(_: int) -> None:
                await plain_server.publish("all", frame(change))

            await spans(screens, book, range(2))  # warms up
            change = screens.sockets[0].frames[-1][1]
            await spans(plain, write, range(2))
            product, floor = [], []
            product_cpu, floor_cpu = Cpu(web.pid), Cpu(plain_server.pid)
            for nth in range(2, 2 + rounds):
                with product_cpu.of_writes():
                    product += await spans(screens, book, range(nth, nth + 1))
                with floor_cpu.of_writes():
                    floor += await spans(plain, write, range(1))
                with product_cpu.of_idling(), floor_cpu.of_idling():
                    screens.read()
                    await asyncio.sleep(OUT_SECONDS)
        finally:
            screens.close()
            plain.close()
        # The CPU of the bookings alone, without sockets.
        await asyncio.sleep(1)
        with product_cpu.of_idling():
            for nth in range(2 + rounds, 2 + 2 * rounds):
                await book(nth)
    ratio = median(product) / median(floor)
    writes = rounds * SOCKETS
    cpu_ratio = product_cpu.seconds / floor_cpu.seconds
    return [
        Result(
            f"one change of {len(change):,} bytes to {SOCKETS:,} sockets, first to last "
            f"(median of {rounds}; worst {milliseconds(max(product))})",
            milliseconds(median(product)),
            f"{milliseconds(median(floor))} (bare writes; worst {milliseconds(max(floor))})",
            f"{ratio:.2f}×",
            f"≤ {AIM_RATIO}×",
            ratio <= AIM_RATIO,
        ),
        Result(
            "CPU of the web process per write, without its idle CPU and that of the bookings",
            f"{product_cpu.seconds / writes * 1e6:.1f} µs",
            f"{floor_cpu.seconds / writes * 1e6:.1f} µs",
            f"{cpu_ratio:.2f}×",
            "",
            None,
        ),
    ]


class Cpu:
    """CPU seconds that a process uses for writing: its total minus its idle use."""

    def __init__(self, pid: int) -> None:
        self.seconds = 0.0
        self._pid = pid

    @contextmanager
    def of_writes(self) -> Iterator[None]:
        before = cpu_seconds(self._pid)
        yield
        self.seconds += cpu_seconds(self._pid) - before

    @contextmanager
    def of_idling(self) -> Iterator[None]:
        before = cpu_seconds(self._pid)
        yield
        self.seconds -= cpu_seconds(self._pid) - before


async def spans(
    crowd: Crowd,
    change: Callable[[int], Awaitable[None]],
    rounds: range,
    out_seconds: float = OUT_SECONDS,
) -> list[float]:
    """Seconds from the first to the last arrival of each change."""
    seconds = []
    for nth in rounds:
        crowd.read()
        crowd.clear()
        await change(nth)
        await asyncio.sleep(out_seconds)
        await crowd.receive(1, 15)
        arrivals = [at for each in crowd.sockets for at, _ in each.frames if at is not None]
        seconds.append(max(arrivals) - min(arrivals))
    return seconds


async def memory(stack: Stack, *, quick: bool) -> list[Result]:
    """Resident memory of the web process with and without two thousand idle sockets, without the
    kernel's buffers."""
    sockets = 500 if quick else SOCKETS
    offers = await accounts.instructors(stack.pool, "memory", 100, first=accounts.today())
    say(f"{sockets:,} idle sockets")
    async with stack.product() as web:
        openings = [
            watching(web, offer.instructor_id, accounts.today(), WINDOW_DAYS) for offer in offers
        ]
        product = await _memory_of(web.pid, (web.host, web.port), openings, sockets)
    async with bare(stack) as plain_server:
        floor = await _memory_of(
            plain_server.pid, ("127.0.0.1", plain_server.port), [Opening(b"idle\n")], sockets
        )
    return [
        Result(
            f"memory of the web process per idle socket, of {sockets:,} on {len(offers)} boards",
            f"{product / 1000:.1f} kB",
            f"{floor / 1000:.1f} kB (bare)",
            f"{product / floor:.1f}×",
            f"≤ {AIM_BYTES // 1000} kB",
            product <= AIM_BYTES,
        )
    ]


async def _memory_of(
    pid: int, address: tuple[str, int], openings: list[Opening], sockets: int
) -> float:
    """Bytes per socket."""
    process = psutil.Process(pid)
    first, crowd = Crowd(), Crowd()
    try:
        # Fixed costs of the process and of its cached boards.
        await first.connect(address, (openings * 100)[:100])
        await first.receive(1, 30)
        await asyncio.sleep(1)
        before = process.memory_info().rss
        await crowd.connect(address, (openings * sockets)[:sockets])
        await crowd.receive(1, 60)
        await asyncio.sleep(2)
        return (process.memory_info().rss - before) / sockets
    finally:
        first.close()
        crowd.close()
