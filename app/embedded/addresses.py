"""Where a running `up` keeps its database, noted in its folder so that an operator's command beside it (`admin`, `seed`, `reset`)
finds it without being told."""

import json
import os
from pathlib import Path

from app.settings import Settings

_FILE = "running.json"
NOTED = ("database_url", "redis_url")


def note(folder: Path, settings: Settings) -> None:
    """Readable by its owner only: an address may hold a password."""
    forget(folder)
    known = {name: getattr(settings, name).get_secret_value() for name in NOTED}
    with os.fdopen(
        os.open(folder / _FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w"
    ) as file:
        json.dump(known, file)


def noted(folder: Path) -> dict[str, str]:
    """What `note` wrote; empty when nothing runs there."""
    try:
        known: dict[str, str] = json.loads((folder / _FILE).read_text())
    except (OSError, ValueError):
        return {}
    return known


def forget(folder: Path) -> None:
    (folder / _FILE).unlink(missing_ok=True)
