"""Structured logs of every process on standard error, as console text or JSON, including those of
the standard library and uvicorn. Secrets and personal data are redacted from every line."""

import logging
import re
import sys
from types import TracebackType
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from app.settings import Settings

_process = ""

# Libraries whose routine lines repeat ours or contain client addresses.
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
    """Sets up logging for this process. Every line has `process` (web, relay, worker…), which a
    later call without it keeps."""
    global _process  # noqa: PLW0603 — one process has one name
    _process = process or _process
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper("iso", utc=True),
        _add_process,
        structlog.processors.format_exc_info,  # without local variables, which hold user input
        _redact,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    foreign: list[Processor] = [structlog.stdlib.ExtraAdder(), *shared]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=foreign,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _renderer(settings),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(capture=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    if level > logging.DEBUG:
        logging.getLogger("asyncpg.pool").setLevel(max(level, logging.ERROR))
        logging.getLogger("asyncio").addFilter(_keep_asyncio_record)
    sys.excepthook = _log_crash


def _keep_asyncio_record(record: logging.LogRecord) -> bool:
    """Drops the tracebacks that asyncio logs for each pooled connection when Postgres goes down:
    app/db.py logs one line."""
    message = record.getMessage()
    return "coro=<Connection.close()" not in message or "asyncpg" not in message


def _renderer(settings: Settings) -> Processor:
    if settings.log_format == "json":
        return structlog.processors.JSONRenderer(sort_keys=True)
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _add_process(_: Any, __: str, event: EventDict) -> EventDict:
    if _process:
        event.setdefault("process", _process)
    return event


def _log_crash(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    structlog.get_logger("process").critical("process_crashed", exc_info=(kind, error, traceback))


# ---- redaction

WITHHELD = "[withheld]"
_SECRET_KEYS = re.compile(
    r"password|passwd|secret|token|authorization|cookie|api_key|signature", re.IGNORECASE
)
_IN_TEXT = (
    (
        re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+(?=@)", re.IGNORECASE),
        rf"\1{WITHHELD}",
    ),  # scheme://user:password@
    (re.compile(r"\b(bearer|basic) +[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {WITHHELD}"),
    (
        re.compile(r"\b(session|token|password|secret_key)=[^\s;,&]+", re.IGNORECASE),
        rf"\1={WITHHELD}",
    ),
    (re.compile(r"[\w.+%-]+@[\w-]+(\.[\w-]+)+"), "[e-mail]"),
)


def _redact(_: Any, __: str, event: EventDict) -> EventDict:
    return {key: _clean(key, value) for key, value in event.items()}


def _clean(key: str, value: Any) -> Any:
    """The value without secrets and personal data."""
    if _SECRET_KEYS.search(key) and isinstance(value, str | bytes):
        return WITHHELD
    if isinstance(value, str):
        for pattern, replacement in _IN_TEXT:
            value = pattern.sub(replacement, value)
    elif isinstance(value, dict):
        return {name: _clean(str(name), inner) for name, inner in value.items()}
    elif isinstance(value, list | tuple):
        return [_clean(key, inner) for inner in value]
    elif isinstance(value, BaseException):
        return _clean(key, repr(value))
    return value
