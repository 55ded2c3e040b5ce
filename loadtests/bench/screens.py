"""The time from a booking's commit to the screens that watch its calendar, at 200 bookings per
second. The floor is a commit, a message through Redis, and the same bytes written to as many
sockets."""

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
import redis.asyncio

from app.statements import statement
from loadtests.bench import accounts, client
from loadtests.bench.accounts import Offer
from loadtests.bench.bare import CHANNEL
from loadtests.bench.report import Result, say
from loadtests.bench.sockets import Crowd, Opening, frame, watching
from loadtests.bench.stack import BenchError, Stack
from loadtests.table import milliseconds, percentile
from loadtests.verdict import commits

CALENDARS = 100
SOCKETS_EACH = 10
PER_SECOND = 200
WINDOW_DAYS = 14
AIMS = {99: 0.020}
_LATEST_SECONDS = 15

_commit = statement("bench_commit", datetime)


# Seconds from commits to arrivals, and the messages.
Delays = tuple[list[float], list[bytes]]


@dataclass(frozen=True)
class Bare:
    """A server that only writes; `publish` makes it write bytes to a group of sockets."""

    port: int
    pid: int
    publish: Callable[[str, bytes], Awaitable[None]]


async def latency(stack: Stack, *, quick: bool) -> list[Result]:
    turns, seconds = (1, 6) if quick else (4, 6)
    offers = await accounts.instructors(stack.pool, "screens", CALENDARS, first=accounts.today())
    product: list[float] = []
    floor: list[float] = []
    async with _product(stack, offers) as booked, _floor(stack) as committed:
        say(
            f"{PER_SECOND} bookings a second, {CALENDARS} calendars, "
            f"{SOCKETS_EACH} sockets each, and the floor, alternately"
        )
        (sample,) = (await booked(CALENDARS))[1][:1]  # warms up, and returns a change
        await committed(CALENDARS, sample)
        for _ in range(turns):
            product += (await booked(PER_SECOND * seconds))[0]
            floor += await committed(PER_SECOND * seconds, sample)
    count = f"{len(product):,} arrivals"
    return [
        Result(
            f"commit to screen, {PER_SECOND} bookings/s, {CALENDARS} × {SOCKETS_EACH} sockets "
            f"({count}): p{q}",
            milliseconds(percentile(product, q)),
            f"{milliseconds(percentile(floor, q))} (commit, Redis, write)",
            f"{percentile(product, q) / percentile(floor, q):.1f}×",
            f"≤ {AIMS[q] * 1000:.0f} ms" if q in AIMS else "",
            percentile(product, q) <= AIMS[q] if q in AIMS else None,
        )
        for q in (50, 95, 99)
    ]


@asynccontextmanager
async def _product(
    stack: Stack, offers: Sequence[Offer]
) -> AsyncIterator[Callable[[int], Awaitable[Delays]]]:
    """Books `count` lessons at the given rate; returns the seconds from each commit to each screen,
    and the messages."""
    students = await accounts.signed_in(stack, "screens", 2 * CALENDARS)
    starts = accounts.half_hours(2, WINDOW_DAYS - 3)
    numbers = itertools.count()
    crowd = Crowd()
    async with stack.product() as web:
        connections = await client.connections(web, 2 * PER_SECOND)

        async def book(_: int) -> None:
            n = next(numbers)
            nth, calendar = divmod(n, CALENDARS)
            student = students[(calendar + 37 * nth) % len(students)]
            status, body = await connections[n % len(connections)].ask(
                client.booking(web, student, offers[calendar], starts[nth])
            )
            if status != 201:
                raise BenchError(f"A booking got status {status}: {body!r}.")

        async def booked(count: int) -> Delays:
            since = datetime.now(UTC)
            await _steadily(book, count, crowd)
            rows = await commits.all(
                stack.pool, instructors=[offer.instructor_id for offer in offers], since=since
            )
            written = {
                (str(row.instructor_id), row.version): row.created_at.timestamp() for row in rows
            }
            frames = [
                (at, orjson.loads(text), text) for each in crowd.sockets for at, text in each.frames
            ]
            delays = [
                at - written[change["instructor"], change["version"]]
                for at, change, _ in frames
                if at is not None
            ]
            return delays, [text for _, _, text in frames]

        try:
            openings = [
                watching(web, offer.instructor_id, accounts.today(), WINDOW_DAYS)
                for offer in offers
            ] * SOCKETS_EACH
            await crowd.connect((web.host, web.port), openings)
            await crowd.receive(1, 30)
            yield booked
        finally:
            crowd.close()
            for connection in connections:
                connection.close()


@asynccontextmanager
async def _floor(stack: Stack) -> AsyncIterator[Callable[[int, bytes], Awaitable[list[float]]]]:
    """Commits at the given rate and makes the bare server write as many bytes; returns the seconds
    from each commit to each socket."""
    ids = await accounts.students(stack.pool, "floor", CALENDARS)
    crowd = Crowd()
    async with bare(stack) as plain:

        async def committed(count: int, sample: bytes) -> list[float]:
            written: list[float] = []

            async def commit(n: int) -> None:
                written.append((await _commit.one(stack.pool, id=ids[n % CALENDARS])).timestamp())
                # The same bytes, with the number of the commit.
                await plain.publish(
                    str(n % CALENDARS), frame(f"{len(written) - 1:08}".encode() + sample)
                )

            await _steadily(commit, count, crowd)
            return [
                at - written[int(text[:8])]
                for each in crowd.sockets
                for at, text in each.frames
                if at is not None
            ]

        try:
            openings = [Opening(f"{n}\n".encode()) for n in range(CALENDARS)] * SOCKETS_EACH
            await crowd.connect(("127.0.0.1", plain.port), openings)
            await crowd.receive(1, 30)
            yield committed
        finally:
            crowd.close()


async def _steadily(work: Callable[[int], Awaitable[None]], count: int, crowd: Crowd) -> None:
    """Starts `work` at a constant rate, then waits until the crowd has received all its
    messages."""
    loop = asyncio.get_running_loop()
    crowd.read()
    crowd.clear()
    started = loop.time()
    async with asyncio.TaskGroup() as group:
        for n in range(count):
            await asyncio.sleep(started + n / PER_SECOND - loop.time())
            group.create_task(_run(work(n)))
            if n % 5 == 0:
                crowd.read()
    await crowd.receive(count // CALENDARS, _LATEST_SECONDS)


async def _run(work: Awaitable[None]) -> None:
    await work


@asynccontextmanager
async def bare(stack: Stack) -> AsyncIterator[Bare]:
    """Runs a bare server."""
    url = stack.settings.redis_url.get_secret_value()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loadtests.bench.bare", url, stdout=asyncio.subprocess.PIPE
    )
    publisher = redis.asyncio.Redis.from_url(url)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            port = int(await process.stdout.readline())

        async def publish(group: str, payload: bytes) -> None:
            await publisher.publish(CHANNEL, f"{group}\n".encode() + payload)

        yield Bare(port, process.pid, publish)
    finally:
        await publisher.aclose()
        if process.returncode is None:
            process.kill()
        await process.wait()
