"""A web server and a relay in the test's own loop, and screens at them. Tests that kill processes
start real ones."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest_asyncio
import uvicorn

from app.main import build
from app.settings import Settings
from app.web.http_protocol import HttpProtocol
from realtime import messages, relay
from realtime.endpoint import UpgradeProtocol
from realtime.shutdown import Server
from tests.cluster import PATIENCE
from tests.realtime.screens import Screens


@asynccontextmanager
async def serving(settings: Settings, **options: Any) -> AsyncIterator[str]:
    """The application under uvicorn; its URL. `options` are those of `build`."""
    config = uvicorn.Config(
        build(settings, **options),
        http=HttpProtocol,
        ws=UpgradeProtocol,
        ws_max_size=messages.MAX_FRAME,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        proxy_headers=True,
        forwarded_allow_ips=settings.trusted_proxies,
    )
    server = Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        task = asyncio.create_task(server._serve([listening]))
        while not server.started and not task.done():
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await asyncio.wait_for(task, PATIENCE)


@pytest_asyncio.fixture
async def url(settings: Settings) -> AsyncIterator[str]:
    """Where a web process answers, with a relay beside it."""
    relaying = asyncio.create_task(relay.main(settings))
    async with serving(settings) as url:
        yield url
    relaying.cancel()
    await asyncio.gather(relaying, return_exceptions=True)


@pytest_asyncio.fixture
async def screens(url: str) -> AsyncIterator[Screens]:
    """Screens at `url`."""
    screens = Screens(url)
    yield screens
    await screens.close()
