"""Fixtures: an empty Postgres database per test, a real Redis, the application in-process
(`client`) and as real processes (`start`, `server`). Our own parts are never mocked."""

import asyncio
import gc
import os
import shutil
import signal
import socket
import subprocess
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
import pytest_asyncio

from app import db, gate
from app.accounts import password
from app.embedded import data_directory, process, redis
from app.embedded.postgres import APP_ROLE
from app.settings import Settings, read
from tests import adjustments, conformance
from tests.cluster import PATIENCE, Cluster, Server, until
from tests.databases import Databases
from tests.processes import Running, Starter

# Ignore the settings of the developer's environment.
for _name in Settings.model_fields:
    os.environ.pop(_name.upper(), None)

# The duration of an example depends on the machine.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("tests")

OWNED = pytest.StashKey[Server]()
SECRET_KEY = "a key for the tests, which is long enough"


# ---- Postgres: one per run. Under xdist the controller starts it and passes its address to
# workers.


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    config = node.config
    if OWNED not in config.stash:
        config.stash[OWNED] = Server()
        config.stash[OWNED].keep_template()
    server = config.stash[OWNED]
    node.workerinput["postgres"] = server.cluster.sockets
    node.workerinput["template"] = str(server.template)


def pytest_unconfigure(config: pytest.Config) -> None:
    if OWNED in config.stash:
        config.stash[OWNED].close()


# The files that take longest come first: begun late, one of them would keep one worker busy after
# the others are done. Files that mostly wait stand between files that keep a processor busy.
LONG = (
    "realtime/test_faults.py", "test_up.py", "loadtests/test_chaos.py",
    "browser/test_every_page.py", "test_contract.py", "loadtests/test_crowd.py",
    "browser/test_looks.py", "browser/test_booking.py", "browser/test_calendar_tools.py",
    "browser/test_live_client.py", "browser/test_calendar.py", "loadtests/test_bench.py",
    "browser/test_my_lessons.py", "browser/test_teach.py", "test_connections.py",
    "browser/test_connection.py", "browser/test_search.py", "browser/test_book.py",
    "search/test_parse.py", "realtime/test_everything_breaks.py", "browser/test_board.py",
    "test_migrate.py", "browser/test_three_months.py", "realtime/test_backpressure.py",
    "jobs/test_worker.py", "browser/test_setting_up.py", "browser/test_system.py",
    "jobs/test_killed.py", "realtime/test_protocol.py", "pages/test_search.py",
    "realtime/test_conformance.py", "test_demo.py", "test_health.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent

    def rank(item: pytest.Item) -> tuple[int, int]:
        path = str(item.path.relative_to(tests))
        if path in LONG:
            return LONG.index(path), 0
        return len(LONG), zlib.crc32(path.encode())  # mixes the folders

    items.sort(key=rank)


def pytest_sessionstart(session: pytest.Session) -> None:
    # pytest-rerunfailures reports each test to the controller in several small writes over TCP. By
    # default, each would wait 40 ms for the acknowledgment of the previous one.
    reports = getattr(getattr(session.config, "failures_db", None), "sock", None)
    if reports is not None:
        reports.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def pytest_collection_finish() -> None:
    """The garbage collector need not examine again what lives as long as the process."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Cluster:
    """The cluster of this run."""
    if sockets := getattr(request.config, "workerinput", {}).get("postgres"):
        return Cluster(sockets)
    if OWNED not in request.config.stash:
        request.config.stash[OWNED] = Server()
    return request.config.stash[OWNED].cluster


@pytest.fixture(scope="session")
def postgres_template(request: pytest.FixtureRequest) -> Path | None:
    """The data that a Postgres of a test's own begins with, if other workers need it, too."""
    template = getattr(request.config, "workerinput", {}).get("template")
    return Path(template) if template else None


@pytest.fixture
def postgres_server(postgres_template: Path | None) -> Iterator[Server]:
    """A Postgres for this test only, which may stop, kill and restart it. Its migrated database is
    `postgres_server.cluster.database(TEMPLATE)`."""
    server = Server(template=postgres_template)
    yield server
    server.close()


@pytest.fixture(scope="session")
def databases(postgres: Cluster) -> Iterator[Databases]:
    """The databases of this worker."""
    databases = Databases(postgres)
    yield databases
    databases.close()


@asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[db.Pool]:
    pool = await db.connect(database_url, size=10, name="test")
    yield pool
    await asyncio.wait_for(pool.close(), PATIENCE)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls wait for a connection and for a calendar as long as a slow machine needs."""
    monkeypatch.setattr(db, "ACQUIRE_SECONDS", PATIENCE)
    monkeypatch.setattr(gate, "WAIT_SECONDS", PATIENCE)


@pytest.fixture
def strong_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are hashed as in the product."""
    hasher, dummy_hash = adjustments.STRONG
    monkeypatch.setattr(password, "_hasher", hasher)
    monkeypatch.setattr(password, "_DUMMY_HASH", dummy_hash)


@asynccontextmanager
async def patient_pool(database_url: str, *, size: int = 10) -> AsyncIterator[db.Pool]:
    """Connections that wait for locks as long as a slow machine needs."""
    limits = (("lock", "60s"), ("statement", "60s"), ("idle_in_transaction_session", "0"))
    changed = "".join(f"&{name}_timeout={value}" for name, value in limits)
    pool = await db.connect(f"{database_url}{changed}", size=size, name="test", seconds=PATIENCE)
    yield pool
    await asyncio.wait_for(pool.close(), PATIENCE)


@pytest_asyncio.fixture
async def database_url(databases: Databases) -> AsyncIterator[str]:
    """A migrated database without accounts, which only this test uses meanwhile."""
    async with databases.one() as url:
        yield url


@pytest_asyncio.fixture
async def pool(database_url: str) -> AsyncIterator[db.Pool]:
    """Connections to the test's database."""
    async with connected(database_url) as pool:
        yield pool


# ---- Redis: one per worker, emptied for each test.


class RedisServer:
    """A real redis-server that a test may stop, kill and restart."""

    def __init__(self) -> None:
        self.folder = data_directory.socket_folder()
        self.embedded = redis.prepare(self.folder)
        self.url = self.embedded.url
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._process is None or self._process.poll() is not None:
            self._process = process.start(self.embedded.program(), subprocess.DEVNULL)
            until(self.embedded.answers, "Redis to answer")

    def stop(self) -> None:
        if self._process is not None:
            process.stop(self._process, signal.SIGTERM, 5)
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def flush(self) -> None:
        self.embedded.ask(b"FLUSHALL")

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None


@pytest.fixture(scope="session")
def _redis() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.stop()
    shutil.rmtree(server.folder)


@pytest.fixture
def redis_server(_redis: RedisServer) -> RedisServer:
    """An empty, running Redis, even if an earlier test stopped it."""
    _redis.start()
    _redis.flush()
    return _redis


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    return redis_server.url


# ---- the application


@pytest.fixture
def app_database_url(database_url: str) -> str:
    """The test's database, as the role of the product's processes, which may not alter its
    schema."""
    return database_url.replace("//postgres@", f"//{APP_ROLE}@")


@pytest.fixture
def settings(database_url: str, app_database_url: str, redis_url: str) -> Settings:
    """Settings for this test's database and Redis, with short intervals."""
    return read(
        _env_file=None,
        database_url=app_database_url,
        migrate_database_url=database_url,
        redis_url=redis_url,
        secret_key=SECRET_KEY,
        rate_limits="off",
        log_level="warning",
        slow_query_ms=0,  # which statements are slow depends on the machine
        reconcile_seconds=1,
        beacon_seconds=2,
        relay_poll_seconds=0.2,
        sweep_seconds=0.3,
        drain_seconds=1,
    )


@pytest_asyncio.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application in this process, over ASGI. To sign in, set the header
    `Authorization: Bearer …` (factories.token_of)."""
    async with visiting(settings) as client:
        yield client


@asynccontextmanager
async def visiting(settings: Settings, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application under these settings; `options` are those of `build`."""
    from app.main import build

    async with AsyncExitStack() as stack:
        application = await _running(stack, build(settings, **options))
        transport = httpx.ASGITransport(application)
        yield await stack.enter_async_context(
            httpx.AsyncClient(
                transport=transport,
                base_url=settings.site_url,
                event_hooks={"response": [conformance.check]},
            )
        )


async def _running(stack: AsyncExitStack, application: Any) -> Callable[..., Any]:
    """Starts the application and stops it with the stack. The lifespan runs in one task, as under a
    server, because task groups and time-outs must be closed by the task that opened them, and the
    two halves of a fixture run in different tasks."""
    ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    stopped = asyncio.Event()

    async def lifespan() -> None:
        async with application.router.lifespan_context(application) as state:
            ready.set_result(dict(state or {}))
            await stopped.wait()

    async def close() -> None:
        stopped.set()
        await asyncio.wait_for(task, PATIENCE)

    task = asyncio.create_task(lifespan())
    stack.push_async_callback(close)
    task.add_done_callback(lambda _: ready.done() or ready.cancel())
    try:
        state = await asyncio.wait_for(ready, PATIENCE)
    except asyncio.CancelledError:
        await task  # raises the error of the start-up
        raise

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        await application(scope | {"state": dict(state)}, receive, send)

    return with_state


# ---- processes


@pytest.fixture
def start(settings: Settings) -> Iterator[Starter]:
    """Starts processes with the test's settings: `start("relay", relay_poll_seconds=5)`."""
    starter = Starter(settings)
    yield starter
    starter.stop_all()


@pytest.fixture
def server(start: Starter) -> Running:
    """A web process and a relay; `server.url` is its address."""
    web = start("serve")
    start("relay")
    return web
