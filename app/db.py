"""Postgres: the pool, transactions, and named statements from sql/queries with typed rows. The only place, beside migrate, that
knows asyncpg.

The type of a function's first parameter says who owns the transaction: `Pool` opens its own, `Tx` joins yours, `Db` only reads."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

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
T = TypeVar("T")

SQL = Path(__file__).parent.parent / "sql"
ACQUIRE_SECONDS = 5
# The client's time-out. The role's statement_timeout (app/migrate.py) is shorter, so a statement that takes this long is one
# that the server never answered.
COMMAND_SECONDS = 10
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
async def connection(db: Db) -> AsyncIterator[Tx]:
    """A connection for one statement. In a caller's transaction, Postgres's faults stay what they are until they reach the
    function that took the connection from its pool: only that one can expire the pool or run the transaction again."""
    if isinstance(db, asyncpg.Pool):
        async with _unavailable(db), _acquire(db) as acquired:
            yield acquired
    else:
        with _refusals():
            yield db


class _NoConnectionError(Exception):
    """Every connection of the pool was in use for ACQUIRE_SECONDS, or a new one could not be opened."""


class StatementTooSlowError(Exception):
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
    except (*_UNAVAILABLE, _NoConnectionError, StatementTooSlowError) as error:
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
