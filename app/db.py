"""Postgres: the pool, transactions, and named statements from sql/queries with typed rows. The only place, beside migrate, that
knows asyncpg.

The type of a function's first parameter says who owns the transaction: `Pool` opens its own, `Tx` joins yours, `Db` only reads."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import asyncpg
import orjson
import structlog
from asyncpg.pool import PoolConnectionProxy

from app import refusal

if TYPE_CHECKING:
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Tx: TypeAlias = PoolConnectionProxy[asyncpg.Record]
else:  # asyncpg's classes are generic only in its stubs
    Pool = asyncpg.Pool
    Tx = PoolConnectionProxy
Db: TypeAlias = Pool | Tx
Row = TypeVar("Row")
T = TypeVar("T")

SQL = Path(__file__).parent.parent / "sql"
ACQUIRE_SECONDS = 5
# The client's time-out. The role's statement_timeout (app/migrate.py) is shorter, so a statement that takes this long is one
# that the server never answered.
COMMAND_SECONDS = 10
# The time-out of a statement that anybody may cause without signing in. A statement that takes this long
# reads too much; it says nothing about the connection.
PUBLIC_SECONDS = 2
# Between two log lines of one cause.
LOG_SECONDS = 5

log = structlog.get_logger("db")


class _FunctionReplacedError(Exception):
    """A migration replaced a function while a statement was calling it: nothing was written."""


# Postgres is away, restarting, overloaded or was just failed over: nothing is wrong with the request.
_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that was lost between two statements
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.ExclusionViolationError,
    asyncpg.InvalidCachedStatementError,
    _FunctionReplacedError,
)
# Running the same transaction again may succeed at once.
_RETRYABLE = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.ExclusionViolationError,  # a writer that took no locks was quicker
    asyncpg.InvalidCachedStatementError,
    _FunctionReplacedError,
)


class Faults:
    """What made requests fail: a log line per cause, and whether a write was refused for want of disk space."""

    def __init__(self) -> None:
        self.disk_full = False
        self._counts: Counter[str] = Counter()
        self._logged_at: dict[str, float] = {}

    def record(self, cause: str, error: object) -> None:
        """Logs the first of a cause at once, then one line every LOG_SECONDS with how many there were since."""
        self._counts[cause] += 1
        now = time.monotonic()
        if now - self._logged_at.get(cause, -LOG_SECONDS) >= LOG_SECONDS:
            self._logged_at[cause] = now
            log.warning("unavailable", cause=cause, error=str(error), count=self._counts.pop(cause))


faults = Faults()


async def connect(dsn: str, *, size: int = 10, name: str = "instainstru", seconds: float = COMMAND_SECONDS) -> Pool:
    """A pool of up to `size` connections; `seconds` is the client's time-out of a statement. Time zone, search path and
    time-outs of the server are settings of the role, because PgBouncer refuses startup parameters that it does not know.

    Raises OSError or asyncpg's errors when Postgres cannot be reached."""
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size,
        timeout=ACQUIRE_SECONDS,
        command_timeout=seconds,
        init=_prepare_connection,
        reset=_keep_session,
        server_settings={"application_name": name},
    )


async def close(pool: Pool) -> None:
    """Closes the pool, waiting a moment for statements under way."""
    try:
        await asyncio.wait_for(pool.close(), ACQUIRE_SECONDS)
    except TimeoutError:
        pool.terminate()


async def _keep_session(_: Any) -> None:
    """A connection goes back to the pool as it is: nothing of ours outlives a transaction except in `aside`. asyncpg's own
    reset is one more round trip. If Postgres goes away during it, a statement that was committed and answered would fail."""


async def _prepare_connection(connection: Any) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads
        )


async def transact(pool: Pool, work: Callable[[Tx], Awaitable[T]], *, begin: bool = True) -> T:
    """Runs `work` in a transaction of its own: the only place that retries. `work` runs a second time after a deadlock, or
    when a migration replaced what its statements were prepared for or call. `begin=False` is for work of a single statement, which
    is a transaction by itself: two round trips fewer while it holds locks. Raises Unavailable."""

    async def attempt() -> T:
        async with _acquire(pool) as connection:
            if not begin:
                return await work(connection)
            async with connection.transaction():
                return await work(connection)

    async with _unavailable(pool):
        try:
            return await attempt()
        except _RETRYABLE as error:
            log.info("transaction_retried", cause=_cause(error))
            return await attempt()


@asynccontextmanager
async def aside(pool: Pool) -> AsyncIterator[Tx]:
    """A connection for the caller alone, outside any transaction: for what belongs to a session, such as an advisory lock.
    Raises Unavailable."""
    async with _unavailable(pool), _acquire(pool) as connection:
        try:
            yield connection
        finally:
            with suppress(asyncpg.InterfaceError):  # it was lost
                connection.terminate()  # the session ends, and what belongs to it with it


@asynccontextmanager
async def _connection(db: Db) -> AsyncIterator[Tx]:
    """A connection for one statement. In a caller's transaction, Postgres's faults stay what they are until they reach the
    function that took the connection from its pool: only that one can expire the pool or run the transaction again."""
    if isinstance(db, asyncpg.Pool):
        async with _unavailable(db), _acquire(db) as connection:
            yield connection
    else:
        with _refusals():
            yield db


class _NoConnectionError(Exception):
    """Every connection of the pool was in use for ACQUIRE_SECONDS, or a new one could not be opened."""


class _StatementTooSlowError(Exception):
    """A statement was cancelled after the time that it is given."""


@asynccontextmanager
async def _acquire(pool: Pool) -> AsyncIterator[Tx]:
    try:
        connection = await pool.acquire(timeout=ACQUIRE_SECONDS)
    except TimeoutError as error:
        raise _NoConnectionError(f"no connection within {ACQUIRE_SECONDS} s") from error
    try:
        with _refusals():
            yield connection
    except TimeoutError:
        connection.terminate()  # giving it back would wait for a server that does not answer
        raise
    finally:
        await pool.release(connection)


@asynccontextmanager
async def _unavailable(pool: Pool) -> AsyncIterator[None]:
    """Postgres's faults as Unavailable, with a log line that names the cause."""
    try:
        yield
    except (*_UNAVAILABLE, _NoConnectionError, _StatementTooSlowError) as error:
        if isinstance(error, ValueError):  # asyncpg's answer to an argument that Postgres cannot take: our bug
            raise
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError | TimeoutError):
            # The pool still talks to the old primary after a failover, or to a server that no longer answers.
            await pool.expire_connections()
        if isinstance(error, asyncpg.DiskFullError):
            faults.disk_full = True
        faults.record(_cause(error), error)
        raise refusal.Unavailable from error


def _cause(error: Exception) -> str:
    """`55P03 LockNotAvailableError`, `ConnectionRefusedError`, …"""
    return f"{getattr(error, 'sqlstate', None) or ''} {type(error).__name__.lstrip('_')}".strip()


@contextmanager
def _refusals() -> Iterator[None]:
    """What a person can run into, as its refusal; what a migration does to a statement under way, as that."""
    try:
        yield
    except asyncpg.IntegrityConstraintViolationError as error:
        meant = refusal.BY_CONSTRAINT.get(error.constraint_name or "")
        if meant is None:
            raise
        raise meant from None
    except (asyncpg.UndefinedFunctionError, asyncpg.InternalServerError) as error:
        if isinstance(error, asyncpg.UndefinedFunctionError) or "cache lookup failed" in str(error):
            raise _FunctionReplacedError(str(error)) from error
        raise
    except asyncpg.CharacterNotInRepertoireError:
        raise refusal.ValidationError("Text can’t contain NUL characters.") from None


class Statement(Generic[Row]):
    """One named statement. `values` are its `:name` parameters; a row becomes `row(*columns)`, or the single column itself where
    `row` is not a dataclass. tests/test_statements.py holds names, order and types against the migrated database."""

    def __init__(self, name: str, row: type[Row], seconds: float | None) -> None:
        self.name = name
        self.row = row
        self.seconds = seconds
        self.sql, self.parameters = _CATALOG[name]
        self._make: Callable[..., Row] = row if is_dataclass(row) else _single
        if is_dataclass(row):
            # The columns of a view stand in its dataclass. Named, so that a process of an earlier release
            # goes on reading a view that has gained a column.
            columns = ", ".join(field.name for field in fields(row))
            self.sql = _ALL_COLUMNS.sub(f"select {columns} from", self.sql)
        STATEMENTS.append(self)

    async def all(self, db: Db, **values: Any) -> list[Row]:
        arguments = self._arguments(values)
        async with _connection(db) as connection:
            with self._time_out():
                records = await connection.fetch(self.sql, *arguments, timeout=self.seconds)
        return [self._make(*record) for record in records]

    async def first(self, db: Db, **values: Any) -> Row | None:
        arguments = self._arguments(values)
        async with _connection(db) as connection:
            with self._time_out():
                record = await connection.fetchrow(self.sql, *arguments, timeout=self.seconds)
        return None if record is None else self._make(*record)

    async def one(self, db: Db, **values: Any) -> Row:
        """The row that must be there."""
        row = await self.first(db, **values)
        assert row is not None, f"{self.name} answered no row"
        return row

    async def run(self, db: Db, **values: Any) -> int:
        """Executes, and tells how many rows were touched."""
        arguments = self._arguments(values)
        async with _connection(db) as connection:
            status = await connection.execute(self.sql, *arguments)
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    @contextmanager
    def _time_out(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            if self.seconds is None:  # the pool's own time-out, which no server that answers lets happen
                raise
            raise _StatementTooSlowError(f"{self.name} took {self.seconds} s") from error

    def _arguments(self, values: dict[str, Any]) -> list[Any]:
        if values.keys() != set(self.parameters):
            raise TypeError(f"{self.name} takes {sorted(self.parameters)}, not {sorted(values)}")
        return [values[name] for name in self.parameters]


_ALL_COLUMNS = re.compile(r"^select \* from", re.MULTILINE)
STATEMENTS: list[Statement[Any]] = []


def statement(name: str, row: type[Row], *, seconds: float | None = None) -> Statement[Row]:
    """The statement `-- name: <name>` of sql/queries, bound to the dataclass (or scalar type) of its rows. After `seconds`
    (left out: the pool's) it is cancelled, and the caller gets Unavailable."""
    return Statement(name, row, seconds)


def _single(value: Any) -> Any:
    return value


# What may contain a colon or an apostrophe without meaning a parameter: comments, strings, quoted names, casts.
_TOKEN = re.compile(r"--[^\n]*|'(?:[^']|'')*'|\"[^\"]*\"|::|:([a-z_][a-z0-9_]*)")


def _positional(sql: str) -> tuple[str, tuple[str, ...]]:
    """`:name` parameters as `$n`, and their names in order."""
    names: list[str] = []

    def place(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return match[0]
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    return _TOKEN.sub(place, sql), tuple(names)


def _load(folder: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    catalog: dict[str, tuple[str, tuple[str, ...]]] = {}
    for path in sorted(folder.glob("*.sql")):
        _, *parts = re.split(r"^-- name: *(\w+)[ \t]*$", path.read_text(), flags=re.MULTILINE)
        for name, sql in zip(parts[::2], parts[1::2], strict=True):
            if name in catalog:
                raise ValueError(f"{path.name}: there are two statements named {name}")
            catalog[name] = _positional(sql.strip().rstrip(";"))
    return catalog


_CATALOG = _load(SQL / "queries")
