"""Mails that could not be sent: those that will be tried again, and those given up."""

from dataclasses import dataclass
from datetime import datetime

from typing_extensions import TypedDict

from app import refusal, wire
from app.db import Db, Pool, Tx
from app.schema import InstantText
from app.statements import statement

_LAST_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Failure:
    """`retry_at`: when it will be tried again; None if it was given up at `given_up_at`."""

    id: int
    kind: str
    full_name: str
    email: str
    attempts: int
    last_error: str | None
    retry_at: datetime | None
    given_up_at: datetime | None


_failed = statement("failed_notifications", Failure)
_retry = statement("retry_notification", int)


async def list_of(db: Db, *, before: int | None = None, limit: int) -> list[Failure]:
    """The newest first; `before` is the id of the last one before this page."""
    return await _failed.all(db, before=_LAST_ID if before is None else before, limit=limit)


async def retry(db: Pool | Tx, notification_id: int, *, now: datetime) -> None:
    """Sends it again now, and for another day if that fails. Raises NotFound unless it has
    failed."""
    if not await _retry.all(db, id=notification_id, now=now):
        raise refusal.NotFound


class RecipientJson(TypedDict):
    name: str
    email: str


class FailedMailJson(TypedDict):
    """A mail that could not be sent. One of the last two is null."""

    id: int
    kind: str
    recipient: RecipientJson
    attempts: int
    error: str | None
    retry_at: InstantText | None
    given_up_at: InstantText | None


def as_json(failure: Failure) -> FailedMailJson:
    """An item of GET /api/admin/notifications (docs/api.md)."""
    return {
        "id": failure.id,
        "kind": failure.kind,
        "recipient": {"name": failure.full_name, "email": failure.email},
        "attempts": failure.attempts,
        "error": failure.last_error,
        "retry_at": wire.instant(failure.retry_at) if failure.retry_at else None,
        "given_up_at": wire.instant(failure.given_up_at) if failure.given_up_at else None,
    }
