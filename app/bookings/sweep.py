"""Changes that become due by time alone (sql/functions/sweep.sql): expired holds are released, and
lessons that ended a day ago are completed."""

from datetime import datetime

from app.db import Pool
from app.statements import statement

# Calendars per batch. They stay locked for its whole duration.
BATCH_SIZE = 50

_sweep = statement("sweep_bookings", int)


async def run(pool: Pool, *, now: datetime) -> int:
    """Handles all due bookings in batches, each a transaction of its own, and returns how many.
    Raises Unavailable."""
    handled = 0
    while True:
        count = await _sweep.one(pool, limit=BATCH_SIZE, waits=False, now=now)
        # Nothing, although something is due: other writers have locked all these calendars.
        count = count or await _sweep.one(pool, limit=1, waits=True, now=now)
        if not count:
            return handled
        handled += count
