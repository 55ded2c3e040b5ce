"""Starting another program so that it ends with us: its own process group (Ctrl-C reaches only us, and we stop it in order) and, on
Linux, a signal from the kernel should we be killed. What is started when, and what happens when it dies, is supervisor's."""

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
class Account:
    """An account of the operating system, as which a program may run."""

    name: str
    uid: int
    gid: int

    @staticmethod
    def of(entry: pwd.struct_passwd) -> "Account":
        return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


@dataclass(frozen=True)
class Program:
    """What to run, how, and the signal that asks it to stop."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] | None = None  # None: ours
    account: Account | None = None  # None: as ourselves
    pass_fds: tuple[int, ...] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    wordy: bool = False  # its output is lines for people, to be put into our log


class Options(TypedDict, total=False):
    """Arguments that subprocess and asyncio's subprocesses have in common."""

    env: Mapping[str, str] | None
    pass_fds: tuple[int, ...]
    process_group: int
    user: int
    group: int
    extra_groups: list[int]
    preexec_fn: Callable[[], None]


def options(program: Program) -> Options:
    """How to start it. To be started from the main thread: the kernel's signal comes when the *thread* that started it ends."""
    chosen: Options = {"env": program.environment, "pass_fds": program.pass_fds, "process_group": 0}
    if program.account:
        chosen |= {"user": program.account.uid, "group": program.account.gid, "extra_groups": []}
    if _libc is not None:
        chosen["preexec_fn"] = _die_with_us(os.getpid(), program.stop_signal)
    return chosen


def start(
    program: Program, output: int | None = None, folder: Path | None = None
) -> subprocess.Popen[bytes]:
    """Starts it in `folder`, with everything it writes going to the file descriptor `output`."""
    errors = None if output is None else subprocess.STDOUT
    return subprocess.Popen(  # noqa: S603 — our own programs
        program.command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        cwd=folder,
        **options(program),
    )


def end(process: subprocess.Popen[bytes], stop_signal: signal.Signals, seconds: float) -> None:
    """Asks it to stop, and kills it when it has not within `seconds`."""
    if process.poll() is None:
        process.send_signal(stop_signal)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def _die_with_us(parent: int, stop_signal: signal.Signals) -> Callable[[], None]:
    """Runs in the child between fork and exec, after it changed its account (which would clear the wish)."""
    libc = _libc
    assert libc is not None

    def ask_the_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(stop_signal), 0, 0, 0)
        if os.getppid() != parent:  # we died in between
            os._exit(1)

    return ask_the_kernel
