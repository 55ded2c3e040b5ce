"""A product that everything happens to: web processes, relay, worker, Postgres and Redis are killed and paused, and their connections
go silent, in an order that a seed decides. Only processes that were started here are touched: the two stores, and the children of an `up`
that uses them through proxies."""

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

from app import embedded
from app.embedded import process
from app.embedded.process import Program
from loadtests import own_server
from loadtests.proxy import Proxy

WEB_PROCESSES = 2
# The crowd goes on for so long after the last fault is over, and what it sees then must be right.
CALM_SECONDS = 25
# Between two faults, and how long a process is paused, or a store is away.
_GAP_SECONDS = (0.5, 4.0)
_PAUSE_SECONDS = (1.0, 10.0)
_AWAY_SECONDS = (0.2, 4.0)
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
    """At `at` seconds after the beginning `kind` happens to `target`; a store that was killed, or a process that
    was paused, comes back after `lasts` seconds."""

    at: float
    kind: str
    target: str
    lasts: float


def plan(seed: int, seconds: float) -> list[Fault]:
    """What happens within so many seconds. The same seed gives the same plan, and a longer one begins like a shorter one."""
    random = Random(seed)
    faults: list[Fault] = []
    at = 0.0
    while True:
        # Everything happens once before anything happens again.
        for kind, target in random.sample(_KINDS, len(_KINDS)):
            at += random.uniform(*_GAP_SECONDS)
            lasts = random.uniform(*(_PAUSE_SECONDS if kind == "pause" else _AWAY_SECONDS))
            if at + lasts > seconds:
                return faults
            faults.append(Fault(at, kind, target, lasts))


@contextmanager
def product(log: Path) -> Iterator["Product"]:
    """A product with two web processes. Its log is written to `log`. Raises own_server.NotReadyError."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="instainstru-load-", ignore_cleanup_errors=True)))
        run = embedded.run_folder()
        stack.callback(shutil.rmtree, run, ignore_errors=True)
        output = stack.enter_context(log.open("wb"))
        postgres = embedded.postgres(folder, run, ("max_connections=200",))
        redis = embedded.redis(run)
        stores = {
            "postgres": stack.enter_context(Store(postgres.program(), postgres.answers, output)),
            "redis": stack.enter_context(Store(redis.program(), redis.answers, output)),
        }
        proxies = {
            "postgres": stack.enter_context(Proxy(postgres.sockets / ".s.PGSQL.5432", run / "proxy" / ".s.PGSQL.5432")),
            "redis": stack.enter_context(Proxy(redis.socket, run / "proxy" / "redis.sock")),
        }
        settings = {
            "DATABASE_URL": postgres.url.replace(str(postgres.sockets), str(run / "proxy")),
            "REDIS_URL": f"unix://{run / 'proxy' / 'redis.sock'}",
        }
        up = stack.enter_context(own_server.product(workers=WEB_PROCESSES, settings=settings, log=output))
        yield Product(up, postgres.url, stores, proxies)


class Store:
    """Postgres or Redis: a process that may be killed, paused and started again."""

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
            process.end(self._process, self._program.stop_signal, 20)

    @property
    def processes(self) -> list[psutil.Process]:
        """Itself and those it has started."""
        return _family(self._process.pid) if self._process is not None else []

    def start(self) -> None:
        """Unless it runs already; returns when it answers. Raises own_server.NotReadyError."""
        if self._process is not None:
            return
        self._process = process.start(self._program, self._output.fileno())
        ends = time.monotonic() + _STORE_SECONDS
        while not self._answers():
            if time.monotonic() > ends:
                raise own_server.NotReadyError(f"{self._program.name} does not answer.")
            time.sleep(0.05)

    def kill(self) -> None:
        """As a power cut would, for all but the disk."""
        if self._process is not None:
            family = self.processes
            for one in family:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
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
    """What runs, and how it is broken and mended."""

    def __init__(self, up: own_server.Product, database_url: str, stores: dict[str, Store], proxies: dict[str, Proxy]) -> None:
        self.url = up.url
        self.data = up.data
        self.database_url = database_url  # not through the proxy
        self._up = up
        self._stores = stores
        self._proxies = proxies
        self._back: list[tuple[float, Callable[[], None]]] = []  # when, and what brings something back

    def endure(self, faults: list[Fault], running: Callable[[], bool], say: Callable[[str], None]) -> float:
        """Has everything happen in its time, and everything come back, as long as `running`. When the last came
        back (seconds since 1970)."""
        began = time.monotonic()
        try:
            for fault in faults:
                self._wait(began + fault.at, running)
                if not running():
                    break
                say(f"{fault.at:6.1f} s  {self._break(fault, Random(fault.at))}")
        finally:
            self._wait(max((at for at, _ in self._back), default=0), lambda: True)
        return time.time()

    def _wait(self, until: float, running: Callable[[], bool]) -> None:
        """Brings back what is due meanwhile."""
        while True:
            now = time.monotonic()
            for due in [entry for entry in self._back if entry[0] <= now]:
                self._back.remove(due)
                due[1]()
            if now >= until or not running():
                return
            time.sleep(min(0.05, until - now))

    def _break(self, fault: Fault, random: Random) -> str:
        """Has one thing happen; what it was."""
        back = time.monotonic() + fault.lasts
        if fault.kind == "mute":
            return f"mute {self._proxies[fault.target].mute()} connections to {fault.target}"
        if fault.kind == "pause":
            paused = self._paused(self._processes(fault.target, random))
            self._back.append((back, lambda: _resume(paused)))
            return f"pause {fault.target} for {fault.lasts:.1f} s"
        if store := self._stores.get(fault.target):
            store.kill()
            self._back.append((back, store.start))
            return f"kill {fault.target}, back after {fault.lasts:.1f} s"
        for one in self._processes(fault.target, random):
            with suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGKILL)
        return f"kill {fault.target}"

    def _paused(self, processes: list[psutil.Process]) -> list[psutil.Process]:
        for one in processes:
            with suppress(psutil.NoSuchProcess):
                one.suspend()
        return processes

    def _processes(self, target: str, random: Random) -> list[psutil.Process]:
        """A store with all it started; or one of the product's processes of that kind, if one is there just now."""
        if store := self._stores.get(target):
            return store.processes
        command = "serve" if target == "web" else target
        found = [child for child in _family(self._up.pid)[1:] if command in _command(child)]
        return random.sample(found, 1) if found else []


def _command(child: psutil.Process) -> list[str]:
    try:
        return child.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def _resume(paused: list[psutil.Process]) -> None:
    for one in paused:
        with suppress(psutil.NoSuchProcess):
            one.resume()
