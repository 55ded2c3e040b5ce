"""What `up` makes sure of before it starts anything: that the address and the folder are its own, that there are a key and databases,
and with which settings its children run. Everything that can be wrong is one sentence."""

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

from app import embedded
from app.settings import Settings, read

AUDIT_LOG = "audit.jsonl"  # in DIR, unless the setting says otherwise
LONGEST_DRAIN = 4.0  # so that `up` ends in time


class UpError(Exception):
    """Nothing was started, or everything was stopped again; the message says why and what to do."""


@dataclass(frozen=True)
class Wanted:
    """The command line of `up`."""

    host: str
    port: int
    data: Path
    workers: int
    demo: bool | None  # None: in int only


@dataclass(frozen=True)
class Ground:
    """What is made before anything is started."""

    settings: Settings
    listener: socket.socket
    postgres: embedded.Postgres | None
    redis: embedded.Redis | None
    url: str


@contextmanager
def ground(wanted: Wanted) -> Iterator[Ground]:
    """For as long as `up` runs. Raises UpError, SettingsError or EmbeddedError."""
    with listening(wanted.host, wanted.port) as listener, _folder(wanted.data) as run:
        yield _ground(wanted, listener, run)


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """The listening socket. It is open before there is anyone to answer, so that whoever comes early waits instead of failing."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise UpError(
            f"There is no address {host!r} to listen on. Say --host 127.0.0.1, or 0.0.0.0 for all."
        ) from None
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
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
                    f"This machine does not have the address {host}. Say --host 127.0.0.1, or 0.0.0.0 for all."
                ) from None
            raise UpError(
                f"Cannot listen on {host} port {port}: {_reason(error)}. Choose another with --port."
            ) from None
        yield listener


def _reason(error: OSError) -> str:
    return (
        "it is in use"
        if error.errno == errno.EADDRINUSE
        else (error.strerror or str(error)).lower()
    )


@contextmanager
def _folder(data: Path) -> Iterator[Path]:
    """DIR, made if need be, and ours alone for as long as this runs; with it comes a fresh short folder for sockets."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / "lock").open("a+")
    except OSError as error:
        why = (
            "it is not a folder"
            if isinstance(error, FileExistsError | NotADirectoryError)
            else (error.strerror or "").lower()
        )
        raise UpError(
            f"Cannot keep the data in {data}: {why}. Choose another folder with --data."
        ) from None
    with lock:
        lock.seek(0)
        pid, _, before = lock.read().strip().partition(" ")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UpError(
                f"{data} is in use by another `up` (process {pid}). Stop it, or choose another folder with --data."
            ) from None
        if Path(before).name.startswith(embedded.RUN_PREFIX):
            shutil.rmtree(before, ignore_errors=True)  # of an `up` that was killed
        run = embedded.run_folder()
        try:
            _write(lock, f"{os.getpid()} {run}")
            yield run
        finally:
            shutil.rmtree(run, ignore_errors=True)
            _write(lock, "")


def _write(lock: TextIO, text: str) -> None:
    lock.truncate(0)
    lock.write(text)
    lock.flush()


def _ground(wanted: Wanted, listener: socket.socket, run: Path) -> Ground:
    data = wanted.data.resolve()
    given = read()
    url = _url(listener)
    chosen: dict[str, object] = {}
    postgres = redis = None
    if not given.secret_key.get_secret_value():
        chosen["secret_key"] = _secret_key(data)
    if not given.database_url.get_secret_value():
        # Every web process, the relay and the worker; and some for whoever looks into it.
        connections = (wanted.workers + 2) * given.database_pool + 60
        postgres = embedded.postgres(data, run, (f"max_connections={connections}",))
        chosen["database_url"] = postgres.url
    if not given.redis_url.get_secret_value():
        redis = embedded.redis(run)
        chosen["redis_url"] = redis.url
    if "site_url" not in given.model_fields_set:
        chosen["site_url"] = url
    if "audit_log" not in given.model_fields_set:
        chosen["audit_log"] = data / AUDIT_LOG
    chosen["drain_seconds"] = min(given.drain_seconds, LONGEST_DRAIN)
    return Ground(read(**chosen), listener, postgres, redis, url)


def _secret_key(data: Path) -> str:
    """Made once, so that sessions outlive a restart."""
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
    """Where a browser on this machine finds it."""
    host, port = local(listener)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def local(listener: socket.socket) -> tuple[str, int]:
    """Host and port by which this machine reaches it."""
    host, port = listener.getsockname()[:2]
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104 — what "all addresses" is from here


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine reaches it."""
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback
