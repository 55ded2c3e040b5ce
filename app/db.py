"""Postgres: the pool, transactions, and named statements from sql/queries with typed rows. The only place, beside migrate, that
knows asyncpg.

The type of a function's first parameter says who owns the transaction: `Pool` opens its own, `Tx` joins yours, `Db` only reads."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import asyncpg
import orjson
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
COMMAND_SECONDS = 10
ACQUIRE_SECONDS = 5

# Postgres is away, restarting, overloaded or was just failed over: nothing is wrong with the request.
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that was lost between two statements
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
)


async def connect(dsn: str, *, size: int = 10, name: str = "instainstru") -> Pool:
    """A pool of up to `size` connections. Raises OSError or asyncpg's errors when Postgres cannot be reached."""
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size,
        timeout=ACQUIRE_SECONDS,
        command_timeout=COMMAND_SECONDS,
        init=_prepare_connection,
        reset=_as_it_is,
        server_settings={
            "application_name": name,
            "timezone": "UTC",
            "jit": "off",
            "statement_timeout": "10s",
            "idle_in_transaction_session_timeout": "30s",
        },
    )


async def close(pool: Pool) -> None:
    """Closes the pool, waiting a moment for statements under way."""
    try:
        await asyncio.wait_for(pool.close(), ACQUIRE_SECONDS)
    except TimeoutError:
        pool.terminate()


@asynccontextmanager
async def aside(pool: Pool) -> AsyncIterator[Tx]:
    """A connection for the caller alone, outside any transaction: for what belongs to a session, such as an advisory lock."""
    async with _connection(pool) as connection:
        try:
            yield connection
        finally:
            with suppress(asyncpg.InterfaceError):  # it was lost
                connection.terminate()  # the session ends, and what belongs to it with it


async def _as_it_is(_: Any) -> None:
    """A connection goes back to the pool as it is: nothing of ours outlives a transaction but in `aside`. asyncpg's own reset is one
    more round trip, and where Postgres goes away during it, it makes a failure of a statement that was committed and answered."""


async def _prepare_connection(connection: Any) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads
        )


async def transact(pool: Pool, work: Callable[[Tx], Awaitable[T]]) -> T:
    """Runs `work` in a transaction of its own, once more if it met a deadlock. Raises Unavailable when Postgres is away."""
    for attempt in (1, 2):
        try:
            async with _connection(pool) as connection, connection.transaction():
                return await work(connection)
        except asyncpg.DeadlockDetectedError:
            if attempt == 2:
                raise refusal.Unavailable from None
    raise AssertionError("unreachable")


@asynccontextmanager
async def _connection(db: Db) -> AsyncIterator[Tx]:
    """The connection of a transaction, or one from the pool; and Postgres's faults as what they mean to a person."""
    try:
        if isinstance(db, asyncpg.Pool):
            async with db.acquire(timeout=ACQUIRE_SECONDS) as connection:
                yield connection
        else:
            yield db
    except asyncpg.ReadOnlySQLTransactionError:
        # A failover happened and this pool still talks to the old primary.
        if isinstance(db, asyncpg.Pool):
            await db.expire_connections()
        raise refusal.Unavailable from None
    except asyncpg.IntegrityConstraintViolationError as error:
        meant = refusal.BY_CONSTRAINT.get(error.constraint_name or "")
        if meant is None:
            raise
        raise meant from None
    except asyncpg.CharacterNotInRepertoireError:
        raise refusal.ValidationError("Text may not contain NUL characters.") from None
    except _AWAY as error:
        if isinstance(error, ValueError):  # asyncpg's answer to an argument Postgres cannot take: a bug of ours
            raise
        raise refusal.Unavailable from error


class Statement(Generic[Row]):
    """One named statement. `values` are its `:name` parameters; a row becomes `row(*columns)`, or the single column itself where
    `row` is not a dataclass. tests/test_statements.py holds names, order and types against the migrated database."""

    def __init__(self, name: str, row: type[Row]) -> None:
        self.name = name
        self.row = row
        self.sql, self.parameters = _CATALOG[name]
        self._make: Callable[..., Row] = row if is_dataclass(row) else _single
        STATEMENTS.append(self)

    async def all(self, db: Db, **values: Any) -> list[Row]:
        arguments = self._arguments(values)
        async with _connection(db) as connection:
            return [self._make(*record) for record in await connection.fetch(self.sql, *arguments)]

    async def first(self, db: Db, **values: Any) -> Row | None:
        arguments = self._arguments(values)
        for attempt in (1, 2):
            try:
                async with _connection(db) as connection:
                    record = await connection.fetchrow(self.sql, *arguments)
                    return None if record is None else self._make(*record)
            except asyncpg.DeadlockDetectedError:
                # In a transaction of the caller's, the whole of it must run again: transact does that.
                if not isinstance(db, asyncpg.Pool):
                    raise
                if attempt == 2:
                    raise refusal.Unavailable from None
        raise AssertionError("unreachable")

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

    def _arguments(self, values: dict[str, Any]) -> list[Any]:
        if values.keys() != set(self.parameters):
            raise TypeError(f"{self.name} takes {sorted(self.parameters)}, not {sorted(values)}")
        return [values[name] for name in self.parameters]


STATEMENTS: list[Statement[Any]] = []


def statement(name: str, row: type[Row]) -> Statement[Row]:
    """The statement `-- name: <name>` of sql/queries, bound to the dataclass (or scalar type) of its rows."""
    return Statement(name, row)


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
