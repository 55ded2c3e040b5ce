"""Compares the product with alternatives: python-socketio with its Redis manager, Django Channels
with channels-redis, and Node's ws. Each is a small program in loadtests/peers. The first run
installs their packages below the bench's folder. All serve the same number of sockets and get a
change from another process through the same Redis."""

import asyncio
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from loadtests.bench import accounts, client
from loadtests.bench.cpu import cpu_seconds
from loadtests.bench.fanout import SOCKETS, WINDOW_DAYS, spans
from loadtests.bench.report import Result, say
from loadtests.bench.screens import bare
from loadtests.bench.sockets import Crowd, Opening, frame, upgrade, watching
from loadtests.bench.stack import BenchError, Stack
from loadtests.table import milliseconds

PROGRAMS = Path(__file__).parent.parent / "peers"
INSTALL_SECONDS = 240
# The slowest of them needs a second for one change.
OUT_SECONDS = 1.5
IDLE_SECONDS = 5
FIRST_SOCKETS = 100  # their memory includes the fixed costs of the process


class MissingError(Exception):
    """A peer cannot be measured here; the message says why."""


@dataclass(frozen=True)
class Peer:
    """A program of loadtests/peers. A socket gets `frames` frames until it has joined."""

    name: str
    program: str
    path: str = "/"
    joins: bytes = b""
    frames: int = 1


PEERS = (
    Peer(
        "python-socketio, Redis manager",
        "socketio_peer.py",
        path="/socket.io/?EIO=4&transport=websocket",
        joins=b"40",
        frames=2,
    ),
    Peer("Django Channels, channels-redis", "channels_peer.py"),
    Peer("Node ws, Redis subscription", "ws_peer.js"),
)


@dataclass(frozen=True)
class Contender:
    """A running server, and a function that sends one change to all of its sockets."""

    name: str
    pid: int
    address: tuple[str, int]
    opening: Opening
    frames: int
    change: Callable[[int], Awaitable[None]]


@dataclass(frozen=True)
class Figures:
    """Medians: seconds from the first socket to the last, CPU seconds per write, and bytes per idle
    socket."""

    span: float
    cpu: float
    memory: float


async def compare(stack: Stack, *, quick: bool) -> list[Result]:
    rounds, sockets = (3, 500) if quick else (7, SOCKETS)
    folder = stack.log.parent / "peers"
    say(
        f"{sockets:,} idle sockets, then one change to all of them: "
        "the product and its peers, each alternately with bare writes"
    )
    async with _product(stack) as (product, sample):
        figures = [(product.name, *await _measure(stack, product, rounds, sockets, sample))]
    for peer in PEERS:
        try:
            command = await asyncio.to_thread(_install, peer, folder)
        except MissingError as error:
            say(f"skipped: {peer.name}. {error}")
            continue
        async with _running(
            peer, command, stack.settings.redis_url.get_secret_value(), sample
        ) as contender:
            figures.append((peer.name, *await _measure(stack, contender, rounds, sockets, sample)))
    change = f"one change of {len(sample)} bytes to {sockets:,} sockets, first to last"
    return [
        *(
            _result(f"{name}: {change}", own.span, floor.span, milliseconds)
            for name, own, floor in figures
        ),
        *(
            _result(
                f"{name}: CPU of the serving process per write", own.cpu, floor.cpu, _microseconds
            )
            for name, own, floor in figures
        ),
        *(
            _result(f"{name}: memory per idle socket", own.memory, floor.memory, _kilobytes)
            for name, own, floor in figures
        ),
    ]


def _result(name: str, own: float, floor: float, text: Callable[[float], str]) -> Result:
    return Result(name, text(own), f"{text(floor)} (bare)", f"{own / floor:.1f}×", "", None)


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} µs"


def _kilobytes(size: float) -> str:
    return f"{size / 1000:.1f} kB"


# ---- measuring


async def _measure(
    stack: Stack, contender: Contender, rounds: int, sockets: int, sample: bytes
) -> tuple[Figures, Figures]:
    """The figures of one contender, and those of bare writes of the same bytes."""
    own_crowd, bare_crowd = Crowd(), Crowd()
    try:
        async with bare(stack) as plain:

            async def write(_: int) -> None:
                await plain.publish("all", frame(sample))

            floor = Contender(
                "bare", plain.pid, ("127.0.0.1", plain.port), Opening(b"all\n"), 1, write
            )
            floor_memory = await _connected(floor, bare_crowd, sockets)
            memory = await _connected(contender, own_crowd, sockets)
            await _round(contender, own_crowd, 0, 0)  # warms up
            await _round(floor, bare_crowd, 0, 0)
            floor_idle = await _idle(floor, bare_crowd)
            idle = await _idle(contender, own_crowd)
            own, bare_rounds = [], []
            for nth in range(1, rounds + 1):
                own.append(await _round(contender, own_crowd, nth, idle))
                bare_rounds.append(await _round(floor, bare_crowd, nth, floor_idle))
    finally:
        own_crowd.close()
        bare_crowd.close()
    return _figures(own, memory), _figures(bare_rounds, floor_memory)


def _figures(rounds: list[tuple[float, float]], memory: float) -> Figures:
    return Figures(median(span for span, _ in rounds), median(cpu for _, cpu in rounds), memory)


async def _connected(contender: Contender, crowd: Crowd, sockets: int) -> float:
    """Opens all sockets; returns the memory of the serving process per socket, in bytes."""
    process = psutil.Process(contender.pid)
    await crowd.connect(contender.address, [contender.opening] * FIRST_SOCKETS)
    await crowd.receive(contender.frames, 30)
    await asyncio.sleep(1)
    before = process.memory_info().rss
    await crowd.connect(contender.address, [contender.opening] * (sockets - FIRST_SOCKETS))
    await crowd.receive(contender.frames, 60)
    await asyncio.sleep(2)
    return max(1.0, (process.memory_info().rss - before) / (sockets - FIRST_SOCKETS))


async def _round(contender: Contender, crowd: Crowd, nth: int, idle: float) -> tuple[float, float]:
    """Sends one change; returns the seconds from the first socket to the last, and the CPU seconds
    per socket without those of an idle server."""
    cpu, started = cpu_seconds(contender.pid), time.monotonic()
    (span,) = await spans(crowd, contender.change, range(nth, nth + 1), OUT_SECONDS)
    cpu, seconds = cpu_seconds(contender.pid) - cpu, time.monotonic() - started
    return span, (cpu - idle * seconds) / len(crowd.sockets)


async def _idle(contender: Contender, crowd: Crowd) -> float:
    """CPU seconds per second without changes: beacons, timers."""
    crowd.read()
    cpu, started = cpu_seconds(contender.pid), time.monotonic()
    await asyncio.sleep(IDLE_SECONDS)
    crowd.read()  # answers pings, so that the server keeps the connections
    return (cpu_seconds(contender.pid) - cpu) / (time.monotonic() - started)


# ---- the product


@asynccontextmanager
async def _product(stack: Stack) -> AsyncIterator[tuple[Contender, bytes]]:
    """The product, and a change as its sockets receive it. Another web process handles bookings."""
    (student,) = await accounts.signed_in(stack, "peers", 1)
    (offer,) = await accounts.instructors(stack.pool, "peers", 1, first=accounts.today())
    starts = accounts.half_hours(2, WINDOW_DAYS - 3)
    async with stack.product() as web, stack.product(relay=False) as booking:
        (connection,) = await client.connections(booking, 1)

        async def book(nth: int) -> None:
            status, body = await connection.ask(
                client.booking(booking, student, offer, starts[nth])
            )
            if status != 201:
                raise BenchError(f"A booking got status {status}: {body!r}.")

        opening = watching(web, offer.instructor_id, accounts.today(), WINDOW_DAYS)
        crowd = Crowd()
        try:
            await crowd.connect((web.host, web.port), [opening])
            await crowd.receive(1, 30)
            await book(len(starts) - 1)
            await crowd.receive(2, 30)
            sample = crowd.sockets[0].frames[-1][1]
        finally:
            crowd.close()
        yield Contender("InstaInstru", web.pid, (web.host, web.port), opening, 1, book), sample
        connection.close()


# ---- its peers


@asynccontextmanager
async def _running(
    peer: Peer, command: list[str], redis_url: str, sample: bytes
) -> AsyncIterator[Contender]:
    """A peer's server, and its publisher in another process."""
    pipe = asyncio.subprocess.PIPE
    serving = await asyncio.create_subprocess_exec(*command, "serve", redis_url, stdout=pipe)
    publishing = await asyncio.create_subprocess_exec(*command, "publish", redis_url, stdin=pipe)
    try:
        assert serving.stdout is not None
        async with asyncio.timeout(30):
            line = await serving.stdout.readline()
        if not line.strip().isdigit():
            raise BenchError(f"{peer.program} did not print its port.")
        address = ("127.0.0.1", int(line))

        async def change(_: int) -> None:
            assert publishing.stdin is not None
            publishing.stdin.write(sample + b"\n")
            await publishing.stdin.drain()

        yield Contender(
            peer.name,
            serving.pid,
            address,
            upgrade(address, peer.path, peer.joins),
            peer.frames,
            change,
        )
    finally:
        for process in (publishing, serving):
            if process.returncode is None:
                process.kill()
            await process.wait()


def _install(peer: Peer, folder: Path) -> list[str]:
    """Installs the program's packages; returns the command that runs it. Raises MissingError."""
    if peer.program.endswith(".js"):
        return _node(folder / "node", peer.program)
    return [str(_python(folder / "python")), str(PROGRAMS / peer.program)]


def _python(folder: Path) -> Path:
    """A Python with the packages of requirements.txt, in a separate environment."""
    python, requirements = folder / "bin" / "python", PROGRAMS / "requirements.txt"
    installed = folder / requirements.name
    if not installed.exists() or installed.read_bytes() != requirements.read_bytes():
        say("installing the Python peers")
        venv.create(folder, clear=True)
        _run(
            [
                sys.executable,
                "-m",
                "pip",
                "--python",
                str(python),
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
                str(requirements),
            ],
            folder,
        )
        shutil.copy(requirements, installed)
    return python


def _node(folder: Path, program: str) -> list[str]:
    """Node with the packages of package-lock.json. Node looks for them in the program's folder, so
    the program is copied there."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise MissingError("There is no Node (node and npm) on this machine.")
    lock = PROGRAMS / "package-lock.json"
    installed = folder / "installed.json"
    if not installed.exists() or installed.read_bytes() != lock.read_bytes():
        say("installing the Node peer")
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", lock.name):
            shutil.copy(PROGRAMS / name, folder / name)
        _run([npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"], folder)
        shutil.copy(lock, installed)
    shutil.copy(PROGRAMS / program, folder / program)
    return [node, str(folder / program)]


def _run(command: list[str], folder: Path) -> None:
    try:
        result = subprocess.run(  # noqa: S603 — the commands above
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingError(f"Its packages could not be installed: {error}.") from None
    if result.returncode:
        last = result.stderr.strip().splitlines()[-1:] or [f"exit status {result.returncode}"]
        raise MissingError(f"Its packages could not be installed: {last[0]}")
