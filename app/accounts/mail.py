"""Mails about an account, as rows that the worker sends (app/notifications)."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from app.db import Pool, Tx
from app.statements import statement

Kind = Literal[
    "welcome",
    "verification",
    "email_change",
    "email_changed",
    "password_reset",
    "password_changed",
    "recovery_code_used",
]

_insert_notification = statement("insert_account_notification", int)


async def send(
    db: Pool | Tx, kind: Kind, account_id: UUID, *, now: datetime, address: str | None = None
) -> None:
    """Sends the mail to the account, or to `address`, after the transaction."""
    await _insert_notification.run(db, kind=kind, account_id=account_id, address=address, now=now)
