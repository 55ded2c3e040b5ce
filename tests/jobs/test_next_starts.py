"""The worker computes invalidated next starts."""

import asyncio

from app.db import Pool
from tests import factories
from tests.cluster import PATIENCE
from tests.processes import Starter

INVALIDATED = "select count(*) from next_start where valid_until < now()"


async def until_computed(pool: Pool) -> None:
    async with asyncio.timeout(PATIENCE):
        while await pool.fetchval(INVALIDATED):
            await asyncio.sleep(0.1)


async def test_invalidated_next_starts_are_computed_again(pool: Pool, start: Starter) -> None:
    anna = await factories.instructor(pool, "Anna")
    assert await pool.fetchval(INVALIDATED) == 2
    start("worker")
    await until_computed(pool)
    stored = "select minutes, start from next_start where instructor_id = $1 order by minutes"
    first = await pool.fetch(stored, anna.id)
    await pool.execute("select forget_next_start($1)", anna.id)
    assert await pool.fetchval(INVALIDATED) == 2
    await until_computed(pool)
    assert await pool.fetch(stored, anna.id) == first
