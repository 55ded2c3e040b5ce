"""Brings a database to the present shape, in one transaction: migrations once each and forward only; functions and views, which
live in the schema `code` and are dropped and made again every time, because `create or replace` cannot change the columns of
a view or the outputs of a function; and shipped data. One process at a time, under a polled advisory lock (a waiting one
deadlocks with `create index concurrently`). Needs a connection to Postgres itself, not to a pooler of transactions."""

import asyncio
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
import structlog

from app.db import SQL

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:  # asyncpg's classes are generic only in its stubs
    Connection = asyncpg.Connection

log = structlog.get_logger("migrate")
MAJOR = 18
# How long a process that starts waits for its database.
REACHABLE_SECONDS = 5
_LOCK = 7_215_341_907
_LOCK_SECONDS = 60
# A migration may take longer than a request; while it waits for a table, everybody else waits behind it, so it does not wait for
# long and rather tries often.
_OWN_SETTINGS = """
set statement_timeout = 0; set idle_in_transaction_session_timeout = 0; set lock_timeout = '1s';
set search_path = public, code; set timezone = 'UTC'
"""
_ATTEMPTS = 20
_PAUSE_SECONDS = 0.2
# So often it is looked whether the sessions of the first release have ended.
_SESSION_ATTEMPTS = 25

# Whether sessions of this role may stand in this database that do not see the schema code.
_HAS_OLD_SEARCH_PATH = """
select not exists (
  select from pg_db_role_setting s
  where s.setdatabase = (select oid from pg_database where datname = current_database())
    and s.setrole = (select oid from pg_roles where rolname = current_user)
    and 'search_path=public, code' = any (s.setconfig)
)
"""
# Ends this role's sessions from before $1; $2: only those that are idle. How many there were.
_END_SESSIONS = """
select count(case when state = 'idle' or not $2 then pg_terminate_backend(pid) end) + count(*) filter (where state <> 'idle')
from pg_stat_activity
where datname = current_database() and usename = current_user and pid <> pg_backend_pid()
  and backend_type = 'client backend' and backend_start < $1
"""


class MigrationError(Exception):
    """The database cannot be migrated; the message says why and what to do."""


class ShapeError(MigrationError):
    """The database is not migrated to the present shape."""


class UnreachableError(MigrationError):
    """There is no database at that address, or not yet."""


async def migrate(dsn: str) -> list[str]:
    """Applies what is missing and returns its names. All or nothing: a failure leaves the database as it was. Raises
    MigrationError, or asyncpg's errors for a fault in a migration."""
    connection = await _connect(dsn)
    try:
        if await connection.fetchval("select pg_is_in_recovery()"):
            raise MigrationError("The database at DATABASE_URL is a standby, which only reads. Migrate its primary instead.")
        await connection.execute(_OWN_SETTINGS)
        await _lock(connection)
        await _set_session_defaults(connection)
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_PAUSE_SECONDS)
            try:
                async with connection.transaction():
                    return await _apply(connection)
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
                log.info("waiting for others to let go of the database", error=str(error))
        raise MigrationError("The database is too busy to be migrated: nothing was changed. Try again in a quieter moment.")
    finally:
        await connection.close(timeout=10)


async def _apply(connection: Connection) -> list[str]:
    await _drop_code(connection)
    applied = [name for path in _files("migrations") if (name := await _apply_once(connection, path))]
    # Functions may name each other in any order.
    await connection.execute("create schema code; set local search_path = code, public; set local check_function_bodies = off")
    for path in _files("functions"):
        await connection.execute(path.read_text())
    await connection.execute("set local search_path = public, code")
    for path in _files("data"):
        await connection.execute(path.read_text())
    return applied


async def _drop_code(connection: Connection) -> None:
    """Drops the schema `code`, one function or view after another. Raises MigrationError where something outside depends on
    one of them."""
    drops = [row["statement"] for row in await connection.fetch((SQL / "drops.sql").read_text())]
    drops.append("drop schema if exists code restrict")
    while drops:
        # Some depend on others of them, so those that could not be dropped yet are tried again. The schema itself comes last.
        postponed: dict[str, str] = {}
        for drop in drops:
            try:
                async with connection.transaction():
                    await connection.execute(drop)
            except asyncpg.DependentObjectsStillExistError as error:
                postponed[drop] = error.detail or str(error)
        if len(postponed) == len(drops):
            reason = next(iter(postponed.values())).replace("\n", "; ")
            raise MigrationError(
                "Functions and views in the schema code are made anew by each migration, and something outside of it depends on "
                f"them: {reason}. Remove that first. Nothing was changed."
            )
        drops = list(postponed)


async def _set_session_defaults(connection: Connection) -> None:
    """The role's settings in this database. Sessions of the first release began without the schema `code` in their search path,
    so they would miss every function once it has moved there. They end before the move, while nothing is in `code` yet: their
    processes connect again, with a path on which functions are found both before and after it. Whoever is in the middle of a
    transaction is given a moment to finish."""
    standing = await connection.fetchval(_HAS_OLD_SEARCH_PATH)
    await connection.execute((SQL / "session.sql").read_text())
    if not standing:
        return
    moment = await connection.fetchval("select clock_timestamp()")
    for patience in reversed(range(_SESSION_ATTEMPTS)):
        left = await connection.fetchval(_END_SESSIONS, moment, patience > 0)
        if not left:
            return
        await asyncio.sleep(_PAUSE_SECONDS)


async def wait_until_reachable(dsn: str) -> None:
    """Returns once the database answers. Raises UnreachableError when it has not within
    REACHABLE_SECONDS, and another MigrationError when it refuses."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + REACHABLE_SECONDS
    while True:
        try:
            connection = await _connect(dsn)
        except UnreachableError:
            if clock() > deadline:
                raise
            await asyncio.sleep(0.5)
        else:
            await connection.close(timeout=10)
            return


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


async def _connect(dsn: str) -> Connection:
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


async def _lock(connection: Connection) -> None:
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


async def _apply_once(connection: Connection, path: Path) -> str | None:
    """The migration's name if it was applied now, None if it had been."""
    text = path.read_text()  # noqa: ASYNC240 — migrating is all this process does
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    before = await connection.fetchval("select sha256 from migration where name = $1", path.name)
    if before == sha256:
        return None
    if before is not None:
        raise MigrationError(f"{path.name} was changed after it had been applied. Migrations are forward only: add a new one.")
    await connection.execute(text)
    await connection.execute("insert into migration (name, sha256) values ($1, $2)", path.name, sha256)
    log.info("applied", migration=path.name)
    return path.name
