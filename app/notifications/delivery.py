"""Delivers one notification. One transaction locks its row, sends its message and marks it as sent.
If the worker dies, the row is still due, and another worker delivers it. A message is sent twice
only if the worker dies between the SMTP server's "250" and the commit; both then have the same
Message-ID."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from traceback import extract_tb
from typing import Any
from uuid import UUID

import structlog

from app import formatting
from app.accounts import token
from app.bookings.booking import Booking, from_row_json
from app.bookings.ical import host
from app.db import Pool, Tx, transact
from app.notifications import mail, smtp
from app.notifications.message import (
    KINDS,
    TO_STRANGERS,
    Message,
    Recipient,
    about_account,
    compose,
)
from app.notifications.smtp import Mailer
from app.refusal import Unavailable
from app.settings import Settings
from app.statements import statement

log = structlog.get_logger("notifications")

# Pauses of 10 s, 20 s, 40 s … 1 h: thirty attempts take about a day.
FIRST_PAUSE = timedelta(seconds=10)
MAX_PAUSE = timedelta(hours=1)
ATTEMPTS = 30


@dataclass(frozen=True, slots=True)
class DueNotification:
    """`waits`: an earlier message to the same account about the same booking goes first."""

    id: int
    waits: bool


@dataclass(frozen=True, slots=True)
class PendingNotification:
    """A notification that this transaction has locked, with its recipient and its booking (a row of
    booking_detail), if it is about one. `quiet_until` is the end of the current quiet hours.
    `email` is where it goes, `account_email` the account's current address."""

    id: int
    kind: str
    attempts: int
    sequence: int
    booking_id: UUID | None
    recipient_id: UUID
    email: str
    full_name: str
    account_email: str
    clock: str
    is_verified: bool
    is_erased: bool
    password_hash: str | None = field(repr=False)
    is_instructor: bool
    turned_off: bool
    actor_id: UUID | None
    quiet_until: datetime | None
    moved_from: datetime | None
    moved_from_end: datetime | None
    booking: dict[str, Any] | None


_due = statement("due_notifications", DueNotification)
_lock = statement("lock_notification", PendingNotification)
_mark_sent = statement("mark_notification_sent", int)
_mark_failed = statement("mark_notification_failed", int)
_postpone = statement("postpone_notification", int)
_drop = statement("drop_notification", int)
_withhold = statement("withhold_notification", int)
_insert_dev_mail = statement("insert_dev_mail", int)


async def due(pool: Pool, *, limit: int, now: datetime) -> list[DueNotification]:
    """The notifications to be sent now, the oldest first."""
    return await _due.all(pool, now=now, kinds=KINDS, limit=limit)


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """Shared by all deliveries of a worker. Without a mailer, mails are stored for /dev/mail.
    `slots` limits concurrent deliveries. No delivery starts once `stop` is set."""

    pool: Pool
    settings: Settings
    mailer: Mailer | None
    now: Callable[[], datetime]
    slots: asyncio.Semaphore
    stop: asyncio.Event


async def deliver_all(
    context: WorkerContext, notification_ids: Sequence[int], *, begin_within: float
) -> None:
    """Delivers several at once, each in its own transaction, so that a slow recipient delays no
    others. A delivery that does not start within `begin_within` seconds, or fails, stays due."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + begin_within

    async def deliver_one(notification_id: int) -> None:
        async with context.slots:
            if clock() < deadline and not context.stop.is_set():
                await deliver(context, notification_id)

    results = await asyncio.gather(*map(deliver_one, notification_ids), return_exceptions=True)
    for result in results:
        if isinstance(result, Unavailable):
            log.warning("delivery_postponed", reason="postgres_unavailable")
        elif isinstance(result, Exception):
            log.error("delivery_failed", exc_info=result)


async def deliver(context: WorkerContext, notification_id: int) -> None:
    """Sends the notification if it is still due and no other worker is sending it. If that fails,
    the row stores the error and becomes due again later. Raises Unavailable if Postgres is."""

    async def work(tx: Tx) -> None:
        notification = await _lock.first(tx, id=notification_id, now=context.now(), kinds=KINDS)
        if notification is not None:
            await _attempt(tx, notification, context)

    await transact(context.pool, work)


async def _attempt(tx: Tx, notification: PendingNotification, context: WorkerContext) -> None:
    settings, now = context.settings, context.now
    booking = from_row_json(notification.booking) if notification.booking else None
    fields = {"notification": notification.id, "kind": notification.kind}
    if (
        not notification.is_verified
        and not notification.is_erased
        and notification.kind not in TO_STRANGERS
    ):
        await _withhold.run(tx, id=notification.id, now=now())
        log.debug("notification_withheld", **fields)
        return
    if reason := _reason_to_drop(notification, booking, now()):
        await _drop.run(tx, id=notification.id, now=now(), reason=reason)
        log.info("notification_dropped", **fields, reason=reason)
        return
    if notification.kind == "reminder" and notification.quiet_until is not None:
        await _postpone.run(tx, id=notification.id, due_at=notification.quiet_until)
        return
    try:
        message = _message(notification, booking, settings, now())
        if context.mailer:
            about = notification.booking_id or notification.recipient_id
            message_id = f"<{about}.{notification.id}@{host(settings.site_url)}>"
            await context.mailer.send(
                mail.mail(message, mail_from=settings.mail_from, message_id=message_id, now=now())
            )
    except Exception as error:  # noqa: BLE001 — any failure is retried, but only after a pause
        await _record_failure(tx, notification, error, now())
        return
    if not context.mailer:
        await _store(tx, notification, message, settings.mail_from, now())
    await _mark_sent.run(tx, id=notification.id, now=now())
    log.debug("notification_sent", **fields)


def _message(
    notification: PendingNotification, booking: Booking | None, settings: Settings, now: datetime
) -> Message:
    recipient = Recipient(notification.recipient_id, notification.full_name, notification.email)
    formatting.use_clock(notification.clock)
    if booking is None:
        return about_account(
            notification.kind,
            recipient,
            is_instructor=notification.is_instructor,
            token=_token(notification, settings, now),
            site_url=settings.site_url,
        )
    return compose(
        notification.kind,
        booking,
        recipient,
        actor_id=notification.actor_id,
        moved_from=_span(notification.moved_from, notification.moved_from_end),
        site_url=settings.site_url,
        mail_from=settings.mail_from,
        now=now,
    )


def _token(notification: PendingNotification, settings: Settings, now: datetime) -> str:
    """The token of the link in a mail about an account; empty for kinds without one."""
    purposes: dict[str, token.Purpose] = {
        "verification": "verification",
        "email_change": "email_change",
        "password_reset": "password_reset",
    }
    if notification.kind not in purposes:
        return ""
    return token.issue(
        settings,
        purposes[notification.kind],
        notification.recipient_id,
        email=notification.email,
        bound_to=token.credentials(notification.account_email, notification.password_hash or ""),
        now=now,
    )


def _span(start: datetime | None, end: datetime | None) -> tuple[datetime, datetime] | None:
    return None if start is None or end is None else (start, end)


def _reason_to_drop(
    notification: PendingNotification, booking: Booking | None, now: datetime
) -> str | None:
    """Why this notification should not be sent anymore; None if it should."""
    if notification.is_erased:
        return "account_erased"
    if notification.turned_off:
        return "turned_off"
    if notification.kind == "verification" and notification.is_verified:
        return "verified"
    if booking is None:
        return None if notification.booking_id is None else "booking_deleted"
    is_moved = booking.sequence != notification.sequence
    match notification.kind:
        case "booking_confirmed" if notification.attempts and booking.state == "cancelled":
            # It would arrive after the mail about the cancellation and contradict it. (One that was
            # never attempted goes before the cancellation, see due_notifications.)
            return "booking_cancelled"
        case "booking_rescheduled" if is_moved:
            return "booking_moved"  # a later notification has the new time
        case "booking_rescheduled" if booking.state == "cancelled":
            return "booking_cancelled"
        case "reminder" if is_moved:
            return "booking_moved"
        case "reminder" if booking.state != "confirmed":
            return f"booking_{booking.state}"
        case "reminder" if booking.starts_at <= (notification.quiet_until or now):
            return "too_late"
    return None


async def _record_failure(
    tx: Tx, notification: PendingNotification, error: Exception, now: datetime
) -> None:
    attempts = notification.attempts + 1
    give_up = attempts >= ATTEMPTS or smtp.is_permanent(error)
    description = smtp.describe(error)
    pause = min(FIRST_PAUSE * 2 ** min(notification.attempts, 20), MAX_PAUSE)
    await _mark_failed.run(
        tx,
        id=notification.id,
        error=description,
        due_at=now + pause,
        given_up_at=now if give_up else None,
    )
    fields = {
        "notification": notification.id,
        "kind": notification.kind,
        "attempts": attempts,
        "error": description,
        "at": _location(error),
    }
    if give_up:
        log.error("notification_given_up", **fields)
    else:
        log.warning("notification_failed", **fields, retry_seconds=int(pause.total_seconds()))


def _location(error: Exception) -> str:
    """File and line that raised the error. Its message is not logged: it may contain names."""
    frames = extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


async def _store(
    tx: Tx, notification: PendingNotification, message: Message, mail_from: str, now: datetime
) -> None:
    """For /dev/mail."""
    await _insert_dev_mail.run(
        tx,
        notification_id=notification.id,
        now=now,
        sender=mail_from,
        recipient=message.address,
        subject=message.subject,
        body_text=message.text,
        body_html=message.html,
        calendar=message.calendar or None,
    )
