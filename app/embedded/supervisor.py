"""Keeps child processes running: starts them, notices when one dies, says so and starts it again with back-off, and stops them in
the order asked for. What the children are is `up`'s business."""

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
LONGEST_DELAY = 10.0
STABLE_SECONDS = 10  # who ran that long starts again without delay


class Child:
    """One program that shall run until `stop`."""

    def __init__(self, program: Program, before: Callable[[], object] | None = None) -> None:
        """`before` runs ahead of every start."""
        self.name = program.name
        self.program = program
        self.last_words: deque[str] = deque(maxlen=8)
        self.deaths = 0
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
        """Asks it to stop, kills it (and what it started) when it has not within `seconds`, and waits until it is gone."""
        self._stopping.set()
        if self._process:
            _signal(self._process, self.program.stop_signal)
        if self._task:
            _, late = await asyncio.wait({self._task}, timeout=seconds)
            if late:
                log.warning("killing", child=self.name, waited=seconds)
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
            began = clock()
            died = await self._run_once()
            if self._stopping.is_set():
                return
            self.deaths += 1
            delay = (
                FIRST_DELAY if clock() - began > STABLE_SECONDS else min(delay * 2, LONGEST_DELAY)
            )
            log.warning(
                "child died",
                child=self.name,
                how=died,
                again_in=delay,
                last_words=" / ".join(self.last_words) or None,
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)

    async def _run_once(self) -> str:
        """How it ended."""
        if self._before:
            self._before()
        self.last_words.clear()
        program = self.program
        try:
            self._process = await asyncio.create_subprocess_exec(
                *program.command,
                stdin=DEVNULL,
                stdout=PIPE if program.wordy else None,
                stderr=STDOUT if program.wordy else None,
                **process.options(program),
            )
        except OSError as error:
            return str(error)
        log.info("child started", child=self.name, pid=self._process.pid)
        if self._stopping.is_set():  # asked to stop while it was being started
            _signal(self._process, program.stop_signal)
        running = self._process
        listening = asyncio.create_task(self._listen(running.stdout)) if running.stdout else None
        try:
            status = await running.wait()
            if listening:
                await asyncio.wait({listening}, timeout=1)
        finally:
            self._kill()  # also what it may have left behind
            self._process = None
            if listening:
                listening.cancel()
        return (
            f"killed by {signal.Signals(-status).name}"
            if status < 0
            else f"ended with status {status}"
        )

    async def _listen(self, output: asyncio.StreamReader) -> None:
        """Puts what it says into our log: at debug, unless it sounds like trouble."""
        while True:
            try:
                line = (await output.readline()).decode(errors="replace")
            except ValueError:  # longer than the reader's limit, and dropped by it
                continue
            if not line:
                return
            if said := line.strip():
                self.last_words.append(said)
                log.log(_level(said), said, child=self.name)


def _signal(running: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        running.send_signal(number)


def _level(line: str) -> int:
    """How loud a line of Postgres or Redis is. A statement's error is told by whoever sent the statement."""
    if line.startswith("PANIC:"):
        return logging.ERROR
    trouble = line.startswith(("FATAL:", "WARNING:")) or "was terminated by signal" in line
    # Both happen whenever a process or the database itself is stopped.
    lost = "terminating connection due to" in line or "connection to client lost" in line
    passing = "the database system is" in line or lost
    return logging.WARNING if trouble and not passing else logging.DEBUG
