"""The product under test: embedded Postgres and Redis, one web process and a relay on this machine.
No worker runs, so that mails do not affect the results. Postgres is started as by `up`, with its
data in the folder of the benchmarks."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
import httpx
from pydantic import SecretStr

from app.db import Pool, connect
from app.embedded import data_directory, postgres, process, redis
from app.embedded.postgres import Postgres
from app.embedded.process import Program
from app.embedded.redis import Redis
from app.migrate import migrate
from app.settings import Settings, environment, read

DATABASE = "bench_run"
# Connections to Postgres, in the product (DATABASE_POOL's default) and for the floors.
CONNECTIONS = 20
_SECRET = "only benchmarks are signed with this key"  # noqa: S105


class BenchError(Exception):
    """The benchmark cannot run; the message says why."""


@dataclass(frozen=True)
class Cluster:
    postgres: Postgres
    redis: Redis

    def dsn(self, name: str) -> str:
        return self.postgres.database(name)


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Postgres with its data below `folder`, and a Redis. Raises EmbeddedError."""
    folder.mkdir(parents=True, exist_ok=True)
    sockets = data_directory.socket_folder()
    started: list[tuple[subprocess.Popen[bytes], signal.Signals]] = []
    try:
        databases = Cluster(postgres.prepare(folder, sockets), redis.prepare(sockets))
        with (folder / "bench.log").open("wb") as log:
            for server in (databases.postgres, databases.redis):
                program = server.program()
                started.append((process.start(program, log.fileno()), program.stop_signal))
                _until(server.answers, f"{program.name} to answer")
        yield databases
    finally:
        for running, stop in reversed(started):
            process.stop(running, stop, 20)
        shutil.rmtree(sockets, ignore_errors=True)


@dataclass(frozen=True)
class Stack:
    """A new database with the current schema, on which the product can be started."""

    settings: Settings
    pool: Pool
    log: Path

    def dsn(self) -> str:
        return self.settings.database_url.get_secret_value()

    @asynccontextmanager
    async def product(self, *, relay: bool = True) -> AsyncIterator["Web"]:
        """Starts one web process and perhaps a relay."""
        port = _free_port()
        web = ["serve", "--host", "127.0.0.1", "--port", str(port)]
        async with AsyncExitStack() as stack:
            serving = stack.enter_context(self.running("web", web))
            if relay:
                stack.enter_context(self.running("relay", ["relay"]))
            url = f"http://127.0.0.1:{port}"
            await self._ready(url, serving)
            yield Web("127.0.0.1", port, serving.pid)

    @contextmanager
    def worker(self, smtp_url: str) -> Iterator[int]:
        """A worker that sends to this SMTP server; its process id."""
        settings = self.settings.model_copy(update={"smtp_url": SecretStr(smtp_url)})
        with replace(self, settings=settings).running("worker", ["worker"]) as running:
            yield running.pid

    async def _ready(self, url: str, serving: "subprocess.Popen[bytes]") -> None:
        async with httpx.AsyncClient(timeout=2) as client:
            for _ in range(300):
                if serving.poll() is not None:
                    break
                try:
                    if (await client.get(f"{url}/health/ready")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass  # not listening yet
                await asyncio.sleep(0.1)
        last_lines = self.log.read_text(errors="replace").strip().splitlines()[-5:]
        raise BenchError(
            "\n".join([f"The web process did not get ready. {self.log} ends with:", *last_lines])
        )

    @contextmanager
    def running(self, name: str, arguments: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
        with self.log.open("ab") as log:
            program = Program(
                name,
                [sys.executable, "-m", "app", *arguments],
                os.environ | environment(self.settings),
            )
            running = process.start(program, log.fileno())
        try:
            yield running
        finally:
            process.stop(running, signal.SIGTERM, 15)


@dataclass(frozen=True)
class Web:
    """The web process."""

    host: str
    port: int
    pid: int


@asynccontextmanager
async def fresh_stack(
    databases: Cluster, folder: Path, *, template: str | None = None
) -> AsyncIterator[Stack]:
    """A stack with an empty database, or with a copy of `template`."""
    admin = await asyncpg.connect(databases.dsn("postgres"), timeout=10)
    try:
        await admin.execute(f"drop database if exists {DATABASE} with (force)")
        copy = f"template {template} strategy file_copy" if template else ""
        await admin.execute(f"create database {DATABASE} {copy}")
    finally:
        await admin.close(timeout=10)
    await migrate(databases.dsn(DATABASE))
    settings = read(
        _env_file=None,
        site_mode="int",
        database_url=databases.dsn(DATABASE),
        redis_url=databases.redis.url,
        secret_key=_SECRET,
        smtp_url="",
        rate_limits="off",
        log_level="warning",
        database_pool=CONNECTIONS,
        drain_seconds=0,
    )
    pool = await connect(databases.dsn(DATABASE), size=CONNECTIONS, name="bench")
    try:
        yield Stack(settings, pool, folder / "bench.log")
    finally:
        await pool.close()


def _until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"Waited {seconds:.0f} s for {what}.")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
