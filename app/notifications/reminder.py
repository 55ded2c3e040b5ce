"""Reminders, 24 hours before a lesson, to both people. Their notifications are inserted when they
become due, so a moved or cancelled lesson needs no bookkeeping; `delivery` drops a reminder whose
lesson has changed since, and keeps the quiet hours."""

from datetime import datetime

from app.db import Pool
from app.statements import statement

# Lessons per statement, so that none takes long.
BATCH = 500

_insert_reminders = statement("insert_reminders", int)


async def insert_due(pool: Pool, *, now: datetime) -> int:
    """Inserts the notifications of all reminders that are due, once each, also if several workers
    do so at the same time. Returns the number of lessons. Raises Unavailable."""
    total = 0
    while lessons := await _insert_reminders.one(pool, now=now, limit=BATCH):
        total += lessons
        if lessons < BATCH:
            break
    return total
