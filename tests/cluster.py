"""The Postgres of a test run: one cluster in a temporary folder, with a migrated template that each test's database is cloned from."""

import asyncio
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

from app import embedded, process
from app.migrate import migrate

# Nothing in it outlives the run.
HASTE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=64MB", "autovacuum_naptime=5s")
TEMPLATE = "migrated"


@dataclass(frozen=True)
class Cluster:
    """A running Postgres, by the folder of its socket (which is what xdist's workers are told)."""

    sockets: str

    def database(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self.sockets}&port=5432"

    async def clone(self, name: str) -> str:
        """A fresh migrated database. File copies are quicker than WAL where nothing is synchronised to disk."""
        await self._run(f'create database "{name}" template {TEMPLATE} strategy file_copy')
        return self.database(name)

    async def drop(self, name: str) -> None:
        await self._run(f'drop database if exists "{name}" with (force)')

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(self.database("postgres"), timeout=20)
        try:
            await connection.execute(statement, timeout=30)
        finally:
            await connection.close()


@dataclass(frozen=True)
class Owned:
    """The cluster as the process that started it sees it."""

    cluster: Cluster
    folders: tuple[Path, Path]
    postgres: subprocess.Popen[bytes]

    def stop(self) -> None:
        process.end(self.postgres, signal.SIGINT, 15)
        for folder in self.folders:
            shutil.rmtree(folder)


def start() -> Owned:
    folder = Path(tempfile.mkdtemp(prefix="instainstru-tests-"))
    run = embedded.run_folder()
    cluster = embedded.postgres(folder, run, HASTE)
    with (folder / "log").open("wb") as output:
        postgres = process.start(cluster.program(), output.fileno())
    owned = Owned(Cluster(str(cluster.sockets)), (folder, run), postgres)
    try:
        until(cluster.answers, "Postgres to answer", 20)
        # In a thread of its own: the caller's may have an event loop already.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(lambda: asyncio.run(_template(owned.cluster))).result()
    except BaseException:
        owned.stop()
        raise
    return owned


async def _template(cluster: Cluster) -> None:
    connection = await asyncpg.connect(cluster.database("postgres"))
    await connection.execute(f"create database {TEMPLATE}")
    await connection.close()
    await migrate(cluster.database(TEMPLATE))


def until(condition: Callable[[], object], what: str, seconds: float = 10) -> None:
    """Waits for the condition (a function without parameters)."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)
