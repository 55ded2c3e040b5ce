"""An instructor without availability, and the client signed in as her."""

from datetime import date, timedelta

import httpx
import pytest

from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.factories import Instructor


@pytest.fixture
async def anna(pool: Pool) -> Instructor:
    return await factories.instructor(pool, "Anna", days=0)


@pytest.fixture
async def as_anna(
    client: httpx.AsyncClient, pool: Pool, settings: Settings, anna: Instructor
) -> httpx.AsyncClient:
    """The client, signed in as Anna."""
    client.headers["Authorization"] = f"Bearer {await factories.token_of(pool, anna.id, settings)}"
    return client


@pytest.fixture
def monday(anna: Instructor) -> date:
    """A Monday in two weeks."""
    return anna.today + timedelta(days=14 - anna.today.weekday())
