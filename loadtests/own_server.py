"""A separate product to load: `python -m app up` on a free port with its data in a temporary
folder, which is removed afterwards."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

READY_SECONDS = 90
STOP_SECONDS = 20
# Override the environment: its own databases, no rate limits, short holds, and no outgoing mail.
_SETTINGS = {
    "SITE_MODE": "int",
    "DATABASE_URL": "",
    "REDIS_URL": "",
    "SMTP_URL": "",
    "RATE_LIMITS": "off",
    "HOLD_SECONDS": "5",
    "LOG_LEVEL": "warning",
    "PYTHONUNBUFFERED": "1",
}


class NotReadyError(Exception):
    """The product did not start; the message holds its output."""


@dataclass(frozen=True)
class Product:
    """A running `up`: its address, its folder, and its process."""

    url: str
    data: Path
    pid: int


@contextmanager
def product(
    *, workers: int = 1, settings: dict[str, str] | None = None, log: IO[bytes] | None = None
) -> Iterator[Product]:
    """Runs until the context ends. `settings` override the defaults above; output goes to `log`.
    Raises NotReadyError."""
    # As root, Postgres runs as another user, which can access the system's temporary folder.
    folder = Path(tempfile.mkdtemp(prefix="instainstru-load-"))
    command = [
        sys.executable,
        "-m",
        "app",
        "up",
        "--no-demo",
        "--port",
        "0",
        "--workers",
        str(workers),
        "--data",
        str(folder),
    ]
    try:
        with ExitStack() as stack:
            if log is None:
                log = stack.enter_context(
                    tempfile.NamedTemporaryFile(prefix="instainstru-load-", suffix=".log")
                )
            process = subprocess.Popen(  # noqa: S603 — our own program
                command,
                env=os.environ | _SETTINGS | (settings or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                yield Product(_ready(process, Path(log.name)), folder, process.pid)
            finally:
                _stop(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ready(process: "subprocess.Popen[bytes]", output: Path) -> str:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if match := re.search(r"ready at (http://\S+)", output.read_text(errors="replace")):
            return match[1]
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise NotReadyError(
        "`python -m app up` did not get ready. Its output:\n"
        + output.read_text(errors="replace")[-2000:]
    )


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
