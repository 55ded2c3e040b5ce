"""An instructor, two students, and what they send to the API."""

import httpx
import pytest

from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.bookings.browser import Browser, browser
from tests.factories import Instructor


@pytest.fixture
async def anna(pool: Pool) -> Instructor:
    return await factories.instructor(pool, "Anna")


@pytest.fixture
async def ben(client: httpx.AsyncClient, pool: Pool, settings: Settings) -> Browser:
    return await browser(client, pool, settings, await factories.student(pool, "Ben"))


@pytest.fixture
async def carl(client: httpx.AsyncClient, pool: Pool, settings: Settings) -> Browser:
    return await browser(client, pool, settings, await factories.student(pool, "Carl"))


@pytest.fixture
async def as_anna(
    client: httpx.AsyncClient, pool: Pool, settings: Settings, anna: Instructor
) -> Browser:
    return await browser(client, pool, settings, anna)
