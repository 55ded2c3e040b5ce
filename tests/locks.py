"""Calls that wait for a lock, so that a test decides which of them comes first."""

import asyncio

from app.db import Pool
from tests.cluster import PATIENCE


async def lock_waits(pool: Pool) -> int:
    """The number of other connections that wait for a lock in this database."""
    count: int = await pool.fetchval(
        """select count(*) from pg_stat_activity
           where datname = current_database() and wait_event_type = 'Lock'
             and pid <> pg_backend_pid()"""
    )
    return count


async def until_lock_waits(pool: Pool, count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while await lock_waits(pool) < count:
            await asyncio.sleep(0.01)
