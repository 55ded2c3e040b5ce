"""Delivering one notification. The row is the truth: it is locked while its message is on the way and marked in the same
transaction, so whoever dies at whatever instant, it is delivered later by someone else. Only between the SMTP server's "250"
and our commit can a death cost a duplicate; its Message-ID is then the same."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from traceback import extract_tb
from typing import Any
from uuid import UUID

import structlog

from app.bookings import booking
from app.bookings.booking import Booking
from app.bookings.ical import host
from app.db import Pool, Tx, transact
from app.notifications import mail, smtp
from app.notifications.message import KINDS, Message, Reader, compose
from app.notifications.smtp import Mailer
from app.refusal import Unavailable
from app.settings import Settings
from app.statements import statement

log = structlog.get_logger("notifications")

# 10 s, 20 s, 40 s … 1 h: thirty attempts last about a day.
FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(hours=1)
ATTEMPTS = 30


@dataclass(frozen=True, slots=True)
class Due:
    """A notification to be sent. `waits`: an earlier message to the same person about the same booking goes first."""

    id: int
    waits: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """A notification this transaction has locked, who it is for, and the lesson (a row of booking_detail)."""

    id: int
    kind: str
    attempts: int
    booking_id: UUID
    recipient_id: UUID
    email: str
    full_name: str
    cancelled_by: UUID | None
    booking: dict[str, Any]


_due = statement("due_notifications", Due)
_take = statement("take_notification", Taken)
_mark_sent = statement("mark_notification_sent", int)
_mark_failed = statement("mark_notification_failed", int)
_drop = statement("drop_notification", int)
_insert_dev_mail = statement("insert_dev_mail", int)


async def due(pool: Pool, *, limit: int, now: datetime) -> list[Due]:
    """The notifications that are to be sent now, those due longest first."""
    return await _due.all(pool, now=now, kinds=KINDS, limit=limit)


@dataclass(frozen=True, slots=True)
class Resources:
    """What deliveries share. Without a mailer, mails are kept for /dev/mail. `places` bounds the deliveries that are under way at
    once; none begins once `stop` is set."""

    pool: Pool
    settings: Settings
    mailer: Mailer | None
    now: Callable[[], datetime]
    places: asyncio.Semaphore
    stop: asyncio.Event


async def deliver_all(
    resources: Resources, notification_ids: Sequence[int], *, begin_within: float
) -> None:
    """Delivers each on its own, several at once, so that a slow recipient holds up nobody. What has not begun after so many
    seconds, or ends by a fault of ours, stays due."""
    clock = asyncio.get_running_loop().time
    ends = clock() + begin_within

    async def one(notification_id: int) -> None:
        async with resources.places:
            if clock() < ends and not resources.stop.is_set():
                await deliver(resources, notification_id)

    for result in await asyncio.gather(*map(one, notification_ids), return_exceptions=True):
        if isinstance(result, Unavailable):
            log.warning("notification_left_due", reason="Postgres is unavailable")
        elif isinstance(result, Exception):
            log.error("delivery_failed", exc_info=result)


async def deliver(resources: Resources, notification_id: int) -> None:
    """Sends it, if it is still to be sent and nobody else is sending it. A failure to send is noted in the row, which is due again
    later. Raises Unavailable when Postgres is away."""

    async def work(tx: Tx) -> None:
        taken = await _take.first(tx, id=notification_id, now=resources.now(), kinds=KINDS)
        if taken is not None:
            await _attempt(tx, taken, resources)

    await transact(resources.pool, work)


async def _attempt(tx: Tx, taken: Taken, resources: Resources) -> None:
    settings, now = resources.settings, resources.now
    about = booking.from_row_json(taken.booking)
    if _overtaken(taken, about):
        await _drop.run(tx, id=taken.id, now=now(), reason="overtaken: the booking is cancelled")
        log.info(
            "notification dropped",
            notification=taken.id,
            kind=taken.kind,
            reason="the booking is cancelled",
        )
        return
    try:
        message = _write(taken, about, settings, now())
        if resources.mailer:
            message_id = f"<{taken.booking_id}.{taken.id}@{host(settings.site_url)}>"
            await resources.mailer.send(
                mail.mail(message, mail_from=settings.mail_from, message_id=message_id, now=now())
            )
    except Exception as error:  # noqa: BLE001 — whatever is wrong with this one, it must not be tried again at once, for ever
        await _failed(tx, taken, error, now())
        return
    if not resources.mailer:
        await _keep(tx, taken, message, settings.mail_from, now())
    await _mark_sent.run(tx, id=taken.id, now=now())
    log.debug("notification sent", notification=taken.id, kind=taken.kind)


def _write(taken: Taken, about: Booking, settings: Settings, now: datetime) -> Message:
    reader = Reader(taken.recipient_id, taken.full_name, taken.email)
    return compose(
        taken.kind,
        about,
        reader,
        cancelled_by=taken.cancelled_by,
        site_url=settings.site_url,
        mail_from=settings.mail_from,
        now=now,
    )


def _overtaken(taken: Taken, about: Booking) -> bool:
    """A confirmation that could not be sent in time is not sent after a cancellation: the person would believe the later mail.
    One whose first turn comes only now is sent, before the cancellation's (see due_notifications): both happened."""
    return taken.kind == "booking_confirmed" and taken.attempts > 0 and about.state == "cancelled"


async def _failed(tx: Tx, taken: Taken, error: Exception, now: datetime) -> None:
    attempts = taken.attempts + 1
    hopeless = attempts >= ATTEMPTS or smtp.hopeless(error)
    fault = smtp.fault(error)
    pause = min(FIRST_PAUSE * 2 ** min(taken.attempts, 20), LONGEST_PAUSE)
    await _mark_failed.run(
        tx, id=taken.id, error=fault, due_at=now + pause, given_up_at=now if hopeless else None
    )
    seen = {
        "notification": taken.id,
        "kind": taken.kind,
        "attempts": attempts,
        "error": fault,
        "at": _place(error),
    }
    if hopeless:
        log.error("notification given up", **seen)
    else:
        log.warning("notification not sent", **seen, again_seconds=int(pause.total_seconds()))


def _place(error: Exception) -> str:
    """Where it was raised: enough to find a bug, without the error's words, which may name people."""
    frames = extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


async def _keep(tx: Tx, taken: Taken, message: Message, mail_from: str, now: datetime) -> None:
    await _insert_dev_mail.run(
        tx,
        notification_id=taken.id,
        now=now,
        sender=mail_from,
        recipient=message.address,
        subject=message.subject,
        body_text=message.text,
        body_html=message.html,
        calendar=message.calendar,
    )
