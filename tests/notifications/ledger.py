"""The rows of the notification table, and bookings that create them."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from app.bookings import booking, cancellation, reschedule
from app.bookings.booking import Booking
from app.db import Pool
from app.notifications import delivery, smtp
from app.notifications.delivery import WorkerContext
from app.settings import Settings
from tests import factories
from tests.factories import Account, Instructor


def now() -> datetime:
    return datetime.now(UTC)


async def couple(pool: Pool) -> tuple[Instructor, Account]:
    """An instructor, Anna, and a student, Ben."""
    return await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")


async def book(
    pool: Pool,
    anna: Instructor,
    ben: Account,
    wall_clock: str = "10:00",
    *,
    day: int = 3,
    note: str = "",
    at: datetime | None = None,
) -> Booking:
    """Books the time, `day` days from today on the instructor's clock."""
    return await booking.reserve(
        pool,
        ben.id,
        service_id=anna.service_id,
        start=anna.at(wall_clock, day=day),
        minutes=60,
        location_type=None,
        location="12 Main St",
        note=note,
        now=at or now(),
    )


async def cancel(
    pool: Pool,
    account: Account,
    booked: Booking,
    reason: str = "",
    *,
    at: datetime | None = None,
) -> Booking:
    return await cancellation.cancel(pool, account.id, booked.id, reason=reason, now=at or now())


async def move(
    pool: Pool, account: Account, booked: Booking, start: datetime, *, at: datetime | None = None
) -> Booking:
    return await reschedule.move(
        pool, account.id, booked.id, start=start, minutes=None, now=at or now()
    )


async def rows(pool: Pool) -> list[dict[str, Any]]:
    """Every notification, oldest first."""
    return [
        dict(row)
        for row in await pool.fetch(
            """select n.id, n.kind, a.email::text, n.attempts, n.last_error, n.due_at, n.sent_at,
                 n.given_up_at, n.dropped_reason
               from notification n join account a on a.id = n.recipient_id order by n.id"""
        )
    ]


async def unsent(pool: Pool) -> int:
    count: int = await pool.fetchval(
        "select count(*) from notification where sent_at is null and given_up_at is null"
    )
    return count


async def dev_mails(pool: Pool) -> list[tuple[str, str]]:
    """Recipient and subject of each stored mail, oldest first."""
    return [
        tuple(row)
        for row in await pool.fetch("select recipient, subject from dev_mail order by id")
    ]


async def deliver_due(pool: Pool, settings: Settings, *, at: Callable[[], datetime] = now) -> int:
    """Delivers all due notifications that wait for no other; returns their number."""
    due = [row.id for row in await delivery.due(pool, limit=100, now=at()) if not row.waits]
    await deliver_each(pool, due, settings, at=at)
    return len(due)


async def deliver_each(
    pool: Pool, ids: Sequence[int], settings: Settings, *, at: Callable[[], datetime] = now
) -> None:
    """Delivers them one after another."""
    with worker_context(pool, settings, at=at) as context:
        for notification_id in ids:
            await delivery.deliver(context, notification_id)


@contextmanager
def worker_context(
    pool: Pool, settings: Settings, *, at: Callable[[], datetime] = now
) -> Iterator[WorkerContext]:
    with smtp.open_mailer(settings) as mailer:
        yield WorkerContext(pool, settings, mailer, at, asyncio.Semaphore(10), asyncio.Event())


async def make_all_due(pool: Pool) -> None:
    """As if the pauses between attempts had passed."""
    await pool.execute("update notification set due_at = now() - interval '1 second'")
