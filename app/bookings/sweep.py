"""Changes that become due by time alone (sql/functions/sweep.sql): expired holds are released, and
lessons that ended a day ago are completed."""

from datetime import datetime

from app.db import Pool
from app.statements import statement

# Calendars per batch. They stay locked for its whole duration.
BATCH_SIZE = 50

_sweep = statement("sweep_bookings", int)


async def run(pool: Pool, *, now: datetime) -> int:
    """Handles all due bookings in batches, each in its own transaction, and returns their number.
    Raises Unavailable."""
    handled = 0
    while True:
        count = await _sweep.one(pool, limit=BATCH_SIZE, waits=False, now=now)
        # None handled: either nothing is due, or other writers have locked all due calendars.
        count = count or await _sweep.one(pool, limit=1, waits=True, now=now)
        if not count:
            return handled
        handled += count
