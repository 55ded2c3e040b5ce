"""Removes the accounts of a small crowd, with their lessons and mails, from the database."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from app import db, destructive
from app.bookings import cancellation
from app.db import Tx, transact
from app.destructive import NotPermitted
from app.embedded import run_file
from app.migrate import site_mode
from app.refusal import Unavailable, WrongState
from app.settings import SettingsError, read
from app.statements import statement
from app.web import utc_now

__all__ = ["NotPermitted", "SettingsError", "Unavailable", "permission", "remove"]


@dataclass(frozen=True, slots=True)
class Lesson:
    id: UUID
    student_id: UUID


_lessons = statement("crowd_lessons", Lesson)
_delete_notifications = statement("delete_crowd_notifications", int)
_delete_bookings = statement("delete_crowd_bookings", int)
_delete_accounts = statement("delete_crowd_accounts", int)


@contextmanager
def permission(data: Path) -> Iterator[str]:
    """The address of the database: DATABASE_URL, or else that of the `up` running in `data`.
    Raises SettingsError, or NotPermitted, which includes a site that is not `int`."""
    settings = read()
    address = settings.database_url.get_secret_value()
    address = address or run_file.read(data).get("database_url", "")
    if not address:
        raise SettingsError(f"Set DATABASE_URL, or have `python -m app up` running in {data}.")
    if settings.site_mode != "int":
        raise NotPermitted("A crowd visits only a site with SITE_MODE=int.")
    changes: dict[str, object] = {"database_url": address}
    if "audit_log" not in settings.model_fields_set:
        changes["audit_log"] = data / "audit.jsonl"
    mode = asyncio.run(site_mode(address))
    if mode not in {None, "int"}:
        raise NotPermitted(
            f"The site of this database is not a site with SITE_MODE=int: it is {mode}."
        )
    with destructive.permission(read(**changes), "crowd", database_mode=mode) as database:
        yield database.app


async def remove(address: str, ids: list[str]) -> int:
    """Cancels the lessons that the crowd could not cancel, so that boards show their times as free
    again, and deletes its accounts. Returns the number of deleted accounts. Raises Unavailable."""
    accounts = [UUID(each) for each in ids]

    async def delete(tx: Tx) -> int:
        await _delete_notifications.one(tx, accounts=accounts)
        await _delete_bookings.one(tx, accounts=accounts)
        return await _delete_accounts.one(tx, accounts=accounts)

    pool = await db.connect(address, size=1, name="crowd")
    try:
        now = utc_now()
        for lesson in await _lessons.all(pool, accounts=accounts, now=now):
            with suppress(WrongState):  # a late request of the crowd has cancelled it
                await cancellation.cancel(
                    pool, lesson.student_id, lesson.id, reason="The crowd leaves.", now=now
                )
        return await transact(pool, delete)
    finally:
        await db.close(pool)
