"""The export: everything that is stored about an account, as one JSON document. It is read in one
snapshot, so its parts agree, and in pages, so its size does not matter."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from datetime import datetime
from typing import IO, Any
from uuid import UUID

import orjson

from app import db, wire
from app.db import Pool
from app.statements import Statement, statement

# Exports that are read at a time, each with a connection.
_CONCURRENT = 2
# Larger documents are written to a temporary file.
_MEMORY = 1_000_000
_CHUNK = 64 * 1024

_account = statement("export_account", dict)
# By the name of the section. Each row is one object.
SECTIONS: dict[str, Statement[dict[str, Any]]] = {
    name: statement(f"export_{name}", dict)
    for name in (
        "sessions",
        "notification_preferences",
        "calendar_feed",
        "profile",
        "services",
        "calendar",
        "availability",
        "blackouts",
        "standing_pattern",
        "edited_weeks",
        "bookings_as_student",
        "bookings_as_instructor",
        "acts",
        "staff_acts",
        "notifications",
        "mails",
        "idempotency_keys",
        "search_history",
        "searches",
        "search_interactions",
    )
}
_turns = asyncio.Semaphore(_CONCURRENT)


async def write(pool: Pool, account_id: UUID, *, now: datetime) -> IO[bytes]:
    """The document, in a file that deletes itself. Raises Unavailable."""
    file = tempfile.SpooledTemporaryFile(_MEMORY)  # noqa: SIM115 — the caller closes it
    try:
        async with _turns, db.snapshot(pool) as tx:
            account = await _account.one(tx, account_id=account_id)
            file.write(b'{"exported_at":%b' % orjson.dumps(wire.instant(now)))
            file.write(b',"account":%b' % orjson.dumps(account))
            for name, section in SECTIONS.items():
                file.write(b',"%b":[' % name.encode())
                separator = b""
                async for row in section.stream(tx, account_id=account_id):
                    file.write(separator + orjson.dumps(row))
                    separator = b",\n"
                file.write(b"]")
            file.write(b"}\n")
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


async def chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    """The content of the file, which is closed at the end."""
    with file:
        while chunk := file.read(_CHUNK):
            yield chunk
