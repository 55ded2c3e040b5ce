"""Starts a program in its own process group, so that Ctrl-C reaches only this process, which stops
its children in order. On Linux the kernel stops the program if this process is killed."""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class SystemUser:
    """A user of the operating system."""

    name: str
    uid: int
    gid: int

    @staticmethod
    def of(entry: pwd.struct_passwd) -> "SystemUser":
        return SystemUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


@dataclass(frozen=True)
class Program:
    """A command, and how to run and stop it."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] | None = None  # None: the current one
    user: SystemUser | None = None  # None: the current user
    pass_fds: tuple[int, ...] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    capture_output: bool = False  # its output is plain text, which the supervisor logs
    is_batch: bool = False  # on Linux: preempts no other process when it wakes up (SCHED_BATCH)


class PopenOptions(TypedDict, total=False):
    """Arguments that subprocess and asyncio's subprocesses have in common."""

    env: Mapping[str, str] | None
    pass_fds: tuple[int, ...]
    process_group: int
    user: int
    group: int
    extra_groups: list[int]
    preexec_fn: Callable[[], None]


def popen_options(program: Program) -> PopenOptions:
    """Start the program from the main thread: the kernel's signal is sent when the *thread* that
    started it ends."""
    options: PopenOptions = {
        "env": program.environment,
        "pass_fds": program.pass_fds,
        "process_group": 0,
    }
    if user := program.user:
        options |= {"user": user.uid, "group": user.gid, "extra_groups": []}
    if _libc is not None:
        options["preexec_fn"] = _preparation(os.getpid(), program)
    return options


def start(
    program: Program, output: int | None = None, folder: Path | None = None
) -> subprocess.Popen[bytes]:
    """Starts it in `folder`; its output goes to the file descriptor `output`."""
    errors = None if output is None else subprocess.STDOUT
    return subprocess.Popen(  # noqa: S603 — our own programs
        program.command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        cwd=folder,
        **popen_options(program),
    )


def stop(process: subprocess.Popen[bytes], stop_signal: signal.Signals, seconds: float) -> None:
    """Sends the signal; kills the process if it still runs after `seconds`."""
    if process.poll() is None:
        process.send_signal(stop_signal)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def _preparation(parent: int, program: Program) -> Callable[[], None]:
    """The function to run in the child between fork and exec, after it has changed its user,
    because that change would clear the request for the signal."""
    libc = _libc
    assert libc is not None

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(program.stop_signal), 0, 0, 0)
        if program.is_batch and sys.platform == "linux":
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        if os.getppid() != parent:  # the parent died before the request
            os._exit(1)

    return prepare
