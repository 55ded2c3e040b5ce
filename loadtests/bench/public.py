"""Public availability: from the cache, and from Postgres. The floor of the cache is a bare
Starlette route with the same JSON; of a 304, that of the shorter answer."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from app.bookings import booking
from loadtests.bench import accounts, client
from loadtests.bench.booking import WEB, backend_seconds
from loadtests.bench.cpu import cpu_seconds
from loadtests.bench.report import Result, say
from loadtests.bench.stack import BenchError, Stack, Web
from loadtests.table import milliseconds, percentile

AIM_RATIO = 0.6
AIM_SECONDS = 0.004
CONNECTIONS = 16
ROUND_REQUESTS = 4_000
INSTRUCTORS = 500
DAYS = 30
LESSONS_A_DAY = 4


@dataclass
class Target:
    """A server, a request to it, and what it took."""

    name: str
    web: Web
    request: bytes
    status: int
    seconds: float = 0
    cpu: float = 0
    requests: int = 0

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    @property
    def cpu_each(self) -> float:
        return self.cpu / self.requests


async def measure(stack: Stack, *, quick: bool) -> list[Result]:
    instructor_id = await _instructor(stack)
    path = f"/api/public/instructors/{instructor_id}"
    cached = await _cached(stack, path, quick=quick)
    # Another process: with the setting 0, nothing is cached.
    uncached = stack.settings.model_copy(update={"public_availability_cache_ttl": 0})
    return cached + await _uncached(replace(stack, settings=uncached), path, quick=quick)


async def _instructor(stack: Stack) -> UUID:
    """One of INSTRUCTORS, with lessons on each of the next days."""
    say(f"{INSTRUCTORS} instructors; {LESSONS_A_DAY * DAYS} lessons of one of them")
    first = accounts.today()
    offers = await accounts.instructors(stack.pool, "public", INSTRUCTORS, first=first)
    students = await accounts.students(stack.pool, "public", LESSONS_A_DAY)
    now = datetime.now(UTC)
    for nth, start in enumerate(accounts.half_hours(1, DAYS)[:: 20 // LESSONS_A_DAY]):
        await booking.reserve(
            stack.pool,
            students[nth % LESSONS_A_DAY],
            service_id=offers[0].service_id,
            start=start,
            minutes=30,
            location_type=None,
            location="at home",
            note="",
            now=now,
        )
    await stack.pool.execute("analyze")
    return offers[0].instructor_id


async def _cached(stack: Stack, path: str, *, quick: bool) -> list[Result]:
    async with stack.product() as web:
        (connection,) = await client.connections(web, 1)
        await asyncio.sleep(1)  # until the first reconcile
        status, body = await connection.ask(_get(web, f"{path}/availability"))
        assert status == 200
        _, next_body = await connection.ask(_get(web, f"{path}/next-available"))
        etag = await _etag(web, f"{path}/availability")
        say("public availability from the cache, alternately with bare Starlette")
        with ExitStack() as files:
            bare = files.enter_context(_bare(stack, body))
            short = files.enter_context(_bare(stack, next_body))
            targets = [
                Target("days", web, _get(web, f"{path}/availability"), 200),
                Target("bare", bare, _get(bare, "/"), 200),
                Target("next", web, _get(web, f"{path}/next-available"), 200),
                Target(
                    "304", web, _get(web, f"{path}/availability", f"If-None-Match: {etag}"), 304
                ),
                Target("bare short", short, _get(short, "/"), 200),
            ]
            for turn in range(1 + (3 if quick else 10)):
                for target in targets:
                    await _round(target, counts=turn > 0)
        connection.close()
    by_name = {target.name: target for target in targets}
    floors = {"days": "bare", "next": "bare short", "304": "bare short"}
    names = {
        "days": f"public availability of {DAYS} days from the cache ({len(body):,} bytes)",
        "next": "public next-available from the cache",
        "304": "public availability from the cache: 304",
    }
    return [
        Result(
            f"{names[name]}: requests a second, CPU of the process",
            f"{by_name[name].rate:,.0f}/s, {_micro(by_name[name])}",
            f"{by_name[floor].rate:,.0f}/s, {_micro(by_name[floor])} (bare Starlette)",
            f"{(ratio := by_name[floor].cpu_each / by_name[name].cpu_each):.2f}",
            f"≥ {AIM_RATIO} of its requests per CPU second",
            ratio >= AIM_RATIO,
        )
        for name, floor in floors.items()
    ]


async def _uncached(stack: Stack, path: str, *, quick: bool) -> list[Result]:
    say(f"public availability of {DAYS} days from Postgres")
    seconds: dict[str, list[float]] = {"availability": [], "next-available": [], "floor": []}
    async with stack.product() as web:
        (connection,) = await client.connections(web, 1)
        for turn in range(20 + (100 if quick else 1_000)):
            for name, times in seconds.items():
                call = "/health/live" if name == "floor" else f"{path}/{name}"
                started = time.perf_counter()
                status, _ = await connection.ask(_get(web, call))
                assert status == 200
                if turn >= 20:
                    times.append(time.perf_counter() - started)
        cpu = [cpu_seconds(web.pid), await backend_seconds(stack, WEB)]
        for _ in range(requests := 100 if quick else 500):
            await connection.ask(_get(web, f"{path}/availability"))
        cpu = [cpu_seconds(web.pid) - cpu[0], await backend_seconds(stack, WEB) - cpu[1]]
        connection.close()
    floor = percentile(seconds.pop("floor"), 50)
    return [
        Result(
            f"public {name} from Postgres: p50, p99",
            f"{milliseconds(percentile(times, 50))}, {milliseconds(percentile(times, 99))}",
            f"{milliseconds(floor)} (a route without Postgres)",
            f"{percentile(times, 50) / floor:.1f}×",
            "p50 ≤ 4 ms" if name == "availability" else "",
            percentile(times, 50) <= AIM_SECONDS if name == "availability" else None,
        )
        for name, times in seconds.items()
    ] + [
        Result(
            "public availability from Postgres: CPU of the web process, and of Postgres",
            ", ".join(f"{each / requests * 1e3:.1f} ms" for each in cpu),
            "",
            "",
            "",
            None,
        )
    ]


async def _round(target: Target, *, counts: bool) -> None:
    """ROUND_REQUESTS over CONNECTIONS connections that stay open."""
    connections = await client.connections(target.web, CONNECTIONS)

    async def ask(connection: client.Connection) -> None:
        for _ in range(ROUND_REQUESTS // CONNECTIONS):
            status, _ = await connection.ask(target.request)
            assert status == target.status, status

    cpu, started = cpu_seconds(target.web.pid), time.perf_counter()
    async with asyncio.timeout(120):
        await asyncio.gather(*map(ask, connections))
    if counts:
        target.seconds += time.perf_counter() - started
        target.cpu += cpu_seconds(target.web.pid) - cpu
        target.requests += ROUND_REQUESTS
    for connection in connections:
        connection.close()


@contextmanager
def _bare(stack: Stack, body: bytes) -> Iterator[Web]:
    """A bare Starlette application that responds with this JSON."""
    file = stack.log.with_name(f"bare-{len(body)}.json")
    file.write_bytes(body)
    program = [sys.executable, "-m", "loadtests.bench.bare_json", str(Path(file))]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as running:  # noqa: S603 — our own
        try:
            assert running.stdout is not None
            port = running.stdout.readline()
            if not port:
                raise BenchError("The bare application did not start.")
            yield Web("127.0.0.1", int(port), running.pid)
        finally:
            running.terminate()


async def _etag(web: Web, path: str) -> str:
    """The ETag, which the lean client does not read."""
    reader, writer = await asyncio.open_connection(web.host, web.port)
    writer.write(_get(web, path))
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    writer.close()
    lines = [line.partition(": ") for line in head.split("\r\n")]
    return next(value for name, _, value in lines if name.lower() == "etag")


def _get(web: Web, path: str, *headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", f"Host: {web.host}:{web.port}", *headers, "", ""]
    return "\r\n".join(lines).encode()


def _micro(target: Target) -> str:
    return f"{target.cpu_each * 1e6:.0f} µs"
