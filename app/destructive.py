"""Permission to destroy or invent data. A destructive command gets the address of the database only
from `permission`, which refuses on prod and asks for confirmation on stg. Every attempt is one line
of the audit log."""

import getpass
import json
import os
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from app.settings import Settings


class NotPermitted(Exception):  # noqa: N818 — a decision, not an error
    """The command may not run here; the message says why."""


@dataclass(frozen=True)
class Database:
    """The addresses of one database: as its owner, and as the product's processes."""

    owner: str
    app: str


@contextmanager
def permission(
    settings: Settings,
    command: str,
    *,
    database_mode: str | None,
    yes_stg: bool = False,
    destroys: bool = True,
) -> Iterator[Database]:
    """Yields the database for one destructive command, and writes its outcome to the audit log.
    `database_mode` is that of the database itself (migrate.site_mode); the stricter one counts.
    With `destroys=False` the command finds nothing to destroy, and is only audited. Raises
    NotPermitted."""
    try:
        if destroys:
            _check(settings, command, database_mode or "int", yes_stg=yes_stg)
    except NotPermitted as refusal:
        record(settings, command, "refused", str(refusal))
        raise
    record(settings, command, "started")
    try:
        yield Database(settings.owner_database_url, settings.database_url.get_secret_value())
    except BaseException as error:
        record(settings, command, "failed", type(error).__name__)
        raise
    record(settings, command, "done")


def _check(settings: Settings, command: str, database_mode: str, *, yes_stg: bool) -> None:
    if settings.site_mode == "prod":
        raise NotPermitted(
            f"`{command}` does not run with SITE_MODE=prod. This cannot be overridden."
        )
    if database_mode == "prod":
        raise NotPermitted(
            f"`{command}` does not run on {_database(settings)}: it is the database of a prod "
            "site. This cannot be overridden."
        )
    if "stg" not in {settings.site_mode, database_mode} or yes_stg:
        return
    if not sys.stdin.isatty():
        raise NotPermitted(
            f"`{command}` with SITE_MODE=stg needs a terminal for confirmation, and there is none. "
            "Use --yes-stg to skip the confirmation."
        )
    database = _database(settings)
    try:
        answer = input(f"`{command}` on the stg database {database}? Type stg to confirm: ")
    except (EOFError, KeyboardInterrupt):
        answer = ""
    if answer != "stg":
        raise NotPermitted(f"`{command}` was not confirmed.")


def record(settings: Settings, command: str, outcome: str, reason: str = "") -> None:
    """Appends one line to the audit log: user, command, database and outcome."""
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "site_mode": settings.site_mode,
        "database": _database(settings),
        "by": _user(),
        "host": socket.gethostname(),
        "outcome": outcome,
    } | ({"why": reason} if reason else {})
    settings.audit_log.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(
        os.open(settings.audit_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a"
    ) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise NotPermitted(
                f"AUDIT_LOG={settings.audit_log} is not a file that keeps its lines."
            )
        file.write(json.dumps(line) + "\n")


def _database(settings: Settings) -> str:
    """Host and name of the database, without user or password."""
    parts = urlsplit(settings.owner_database_url)
    return f"{parts.hostname or 'local'}{parts.path}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in some containers
        return str(os.getuid())
