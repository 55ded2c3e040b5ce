"""A product of its own to load: `python -m app up` on a free port and in a temporary folder, gone afterwards."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READY_SECONDS = 90
STOP_SECONDS = 20
# Whatever the surroundings say: databases of its own, no limits, and no mail that leaves the house.
_SETTINGS = {
    "SITE_MODE": "int",
    "DATABASE_URL": "",
    "REDIS_URL": "",
    "SMTP_URL": "",
    "RATE_LIMITS": "off",
    "LOG_LEVEL": "warning",
    "PYTHONUNBUFFERED": "1",
}


class NotReadyError(Exception):
    """The product did not start; the message is what it said."""


@contextmanager
def product(*, workers: int = 1) -> Iterator[tuple[str, Path]]:
    """Its address and its folder, for as long as it is needed. Raises NotReadyError."""
    # Straight below the system's folder for such things: as root, Postgres runs as another account, which can get there.
    folder = Path(tempfile.mkdtemp(prefix="instainstru-load-"))
    command = [sys.executable, "-m", "app", "up", "--no-demo", "--port", "0", "--workers", str(workers), "--data", str(folder)]
    try:
        with tempfile.NamedTemporaryFile(prefix="instainstru-load-", suffix=".log") as log:
            process = subprocess.Popen(  # noqa: S603 — our own program
                command, env=os.environ | _SETTINGS, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
            try:
                yield _ready(process, Path(log.name)), folder
            finally:
                _stop(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ready(process: "subprocess.Popen[bytes]", output: Path) -> str:
    ends = time.monotonic() + READY_SECONDS
    while time.monotonic() < ends:
        if found := re.search(r"ready at (http://\S+)", output.read_text(errors="replace")):
            return found[1]
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise NotReadyError(f"`python -m app up` did not get ready. It said:\n{output.read_text(errors='replace')[-2000:]}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
