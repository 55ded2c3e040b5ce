"""Brings a database to the present shape: migrations once each and forward only, then functions and shipped data, which are
replaced every time. One process at a time, under a polled advisory lock (a waiting one deadlocks with `create index
concurrently`)."""

import asyncio
import hashlib
from pathlib import Path

import asyncpg
import structlog

from app.db import SQL

log = structlog.get_logger("migrate")
MAJOR = 18
_LOCK = 7_215_341_907
_LOCK_SECONDS = 60


class MigrationError(Exception):
    """The database cannot be migrated; the message says why and what to do."""


class ShapeError(MigrationError):
    """The database is not migrated to the present shape."""


class UnreachableError(MigrationError):
    """There is no database at that address, or not yet."""


async def migrate(dsn: str) -> list[str]:
    """Applies what is missing and returns its names. Raises MigrationError, or asyncpg's errors for a fault in a migration."""
    connection = await _connect(dsn)
    try:
        # A migration may take longer than a request.
        await connection.execute("set statement_timeout = 0; set idle_in_transaction_session_timeout = 0")
        await _lock(connection)
        applied = [name for path in _files("migrations") if (name := await _apply_once(connection, path))]
        async with connection.transaction():
            # Functions may name each other in any order.
            await connection.execute("set local check_function_bodies = off")
            for path in (*_files("functions"), *_files("data")):
                await connection.execute(path.read_text())
            await connection.execute((SQL / "session.sql").read_text())
        return applied
    finally:
        await connection.close(timeout=10)


async def check(dsn: str) -> None:
    """Raises UnreachableError or another MigrationError unless there is a database, and ShapeError unless it has the present shape."""
    connection = await _connect(dsn)
    try:
        exists = await connection.fetchval("select to_regclass('migration') is not null")
        applied = {row["name"] for row in await connection.fetch("select name from migration")} if exists else set()
    finally:
        await connection.close(timeout=10)
    if applied != {path.name for path in _files("migrations")}:
        raise ShapeError("The database is not of this version's shape. Run `python -m app migrate` first.")


async def _connect(dsn: str) -> "asyncpg.Connection[asyncpg.Record]":
    try:
        connection = await asyncpg.connect(dsn, timeout=10, server_settings={"application_name": "migrate"})
    except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError) as error:
        raise UnreachableError(f"No Postgres answers at DATABASE_URL: {str(error) or 'time-out'}.") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise MigrationError(f"Postgres refuses the connection of DATABASE_URL: {error}.") from None
    version = connection.get_server_version()
    if version.major < MAJOR:
        await connection.close(timeout=10)
        raise MigrationError(f"This needs PostgreSQL {MAJOR}; the one at DATABASE_URL is {version.major}.{version.minor}.")
    return connection


def _files(folder: str) -> list[Path]:
    return sorted((SQL / folder).glob("*.sql"))


async def _lock(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    async with asyncio.timeout(_LOCK_SECONDS):
        while not await connection.fetchval("select pg_try_advisory_lock($1)", _LOCK):
            log.info("waiting for another migration to finish")
            await asyncio.sleep(0.2)
    await connection.execute(
        "create table if not exists migration (name text primary key, sha256 text not null, applied_at timestamptz default now())"
    )
    known = {path.name for path in _files("migrations")}
    unknown = [row["name"] for row in await connection.fetch("select name from migration") if row["name"] not in known]
    if unknown:
        raise MigrationError(f"The database was migrated by a newer version ({max(unknown)}). Run that version, or reset.")


async def _apply_once(connection: "asyncpg.Connection[asyncpg.Record]", path: Path) -> str | None:
    """The migration's name if it was applied now, None if it had been."""
    text = path.read_text()  # noqa: ASYNC240 — migrating is all this process does
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    before = await connection.fetchval("select sha256 from migration where name = $1", path.name)
    if before == sha256:
        return None
    if before is not None:
        raise MigrationError(f"{path.name} was changed after it had been applied. Migrations are forward only: add a new one.")
    async with connection.transaction():
        await connection.execute(text)
        await connection.execute("insert into migration (name, sha256) values ($1, $2)", path.name, sha256)
    log.info("applied", migration=path.name)
    return path.name
