"""Postgres: the pool, transactions and errors. Only this module and app.migrate use asyncpg.

The type of a function's first parameter says who owns the transaction: a function with `Pool` opens
its own, one with `Tx` joins the caller's, and one with `Db` only reads."""

import asyncio
import collections
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeAlias, TypeVar

import asyncpg
import orjson
import structlog
from asyncpg.pool import PoolConnectionProxy
from prometheus_client import Counter, Gauge, Histogram

from app import refusal

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Tx: TypeAlias = PoolConnectionProxy[asyncpg.Record]
else:  # asyncpg's classes are generic only in its stubs
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool
    Tx = PoolConnectionProxy
Db: TypeAlias = Pool | Tx
T = TypeVar("T")

SQL = Path(__file__).parent.parent / "sql"
ACQUIRE_SECONDS = 5
# The client's timeout. The role's statement_timeout (sql/session.sql) is shorter, so if this one
# expires, the server did not respond at all.
COMMAND_SECONDS = 10
_MIN_WAIT_SECONDS = 0.001
# Types with lower ids are Postgres's own: the same in each database and version.
_FIRST_ASSIGNED_TYPE = 10_000
# The interval of log lines for one cause.
LOG_SECONDS = 5
# How often connections are replaced because of a missing function, which may be missing for good.
MISSING_FUNCTION_SECONDS = 60

log = structlog.get_logger("db")


class _FunctionReplacedError(Exception):
    """A migration replaced a function while a statement called it; nothing was written."""


class _FunctionMissingError(_FunctionReplacedError):
    """The same, or the database was not migrated to this release."""


# Postgres is down, restarting, overloaded or failing over; the request itself is valid.
_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection was lost between two statements
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
# An immediate retry of the transaction may succeed.
_RETRYABLE = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.ExclusionViolationError,  # another writer without our locks was faster
    asyncpg.InvalidCachedStatementError,
    _FunctionReplacedError,
)


_WAIT_SECONDS = Histogram(
    "database_pool_wait_seconds",
    "Time waited for a connection, where it was over a millisecond.",
    buckets=(0.005, 0.025, 0.1, 0.5, 2, 5),
)
_WAIT_TIMEOUTS = Counter("database_pool_timeouts", "Times that no connection was free in time.")
_CONNECTIONS = Gauge(
    "database_pool_connections", "Connections of a pool, by state.", ["pool", "state"]
)


class Faults:
    """Database faults: one throttled log line per cause, whether the disk is full, and when the
    connections of a pool were last replaced because of a missing function."""

    def __init__(self) -> None:
        self.disk_full = False
        self._counts: collections.Counter[str] = collections.Counter()
        self._logged_at: dict[str, float] = {}
        self._replaced_at: dict[Pool, float] = {}

    def record(self, cause: str, error: object) -> None:
        """Logs a cause at once, then at most every LOG_SECONDS, with the count since the last
        line."""
        self._counts[cause] += 1
        now = time.monotonic()
        if now - self._logged_at.get(cause, -LOG_SECONDS) >= LOG_SECONDS:
            self._logged_at[cause] = now
            log.warning("unavailable", cause=cause, error=str(error), count=self._counts.pop(cause))

    def may_replace_connections(self, pool: Pool, error: _FunctionReplacedError) -> bool:
        """For a missing function, at most every MISSING_FUNCTION_SECONDS."""
        now = time.monotonic()
        if isinstance(error, _FunctionMissingError):
            if now - self._replaced_at.get(pool, -float("inf")) < MISSING_FUNCTION_SECONDS:
                return False
            self._replaced_at[pool] = now
        return True


faults = Faults()


async def connect(
    dsn: str,
    *,
    size: int = 10,
    name: str = "instainstru",
    seconds: float = COMMAND_SECONDS,
    at_once: bool = True,
) -> Pool:
    """A pool of up to `size` connections; `seconds` is the client's timeout of a statement. Time
    zone, search path and server-side timeouts are settings of the role (sql/session.sql), because
    PgBouncer rejects startup parameters that it does not know.

    Raises OSError or asyncpg's errors when Postgres cannot be reached; with `at_once=False` it
    raises nothing, because the first connection is opened on demand."""
    return await asyncpg.create_pool(
        dsn,
        min_size=1 if at_once else 0,
        max_size=size,
        timeout=ACQUIRE_SECONDS,
        command_timeout=seconds,
        connection_class=_Connection,
        init=_prepare_connection,
        reset=_keep_session,
        server_settings={"application_name": name},
    )


def observe(pool: Pool, name: str) -> None:
    """Makes the pool's connections a metric."""
    _CONNECTIONS.labels(name, "open").set_function(pool.get_size)
    _CONNECTIONS.labels(name, "idle").set_function(pool.get_idle_size)
    _CONNECTIONS.labels(name, "max").set(pool.get_max_size())


async def is_exhausted(pool: Pool, *, seconds: float) -> bool:
    """Whether all connections are in use, and none becomes free within this time."""
    if pool.get_idle_size() or pool.get_size() < pool.get_max_size():
        return False
    try:
        connection = await pool.acquire(timeout=seconds)
    except _UNAVAILABLE:
        return True
    await pool.release(connection)
    return False


async def close(pool: Pool) -> None:
    """Closes the pool; running statements have ACQUIRE_SECONDS to finish."""
    try:
        await asyncio.wait_for(pool.close(), ACQUIRE_SECONDS)
    except TimeoutError:
        pool.terminate()


async def _keep_session(_: Any) -> None:
    """Replaces asyncpg's reset, which costs a round trip and can fail after a commit. No session
    state outlives a transaction, except in `exclusive_connection`."""


class _Connection(Connection):
    """Reads Postgres's own array types only once per process. asyncpg reads them in each
    connection, which takes four times as long as opening the connection."""

    _types: ClassVar[dict[frozenset[int], list[asyncpg.Record]]] = {}

    async def _introspect_types(
        self, type_ids: Iterable[int], *args: Any
    ) -> tuple[list[asyncpg.Record], Any]:
        key = frozenset(type_ids)
        if key in self._types:
            return self._types[key], SimpleNamespace(name="known")
        types, statement = await super()._introspect_types(type_ids, *args)  # type: ignore[misc]
        if max(key) < _FIRST_ASSIGNED_TYPE:
            self._types[key] = types
        return types, statement


async def _prepare_connection(connection: Any) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name,
            schema="pg_catalog",
            encoder=lambda value: orjson.dumps(value).decode(),
            decoder=orjson.loads,
        )


async def transact(pool: Pool, work: Callable[[Tx], Awaitable[T]], *, begin: bool = True) -> T:
    """Runs `work` in its own transaction; the only place that retries. `work` runs a second time
    after a deadlock, after a conflict that its own checks could not see, or if a migration
    invalidated its statements. Pass `begin=False` if `work` is a single statement, which is its own
    transaction: two round trips fewer while it holds locks. Raises Unavailable."""

    async def in_transaction(connection: Tx) -> T:
        transaction = connection.transaction()
        await transaction.start()
        try:
            result = await work(connection)
        except TimeoutError:
            raise  # a rollback would wait as long again; the connection is closed instead
        except BaseException:
            await transaction.rollback()
            raise
        await transaction.commit()
        return result

    attempt = in_transaction if begin else work
    try:
        try:
            return await _on_connection(pool, attempt)
        except _RETRYABLE as error:
            log.info("transaction_retried", cause=_cause(error))
            if isinstance(error, _FunctionReplacedError) and faults.may_replace_connections(
                pool, error
            ):
                await pool.expire_connections()  # as in _fail
            return await _on_connection(pool, attempt)
    except _FAULTS as error:
        await _fail(pool, error)


async def execute(db: Db, statement: Callable[[Tx], Awaitable[T]]) -> T:
    """Runs one statement. In a caller's transaction, errors that users can cause become refusals,
    and other database errors pass through: only the function that acquired the connection can
    expire the pool or retry."""
    if isinstance(db, asyncpg.Pool):
        try:
            return await _on_connection(db, statement)
        except _FAULTS as error:
            await _fail(db, error)
    try:
        return await statement(db)
    except asyncpg.PostgresError as error:
        raise _translate(error) from None


@asynccontextmanager
async def exclusive_connection(pool: Pool) -> AsyncIterator[Tx]:
    """An exclusive connection outside any transaction, for session state such as an advisory lock.
    Raises Unavailable."""
    try:
        connection = await _acquire(pool)
        try:
            yield connection
        finally:
            with suppress(asyncpg.InterfaceError):  # the connection is lost
                connection.terminate()  # ends the session and its state
            await pool.release(connection)
    except _FAULTS as error:
        await _fail(pool, error)


@asynccontextmanager
async def snapshot(pool: Pool) -> AsyncIterator[Tx]:
    """A transaction that only reads, in which all statements see the same state. Raises
    Unavailable."""
    try:
        connection = await _acquire(pool)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield connection
        finally:
            await pool.release(connection)
    except _FAULTS as error:
        await _fail(pool, error)


class _NoConnectionError(Exception):
    """No connection was free for ACQUIRE_SECONDS, and none could be opened."""


class StatementTooSlowError(Exception):
    """A statement was cancelled at its timeout."""


# These make a call Unavailable.
_FAULTS = (*_UNAVAILABLE, _NoConnectionError, StatementTooSlowError)


async def _on_connection(pool: Pool, work: Callable[[Tx], Awaitable[T]]) -> T:
    # Plain functions instead of context managers: this is part of every statement.
    connection = await _acquire(pool)
    try:
        return await work(connection)
    except asyncpg.PostgresError as error:
        raise _translate(error) from None
    except TimeoutError:
        with suppress(asyncpg.InterfaceError):  # it is closed already
            connection.terminate()  # a release would wait for a server that does not answer
        raise
    finally:
        await pool.release(connection)


async def _acquire(pool: Pool) -> Tx:
    started = time.perf_counter()
    try:
        connection = await pool.acquire(timeout=ACQUIRE_SECONDS)
    except TimeoutError as error:
        _WAIT_TIMEOUTS.inc()
        raise _NoConnectionError(f"no connection within {ACQUIRE_SECONDS} s") from error
    if (wait_seconds := time.perf_counter() - started) > _MIN_WAIT_SECONDS:
        _WAIT_SECONDS.observe(wait_seconds)
    return connection


async def _fail(pool: Pool, error: Exception) -> NoReturn:
    """Turns a database fault into Unavailable, and logs the cause."""
    if isinstance(error, ValueError):  # an invalid argument: our bug
        raise error
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError | TimeoutError) or (
        isinstance(error, _FunctionReplacedError) and faults.may_replace_connections(pool, error)
    ):
        # The pool is still connected to a demoted primary or to a server that hangs, or sessions
        # call a dropped function for good: Postgres locks no functions, so they may have cached a
        # plan that contains it.
        await pool.expire_connections()
    if isinstance(error, asyncpg.DiskFullError):
        faults.disk_full = True
    faults.record(_cause(error), error)
    raise refusal.Unavailable from error


def _cause(error: Exception) -> str:
    """`55P03 LockNotAvailableError`, `ConnectionRefusedError`, …"""
    return f"{getattr(error, 'sqlstate', None) or ''} {type(error).__name__.lstrip('_')}".strip()


def _translate(error: asyncpg.PostgresError) -> Exception:
    """The refusal for an error that users can cause, _FunctionReplacedError for the effect of a
    concurrent migration, else the error itself."""
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        refusal_type = refusal.BY_CONSTRAINT.get(error.constraint_name or "")
        return refusal_type() if refusal_type else error
    if isinstance(error, asyncpg.CharacterNotInRepertoireError):
        return refusal.ValidationError("Text can’t contain NUL characters.")
    if isinstance(error, asyncpg.UndefinedFunctionError):
        return _FunctionMissingError(str(error))
    if isinstance(error, asyncpg.InternalServerError) and "cache lookup failed" in str(error):
        return _FunctionReplacedError(str(error))
    return error
