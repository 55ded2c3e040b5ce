"""A migrated database without accounts for each test. Deleting the rows of a test is ten times
cheaper than creating and dropping a database, so the next test gets the same one, unless the test
changed more than rows of the product's tables."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from threading import Thread
from typing import Any, TypeVar

import asyncpg

from tests.cluster import PATIENCE, Cluster

T = TypeVar("T")

# With statistics or many pages of deleted rows, Postgres could choose other plans than for a new
# database.
MAX_BYTES = 512 << 10

TABLES = """
select oid::regclass::text from pg_class
where relnamespace = 'public'::regnamespace and relkind = 'r' order by oid"""
# A change removes rows or creates some with a higher xmin, so it changes one of these numbers.
ROWS = "select concat(count(*), ' ', sum(xmin::text::bigint)) from"
# Any change of the schema or of a function changes rows here.
SCHEMA = (
    "pg_class where oid >= 16384 and relnamespace <> 'pg_toast'::regnamespace",
    "pg_attribute where attrelid >= 16384",
    "pg_proc where oid >= 16384",
    "pg_constraint where oid >= 16384",
    "pg_trigger",
    "pg_namespace where nspname not like 'pg\\_%'",
)
SETTINGS = """
select string_agg(concat(setrole, setconfig), ',' order by setrole) from pg_db_role_setting
where setdatabase = (select oid from pg_database where datname = current_database())"""
END_SESSIONS = """
select pg_terminate_backend(pid, 10_000) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
  and backend_type = 'client backend'"""
IS_LARGE = """
select sum(pg_relation_size(id)) > $2
  or exists (select from pg_statistic where starelid = any ($1::text[]::regclass[]::oid[]))
from unnest($1::text[]::regclass[]) as id"""
# The statistics are those of the tests. Without triggers, the order of deletes does not matter.
SESSION = "set track_counts = off; set session_replication_role = replica"
RESET = "select pg_stat_reset(), (select max(setval(seqrelid, seqstart, false)) from pg_sequence)"


class Databases:
    """The databases of one worker. Opening a connection costs more than emptying a database, so one
    connection to each stays open. They have an event loop of their own, as each test has one."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._spare: list[str] = []
        self._connections: dict[str, asyncpg.Connection[asyncpg.Record]] = {}
        # Of a new database: the tables without rows, and the state of everything else.
        self._empty_tables: list[str] = []
        self._read_state = ""
        self._state: list[str] = []
        self._delete_rows = ""
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[str]:
        """The address of a database."""
        name = self._spare.pop() if self._spare else await self._in_loop(self._create())
        yield self._cluster.database(name)
        if await self._in_loop(self._try_to_empty(name)):
            self._spare.append(name)
        else:
            await self._in_loop(self._drop(name))

    def close(self) -> None:
        """Closes the connections; the databases end with their Postgres."""

        async def disconnect() -> None:
            for connection in self._connections.values():
                await connection.close()

        asyncio.run_coroutine_threadsafe(disconnect(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _in_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _create(self) -> str:
        name = f"test_{uuid.uuid4().hex}"
        url = await self._cluster.clone(name)
        connection = await asyncpg.connect(
            url,
            timeout=PATIENCE,
            command_timeout=PATIENCE,
            server_settings={"application_name": "test"},
        )
        self._connections[name] = connection
        if not self._state:
            tables = [row["oid"] for row in await connection.fetch(TABLES)]
            self._empty_tables = [
                table
                for table in tables
                if not await connection.fetchval(f"select exists (select from {table})")
            ]
            others = [table for table in tables if table not in self._empty_tables]
            parts = [*(f"{ROWS} {part}" for part in (*SCHEMA, *others)), SETTINGS]
            self._read_state = f"select array[({'), ('.join(parts)})]"
            self._state = await connection.fetchval(self._read_state)
            deletes = (f"{table} as (delete from {table})" for table in self._empty_tables)
            self._delete_rows = f"with {', '.join(deletes)} {RESET}"
        await connection.execute(SESSION)
        return name

    async def _drop(self, name: str) -> None:
        self._connections.pop(name).terminate()
        await self._cluster.drop(name)

    async def _try_to_empty(self, name: str) -> bool:
        """Deletes the rows of a test. Returns False, without deleting, if the database differs in
        anything else."""
        connection = self._connections[name]
        try:
            await connection.fetch(END_SESSIONS)
            if await connection.fetchval(self._read_state) != self._state:
                return False
            if await connection.fetchval(IS_LARGE, self._empty_tables, MAX_BYTES):
                return False
            await connection.fetch(self._delete_rows)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            return False
        return True
