"""Runs the product's processes, `python -m app serve`, `relay` and `worker`, with settings in their
environment."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

import httpx

from app.embedded import preflight, process
from app.embedded.process import Program
from app.settings import Settings, environment
from tests.cluster import PATIENCE, until

ROOT = Path(__file__).parent.parent


class Running:
    """A running process of the product."""

    def __init__(
        self, name: str, popen: subprocess.Popen[bytes], output: IO[bytes], url: str
    ) -> None:
        self.name = name
        self.popen = popen
        self.url = url
        self._output = output

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def log(self) -> str:
        """Its output so far."""
        return Path(self._output.name).read_text()

    def wait_for(self, text: str, seconds: float = PATIENCE) -> None:
        """Waits until its output contains `text`."""
        until(lambda: text in self.log, f"{self.name} to write {text!r}", seconds)

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()

    def stop(self, seconds: float = PATIENCE) -> int:
        """Sends SIGTERM; returns the exit status."""
        process.stop(self.popen, signal.SIGTERM, seconds)
        return self.popen.returncode

    def close(self) -> None:
        self.stop()
        self._output.close()


class Starter:
    """Starts processes with the test's settings, and stops them after the test."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._started: list[Running] = []

    def __call__(
        self, command: str, *arguments: str, descriptors: int | None = None, **changed: Any
    ) -> Running:
        """Starts `python -m app <command> <arguments>`. `serve` gets a free port and is ready on
        return. `descriptors` limits open files; `changed` overrides settings."""
        with contextlib.ExitStack() as stack:
            url, descriptor = "", tuple[int, ...]()
            if command == "serve" and "--port" not in arguments:
                listener = stack.enter_context(preflight.listening_socket("127.0.0.1", free_port()))
                url = f"http://127.0.0.1:{listener.getsockname()[1]}"
                descriptor = (listener.fileno(),)
                arguments = (*arguments, "--fd", str(listener.fileno()))
            output = tempfile.NamedTemporaryFile(prefix=f"{command}-")  # noqa: SIM115 — see close
            limit = (
                ["/bin/sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh"]
                if descriptors
                else []
            )
            program = Program(
                command,
                [*limit, sys.executable, "-m", "app", command, *arguments],
                os.environ | environment(self.settings.model_copy(update=changed)),
                pass_fds=descriptor,
            )
            running = Running(command, process.start(program, output.fileno(), ROOT), output, url)
        self._started.append(running)
        if url:
            until(lambda: running.popen.poll() is not None or _ready(url), f"{command} to be ready")
            assert running.popen.poll() is None, running.log
        return running

    def stop_all(self) -> None:
        for running in reversed(self._started):
            running.close()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def free_port() -> int:
    """A port below those that the kernel gives to outgoing connections: nobody takes it before the
    process listens, nor between two that listen on it."""
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            return port
