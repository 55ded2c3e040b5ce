"""The Postgres of a test run: one cluster in a temporary folder. Each test's database is cloned
from a migrated template."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil

from app.db import SQL
from app.embedded import data_directory, postgres, process
from app.migrate import migrate

# Durability is not needed: the data is removed after the run.
FAST_SETTINGS = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "shared_buffers=64MB",
    "max_connections=200",
    "pg_stat_statements.track=none",
)
TEMPLATE = "migrated"
# Seconds until a wait fails. Long enough for a busy machine, because a wait ends as soon as its
# condition is true.
PATIENCE = 120.0


# In memory where there is room: each clone creates and deletes hundreds of files, and on some disks
# (ext4 without a journal) that takes longer than the tests themselves.
_MEMORY = Path("/dev/shm")
_MIN_FREE_BYTES = 4 << 30


def temporary_folder() -> Path:
    """For the data of a test's Postgres."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage(_MEMORY).free > _MIN_FREE_BYTES:
            return Path(tempfile.mkdtemp(prefix="instainstru-tests-", dir=_MEMORY))
    return Path(tempfile.mkdtemp(prefix="instainstru-tests-"))


@dataclass(frozen=True)
class Cluster:
    """A running Postgres, identified by the folder of its socket."""

    sockets: str

    def database(self, name: str, role: str = "postgres") -> str:
        return f"postgresql://{role}@/{name}?host={self.sockets}&port=5432"

    async def clone(self, name: str, template: str = TEMPLATE) -> str:
        """A new migrated database. Without fsync, copying files is faster than writing WAL."""
        await self._run(f'create database "{name}" template {template} strategy file_copy')
        await self._set_session_defaults(name)
        return self.database(name)

    async def clone_onto(self, name: str, folder: Path) -> str:
        """A new migrated database with its data in `folder`, which Postgres's account must own."""
        await self._run(f"create tablespace {name} location '{folder}'")
        await self._run(
            f'create database "{name}" template {TEMPLATE} tablespace {name} strategy file_copy'
        )
        await self._set_session_defaults(name)
        return self.database(name)

    async def empty(self, name: str) -> str:
        """A new, empty database."""
        await self._run(f'create database "{name}"')
        return self.database(name)

    async def drop(self, name: str) -> None:
        await self._run(f'drop database if exists "{name}" with (force)')

    async def _set_session_defaults(self, name: str) -> None:
        """Settings of a role in a database are not copied with it."""
        for role in ("postgres", postgres.APP_ROLE):
            await self._run((SQL / "session.sql").read_text(), database=name, role=role)

    async def _run(
        self, statement: str, *, database: str = "postgres", role: str = "postgres"
    ) -> None:
        connection = await asyncpg.connect(self.database(database, role), timeout=PATIENCE)
        try:
            await connection.execute(statement, timeout=PATIENCE)
        finally:
            await connection.close()


class Server:
    """A separate Postgres that can be stopped, killed and restarted at the same address. Begins
    with a copy of the data in `template`, the folder of another one that has a template; without,
    it creates both, which takes twenty times as long."""

    def __init__(self, *settings: str, template: Path | None = None) -> None:
        self._folder = temporary_folder()
        self._sockets = data_directory.socket_folder()
        self.template: Path | None = None
        if template is not None:
            _copy(template, self._folder)
        self.embedded = postgres.prepare(self._folder, self._sockets, (*FAST_SETTINGS, *settings))
        self._process: subprocess.Popen[bytes] | None = None
        self.cluster = Cluster(str(self.embedded.sockets))
        try:
            self.start()
            if template is None:
                # In another thread, as the caller's may already run an event loop.
                with ThreadPoolExecutor(1) as thread:
                    thread.submit(lambda: asyncio.run(_template(self.cluster))).result()
        except BaseException:
            self.close()
            raise

    def keep_template(self) -> None:
        """Copies its data to `template`, for others of this run."""
        self.stop()
        self.template = temporary_folder()
        _copy(self._folder, self.template)
        self.start()

    def start(self) -> None:
        if self._process is None:
            with (self._folder / "log").open("ab") as output:
                self._process = process.start(self.embedded.program(), output.fileno())
            until(self.embedded.answers, "Postgres to answer")

    def stop(self) -> None:
        """Fast shutdown: open connections are closed."""
        if self._process is not None:
            process.stop(self._process, signal.SIGINT, 15)
            self._process = None

    def kill(self) -> None:
        """Kills all its processes, like a power cut that leaves the disk intact."""
        if self._process is not None:
            family = psutil.Process(self._process.pid).children(recursive=True)
            self._process.kill()
            self._process.wait()
            psutil.wait_procs(family, timeout=PATIENCE)
            self._process = None

    def close(self) -> None:
        self.stop()
        for folder in (self._folder, self._sockets, self.template):
            if folder is not None:
                shutil.rmtree(folder)


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", f"{source}/.", str(target)], check=True)


class Standby(Server):
    """A streaming replica of a primary or of another standby."""

    def __init__(self, source: Server) -> None:
        self._folder = temporary_folder()
        self._sockets = data_directory.socket_folder()
        self.template = None
        self._process = None
        data = self._folder / "postgres"
        data.mkdir(mode=0o700)
        if user := source.embedded.user:
            data_directory.grant_access(self._folder, user)
            os.chown(data, user.uid, user.gid)
        program = str(source.embedded.binaries / "pg_basebackup")
        options = [
            "-D",
            str(data),
            "--write-recovery-conf",
            "--checkpoint=fast",
            "-U",
            "postgres",
            "-h",
            source.cluster.sockets,
        ]
        result = data_directory.run_as(user, [program, *options])
        assert result.returncode == 0, result.stderr
        self.embedded = postgres.prepare(self._folder, self._sockets, FAST_SETTINGS)
        self.cluster = Cluster(str(self.embedded.sockets))
        self.start()


async def _template(cluster: Cluster) -> None:
    connection = await asyncpg.connect(cluster.database("postgres"))
    await connection.execute(f"create database {TEMPLATE}")
    await connection.close()
    await migrate(cluster.database(TEMPLATE), cluster.database(TEMPLATE, postgres.APP_ROLE))


def until(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Waits until `condition()` is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)
