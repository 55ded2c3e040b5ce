"""A migrated database without accounts for each test. Deleting the rows of a test is several times
cheaper than creating and dropping a database, so the next test gets the same one, unless the test
changed more than rows of the product's tables."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from tests.cluster import PATIENCE, Cluster

# With statistics or many pages of deleted rows, Postgres could choose other plans than for a new
# database.
MAX_BYTES = 512 << 10

TABLES = """
select oid::regclass::text from pg_class
where relnamespace = 'public'::regnamespace and relkind = 'r' order by oid"""
# Any change of the schema, of a function or of a setting creates a new version of a row here.
SCHEMA = """
select md5(concat(
  (select string_agg(concat(oid, xmin), ',' order by oid) from pg_class
   where oid >= 16384 and relnamespace <> 'pg_toast'::regnamespace),
  (select string_agg(concat(attrelid, attnum, xmin), ',' order by attrelid, attnum)
   from pg_attribute where attrelid >= 16384),
  (select string_agg(concat(oid, xmin), ',' order by oid) from pg_proc where oid >= 16384),
  (select string_agg(concat(oid, xmin), ',' order by oid) from pg_constraint where oid >= 16384),
  (select string_agg(concat(oid, xmin), ',' order by oid) from pg_trigger),
  (select string_agg(concat(oid, xmin), ',' order by oid) from pg_namespace
   where nspname not like 'pg\\_%'),
  (select string_agg(concat(setrole, setconfig), ',' order by setrole) from pg_db_role_setting
   join pg_database d on d.oid = setdatabase where datname = current_database())
))"""
END_SESSIONS = """
select pg_terminate_backend(pid, 10_000) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
  and backend_type = 'client backend'"""
USED = """
select (select sum(pg_relation_size(table_name::regclass)) from unnest($1::text[]) table_name) > $2
  or exists (select from pg_statistic where starelid = any ($1::text[]::regclass[]::oid[]))"""
RESTART_SEQUENCES = """
select setval(seqrelid, seqstart, false), pg_stat_reset() from pg_sequence"""


class Databases:
    """The databases of one worker."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._spare: list[str] = []
        # Of a new database: the tables without rows, and the state of everything else.
        self._empty_tables: list[str] = []
        self._state: list[str] = []

    @asynccontextmanager
    async def one(self) -> AsyncIterator[str]:
        """The address of a database."""
        name = self._spare.pop() if self._spare else await self._create()
        yield self._cluster.database(name)
        if await self._is_emptied(name):
            self._spare.append(name)
        else:
            await self._cluster.drop(name)

    async def _create(self) -> str:
        name = f"test_{uuid.uuid4().hex}"
        await self._cluster.clone(name)
        if not self._state:
            async with self._connected(name) as connection:
                self._empty_tables = [
                    row["oid"]
                    for row in await connection.fetch(TABLES)
                    if not await connection.fetchval(f"select exists (select from {row['oid']})")
                ]
                self._state = await self._read_state(connection)
        return name

    async def _is_emptied(self, name: str) -> bool:
        """Deletes the rows of a test. False if the database differs in anything else."""
        try:
            async with self._connected(name) as connection:
                await connection.fetch(END_SESSIONS)
                if await self._read_state(connection) != self._state:
                    return False
                if await connection.fetchval(USED, self._empty_tables, MAX_BYTES):
                    return False
                deletes = ";".join(f"delete from {table}" for table in self._empty_tables)
                # No triggers, so the order does not matter.
                await connection.execute(f"set session_replication_role = replica; {deletes}")
                await connection.execute(RESTART_SEQUENCES)
        except (asyncpg.PostgresError, OSError):
            return False
        return True

    async def _read_state(self, connection: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
        """Of the schema, and of the tables that have rows in a new database."""
        tables = [row["oid"] for row in await connection.fetch(TABLES)]
        hashes = " union all ".join(
            f"select md5(string_agg(t::text, ';' order by t::text)) as state from {table} t"
            for table in tables
            if table not in self._empty_tables
        )
        schema: str = await connection.fetchval(SCHEMA)
        return [schema, *sorted(row["state"] or "" for row in await connection.fetch(hashes))]

    @asynccontextmanager
    async def _connected(self, name: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        connection = await asyncpg.connect(
            self._cluster.database(name), timeout=PATIENCE, command_timeout=PATIENCE
        )
        try:
            yield connection
        finally:
            await connection.close()
