"""Keeps child processes running: starts them, logs each exit, restarts them with back-off, and
stops them. `up` decides which children there are and the order in which they stop."""

import asyncio
import contextlib
import logging
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections import deque
from collections.abc import Callable

import structlog

from app.embedded import process
from app.embedded.process import Program

log = structlog.get_logger("supervisor")

FIRST_DELAY = 0.2
MAX_DELAY = 10.0
STABLE_SECONDS = 10  # a child that ran this long is restarted after FIRST_DELAY


class Child:
    """One program that is kept running until `stop`."""

    def __init__(self, program: Program, before: Callable[[], object] | None = None) -> None:
        """`before` is called before every start."""
        self.name = program.name
        self.program = program
        self.last_output: deque[str] = deque(maxlen=8)
        self.exits = 0
        self._before = before
        self._process: Process | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self, group: asyncio.TaskGroup) -> None:
        self._task = group.create_task(self._keep_running(), name=self.name)

    async def stop(self, seconds: float) -> None:
        """Sends the stop signal and waits until the child has ended. Kills it and its descendants
        after `seconds`."""
        self._stopping.set()
        if self._process:
            _signal(self._process, self.program.stop_signal)
        if self._task:
            _, late = await asyncio.wait({self._task}, timeout=seconds)
            if late:
                log.warning("child_killed", child=self.name, waited_seconds=seconds)
                self._kill()
                await asyncio.wait({self._task})

    def _kill(self) -> None:
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _keep_running(self) -> None:
        clock = asyncio.get_running_loop().time
        delay = FIRST_DELAY
        while not self._stopping.is_set():
            started_at = clock()
            reason = await self._run_once()
            if self._stopping.is_set():
                return
            self.exits += 1
            stable = clock() - started_at > STABLE_SECONDS
            delay = FIRST_DELAY if stable else min(delay * 2, MAX_DELAY)
            log.warning(
                "child_exited",
                child=self.name,
                reason=reason,
                restart_seconds=delay,
                last_output=" / ".join(self.last_output) or None,
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)

    async def _run_once(self) -> str:
        """Runs the program; returns why it ended."""
        if self._before:
            self._before()
        self.last_output.clear()
        program = self.program
        try:
            self._process = await asyncio.create_subprocess_exec(
                *program.command,
                stdin=DEVNULL,
                stdout=PIPE if program.capture_output else None,
                stderr=STDOUT if program.capture_output else None,
                **process.popen_options(program),
            )
        except OSError as error:
            return str(error)
        log.info("child_started", child=self.name, pid=self._process.pid)
        if self._stopping.is_set():  # `stop` was called during the start
            _signal(self._process, program.stop_signal)
        running = self._process
        reader = asyncio.create_task(self._log_output(running.stdout)) if running.stdout else None
        try:
            status = await running.wait()
            if reader:
                await asyncio.wait({reader}, timeout=1)
        finally:
            self._kill()  # including descendants that are still running
            self._process = None
            if reader:
                reader.cancel()
        return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"

    async def _log_output(self, output: asyncio.StreamReader) -> None:
        while True:
            try:
                line = (await output.readline()).decode(errors="replace")
            except ValueError:  # longer than the reader's limit; the reader dropped it
                continue
            if not line:
                return
            if text := line.strip():
                self.last_output.append(text)
                log.log(_level(text), "child_output", child=self.name, text=text)


def _signal(running: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        running.send_signal(number)


def _level(line: str) -> int:
    """The log level of a line of Postgres or Redis. Errors of statements are logged by the process
    that sent the statement."""
    if line.startswith("PANIC:"):
        return logging.ERROR
    trouble = line.startswith(("FATAL:", "WARNING:")) or "was terminated by signal" in line
    # Expected whenever a process or the database itself stops.
    lost = "terminating connection due to" in line or "connection to client lost" in line
    expected = "the database system is" in line or lost
    return logging.WARNING if trouble and not expected else logging.DEBUG
