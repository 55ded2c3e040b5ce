"""Structured logs of every process, for people (console) or machines (json), on standard error. What the standard library and
uvicorn log goes the same way. No secrets and no personal data: what looks like either is taken out of every line."""

import logging
import re
import sys
from types import TracebackType
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from app.settings import Settings

_process = ""

# Libraries whose ordinary lines say nothing that ours do not, or name people's addresses.
_QUIET = (
    "uvicorn",
    "uvicorn.error",
    "uvicorn.access",
    "uvicorn.asgi",
    "websockets",
    "arq",
    "aiosmtplib",
    "asyncio",
    "httpx",
    "httpcore",
)


def configure(settings: Settings, process: str = "") -> None:
    """Sets up logging for this process; `process` (web, relay, worker…) is in every line, and stays when called again."""
    global _process  # noqa: PLW0603 — one process has one name
    _process = process or _process
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper("iso", utc=True),
        _add_process,
        structlog.processors.format_exc_info,  # without local variables: those hold what people typed
        _withhold,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    foreign: list[Processor] = [structlog.stdlib.ExtraAdder(), *shared]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=foreign,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(settings)],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(capture=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    if level > logging.DEBUG:
        logging.getLogger("asyncpg.pool").setLevel(max(level, logging.ERROR))
        logging.getLogger("asyncio").addFilter(_is_not_a_lost_connection)
    sys.excepthook = _uncaught


def _is_not_a_lost_connection(record: logging.LogRecord) -> bool:
    """When Postgres goes away, asyncpg writes a traceback for each connection of the pool: its warning that the
    connection could not be opened again, and asyncio's that closing it failed. app/db.py says it in one line."""
    message = record.getMessage()
    return "coro=<Connection.close()" not in message or "asyncpg" not in message


def _renderer(settings: Settings) -> Processor:
    if settings.log_format == "json":
        return structlog.processors.JSONRenderer(sort_keys=True)
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)


def _add_process(_: Any, __: str, event: EventDict) -> EventDict:
    if _process:
        event.setdefault("process", _process)
    return event


def _uncaught(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    structlog.get_logger("process").critical("ended by a fault", exc_info=(kind, error, where))


# ---- what no line may hold

WITHHELD = "[withheld]"
_SECRET_KEYS = re.compile(r"password|passwd|secret|token|authorization|cookie|api_key|signature", re.IGNORECASE)
_IN_TEXT = (
    (
        re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+(?=@)", re.IGNORECASE),
        rf"\1{WITHHELD}",
    ),  # scheme://user:password@
    (re.compile(r"\b(bearer|basic) +[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {WITHHELD}"),
    (re.compile(r"\b(session|token|password|secret_key)=[^\s;,&]+", re.IGNORECASE), rf"\1={WITHHELD}"),
    (re.compile(r"[\w.+%-]+@[\w-]+(\.[\w-]+)+"), "[e-mail]"),
)


def _withhold(_: Any, __: str, event: EventDict) -> EventDict:
    return {key: _clean(key, value) for key, value in event.items()}


def _clean(key: str, value: Any) -> Any:
    """The value, or what may be shown of it."""
    if _SECRET_KEYS.search(key) and isinstance(value, str | bytes):
        return WITHHELD
    if isinstance(value, str):
        for pattern, shown in _IN_TEXT:
            value = pattern.sub(shown, value)
    elif isinstance(value, dict):
        return {name: _clean(str(name), inner) for name, inner in value.items()}
    elif isinstance(value, list | tuple):
        return [_clean(key, inner) for inner in value]
    elif isinstance(value, BaseException):
        return _clean(key, repr(value))
    return value
