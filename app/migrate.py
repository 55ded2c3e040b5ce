"""Migrates a database to the current schema, in one transaction: each migration once and forward
only; functions and views; shipped data. Functions and views live in the schema `code` and are
dropped and recreated every time, because `create or replace` cannot change the columns of a view or
the outputs of a function.

One process at a time, under a polled advisory lock (a blocking one deadlocks with `create index
concurrently`). Needs a direct connection to Postgres, not through a transaction pooler."""

import asyncio
import hashlib
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import asyncpg
import structlog

from app.db import SQL

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:  # asyncpg's classes are generic only in its stubs
    Connection = asyncpg.Connection

log = structlog.get_logger("migrate")
MAJOR = 18
# How long a starting process waits for its database.
REACHABLE_SECONDS = 5
_LOCK = 7_215_341_907
_LOCK_SECONDS = 60
# A migration may run longer than a request. While it waits for a table lock, all others queue
# behind it, so it waits briefly and retries often.
_OWN_SETTINGS = """
set statement_timeout = 0; set idle_in_transaction_session_timeout = 0; set lock_timeout = '1s';
set search_path = public, code; set timezone = 'UTC'
"""
_ATTEMPTS = 20
_PAUSE_SECONDS = 0.2
# A comment of either kind, a string with or without escapes, a quoted name, a dollar-quoted string,
# a word, or a symbol.
_TOKEN = re.compile(
    r"""--[^\n]* | /\*.*?\*/ | [eE]'(?:\\.|''|[^'\\])*' | '(?:[^']|'')*' | "[^"]*"
        | (\$\w*\$).*?\1 | \w+ | \S""",
    re.DOTALL | re.VERBOSE,
)
_CHECKSUM_PREFIX = "tokens:"
# How often to check whether the sessions of the first release have ended.
_SESSION_ATTEMPTS = 25

# Whether this role may have sessions in this database without the schema code in their path.
_HAS_OLD_SEARCH_PATH = """
select not exists (
  select from pg_db_role_setting s
  where s.setdatabase = (select oid from pg_database where datname = current_database())
    and s.setrole = (select oid from pg_roles where rolname = current_user)
    and 'search_path=public, code' = any (s.setconfig)
)
"""
# Ends this role's sessions that started before $1, if $2 only idle ones. Returns the number of
# sessions.
_END_SESSIONS = """
select count(case when state = 'idle' or not $2 then pg_terminate_backend(pid) end)
  + count(*) filter (where state <> 'idle')
from pg_stat_activity
where datname = current_database() and usename = current_user and pid <> pg_backend_pid()
  and backend_type = 'client backend' and backend_start < $1
"""

_ROLE_EXISTS = "select exists (select from pg_roles where rolname = $1)"
_MAY_CREATE_ROLES = "select rolsuper or rolcreaterole from pg_roles where rolname = current_user"
_CREATE_ROLE = "select format('create role %I login password %L', $1::text, $2::text)"
_DATABASE_IDENTITY = (
    "select current_database() || ' ' || system_identifier from pg_control_system()"
)


class MigrationError(Exception):
    """The database cannot be migrated. The message gives the reason and what to do."""


class SchemaError(MigrationError):
    """The database is not migrated to the current schema."""


class UnreachableError(MigrationError):
    """No database answers at that address."""


async def migrate(dsn: str, app_dsn: str | None = None) -> list[str]:
    """Applies the missing migrations and returns their names. `app_dsn` is the same database as the
    role of the product's processes, which is created if necessary. A failure leaves the database
    unchanged. Raises MigrationError, or asyncpg's errors for a bug in a migration."""
    connection = await _connect(dsn)
    try:
        if await connection.fetchval("select pg_is_in_recovery()"):
            raise MigrationError(
                "The database at DATABASE_URL is a standby, which is read-only. "
                "Migrate its primary instead."
            )
        await connection.execute(_OWN_SETTINGS)
        await _lock(connection)
        has_old_sessions = await _set_session_defaults(connection)
        app_role = await _prepare_app_role(connection, app_dsn) if app_dsn else None
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_PAUSE_SECONDS)
            try:
                async with connection.transaction():
                    applied = await _apply(connection, app_role)
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
                log.info("migration_waiting", reason="locks", error=str(error))
            else:
                if has_old_sessions:
                    await _end_earlier_sessions(connection)
                return applied
        raise MigrationError(
            "The database is too busy to be migrated: nothing was changed. "
            "Try again when there is less traffic."
        )
    finally:
        await connection.close(timeout=10)


async def _apply(connection: Connection, app_role: str | None) -> list[str]:
    await _drop_code(connection)
    applied = [
        name for path in _files("migrations") if (name := await _apply_once(connection, path))
    ]
    # Functions may refer to each other in any order.
    await connection.execute(
        "create schema code; set local search_path = code, public; "
        "set local check_function_bodies = off"
    )
    for path in _files("functions"):
        await connection.execute(path.read_text())
    await connection.execute("set local search_path = public, code")
    for path in _files("data"):
        await connection.execute(path.read_text())
    if app_role is not None:
        await connection.execute("select set_config('migrate.app_role', $1, true)", app_role)
        await connection.execute((SQL / "grants.sql").read_text())
    return applied


async def _drop_code(connection: Connection) -> None:
    """Drops the schema `code`, object by object. Raises MigrationError if an object outside the
    schema depends on one of them."""
    drops = [row["statement"] for row in await connection.fetch((SQL / "drops.sql").read_text())]
    drops.append("drop schema if exists code restrict")
    while drops:
        # Objects depend on each other: retry those that could not be dropped yet. The schema is
        # last.
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
                "Each migration recreates the functions and views in the schema code, and an "
                f"object outside of it depends on them: {reason}. Remove that object first. "
                "Nothing was changed."
            )
        drops = list(postponed)


async def _set_session_defaults(connection: Connection) -> bool:
    """Sets the role's settings in this database. Sessions of the first release do not have the
    schema `code` in their search path, so they would not find the functions after they move there.
    This ends those sessions before the move; their processes reconnect with a path that works
    before and after it. Returns whether there may be processes of the first release."""
    may_have_old_sessions: bool = await connection.fetchval(_HAS_OLD_SEARCH_PATH)
    await connection.execute((SQL / "session.sql").read_text())
    if may_have_old_sessions:
        await _end_earlier_sessions(connection)
    return may_have_old_sessions


async def _end_earlier_sessions(connection: Connection) -> None:
    """Ends the role's sessions that began before this call. Open transactions get a moment to
    finish. After a migration, a session that planned a statement at the moment of the commit could
    go on calling a function that was dropped; later releases replace such sessions themselves
    (app/db.py)."""
    started_at = await connection.fetchval("select clock_timestamp()")
    for attempts_left in reversed(range(_SESSION_ATTEMPTS)):
        sessions = await connection.fetchval(_END_SESSIONS, started_at, attempts_left > 0)
        if not sessions:
            return
        await asyncio.sleep(_PAUSE_SECONDS)


async def _prepare_app_role(owner: Connection, app_dsn: str) -> str | None:
    """The role of the product's processes, with its session defaults; None if it is the owner.
    Creates the role if the owner may."""
    url = urlsplit(app_dsn)
    user = unquote(url.username or "") or dict(parse_qsl(url.query)).get("user")
    if user and not await owner.fetchval(_ROLE_EXISTS, user):
        if not await owner.fetchval(_MAY_CREATE_ROLES):
            raise MigrationError(
                f"The role {user} of DATABASE_URL does not exist, and the role of "
                "MIGRATE_DATABASE_URL may not create it. Create it as a superuser: "
                f"create role \"{user}\" login password '…'"
            )
        create = await owner.fetchval(_CREATE_ROLE, user, unquote(url.password or "") or None)
        with suppress(asyncpg.DuplicateObjectError):  # another `migrate` was faster
            await owner.execute(create)
    app = await _connect(app_dsn)
    try:
        role: str = await app.fetchval("select current_user")
        if role == await owner.fetchval("select current_user"):
            return None
        await _check_same_database(owner, app)
        await app.execute((SQL / "session.sql").read_text())
        return role
    finally:
        await app.close(timeout=10)


async def check_same_database(dsn: str, app_dsn: str) -> None:
    """Raises MigrationError if the two addresses name different databases."""
    if app_dsn == dsn:
        return
    owner = await _connect(dsn)
    try:
        app = await _connect(app_dsn)
        try:
            await _check_same_database(owner, app)
        finally:
            await app.close(timeout=10)
    finally:
        await owner.close(timeout=10)


async def _check_same_database(owner: Connection, app: Connection) -> None:
    if await app.fetchval(_DATABASE_IDENTITY) != await owner.fetchval(_DATABASE_IDENTITY):
        raise MigrationError(
            "DATABASE_URL and MIGRATE_DATABASE_URL name different databases. Nothing was changed."
        )


async def wait_until_reachable(dsn: str) -> None:
    """Returns when the database answers. Raises UnreachableError after REACHABLE_SECONDS, and
    another MigrationError if the database refuses the connection."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + REACHABLE_SECONDS
    while True:
        try:
            connection = await _connect(dsn)
            try:
                await connection.close(timeout=10)
            except (OSError, asyncpg.ConnectionDoesNotExistError) as error:  # it is stopping
                raise UnreachableError(
                    f"The Postgres at DATABASE_URL ended the connection: {error}."
                ) from None
        except UnreachableError:
            if clock() > deadline:
                raise
            await asyncio.sleep(0.5)
        else:
            return


async def check(dsn: str) -> None:
    """Raises UnreachableError or another MigrationError if there is no usable database, and
    SchemaError if its schema is not current."""
    connection = await _connect(dsn)
    try:
        exists = await connection.fetchval("select to_regclass('migration') is not null")
        rows = await connection.fetch("select name from migration") if exists else []
        applied = {row["name"] for row in rows}
    finally:
        await connection.close(timeout=10)
    if applied != {path.name for path in _files("migrations")}:
        raise SchemaError(
            "The database does not have the schema of this version. "
            "Run `python -m app migrate` first."
        )


async def site_mode(dsn: str) -> str | None:
    """The strictest mode in which this database was served; None if it does not say (no such
    database, or not migrated)."""
    try:
        connection = await _connect(dsn)
    except MigrationError:  # the command itself reports it
        return None
    try:
        if await connection.fetchval("select to_regclass('public.site')") is None:
            return None
        mode: str | None = await connection.fetchval(
            "select to_jsonb(site) ->> 'mode' from public.site"
        )
        return mode
    finally:
        await connection.close(timeout=10)


async def _connect(dsn: str) -> Connection:
    try:
        connection = await asyncpg.connect(
            dsn, timeout=10, server_settings={"application_name": "migrate"}
        )
    except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError) as error:
        reason = str(error) or "timeout"
        raise UnreachableError(f"No Postgres answers at DATABASE_URL: {reason}.") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise MigrationError(f"Postgres refuses the connection of DATABASE_URL: {error}.") from None
    version = connection.get_server_version()
    if version.major < MAJOR:
        await connection.close(timeout=10)
        raise MigrationError(
            f"This needs PostgreSQL {MAJOR}, and the one at DATABASE_URL is "
            f"{version.major}.{version.minor}."
        )
    return connection


def _files(folder: str) -> list[Path]:
    return sorted((SQL / folder).glob("*.sql"))


async def _lock(connection: Connection) -> None:
    async with asyncio.timeout(_LOCK_SECONDS):
        while not await connection.fetchval("select pg_try_advisory_lock($1)", _LOCK):
            log.info("migration_waiting", reason="another_migration")
            await asyncio.sleep(0.2)
    await connection.execute(
        "create table if not exists migration "
        "(name text primary key, sha256 text not null, applied_at timestamptz default now())"
    )
    names = {path.name for path in _files("migrations")}
    rows = await connection.fetch("select name from migration")
    newer = [row["name"] for row in rows if row["name"] not in names]
    if newer:
        raise MigrationError(
            f"The database was migrated by a newer version ({max(newer)}). "
            "Run that version, or reset."
        )


async def _apply_once(connection: Connection, path: Path) -> str | None:
    """Returns the migration's name, or None if it was applied before."""
    text = path.read_text()  # noqa: ASYNC240 — this process does nothing else
    current = checksum(text)
    applied = await connection.fetchval("select sha256 from migration where name = $1", path.name)
    if applied is None:
        await connection.execute(text)
        await connection.execute(
            "insert into migration (name, sha256) values ($1, $2)", path.name, current
        )
        log.info("migration_applied", migration=path.name)
        return path.name
    if not applied.startswith(_CHECKSUM_PREFIX):
        await connection.execute(
            "update migration set sha256 = $2 where name = $1", path.name, current
        )
    elif applied != current:
        raise MigrationError(
            f"{path.name} was changed after it had been applied. "
            "Migrations are forward only: add a new one."
        )
    return None


def checksum(sql: str) -> str:
    """Depends neither on layout nor on comments outside strings, so that a released migration can
    be wrapped differently. The first release hashed the exact text; its checksums have no prefix
    and cannot be compared, so `migrate` replaces them."""
    tokens = (match[0] for match in _TOKEN.finditer(sql))
    statements = " ".join(token for token in tokens if not token.startswith(("--", "/*")))
    return _CHECKSUM_PREFIX + hashlib.sha256(statements.encode()).hexdigest()
