"""Checks and prepares everything `up` needs before it starts a child: the listening socket, the
data directory, the secret key, the databases, and the settings of its children. Every problem is
one sentence."""

import errno
import fcntl
import ipaddress
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import structlog

from app.embedded import data_directory, postgres, redis
from app.embedded.postgres import Postgres
from app.embedded.process import SystemUser
from app.embedded.redis import Redis
from app.settings import Settings, read

log = structlog.get_logger("up")

AUDIT_LOG = "audit.jsonl"  # in the data directory, unless AUDIT_LOG is set
MAX_DRAIN_SECONDS = 4.0  # so that `up` stops within 10 s


class UpError(Exception):
    """Nothing was started, or everything was stopped again; the message says why and what to do."""


@dataclass(frozen=True)
class UpOptions:
    """The command line of `up`."""

    host: str
    port: int
    data: Path
    workers: int
    demo: bool | None  # None: only if SITE_MODE is int


@dataclass(frozen=True)
class UpContext:
    """What exists before the first child starts. `postgres` and `redis` are None if the settings
    name other servers."""

    settings: Settings
    listener: socket.socket
    postgres: Postgres | None
    redis: Redis | None
    url: str
    user: SystemUser | None  # that runs the product's processes; None: the current user


@contextmanager
def prepare(options: UpOptions) -> Iterator[UpContext]:
    """Yields the context of `up` for as long as it runs. Raises UpError, SettingsError or
    EmbeddedError."""
    with (
        listening_socket(options.host, options.port) as listener,
        _locked_folder(options.data) as sockets,
    ):
        yield _context(options, listener, sockets)


@contextmanager
def listening_socket(host: str, port: int) -> Iterator[socket.socket]:
    """Opened before any web process runs, so that early requests wait instead of failing."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise UpError(
            f"There is no address {host!r} to listen on. Use --host 127.0.0.1, or 0.0.0.0 for all."
        ) from None
    family, kind, protocol, _, address = min(
        addresses, key=lambda entry: entry[0] != socket.AF_INET
    )
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(2048)
        except PermissionError:
            raise UpError(
                f"No permission to listen on port {port}. Choose one above 1023 with --port."
            ) from None
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise UpError(
                    f"This machine does not have the address {host}. "
                    "Use --host 127.0.0.1, or 0.0.0.0 for all."
                ) from None
            in_use = error.errno == errno.EADDRINUSE
            reason = "it is in use" if in_use else (error.strerror or str(error)).lower()
            raise UpError(
                f"Cannot listen on {host} port {port}: {reason}. Choose another with --port."
            ) from None
        yield listener


@contextmanager
def _locked_folder(data: Path) -> Iterator[Path]:
    """Creates the data directory if needed, and locks it against another `up`. Yields a new private
    folder for sockets."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / "lock").open("a+")
    except OSError as error:
        not_a_folder = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "it is not a folder" if not_a_folder else (error.strerror or "").lower()
        raise UpError(
            f"Cannot keep the data in {data}: {reason}. Choose another folder with --data."
        ) from None
    with lock:
        lock.seek(0)
        pid, _, earlier_sockets = lock.read().strip().partition(" ")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UpError(
                f"{data} is in use by another `up` (process {pid}). "
                "Stop it, or choose another folder with --data."
            ) from None
        if Path(earlier_sockets).name.startswith(data_directory.SOCKETS_PREFIX):
            shutil.rmtree(earlier_sockets, ignore_errors=True)  # of an `up` that was killed
        sockets = data_directory.socket_folder()
        try:
            _write(lock, f"{os.getpid()} {sockets}")
            yield sockets
        finally:
            shutil.rmtree(sockets, ignore_errors=True)
            _write(lock, "")


def _write(lock: TextIO, text: str) -> None:
    lock.truncate(0)
    lock.write(text)
    lock.flush()


def _context(options: UpOptions, listener: socket.socket, sockets: Path) -> UpContext:
    data = options.data.resolve()
    settings = read()
    check_exposure(listener, settings)
    url = _url(listener)
    changes: dict[str, object] = {}
    database = cache = None
    user = data_directory.system_user(data)
    if not settings.secret_key.get_secret_value():
        changes["secret_key"] = _secret_key(data)
    if not settings.database_url.get_secret_value():
        # The pools of the web processes, relay and worker, and 60 for other clients.
        connections = (options.workers + 2) * settings.database_pool + 60
        database = postgres.prepare(data, sockets, (f"max_connections={connections}",))
        changes["database_url"] = database.app_url
        changes["migrate_database_url"] = database.url
    if not settings.redis_url.get_secret_value():
        cache = redis.prepare(sockets, user)
        changes["redis_url"] = cache.url
    if "site_url" not in settings.model_fields_set:
        changes["site_url"] = url
    if "audit_log" not in settings.model_fields_set:
        changes["audit_log"] = data / AUDIT_LOG
    changes["drain_seconds"] = min(settings.drain_seconds, MAX_DRAIN_SECONDS)
    if user is not None and not data_directory.can_run_product(user):
        log.warning(
            "privileges_kept",
            reason=f"The user {user.name} cannot read this checkout or its Python, so web "
            "processes, relay and worker run as root.",
        )
        user = None
    return UpContext(read(**changes), listener, database, cache, url, user)


def _secret_key(data: Path) -> str:
    """Created once, so that sessions survive a restart."""
    path = data / "secret_key"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        key = secrets.token_urlsafe(48)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key)
        return key
    except PermissionError:
        raise UpError(
            f"No permission to read {path}. Run as its owner, or choose another folder with --data."
        ) from None


def _url(listener: socket.socket) -> str:
    """The address for a browser on this machine."""
    host, port = local_address(listener)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def local_address(listener: socket.socket) -> tuple[str, int]:
    """The host and port by which this machine reaches it."""
    host, port = listener.getsockname()[:2]
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 — compared, not bound
    return loopback.get(host, host), port


def check_exposure(listener: socket.socket, settings: Settings) -> None:
    """Raises UpError if other machines could reach a site whose mode nobody has chosen."""
    if not is_loopback(listener) and "site_mode" not in settings.model_fields_set:
        raise UpError(
            "Other machines can reach this address, so choose the kind of site first: "
            "SITE_MODE=prod, stg, or int for trials in a network that you trust."
        )


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine reaches it."""
    if listener.family == socket.AF_UNIX:
        return True
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback
