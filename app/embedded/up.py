"""`python -m app up`: everything on one machine. Postgres and Redis (unless configured), the web
processes, the relay and the worker run as supervised children. This process only starts, watches
and stops them."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from app import destructive, maintenance
from app.accounts import demo_accounts
from app.embedded import postgres, preflight, run_file
from app.embedded.postgres import Postgres
from app.embedded.preflight import UpContext, UpError, UpOptions
from app.embedded.process import Program, SystemUser
from app.embedded.supervisor import Child
from app.migrate import MigrationError, migrate, site_mode, wait_until_reachable
from app.settings import Settings, process_environment

log = structlog.get_logger("up")

# Time for each group of children to stop; less than 10 s together.
WORKERS_SECONDS = 5.5
RELAY_SECONDS = 1.0
STORES_SECONDS = 1.8

# The embedded database may have to recover from a crash before it answers.
POSTGRES_START_SECONDS = 60


def up(options: UpOptions) -> None:
    """Runs until SIGTERM, SIGINT or SIGHUP. Raises UpError, SettingsError, EmbeddedError,
    MigrationError or NotPermitted."""
    with preflight.prepare(options) as context:
        asyncio.run(_up(options, context))


class Children:
    """The children, grouped by when they stop."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self.workers: list[Child] = []  # including web processes: they accept work
        self.relay: list[Child] = []
        self.stores: list[Child] = []

    def start(self, siblings: list[Child], child: Child) -> Child:
        siblings.append(child)
        child.start(self._group)
        return child

    async def stop(self) -> None:
        """First the children that accept work, then the relay, which publishes their last changes,
        then the databases."""
        for siblings, seconds in (
            (self.workers, WORKERS_SECONDS),
            (self.relay, RELAY_SECONDS),
            (self.stores, STORES_SECONDS),
        ):
            await asyncio.gather(*(child.stop(seconds) for child in siblings))


async def _up(options: UpOptions, context: UpContext) -> None:
    stop_requested = _stop_event()
    failure: Exception | None = None
    async with asyncio.TaskGroup() as group:
        children = Children(group)
        try:
            await _run_unless(stop_requested, _start(options, context, children))
            await stop_requested.wait()
        except (UpError, MigrationError, destructive.NotPermitted, OSError) as error:
            failure = error  # raised below, outside the task group, which would wrap it
        finally:
            log.info("stopping")
            run_file.remove(options.data)
            context.listener.close()
            await children.stop()
    if failure:
        raise failure
    log.info("stopped")


def _stop_event() -> asyncio.Event:
    """Set by SIGTERM, SIGINT (Ctrl-C) and SIGHUP (the terminal was closed)."""
    event = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, event.set)
    return event


async def _run_unless(stop_requested: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    """Does the work, and cancels it when a stop is requested."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop_requested.wait())
    await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        working.cancel()
    with suppress(asyncio.CancelledError):
        await working


async def _start(options: UpOptions, context: UpContext, children: Children) -> None:
    """Starts everything in order; returns when a web process is ready."""
    settings = context.settings
    log.info(
        "starting", site_mode=settings.site_mode, url=context.url, data=str(options.data.resolve())
    )
    if context.redis:
        children.start(children.stores, Child(context.redis.program()))
    if context.postgres:
        await _start_postgres(children, context.postgres)
    await _migrate(settings)
    if options.demo if options.demo is not None else settings.site_mode == "int":
        await _seed(settings)

    variables = os.environ | process_environment(settings)
    if context.postgres:
        # Governments change time zones: pages must not use older or newer rules than the database.
        variables.setdefault("PYTHONTZPATH", str(context.postgres.time_zones))
    user = context.user
    if user:
        variables["HOME"] = "/"  # libraries look for files there; root's home is private
    fd = context.listener.fileno()
    for number in range(1, options.workers + 1):
        name = "web" if options.workers == 1 else f"web {number}"
        web = _program(name, ["serve", "--fd", str(fd)], variables, user, (fd,))
        children.start(children.workers, Child(web))
    children.start(children.relay, Child(_program("relay", ["relay"], variables, user)))
    children.start(children.workers, Child(_program("worker", ["worker"], variables, user)))
    await _wait_until_ready(context.listener)
    run_file.write(options.data, settings)
    await _print_summary(context)


def _program(
    name: str,
    arguments: list[str],
    variables: Mapping[str, str],
    user: SystemUser | None,
    pass_fds: tuple[int, ...] = (),
) -> Program:
    command = [sys.executable, "-m", "app", *arguments]
    return Program(name, command, variables, user=user, pass_fds=pass_fds)


async def _start_postgres(children: Children, cluster: Postgres) -> None:
    """Starts Postgres and waits until it answers."""
    # A stale lock file would prevent a restart; `running_pid` removes it.
    child = Child(cluster.program(), before=lambda: postgres.running_pid(cluster.data))
    children.start(children.stores, child)
    clock = asyncio.get_running_loop().time
    deadline = clock() + POSTGRES_START_SECONDS
    while not await asyncio.to_thread(cluster.answers):
        if child.exits > 2 or clock() > deadline:
            raise UpError(
                f"Postgres does not start on {cluster.data}: {' / '.join(child.last_output)}"
            )
        await asyncio.sleep(0.05)


async def _migrate(settings: Settings) -> None:
    await wait_until_reachable(settings.owner_database_url)
    await migrate(settings.owner_database_url, settings.database_url.get_secret_value())


async def _seed(settings: Settings) -> None:
    if not await maintenance.is_empty(settings.database_url.get_secret_value()):
        return
    from app import demo  # noqa: PLC0415 — most starts need none of it

    mode = await site_mode(settings.owner_database_url)
    with destructive.permission(settings, "seed", database_mode=mode) as database:
        await demo.seed_at(database.owner, now=datetime.now(UTC))
    log.info("demo_accounts_created")


async def _wait_until_ready(listener: socket.socket) -> None:
    """Until a web process can do its work. The supervisor logs the exits of one that cannot
    start."""
    while True:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(3):
                if await _status(listener, "/health/ready") == 200:
                    return
        await asyncio.sleep(0.1)


async def _status(listener: socket.socket, path: str) -> int:
    """The status of a GET request to this site; 0 without a response."""
    host, port = preflight.local_address(listener)
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        status_line = (await reader.readline()).split()
        return int(status_line[1]) if len(status_line) > 1 else 0
    finally:
        writer.close()


async def _print_summary(context: UpContext) -> None:
    """The addresses and demo accounts, on standard output."""
    settings = context.settings
    lines = [f"InstaInstru is ready at {context.url}", f"  SITE_MODE={settings.site_mode}"]
    if not settings.smtp_url.get_secret_value():
        lines.append(f"  Mails that would be sent: {context.url}/dev/mail")
    if context.postgres:
        lines.append(f"  Postgres: {context.postgres.url}")
    if context.redis:
        lines.append(f"  Redis: {context.redis.url}")
    if settings.site_mode != "prod" and (
        accounts := await maintenance.existing_demo_accounts(
            settings.database_url.get_secret_value()
        )
    ):
        lines.append(f"  Demo accounts, each with the password {demo_accounts.PASSWORD}")
        lines += [f"    {account.email:<32}{account.roles}" for account in accounts]
        if not preflight.is_loopback(context.listener):
            lines += [
                "  WARNING: this machine's network can reach the site, and everyone knows these",
                "  passwords. Use --host 127.0.0.1, or --no-demo with another --data directory.",
            ]
    lines.append("Ctrl-C stops everything.")
    with suppress(OSError):  # standard output may be closed
        print(*lines, sep="\n", flush=True)  # noqa: T201 — the output of the command
