"""`python -m app up`: everything on one machine. Postgres and Redis (unless given), the web processes, relay and worker run as
supervised children; this process itself only starts, watches and stops them."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from app import demo, embedded, operators, safety
from app.embedded import addresses
from app.embedded.ground import Ground, UpError, Wanted, ground, is_loopback, local
from app.embedded.process import Program
from app.embedded.supervisor import Child
from app.migrate import MigrationError, migrate, wait_until_reachable
from app.settings import Settings, environment

log = structlog.get_logger("up")

# How long each may take to stop; together less than 10 s.
WORKERS_SECONDS = 5.5
RELAY_SECONDS = 1.0
STORES_SECONDS = 1.8

# How long to wait for our own database, which may have to recover from a crash first.
OWN_DATABASE_SECONDS = 60


def up(wanted: Wanted) -> None:
    """Runs until SIGTERM, SIGINT or SIGHUP. Raises UpError, SettingsError, EmbeddedError, MigrationError or NotPermitted."""
    with ground(wanted) as prepared:
        asyncio.run(_up(wanted, prepared))


class Children:
    """The children, by when they stop."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self.workers: list[Child] = []  # web processes too: those who take work
        self.relay: list[Child] = []
        self.stores: list[Child] = []

    def start(self, kind: list[Child], child: Child) -> Child:
        kind.append(child)
        child.start(self._group)
        return child

    async def stop(self) -> None:
        """First those who take work, then the relay, which tells screens of the last changes, then what all of them stand on."""
        for kind, seconds in (
            (self.workers, WORKERS_SECONDS),
            (self.relay, RELAY_SECONDS),
            (self.stores, STORES_SECONDS),
        ):
            await asyncio.gather(*(child.stop(seconds) for child in kind))


async def _up(wanted: Wanted, prepared: Ground) -> None:
    told = _told_to_stop()
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        children = Children(group)
        try:
            await _unless(told, _start(wanted, prepared, children))
            await told.wait()
        except (
            UpError,
            MigrationError,
            safety.NotPermitted,
            OSError,
        ) as error:  # raised below, where no group wraps it
            failure = error
        finally:
            log.info("stopping")
            addresses.forget(wanted.data)
            prepared.listener.close()
            await children.stop()
    if failure:
        raise failure
    log.info("stopped; nothing is left running")


def _told_to_stop() -> asyncio.Event:
    """Set by SIGTERM, SIGINT (Ctrl-C) and SIGHUP (the terminal was closed)."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


async def _unless(told: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    """Does the work, or leaves it when told to stop meanwhile."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(told.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        working.cancel()
    with suppress(asyncio.CancelledError):
        await working


async def _start(wanted: Wanted, prepared: Ground, children: Children) -> None:
    """Everything, in order, until the first page can be had."""
    settings = prepared.settings
    log.info(
        "starting", site_mode=settings.site_mode, url=prepared.url, data=str(wanted.data.resolve())
    )
    if prepared.redis:
        children.start(children.stores, Child(prepared.redis.program()))
    if prepared.postgres:
        await _answering(children, prepared.postgres)
    await _migrated(settings)
    if wanted.demo if wanted.demo is not None else settings.site_mode == "int":
        await _seeded(settings)

    inherited = os.environ | environment(settings)
    listening = prepared.listener.fileno()
    for number in range(1, wanted.workers + 1):
        name = "web" if wanted.workers == 1 else f"web {number}"
        children.start(
            children.workers,
            Child(_ours(name, ["serve", "--fd", str(listening)], inherited, (listening,))),
        )
    children.start(children.relay, Child(_ours("relay", ["relay"], inherited)))
    children.start(children.workers, Child(_ours("worker", ["worker"], inherited)))
    await _ready(prepared.listener)
    addresses.note(wanted.data, settings)
    await _say(prepared)


def _ours(
    name: str, arguments: list[str], inherited: Mapping[str, str], pass_fds: tuple[int, ...] = ()
) -> Program:
    return Program(name, [sys.executable, "-m", "app", *arguments], inherited, pass_fds=pass_fds)


async def _answering(children: Children, cluster: embedded.Postgres) -> None:
    """Postgres, from its start until it answers."""
    # A lock file whose process is gone would keep it from starting.
    child = children.start(
        children.stores, Child(cluster.program(), before=lambda: embedded.running_on(cluster.data))
    )
    clock = asyncio.get_running_loop().time
    deadline = clock() + OWN_DATABASE_SECONDS
    while not await asyncio.to_thread(cluster.answers):
        if child.deaths > 2 or clock() > deadline:
            raise UpError(
                f"Postgres does not start on {cluster.data}: {' / '.join(child.last_words)}"
            )
        await asyncio.sleep(0.05)


async def _migrated(settings: Settings) -> None:
    address = settings.database_url.get_secret_value()
    await wait_until_reachable(address)
    await migrate(address)


async def _seeded(settings: Settings) -> None:
    if not await operators.is_empty(settings.database_url.get_secret_value()):
        return
    with safety.permitted(settings, "seed") as address:
        await operators.seed(address, now=datetime.now(UTC))
    log.info("seeded demo people")


async def _ready(listener: socket.socket) -> None:
    """Until a web process can do its work. One that cannot start is named by the supervisor, again and again."""
    while True:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(3):
                if await _status(listener, "/health/ready") == 200:
                    return
        await asyncio.sleep(0.1)


async def _status(listener: socket.socket, path: str) -> int:
    """The status of a GET at our own address."""
    host, port = local(listener)
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = (await reader.readline()).split()
        return int(answer[1]) if len(answer) > 1 else 0
    finally:
        writer.close()


async def _say(prepared: Ground) -> None:
    """What a newcomer needs to know, on standard output."""
    settings = prepared.settings
    lines = [f"InstaInstru is ready at {prepared.url}", f"  SITE_MODE={settings.site_mode}"]
    if not settings.smtp_url.get_secret_value():
        lines.append(f"  Mails that would be sent: {prepared.url}/dev/mail")
    if prepared.postgres:
        lines.append(f"  Postgres: {prepared.postgres.url}")
    if prepared.redis:
        lines.append(f"  Redis: {prepared.redis.url}")
    if settings.site_mode != "prod" and (
        people := await operators.demo_accounts(settings.database_url.get_secret_value())
    ):
        lines.append(f"  Demo accounts, each with the password {demo.PASSWORD}")
        lines += [f"    {person.email:<32}{person.roles}" for person in people]
        if not is_loopback(prepared.listener):
            lines += [
                "  WARNING: this machine's network can reach the site, and everyone knows these",
                "  passwords. Use --host 127.0.0.1, or --no-demo with another --data directory.",
            ]
    lines.append("Ctrl-C stops everything.")
    with suppress(OSError):  # nobody may be reading
        print(*lines, sep="\n", flush=True)  # noqa: T201 — the answer to the command
