"""Named SQL statements from sql/queries, with typed rows."""

import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import structlog
from prometheus_client import Histogram

from app.db import SQL, Db, StatementTooSlowError, Tx, execute

Row = TypeVar("Row")
T = TypeVar("T")

log = structlog.get_logger("statements")

# The timeout of a statement that visitors cause without signing in. A statement that takes
# this long reads too much; its connection is fine.
PUBLIC_SECONDS = 2
# Rows per round trip of a statement that is read in pages.
PAGE = 500

_SECONDS = Histogram(
    "database_statement_seconds",
    "Time of a statement, without waiting for a connection.",
    ["statement"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 2),
)

_ALL_COLUMNS = re.compile(r"^select \* from", re.MULTILINE)
# Comments, strings, quoted names and casts may contain a colon that starts no parameter.
_TOKEN = re.compile(r"--[^\n]*|'(?:[^']|'')*'|\"[^\"]*\"|::|:([a-z_][a-z0-9_]*)")


class SlowLog:
    """The duration from which a statement is logged as slow; each process sets it once."""

    seconds = math.inf

    def configure(self, milliseconds: int) -> None:
        """0 logs none."""
        self.seconds = milliseconds / 1000 or math.inf


slow_log = SlowLog()


class Statement(Generic[Row]):
    """One named statement. Its `:name` parameters are passed as keyword arguments. Each record
    becomes `row(*columns)`, or the value of its only column if `row` is not a dataclass.
    tests/test_statements.py checks names, order and types against the migrated database."""

    def __init__(self, name: str, row: type[Row], seconds: float | None) -> None:
        self.name = name
        self.row = row
        self.seconds = seconds
        self.sql, self.parameters = CATALOG[name]
        self._names = frozenset(self.parameters)
        self._make_row: Callable[..., Row] = row if is_dataclass(row) else _only_column
        if is_dataclass(row):
            # Name the columns, so that a process of an earlier release can still read a view
            # that has gained a column.
            columns = ", ".join(field.name for field in fields(row))
            self.sql = _ALL_COLUMNS.sub(f"select {columns} from", self.sql)
        self._histogram: Histogram | None = None  # created at the first run
        STATEMENTS.append(self)

    async def all(self, db: Db, **values: Any) -> list[Row]:
        arguments = self._arguments(values)
        records = await execute(
            db,
            lambda session: self._in_time(
                session.fetch(self.sql, *arguments, timeout=self.seconds)
            ),
        )
        return [self._make_row(*record) for record in records]

    async def first(self, db: Db, **values: Any) -> Row | None:
        arguments = self._arguments(values)
        record = await execute(
            db,
            lambda session: self._in_time(
                session.fetchrow(self.sql, *arguments, timeout=self.seconds)
            ),
        )
        return None if record is None else self._make_row(*record)

    async def one(self, db: Db, **values: Any) -> Row:
        """For a statement that always returns a row."""
        row = await self.first(db, **values)
        assert row is not None, f"{self.name} returned no row"
        return row

    async def stream(self, tx: Tx, **values: Any) -> AsyncIterator[Row]:
        """The rows one after the other, read in pages."""
        async for record in tx.cursor(self.sql, *self._arguments(values), prefetch=PAGE):
            yield self._make_row(*record)

    async def run(self, db: Db, **values: Any) -> int:
        """Executes the statement and returns the number of affected rows."""
        arguments = self._arguments(values)
        status = await execute(
            db,
            lambda session: self._in_time(
                session.execute(self.sql, *arguments, timeout=self.seconds)
            ),
        )
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def _in_time(self, fetching: Awaitable[T]) -> T:
        started = time.perf_counter()
        try:
            return await fetching
        except TimeoutError as error:
            if self.seconds is None:  # the pool's timeout: the server did not answer at all
                raise
            raise StatementTooSlowError(f"{self.name} took {self.seconds} s") from error
        finally:
            seconds = time.perf_counter() - started
            if self._histogram is None:
                self._histogram = _SECONDS.labels(self.name)
            self._histogram.observe(seconds)
            if seconds >= slow_log.seconds:
                # Without parameters: they may be personal data.
                log.warning("slow_statement", statement=self.name, ms=round(seconds * 1000))

    def _arguments(self, values: dict[str, Any]) -> list[Any]:
        if values.keys() != self._names:
            raise TypeError(f"{self.name} takes {sorted(self.parameters)}, not {sorted(values)}")
        return [values[name] for name in self.parameters]


STATEMENTS: list[Statement[Any]] = []


def statement(name: str, row: type[Row], *, seconds: float | None = None) -> Statement[Row]:
    """Binds `-- name: <name>` of sql/queries to the dataclass or scalar type of its rows.
    After `seconds` (default: the pool's timeout) the statement is cancelled, and the caller gets
    Unavailable."""
    return Statement(name, row, seconds)


def _only_column(value: Any) -> Any:
    return value


def positional(sql: str) -> tuple[str, tuple[str, ...]]:
    """Replaces `:name` parameters by `$n`. Returns the SQL and the names in order."""
    names: list[str] = []

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return match[0]
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _TOKEN.sub(replace, sql), tuple(names)


def load(folder: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """The statements of a folder's .sql files by name, as `positional` returns them."""
    catalog: dict[str, tuple[str, tuple[str, ...]]] = {}
    for path in sorted(folder.glob("*.sql")):
        _, *parts = re.split(r"^-- name: *(\w+)[ \t]*$", path.read_text(), flags=re.MULTILINE)
        for name, sql in zip(parts[::2], parts[1::2], strict=True):
            if name in catalog:
                raise ValueError(f"{path.name}: there are two statements named {name}")
            catalog[name] = positional(sql.strip().rstrip(";"))
    return catalog


CATALOG = load(SQL / "queries")
