"""The worker keeps the next starts known."""

import asyncio

from app.db import Pool
from tests import factories
from tests.processes import Starter

UNKNOWN = "select count(*) from next_start where valid_until < now()"


async def until_known(pool: Pool) -> None:
    async with asyncio.timeout(30):
        while await pool.fetchval(UNKNOWN):
            await asyncio.sleep(0.1)


async def test_what_is_unknown_is_computed_also_after_it_was_forgotten(pool: Pool, start: Starter) -> None:
    anna = await factories.instructor(pool, "Anna")
    assert await pool.fetchval(UNKNOWN) == 2
    start("worker")
    await until_known(pool)
    known = await pool.fetch("select minutes, start from next_start where instructor_id = $1 order by minutes", anna.id)
    await pool.execute("select forget_next_start($1)", anna.id)
    assert await pool.fetchval(UNKNOWN) == 2
    await until_known(pool)
    again = "select minutes, start from next_start where instructor_id = $1 order by minutes"
    assert await pool.fetch(again, anna.id) == known
