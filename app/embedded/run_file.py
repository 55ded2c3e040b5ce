"""The addresses of a running `up`, in a file in its data directory. Operator commands (`admin`,
`seed`, `reset`) read them from there when DATABASE_URL is not set."""

import json
import os
from pathlib import Path

from app.settings import Settings

_NAME = "running.json"
_SETTINGS = ("database_url", "migrate_database_url", "redis_url")


def write(folder: Path, settings: Settings) -> None:
    """Only its owner may read it: an address may contain a password."""
    remove(folder)
    addresses = {name: getattr(settings, name).get_secret_value() for name in _SETTINGS}
    with os.fdopen(
        os.open(folder / _NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w"
    ) as file:
        json.dump(addresses, file)


def read(folder: Path) -> dict[str, str]:
    """The addresses by setting name; empty if no `up` runs in `folder`."""
    try:
        addresses: dict[str, str] = json.loads((folder / _NAME).read_text())
    except (OSError, ValueError):
        return {}
    return addresses


def remove(folder: Path) -> None:
    (folder / _NAME).unlink(missing_ok=True)
