"""Workers for the tests: in this process (`running_worker`), or as processes that can be killed
(`workers`)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from pydantic import SecretStr

from app.db import Pool
from app.settings import Settings, environment
from jobs import worker
from tests.cluster import PATIENCE
from tests.jobs import killable
from tests.notifications.ledger import unsent
from tests.notifications.mailbox import Mailbox, mailbox
from tests.processes import Running, fork


@pytest_asyncio.fixture
async def box() -> AsyncIterator[Mailbox]:
    """A running SMTP server."""
    async with mailbox() as running:
        yield running


@pytest.fixture
def by_smtp(settings: Settings, box: Mailbox) -> Settings:
    """Settings that send to the mailbox."""
    return settings.model_copy(update={"smtp_url": SecretStr(box.url)})


@asynccontextmanager
async def running_worker(settings: Settings) -> AsyncIterator[None]:
    """Runs a worker in this process."""
    stop = asyncio.Event()
    task = asyncio.create_task(worker.run(settings, stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, PATIENCE)


@pytest.fixture
def workers() -> Iterator[Callable[[Settings], Running]]:
    """Starts worker processes, and stops the remaining ones after the test."""
    started: list[Running] = []

    def start(settings: Settings) -> Running:
        started.append(fork("worker", killable.run, variables=environment(settings)))
        return started[-1]

    yield start
    for running in started:
        running.close()


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = PATIENCE) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


async def all_sent(pool: Pool, seconds: float = PATIENCE) -> None:
    async def none_left() -> bool:
        return await unsent(pool) == 0

    await until(none_left, seconds)
