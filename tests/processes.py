"""Runs the product's processes, `python -m app serve`, `relay` and `worker`, with settings in their
environment. Importing the product takes half a second of CPU, so they are forks of a server that
has imported it (tests/preloaded.py). tests/test_up.py also starts `python -m app` itself."""

import contextlib
import http.client
import importlib
import multiprocessing
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import IO, Any

from app.embedded import preflight
from app.settings import Settings, environment
from tests.cluster import PATIENCE, until

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.preloaded"])

ROOT = Path(__file__).parent.parent
# Events of databases that answer late.
LATE_EVENTS = (
    "postgres_unavailable",
    "redis_unavailable",
    "redis_disconnected",
    "redis_subscription_lost",
    "rate_limits_local",
)


class Running:
    """A running process of the product. Its output is in a temporary file."""

    def __init__(
        self, name: str, process: ForkServerProcess, output: IO[bytes], url: str = ""
    ) -> None:
        self.name = name
        self.url = url
        self._process = process
        self._output = output

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """Its output so far."""
        return Path(self._output.name).read_text()

    @property
    def warnings(self) -> list[str]:
        """The lines of its log, except those of databases that answer late on a busy machine."""
        return [
            line for line in self.log.splitlines() if not any(map(line.__contains__, LATE_EVENTS))
        ]

    @property
    def status(self) -> int | None:
        """Its exit status, once it has ended."""
        return self._process.exitcode

    def wait_for(self, text: str, seconds: float = PATIENCE) -> None:
        """Waits until its output contains `text`."""
        until(lambda: text in self.log, f"{self.name} to write {text!r}", seconds)

    def wait(self, seconds: float = PATIENCE) -> int | None:
        """Waits until it ends; returns its exit status."""
        self._process.join(seconds)
        return self.status

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def stop(self, seconds: float = PATIENCE) -> int | None:
        """Sends SIGTERM; returns the exit status. Kills it after `seconds`."""
        self._process.terminate()
        self._process.join(seconds)
        self.kill()
        return self.status

    def close(self) -> None:
        self.stop()
        self._output.close()


def fork(
    name: str,
    run: Callable[..., object],
    *arguments: Any,
    variables: Mapping[str, str],
    url: str = "",
    descriptors: int | None = None,
) -> Running:
    """Calls `run(*arguments)` in a process with these variables added to its environment.
    `descriptors` limits open files."""
    output = tempfile.NamedTemporaryFile(prefix=f"{name}-")  # noqa: SIM115 — see Running.close
    process = _forks.Process(
        target=_in_fork, args=(output.name, os.environ | variables, descriptors, run, *arguments)
    )
    process.start()
    return Running(name, process, output, url)


def completed(
    arguments: Sequence[str],
    *,
    variables: Mapping[str, str],
    program: str = "app",
    seconds: float = PATIENCE,
) -> "subprocess.CompletedProcess[str]":
    """Runs `python -m <program> <arguments>` in a fork, without input, until it ends."""
    with (
        tempfile.NamedTemporaryFile(prefix="errors-") as errors,
        contextlib.closing(
            fork(
                program,
                _with_errors_apart,
                errors.name,
                program,
                list(arguments),
                variables=variables,
            )
        ) as running,
    ):
        status = running.wait(seconds)
        assert status is not None, running.log
        return subprocess.CompletedProcess(
            arguments, status, running.log, Path(errors.name).read_text()
        )


def _with_errors_apart(errors: str, program: str, arguments: Sequence[str]) -> int:
    with Path(errors).open("ab") as file:
        os.dup2(file.fileno(), 2)
    return int(importlib.import_module(f"{program}.__main__").main(arguments))


def _in_fork(
    output: str,
    variables: Mapping[str, str],
    descriptors: int | None,
    run: Callable[..., object],
    *arguments: Any,
) -> None:
    with Path(output).open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    assert "tests.preloaded" in sys.modules, "run pytest in the folder of the Makefile"
    os.setpgid(0, 0)  # Ctrl-C ends the tests, which stop this process
    threading.Thread(target=_stop_with_tests, daemon=True).start()
    os.environ.clear()
    os.environ.update(variables)
    if descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    sys.exit(run(*arguments))  # type: ignore[arg-type]


def _stop_with_tests() -> None:
    """Even if the process of the tests is killed."""
    tests = multiprocessing.parent_process()
    assert tests is not None
    tests.join()
    os.kill(os.getpid(), signal.SIGTERM)


def command(arguments: Sequence[str], listener: socket.socket | None = None) -> int:
    """`python -m app <arguments>`, in a fork."""
    import app.__main__

    if listener:
        arguments = [*arguments, "--fd", str(listener.detach())]
    return app.__main__.main(arguments)


class Starter:
    """Starts processes with the test's settings, and stops them after the test."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._started: list[Running] = []

    def __call__(
        self,
        name: str,
        *arguments: str,
        listen_on: int | None = None,
        descriptors: int | None = None,
        **changed: Any,
    ) -> Running:
        """Starts `python -m app <name> <arguments>`. `serve` is ready on return; it listens on this
        port, or a free one. `descriptors` limits open files; `changed` overrides settings."""
        with contextlib.ExitStack() as stack:
            url, port, listener = "", 0, None
            if name == "serve" and "--port" not in arguments:
                port = listen_on or free_port()
                listener = stack.enter_context(preflight.listening_socket("127.0.0.1", port))
                url = f"http://127.0.0.1:{port}"
            running = fork(
                name,
                command,
                [name, *arguments],
                listener,
                variables=environment(self.settings.model_copy(update=changed)),
                url=url,
                descriptors=descriptors,
            )
        self._started.append(running)
        if url:
            until(lambda: running.status is not None or _ready(port), f"{name} to be ready")
            assert running.status is None, running.log
        return running

    def stop_all(self) -> None:
        for running in reversed(self._started):
            running.close()


def _ready(port: int) -> bool:
    """Without httpx, which prepares for TLS on each call."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=2)) as client:
        try:
            client.request("GET", "/health/ready")
            return client.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


def free_port() -> int:
    """A port below those that the kernel gives to outgoing connections: nobody takes it before the
    process listens, nor between two that listen on it."""
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        # Without SO_REUSEADDR, this also refuses a port that is reserved.
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
    """A port for one process after the other, which nobody else gets meanwhile."""
    with socket.socket() as reservation:
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.bind(("127.0.0.1", free_port()))
        port: int = reservation.getsockname()[1]
        yield port
