"""A web process with a relay, and screens at it."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.processes import Running
from tests.realtime.screens import Screens


@pytest_asyncio.fixture
async def screens(server: Running) -> AsyncIterator[Screens]:
    """Screens at `server`."""
    screens = Screens(server.url)
    yield screens
    await screens.close()
