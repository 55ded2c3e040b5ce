"""The command line: `python -m app up | serve | relay | worker | migrate | seed | reset | admin | new-epoch`. It reads the settings,
calls, and turns what can go wrong into one sentence."""

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

from app import descriptors, logs, safety
from app.embedded import addresses
from app.embedded.ground import AUDIT_LOG, UpError, Wanted, listening
from app.embedded.place import EmbeddedError
from app.migrate import MigrationError, migrate, wait_until_reachable
from app.refusal import Unavailable
from app.settings import Settings, SettingsError, read

log = structlog.get_logger("command")

NOT_STARTED = 2  # exit status when nothing was done at all
NOT_DONE = 1

MAX_WORKERS = 64
MAX_PORT = 65535


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    try:
        chosen = _parser().parse_args(arguments)
        return int(chosen.run(chosen) or 0)
    except (SettingsError, UpError, EmbeddedError) as error:
        return _say(error, NOT_STARTED)
    except (MigrationError, safety.NotPermitted) as error:
        return _say(error, NOT_DONE)
    except (Unavailable, OSError) as error:
        return _say(
            f"{error} Is the database at DATABASE_URL running?"
            if isinstance(error, Unavailable)
            else error,
            NOT_DONE,
        )


def _say(problem: object, status: int) -> int:
    print(problem, file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m app", description="InstaInstru: book an in-person lesson at once."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        return made

    up = command(
        "up", _up, "Everything on this machine: databases, web, relay, worker. Ctrl-C stops it."
    )
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
        help="demo people in an empty database (default: in int)",
    )

    serve = command("serve", _serve, "One web process.")
    _listen_options(serve)
    serve.add_argument("--fd", type=int, help="a listening socket to use instead of host and port")
    serve.add_argument(
        "--only",
        choices=["live", "http"],
        help="only the live path's sockets, or only everything else",
    )
    relay = command("relay", _relay, "The relay: publishes committed changes.")
    relay.add_argument(
        "--shard", type=int, metavar="N", help="one of RELAY_SHARDS, from 0 (default: all of them)"
    )
    command("worker", _worker, "The worker: mails, and what happens on a clock.")

    command("migrate", _migrate, "Brings the database to the present shape.")
    for name, run, text in (
        ("seed", _seed, "Puts demo people into an empty database."),
        ("reset", _reset, "Drops everything in the database and makes it anew, empty."),
    ):
        _near(command(name, run, text)).add_argument(
            "--yes-stg", action="store_true", help="do not ask on stg"
        )
    _near(command("admin", _admin, "Makes an account an admin.")).add_argument(
        "email", metavar="EMAIL"
    )
    _near(
        command(
            "new-epoch",
            _new_epoch,
            "Makes every open screen start afresh, for example after a restore.",
        )
    )
    return parser


def _listen_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="H", help="address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument(
        "--port", type=_port, default=8000, metavar="P", help="port to listen on (default: 8000)"
    )


def _near(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    text = "folder of a running `up`, whose database is meant unless DATABASE_URL is set (default: var)"
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


# ---- everything


def _up(chosen: argparse.Namespace) -> None:
    from app.embedded.up import up

    _leave_when_told()
    logs.configure(read(), "up")
    up(Wanted(chosen.host, chosen.port, chosen.data, chosen.workers, chosen.demo))


def _leave_when_told() -> None:
    """For signals to stop while there is nothing to stop, or nothing more."""

    def leave(*_: object) -> NoReturn:
        sys.exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)


# ---- one process each


def _serve(chosen: argparse.Namespace) -> None:
    import uvicorn

    from app.main import application
    from realtime.shutdown import Server

    settings = _process("web")
    config = uvicorn.Config(
        partial(application, chosen.only),
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
        timeout_keep_alive=75,  # longer than proxies keep theirs, so that it is never us who hang up on a request
        timeout_graceful_shutdown=5,
    )
    _leave_when_told()  # uvicorn passes on what it has heard when it is done
    with _listener(chosen) as listener:
        Server(config).run(sockets=[listener])


def _listener(chosen: argparse.Namespace) -> AbstractContextManager[socket.socket]:
    return (
        listening(chosen.host, chosen.port)
        if chosen.fd is None
        else socket.socket(fileno=chosen.fd)
    )


def _relay(chosen: argparse.Namespace) -> None:
    import realtime.relay

    settings = _process("relay")
    if chosen.shard is not None and not 0 <= chosen.shard < settings.shards:
        raise SettingsError(
            f"There are {settings.shards} shards (RELAY_SHARDS), so --shard is from 0 to {settings.shards - 1}."
        )
    _until_told(realtime.relay.main(settings, chosen.shard))


def _worker(_: argparse.Namespace) -> None:
    import jobs.worker

    _until_told(jobs.worker.main(_process("worker")))


def _process(name: str) -> Settings:
    """The settings of a process that needs everything to be given to it."""
    settings = read()
    logs.configure(settings, name)
    descriptors.raise_limit()
    for setting, example in (
        ("database_url", "postgresql://user:password@host/instainstru"),
        ("redis_url", "redis://host:6379/0"),
        ("secret_key", "at least 32 random characters"),
    ):
        if not getattr(settings, setting).get_secret_value():
            raise SettingsError(
                f"{name} needs {setting.upper()} ({example}). `python -m app up` brings its own."
            )
    asyncio.run(wait_until_reachable(settings.database_url.get_secret_value()))
    return settings


def _until_told(work: Coroutine[None, None, None]) -> None:
    """Runs until SIGTERM or SIGINT cancels it."""
    import uvloop  # as web processes do; the worker needs a sixth less CPU for a mail

    async def run() -> None:
        task = asyncio.ensure_future(work)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with suppress(asyncio.CancelledError):
            await task

    uvloop.run(run())


# ---- operators


def _operated(chosen: argparse.Namespace) -> Settings:
    """The settings of an operator's command: for the database given, or else that of an `up` running in --data."""
    settings = read()
    logs.configure(settings, "operator")
    more: dict[str, object] = {}
    if "audit_log" not in settings.model_fields_set:
        more["audit_log"] = chosen.data / AUDIT_LOG
    if not settings.database_url.get_secret_value():
        noted = addresses.noted(chosen.data)
        if not noted:
            raise SettingsError(
                f"Set DATABASE_URL, or have `python -m app up` running in {chosen.data}."
            )
        more["database_url"] = noted["database_url"]
    return read(**more)


def _permitted(chosen: argparse.Namespace, command: str) -> AbstractContextManager[str]:
    """The database's address for a destructive command."""
    try:
        settings = _operated(chosen)
    except SettingsError as error:
        log = Path(os.environ.get("AUDIT_LOG") or chosen.data / AUDIT_LOG)
        unread = Settings.model_construct(
            site_mode=os.environ.get("SITE_MODE", "unknown"), audit_log=log
        )
        safety.record(unread, command, "refused", str(error))
        raise
    return safety.permitted(settings, command, yes_stg=chosen.yes_stg)


def _migrate(_: argparse.Namespace) -> None:
    settings = read()
    logs.configure(settings, "migrate")
    if not settings.database_url.get_secret_value():
        raise SettingsError(
            "migrate needs DATABASE_URL (postgresql://user:password@host/instainstru)."
        )
    applied = asyncio.run(migrate(settings.database_url.get_secret_value()))
    print(f"Applied {', '.join(applied)}." if applied else "The database is up to date.")


def _seed(chosen: argparse.Namespace) -> int:
    from app import operators

    with _permitted(chosen, "seed") as address:
        seeded = asyncio.run(operators.seed(address, now=datetime.now(UTC)))
    print(
        "Demo people are there."
        if seeded
        else "The database is not empty, so nothing was changed. `reset` empties it."
    )
    return 0 if seeded else NOT_DONE


def _reset(chosen: argparse.Namespace) -> None:
    from app import operators

    with _permitted(chosen, "reset") as address:
        asyncio.run(operators.reset(address))
    print("The database is new and empty. `seed` brings demo people.")


def _admin(chosen: argparse.Namespace) -> int:
    from app import operators

    address = _operated(chosen).database_url.get_secret_value()
    made = asyncio.run(operators.make_admin(address, chosen.email))
    print(
        f"{chosen.email} is an admin."
        if made
        else f"There is no account with the address {chosen.email}. Register it first."
    )
    return 0 if made else NOT_DONE


def _new_epoch(chosen: argparse.Namespace) -> None:
    from app import operators

    asyncio.run(operators.new_epoch(_operated(chosen).database_url.get_secret_value()))
    print("Every open screen starts afresh.")


if __name__ == "__main__":
    sys.exit(main())
