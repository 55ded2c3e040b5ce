"""A mailbox for the tests of mails."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.notifications.mailbox import Mailbox, mailbox


@pytest_asyncio.fixture
async def box() -> AsyncIterator[Mailbox]:
    """A running SMTP server."""
    async with mailbox() as running:
        yield running
