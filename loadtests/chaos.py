"""Fault injection: web processes, relay, worker, Postgres and Redis are killed and paused, and
connections to the stores are muted, in an order derived from a seed. Only processes started here
are affected: the two stores, and the children of an `up` that uses them through proxies."""

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import IO, Self

import psutil

from app.embedded import data_directory, postgres, process, redis
from app.embedded.process import Program
from loadtests import own_server
from loadtests.proxy import Proxy

WEB_PROCESSES = 2
# The crowd continues this long after the last fault; then its screens must be correct.
CALM_SECONDS = 25
# Minimum and maximum seconds: between faults, of a pause, and until a store is restarted.
_GAP_SECONDS = (0.5, 4.0)
_PAUSE_SECONDS = (1.0, 10.0)
_RESTART_SECONDS = (0.2, 4.0)
_STORE_SECONDS = 30

STORES = ("postgres", "redis")
PROCESSES = ("web", "web", "relay", "worker", *STORES)  # there are two web processes
_KINDS = tuple(
    [("kill", target) for target in PROCESSES]
    + [("pause", target) for target in PROCESSES]
    + [("mute", target) for target in STORES] * 2
)


@dataclass(frozen=True)
class Fault:
    """A fault of `kind` in `target`, `at` seconds after the start. A killed store or a paused
    process comes back after `duration` seconds."""

    at: float
    kind: str
    target: str
    duration: float


def plan(seed: int, seconds: float) -> list[Fault]:
    """The faults of the first `seconds`. A seed always gives the same plan; a longer plan begins
    with the shorter one."""
    random = Random(seed)
    faults: list[Fault] = []
    at = 0.0
    while True:
        # Every fault occurs once before any is repeated.
        for kind, target in random.sample(_KINDS, len(_KINDS)):
            at += random.uniform(*_GAP_SECONDS)
            duration = random.uniform(*(_PAUSE_SECONDS if kind == "pause" else _RESTART_SECONDS))
            if at + duration > seconds:
                return faults
            faults.append(Fault(at, kind, target, duration))


@contextmanager
def product(log: Path) -> Iterator["Product"]:
    """A product with two web processes. Its log is written to `log`. Raises
    own_server.NotReadyError."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="instainstru-load-", ignore_cleanup_errors=True)
            )
        )
        sockets = data_directory.socket_folder()
        stack.callback(shutil.rmtree, sockets, ignore_errors=True)
        output = stack.enter_context(log.open("wb"))
        database = postgres.prepare(folder, sockets, ("max_connections=200",))
        cache = redis.prepare(sockets, database.user)
        stores = {
            "postgres": stack.enter_context(Store(database.program(), database.answers, output)),
            "redis": stack.enter_context(Store(cache.program(), cache.answers, output)),
        }
        proxies = {
            "postgres": stack.enter_context(
                Proxy(database.sockets / ".s.PGSQL.5432", sockets / "proxy" / ".s.PGSQL.5432")
            ),
            "redis": stack.enter_context(Proxy(cache.socket, sockets / "proxy" / "redis.sock")),
        }
        settings = {
            "DATABASE_URL": database.url.replace(str(database.sockets), str(sockets / "proxy")),
            "REDIS_URL": f"unix://{sockets / 'proxy' / 'redis.sock'}",
        }
        up = stack.enter_context(
            own_server.product(workers=WEB_PROCESSES, settings=settings, log=output)
        )
        yield Product(up, database.url, stores, proxies)


class Store:
    """Postgres or Redis: a process that can be killed, paused and restarted."""

    def __init__(self, program: Program, answers: Callable[[], bool], output: IO[bytes]) -> None:
        self._program = program
        self._answers = answers
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            _resume(self.processes)
            process.stop(self._process, self._program.stop_signal, 20)

    @property
    def processes(self) -> list[psutil.Process]:
        """The process and its descendants."""
        return _family(self._process.pid) if self._process is not None else []

    def start(self) -> None:
        """Starts it unless it is running; returns when it answers. Raises
        own_server.NotReadyError."""
        if self._process is not None:
            return
        self._process = process.start(self._program, self._output.fileno())
        deadline = time.monotonic() + _STORE_SECONDS
        while not self._answers():
            if time.monotonic() > deadline:
                raise own_server.NotReadyError(f"{self._program.name} does not answer.")
            time.sleep(0.05)

    def kill(self) -> None:
        """Kills all its processes, like a power cut that leaves the disk intact."""
        if self._process is not None:
            family = self.processes
            for member in family:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
            self._process.wait()
            psutil.wait_procs(family, timeout=10)
            self._process = None


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


class Product:
    """The running product, its faults and their repair."""

    def __init__(
        self,
        up: own_server.Product,
        database_url: str,
        stores: dict[str, Store],
        proxies: dict[str, Proxy],
    ) -> None:
        self.url = up.url
        self.data = up.data
        self.database_url = database_url  # not through the proxy
        self._up = up
        self._stores = stores
        self._proxies = proxies
        self._repairs: list[tuple[float, Callable[[], None]]] = []  # (time, repair)

    def inject(
        self, faults: list[Fault], running: Callable[[], bool], say: Callable[[str], None]
    ) -> float:
        """Injects the faults on time while `running`, then repairs everything; returns when the
        last repair was done (seconds since 1970)."""
        started = time.monotonic()
        try:
            for fault in faults:
                self._wait(started + fault.at, running)
                if not running():
                    break
                say(f"{fault.at:6.1f} s  {self._break(fault, Random(fault.at))}")
        finally:
            self._wait(max((at for at, _ in self._repairs), default=0), lambda: True)
        return time.time()

    def _wait(self, until: float, running: Callable[[], bool]) -> None:
        """Waits, and makes the repairs that are due."""
        while True:
            now = time.monotonic()
            for due in [entry for entry in self._repairs if entry[0] <= now]:
                self._repairs.remove(due)
                due[1]()
            if now >= until or not running():
                return
            time.sleep(min(0.05, until - now))

    def _break(self, fault: Fault, random: Random) -> str:
        """Injects one fault; returns its description."""
        back = time.monotonic() + fault.duration
        if fault.kind == "mute":
            return f"mute {self._proxies[fault.target].mute()} connections to {fault.target}"
        if fault.kind == "pause":
            paused = self._pause(self._processes(fault.target, random))
            self._repairs.append((back, lambda: _resume(paused)))
            return f"pause {fault.target} for {fault.duration:.1f} s"
        if store := self._stores.get(fault.target):
            store.kill()
            self._repairs.append((back, store.start))
            return f"kill {fault.target}, back after {fault.duration:.1f} s"
        for victim in self._processes(fault.target, random):
            with suppress(psutil.NoSuchProcess):
                victim.send_signal(signal.SIGKILL)
        return f"kill {fault.target}"

    def _pause(self, processes: list[psutil.Process]) -> list[psutil.Process]:
        for each in processes:
            with suppress(psutil.NoSuchProcess):
                each.suspend()
        return processes

    def _processes(self, target: str, random: Random) -> list[psutil.Process]:
        """All processes of a store, or one running process of the product of that kind, if any."""
        if store := self._stores.get(target):
            return store.processes
        command = "serve" if target == "web" else target
        children = [child for child in _family(self._up.pid)[1:] if command in _command(child)]
        return random.sample(children, 1) if children else []


def _command(child: psutil.Process) -> list[str]:
    try:
        return child.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def _resume(paused: list[psutil.Process]) -> None:
    for each in paused:
        with suppress(psutil.NoSuchProcess):
            each.resume()
