"""Five thousand sockets: the time until all of them have a correct board when they connect at once,
and the delays of the web process's event loop while they are idle."""

import asyncio
import re
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import orjson

from loadtests.bench import accounts
from loadtests.bench.report import Result, say
from loadtests.bench.screens import bare
from loadtests.bench.sockets import Crowd, Opening, watching
from loadtests.bench.stack import BenchError, Stack, Web
from loadtests.table import milliseconds

SOCKETS = 5_000
CALENDARS = 100
WINDOW_DAYS = 14
AIM_SECONDS = 5.0
# No delay may exceed this bucket of the metric.
AIM_STALL = 0.05
# Each socket gets one beacon in this time.
IDLE_SECONDS = 21


async def storm(stack: Stack, *, quick: bool) -> list[Result]:
    """Seconds from the first connection to the last board."""
    sockets = 1_000 if quick else SOCKETS
    offers = await accounts.instructors(stack.pool, "storm", CALENDARS, first=accounts.today())
    say(f"{sockets:,} sockets at once, and as many to a bare server")
    _allow(sockets)
    crowd, plain = Crowd(), Crowd()
    async with stack.product() as web, bare(stack) as plain_server:
        watches = [
            watching(web, offer.instructor_id, accounts.today(), WINDOW_DAYS) for offer in offers
        ]
        try:
            floor = await _seconds(
                plain, ("127.0.0.1", plain_server.port), [Opening(b"idle\n")] * sockets
            )
            seconds = await _seconds(crowd, (web.host, web.port), (watches * sockets)[:sockets])
            await _check_boards(stack, crowd)
        finally:
            crowd.close()
            plain.close()
    return [
        Result(
            f"{sockets:,} sockets that connect at once all have a correct board "
            f"({CALENDARS} calendars)",
            milliseconds(seconds),
            f"{milliseconds(floor)} (bare connections)",
            f"{seconds / floor:.1f}×",
            f"≤ {AIM_SECONDS:.0f} s",
            seconds <= AIM_SECONDS,
        )
    ]


async def idle(stack: Stack, *, quick: bool) -> list[Result]:
    """The web process's metric of event loop delays, during one beacon and two pings per socket."""
    sockets = 1_000 if quick else SOCKETS
    offers = await accounts.instructors(stack.pool, "idle", CALENDARS, first=accounts.today())
    say(f"{sockets:,} idle sockets for {IDLE_SECONDS} s")
    _allow(sockets)
    async with stack.product() as web, _connected(web, offers, sockets):
        before = await _late(web)
        await asyncio.sleep(IDLE_SECONDS)
        after = await _late(web)
    ticks = after[0] - before[0]
    stalls = ticks - (after[1] - before[1])
    return [
        Result(
            f"times in {IDLE_SECONDS} s that the loop was over {milliseconds(AIM_STALL)} late, "
            f"with {sockets:,} idle sockets",
            f"{stalls:.0f} of {ticks:.0f}",
            "",
            "",
            "0",
            stalls == 0,
        )
    ]


@asynccontextmanager
async def _connected(web: Web, offers: list[accounts.Offer], sockets: int) -> AsyncIterator[None]:
    crowd = Crowd()
    watches = [
        watching(web, offer.instructor_id, accounts.today(), WINDOW_DAYS) for offer in offers
    ]
    try:
        await crowd.connect((web.host, web.port), (watches * sockets)[:sockets])
        await crowd.receive(1, 60)
        await asyncio.sleep(2)
        yield
    finally:
        crowd.close()


async def _seconds(crowd: Crowd, address: tuple[str, int], openings: list[Opening]) -> float:
    started = time.monotonic()
    await crowd.connect(address, openings)
    await crowd.receive(1, 60)
    return time.monotonic() - started


async def _check_boards(stack: Stack, crowd: Crowd) -> None:
    rows = await stack.pool.fetch("select instructor_id, version from calendar")
    versions = {str(row["instructor_id"]): row["version"] for row in rows}
    for each in crowd.sockets:
        board = orjson.loads(each.frames[0][1])
        if board["type"] != "board" or board["version"] != versions[board["instructor"]]:
            raise BenchError(f"A socket has a wrong board: {board['type']} {board.get('version')}.")


async def _late(web: Web) -> tuple[float, float]:
    """The number of measured delays, and of those within the limit."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://{web.host}:{web.port}/metrics")).text

    def value(name: str) -> float:
        match = re.search(rf"^live_loop_delay_seconds_{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert match, name
        return float(match[1])

    return value("count"), value(f'bucket{{le="{AIM_STALL}"}}')


def _allow(sockets: int) -> None:
    """Raises the limit of open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2 * sockets + 500:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2 * sockets + 500), hard))
