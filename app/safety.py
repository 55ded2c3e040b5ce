"""Safety of the data: who may destroy or invent it. A destructive command gets the database's address from `permitted` and from
nowhere else; it refuses on prod, asks on stg, and every attempt is one line of the audit log."""

import getpass
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from urllib.parse import urlsplit

from app.settings import Settings


class NotPermitted(Exception):  # noqa: N818 — an answer, not an error
    """The command may not run here; the message says why."""


@contextmanager
def permitted(settings: Settings, command: str, *, yes_stg: bool = False) -> Iterator[str]:
    """The database's address, for one destructive command, and what becomes of it in the audit log. Raises NotPermitted."""
    try:
        _check(settings, command, yes_stg=yes_stg)
    except NotPermitted as refused:
        record(settings, command, "refused", str(refused))
        raise
    record(settings, command, "begun")
    try:
        yield settings.database_url.get_secret_value()
    except BaseException as error:
        record(settings, command, "failed", type(error).__name__)
        raise
    record(settings, command, "done")


def _check(settings: Settings, command: str, *, yes_stg: bool) -> None:
    if settings.site_mode == "prod":
        raise NotPermitted(
            f"`{command}` does not run with SITE_MODE=prod. There is no way around this."
        )
    if settings.site_mode == "int" or yes_stg:
        return
    if not sys.stdin.isatty():
        raise NotPermitted(
            f"`{command}` with SITE_MODE=stg asks on a terminal, and there is none. Say --yes-stg to go ahead."
        )
    if (
        input(
            f"`{command}` on the stg database {_where(settings.database_url.get_secret_value())}? Type stg to go ahead: "
        )
        != "stg"
    ):
        raise NotPermitted(f"`{command}` was not confirmed.")


def record(settings: Settings, command: str, outcome: str, why: str = "") -> None:
    """Appends one line: who tried what, where, and what became of it."""
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "site_mode": settings.site_mode,
        "database": _where(settings.database_url.get_secret_value()),
        "by": _user(),
        "host": socket.gethostname(),
        "outcome": outcome,
    } | ({"why": why} if why else {})
    settings.audit_log.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(
        os.open(settings.audit_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a"
    ) as file:
        file.write(json.dumps(line) + "\n")


def _where(address: str) -> str:
    """The database's place without name or password."""
    parts = urlsplit(address)
    return f"{parts.hostname or 'local'}{parts.path}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return str(os.getuid())
