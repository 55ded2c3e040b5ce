"""The command line: `python -m app up | serve | relay | worker | migrate | seed | reset | backup |
restore | admin | second-factor-off | verify | new-epoch | describe`. A command reads the settings,
calls one function, and reports every expected error as one sentence."""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Coroutine, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NoReturn

import structlog

from app import backup, descriptors, destructive, logs
from app.backup import BackupError
from app.embedded import EmbeddedError, run_file
from app.embedded.preflight import (
    AUDIT_LOG,
    UpError,
    UpOptions,
    check_exposure,
    listening_socket,
)
from app.migrate import (
    MigrationError,
    check_same_database,
    migrate,
    site_mode,
    wait_until_reachable,
)
from app.refusal import Unavailable
from app.settings import Settings, SettingsError, read
from app.settings import settings as settings_of_process

log = structlog.get_logger("command")

# Exit statuses.
NOT_DONE = 1
NOT_STARTED = 2  # nothing was attempted

MAX_WORKERS = 64
MAX_PORT = 65535


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    try:
        options = _parser().parse_args(arguments)
        return int(options.run(options) or 0)
    except (SettingsError, UpError, EmbeddedError) as error:
        return _fail(error, NOT_STARTED)
    except (MigrationError, BackupError, destructive.NotPermitted, OSError) as error:
        return _fail(error, NOT_DONE)
    except Unavailable as error:
        return _fail(f"{error} Is the database at DATABASE_URL running?", NOT_DONE)


def _fail(problem: object, status: int) -> int:
    print(problem, file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m app", description="InstaInstru: book an in-person lesson at once."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        subparser = commands.add_parser(name, help=text, description=text)
        subparser.set_defaults(run=run)
        return subparser

    up = command("up", _up, "Run everything on this machine: databases, web, relay, worker.")
    _listen_options(up)
    up.add_argument(
        "--data",
        type=Path,
        default=Path("var"),
        metavar="DIR",
        help="folder of the databases (default: var)",
    )
    up.add_argument(
        "--workers", type=_count, default=1, metavar="N", help="web processes (default: 1)"
    )
    up.add_argument(
        "--demo",
        action=argparse.BooleanOptionalAction,
        help="create demo accounts in an empty database (default: if SITE_MODE is int)",
    )

    serve = command("serve", _serve, "Run one web process.")
    _listen_options(serve)
    serve.add_argument("--fd", type=int, help="a listening socket to use instead of host and port")
    serve.add_argument(
        "--only",
        choices=["live", "http"],
        help="serve only live sockets, or only everything else",
    )
    relay = command("relay", _relay, "Run the relay, which publishes committed changes.")
    relay.add_argument(
        "--shard",
        type=int,
        metavar="N",
        help="publish only this one of RELAY_SHARDS, from 0 (default: all)",
    )
    command("worker", _worker, "Run the worker, which sends mails and runs scheduled jobs.")

    command("migrate", _migrate, "Apply new migrations to the database.")
    for name, run, text in (
        ("seed", _seed, "Create demo accounts in an empty database."),
        ("reset", _reset, "Drop everything in the database and create an empty schema."),
        ("restore", _restore, "Replace the whole database with that of a backup."),
    ):
        subparser = _data_option(command(name, run, text))
        subparser.add_argument(
            "--yes-stg", action="store_true", help="do not ask for confirmation on stg"
        )
        if name == "restore":
            subparser.add_argument("file", type=Path, metavar="FILE")
    _data_option(
        command("backup", _backup, "Write the whole database to a file, and verify it.")
    ).add_argument("target", type=Path, metavar="FILE-OR-FOLDER")
    _data_option(command("admin", _admin, "Give an account the admin role.")).add_argument(
        "email", metavar="EMAIL"
    )
    _data_option(
        command(
            "second-factor-off",
            _second_factor_off,
            "Turn off the second factor of somebody who lost the app.",
        )
    ).add_argument("email", metavar="EMAIL")
    _data_option(
        command("verify", _verify, "Confirm e-mail addresses without the mail's link.")
    ).add_argument("emails", metavar="EMAIL", nargs="+")
    _data_option(
        command(
            "new-epoch",
            _new_epoch,
            "Make every open screen reload its boards, for example after a restore.",
        )
    )
    command(
        "describe",
        _describe,
        "Write the files for client developers: TypeScript types, Postman collection, AsyncAPI.",
    ).add_argument("folder", type=Path, nargs="?", default=Path("docs/api"), metavar="FOLDER")
    return parser


def _listen_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="H", help="address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument(
        "--port", type=_port, default=8000, metavar="P", help="port to listen on (default: 8000)"
    )


def _data_option(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    text = "folder of the running `up` whose database to use without DATABASE_URL (default: var)"
    parser.add_argument("--data", type=Path, default=Path("var"), metavar="DIR", help=text)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_WORKERS:
        raise SettingsError(f"--workers takes a number from 1 to {MAX_WORKERS}, not {text!r}.")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_PORT:
        raise SettingsError(
            f"There is no port {text}. Choose one from 1 to {MAX_PORT} with --port."
        )
    return int(text)


# ---- everything at once


def _up(options: argparse.Namespace) -> None:
    from app.embedded.up import up

    _exit_on_signals()
    logs.configure(read(), "up")
    up(UpOptions(options.host, options.port, options.data, options.workers, options.demo))


def _exit_on_signals() -> None:
    """Ends the process on a signal before the event loop handles signals, and afterwards."""

    def leave(*_: object) -> NoReturn:
        sys.exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)


# ---- one process each


def _serve(options: argparse.Namespace) -> None:
    import uvicorn

    from app.main import application
    from realtime.shutdown import Server

    settings = _process_settings("web")
    config = uvicorn.Config(
        partial(application, options.only),
        factory=True,
        http="app.web.http_protocol:HttpProtocol",
        ws="realtime.endpoint:UpgradeProtocol",
        ws_per_message_deflate=False,
        ws_max_size=16 * 1024,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        # Longer than the proxies': only a proxy may close an idle connection, or a request is lost.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    _exit_on_signals()  # uvicorn raises the signals it received again after its shutdown
    with _listener(options) as listener:
        check_exposure(listener, settings)
        Server(config).run(sockets=[listener])


def _listener(options: argparse.Namespace) -> AbstractContextManager[socket.socket]:
    if options.fd is not None:
        return socket.socket(fileno=options.fd)
    return listening_socket(options.host, options.port)


def _relay(options: argparse.Namespace) -> None:
    import realtime.relay

    settings = _process_settings("relay")
    if options.shard is not None and not 0 <= options.shard < settings.shards:
        raise SettingsError(
            f"There are {settings.shards} shards (RELAY_SHARDS), "
            f"so --shard is from 0 to {settings.shards - 1}."
        )
    _run_until_signal(realtime.relay.main(settings, options.shard))


def _worker(_: argparse.Namespace) -> None:
    import jobs.worker

    _run_until_signal(jobs.worker.main(_process_settings("worker")))


def _process_settings(name: str) -> Settings:
    """The settings of one process, when its database is reachable. Raises SettingsError."""
    settings = settings_of_process()
    logs.configure(settings, name)
    descriptors.raise_limit()
    for setting, example in (
        ("database_url", "postgresql://user:password@host/instainstru"),
        ("redis_url", "redis://host:6379/0"),
        ("secret_key", "at least 32 random characters"),
    ):
        if not getattr(settings, setting).get_secret_value():
            raise SettingsError(
                f"{name} needs {setting.upper()} ({example}). `python -m app up` provides its own."
            )
    asyncio.run(wait_until_reachable(settings.database_url.get_secret_value()))
    return settings


def _run_until_signal(work: Coroutine[None, None, None]) -> None:
    """Runs until SIGTERM or SIGINT cancels it."""
    import uvloop  # as in web processes; the worker needs a sixth less CPU per mail

    async def run() -> None:
        task = asyncio.ensure_future(work)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with suppress(asyncio.CancelledError):
            await task

    uvloop.run(run())


# ---- operators


def _operator_settings(options: argparse.Namespace) -> Settings:
    """The settings of an operator command, with the database of DATABASE_URL, or else that of the
    `up` running in --data."""
    settings = read()
    logs.configure(settings, "operator")
    changes: dict[str, object] = {}
    if "audit_log" not in settings.model_fields_set:
        changes["audit_log"] = options.data / AUDIT_LOG
    if not settings.database_url.get_secret_value():
        addresses = run_file.read(options.data)
        if not addresses:
            raise SettingsError(
                f"Set DATABASE_URL, or have `python -m app up` running in {options.data}."
            )
        changes |= addresses
    return read(**changes)


def _permission(
    options: argparse.Namespace, command: str
) -> AbstractContextManager[destructive.Database]:
    """The database for a destructive command."""
    settings = _audited_settings(options, command)
    return destructive.permission(
        settings,
        command,
        database_mode=asyncio.run(site_mode(settings.owner_database_url)),
        yes_stg=options.yes_stg,
    )


def _audited_settings(options: argparse.Namespace, command: str) -> Settings:
    """The settings of a destructive command. Invalid ones are a refusal, which is audited too."""
    try:
        return _operator_settings(options)
    except SettingsError as error:
        unvalidated = Settings.model_construct(
            site_mode=os.environ.get("SITE_MODE", "unknown"),
            audit_log=Path(os.environ.get("AUDIT_LOG") or options.data / AUDIT_LOG),
        )
        destructive.record(unvalidated, command, "refused", str(error))
        raise


def _migrate(_: argparse.Namespace) -> None:
    settings = read()
    logs.configure(settings, "migrate")
    if not settings.database_url.get_secret_value():
        raise SettingsError(
            "migrate needs DATABASE_URL (postgresql://user:password@host/instainstru)."
        )
    app_address = settings.database_url.get_secret_value()
    applied = asyncio.run(migrate(settings.owner_database_url, app_address))
    print(f"Applied {', '.join(applied)}." if applied else "The database is up to date.")


def _seed(options: argparse.Namespace) -> int:
    from app import demo

    with _permission(options, "seed") as database:
        created = asyncio.run(demo.seed_at(database.owner, now=datetime.now(UTC)))
    print(
        "The demo accounts exist now."
        if created
        else "The database is not empty, so nothing was changed. `reset` empties it."
    )
    return 0 if created else NOT_DONE


def _reset(options: argparse.Namespace) -> None:
    from app import maintenance

    with _permission(options, "reset") as database:
        asyncio.run(maintenance.reset(database.owner, database.app))
    print("The database is empty. `seed` creates demo accounts.")


def _backup(options: argparse.Namespace) -> None:
    address = _operator_settings(options).owner_database_url
    file, rows = asyncio.run(backup.back_up(address, options.target, now=datetime.now(UTC)))
    print(f"{file} contains {rows} rows, and was verified.")


def _restore(options: argparse.Namespace) -> None:
    settings = _audited_settings(options, "restore")
    app_address = settings.database_url.get_secret_value()

    async def prepare() -> tuple[bool, str | None]:
        await backup.check_dump(options.file)
        await wait_until_reachable(settings.owner_database_url)
        await check_same_database(settings.owner_database_url, app_address)
        empty = await backup.is_empty(settings.owner_database_url)
        return empty, await site_mode(settings.owner_database_url)

    empty, mode = asyncio.run(prepare())
    with destructive.permission(
        settings, "restore", database_mode=mode, yes_stg=options.yes_stg, destroys=not empty
    ) as database:
        asyncio.run(backup.restore(database, options.file, site_mode=settings.site_mode))
    print("The database is that of the backup. Every open screen reloads its boards.")


def _admin(options: argparse.Namespace) -> int:
    from app import maintenance

    address = _operator_settings(options).owner_database_url
    exists = asyncio.run(maintenance.make_admin(address, options.email))
    print(
        f"{options.email} is an admin."
        if exists
        else f"There is no account with the address {options.email}. Register it first."
    )
    return 0 if exists else NOT_DONE


def _second_factor_off(options: argparse.Namespace) -> int:
    from app import maintenance

    address = _operator_settings(options).database_url.get_secret_value()
    was_on = asyncio.run(maintenance.turn_off_second_factor(address, options.email))
    print(
        f"The second factor of {options.email} is off."
        if was_on
        else f"There is no second factor of an account with the address {options.email}."
    )
    return 0 if was_on else NOT_DONE


def _verify(options: argparse.Namespace) -> int:
    from app import maintenance

    address = _operator_settings(options).database_url.get_secret_value()
    count = asyncio.run(maintenance.verify(address, options.emails, now=datetime.now(UTC)))
    number = len({email.lower() for email in options.emails})
    if count < number:
        print(f"{count} of {number} addresses belong to an account and are confirmed.")
        return NOT_DONE
    print(
        f"{options.emails[0]} is confirmed." if number == 1 else f"{count} addresses are confirmed."
    )
    return 0


def _new_epoch(options: argparse.Namespace) -> None:
    from app import maintenance

    asyncio.run(maintenance.new_epoch(_operator_settings(options).owner_database_url))
    print("Every open screen reloads its boards.")


def _describe(options: argparse.Namespace) -> None:
    from app import clients, main, openapi
    from realtime import asyncapi

    api = openapi.document([*openapi.calls(main.routes())])
    live = asyncapi.document()
    for name, text in {
        "types.ts": clients.typescript(api, live),
        "postman_collection.json": clients.postman(api),
        "asyncapi.json": clients.json_text(live),
    }.items():
        (options.folder / name).write_text(text)


if __name__ == "__main__":
    sys.exit(main())
