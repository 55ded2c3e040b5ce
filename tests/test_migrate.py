"""Migrating: a database of the first release while its web process works, a database in use, and
failures."""

import asyncio
import gzip
import shutil
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from app import db, maintenance, migrate
from app.bookings import booking
from app.db import Pool
from app.migrate import MigrationError
from app.statements import STATEMENTS, load
from tests import factories
from tests.cluster import PATIENCE, Cluster
from tests.statement_columns import mismatches

FIRST_RELEASE = Path(__file__).parent / "first_release"
ANNA, DORA, BEN, FINN, GUS = (
    uuid.UUID(text)
    for text in (
        "01a1fe91-fcfc-7328-a719-5e8595141044",
        "01a1fe91-fd1e-704e-af6c-5f64acd16fcb",
        "01a1fe91-fd25-7c6a-b445-59b76cded568",
        "01a1fe91-fd2b-790f-83e7-c7f3fc7e959e",
        "01a1fe91-fd2b-73d2-be3d-b4259f7f2bf6",
    )
)
BENS_SESSION = uuid.UUID("255edce6-bd62-494c-9629-e1705d17c272")
BENS_LESSON = uuid.UUID("01a1fe91-fd45-7aeb-a803-78ad00426715")
FINNS_SERVICE = uuid.UUID("01a1fe91-fd2e-7f2b-a941-565e69a78140")
NOW = datetime(2026, 11, 20, 15, tzinfo=UTC)
FIRST = date(2026, 11, 20)

# The statements of the old process. Those in LASTING work on the new database too. The shapes of
# the others changed, so they may fail.
CALLS: dict[str, dict[str, Any]] = {
    "session_by_id": {"session_id": BENS_SESSION, "now": NOW},
    "week": {"instructor_id": ANNA, "start": date(2026, 11, 23)},
    "board_message": {"instructor": ANNA, "first": FIRST, "days": 10},
    "booking": {"id": BENS_LESSON},
    "student_bookings_upcoming": {
        "account_id": BEN, "now": NOW, "start": None, "id": None, "limit": 20,
    },
    "versions_of": {"instructors": [ANNA, DORA]},
    "unpublished_changes": {"partitions": 64, "limit": 1},
    "reserve": {
        "student_id": GUS, "service_id": FINNS_SERVICE,
        "start": datetime(2026, 11, 22, 15, tzinfo=UTC), "minutes": 60,
        "location_type": None, "location": "12 Main St", "note": "", "now": NOW,
    },
}  # fmt: skip
LASTING = (
    "session_by_id",
    "week",
    "board_message",
    "booking",
    "student_bookings_upcoming",
    "versions_of",
)
LOST_CONNECTION = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
)


@pytest.fixture
async def database(postgres: Cluster) -> AsyncIterator[str]:
    """An empty database."""
    name = f"migrating_{uuid.uuid4().hex}"
    yield await postgres.empty(name)
    await postgres.drop(name)


@asynccontextmanager
async def connected(url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def first_release(database: str) -> str:
    """A database of the first release."""
    await restore_first_release(database)
    return database


async def restore_first_release(url: str) -> None:
    dump = gzip.decompress((FIRST_RELEASE / "database.sql.gz").read_bytes()).decode()
    async with connected(url) as connection:
        await connection.execute(dump)


def is_brief(error: Exception) -> bool:
    """Whether a migration may cause it in a call that runs meanwhile. Postgres locks no functions,
    and tells other sessions of a commit a moment after it: until then, their cached plans may call
    a function that was dropped. (The present release answers with a 503 or repeats the call.)"""
    return isinstance(error, LOST_CONNECTION) or (
        isinstance(error, asyncpg.InternalServerError)
        and "cache lookup failed for function" in str(error)
    )


class OldProcess:
    """A web process of the first release: sends its statements without a pause on pooled
    connections, where they are prepared."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.outcomes: dict[str, list[Exception | None]] = defaultdict(list)
        self._statements = load(FIRST_RELEASE)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        settings = {
            "application_name": "web",
            "timezone": "UTC",
            "jit": "off",
            "statement_timeout": "10s",
        }
        pool = await asyncpg.create_pool(
            self.url,
            min_size=3,
            max_size=3,
            command_timeout=10,
            init=db._prepare_connection,
            reset=db._keep_session,
            server_settings=settings,
        )
        callers = [asyncio.create_task(self._call_forever(pool)) for _ in range(3)]
        try:
            # More than five times each, so that Postgres uses generic plans.
            await until(lambda: all(len(self.outcomes[name]) > 20 for name in CALLS))
            assert {name for name in CALLS if any(self.outcomes[name])} == set()
            yield
        finally:
            for caller in callers:
                caller.cancel()
            await asyncio.gather(*callers, return_exceptions=True)
            pool.terminate()

    async def _call_forever(self, pool: Any) -> None:
        while True:
            for name, values in CALLS.items():
                sql, parameters = self._statements[name]
                try:
                    await pool.fetch(
                        sql, *(values[parameter] for parameter in parameters), timeout=5
                    )
                except Exception as error:  # noqa: BLE001 — the test examines it
                    self.outcomes[name].append(error)
                else:
                    self.outcomes[name].append(None)


async def until(condition: Any, seconds: float = PATIENCE) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def stored(connection: Any) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table except Finn's: the old process books lessons with him meanwhile."""
    tables = await connection.fetch(
        "select tablename from pg_tables where schemaname = 'public' and tablename <> 'migration'"
        " order by tablename"
    )
    return {
        table["tablename"]: [
            row["row"]
            for row in await connection.fetch(
                f"select row_to_json(t) as row from public.{table['tablename']} t"
                " where strpos(t::text, $1) = 0 order by t::text",
                str(FINN),
            )
        ]
        for table in tables
    }


def missing(
    before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]
) -> list[Any]:
    """The rows that were deleted or changed, compared by the columns that both releases have."""
    lost = []
    for table, rows in before.items():
        present = after[table]
        columns = (
            rows[0].keys() & present[0].keys() if rows and present else set()
        ) - RESHAPED.get(table, set())
        remaining = [{column: row[column] for column in columns} for row in present]
        lost += [
            (table, row)
            for row in rows
            if {column: row[column] for column in columns} not in remaining
        ]
    return lost


# Columns with a new shape: an event of the outbox refers to its booking instead of containing it,
# and a stored answer is a row. Lessons at the instructor's place are no longer offered. The catalog
# has other names and another order.
RESHAPED = {
    "outbox": {"events"},
    "idempotency_key": {"answer"},
    "service": {"location_types"},
    "category": {"name", "position"},
    "catalog_service": {"name", "category"},
}
BOARDS = """
select c.instructor_id, b.version, b.days
from calendar c, board(c.instructor_id, $1, 30) b
where c.instructor_id <> $2
order by 1
"""


async def test_a_database_of_the_first_release_is_migrated_while_its_web_process_runs(
    first_release: str,
) -> None:
    old = OldProcess(first_release)
    async with connected(first_release) as connection:
        await db._prepare_connection(connection)
        await connection.execute("set search_path = public, code")
        before, boards = await stored(connection), await connection.fetch(BOARDS, FIRST, FINN)
    async with old.running():
        calls_before = {name: len(outcomes) for name, outcomes in old.outcomes.items()}
        assert "0009_code_schema.sql" in await migrate.migrate(first_release)
        migrated = {name: len(outcomes) for name, outcomes in old.outcomes.items()}
        await until(lambda: all(len(old.outcomes[name]) > migrated[name] + 20 for name in CALLS))

    for name in LASTING:
        # There are no other errors, and later none.
        meanwhile = [error for error in old.outcomes[name][calls_before[name] :] if error]
        assert [error for error in meanwhile if not is_brief(error)] == []
        assert old.outcomes[name][-10:] == [None] * 10
    for name in CALLS.keys() - LASTING:
        assert all(
            isinstance(error, (asyncpg.PostgresError, *LOST_CONNECTION))
            for error in old.outcomes[name]
            if error
        )

    pool = await db.connect(first_release, size=2, name="test")
    async with pool.acquire() as connection:
        after = await stored(connection)
        assert missing(before, after) == []
        assert await connection.fetch(BOARDS, FIRST, FINN) == boards
        assert await mismatches(connection, STATEMENTS) == []
    lesson = await factories.lesson(
        pool, GUS, FINNS_SERVICE, datetime(2026, 11, 23, 15, tzinfo=UTC), now=NOW
    )
    assert lesson.state == "confirmed"
    await db.close(pool)


async def test_a_repeated_call_to_the_first_release_gets_the_stored_response(
    first_release: str,
) -> None:
    async with connected(first_release) as connection:
        before = orjson.loads(
            await connection.fetchval(
                "select answer from idempotency_key where account_id = $1", BEN
            )
        )
    await migrate.migrate(first_release)
    pool = await db.connect(first_release, size=1, name="test")
    after = await pool.fetchval("select answer from idempotency_key where account_id = $1", BEN)
    assert booking.as_json(booking.from_row_json(after), BEN) == before
    await db.close(pool)


NAMES = """
select n.nspname as schema, named.name, named.kind,
       exists (
         select from pg_depend d
         where (d.classid, d.objid, d.deptype) = (named.catalog, named.oid, 'e')
       ) as is_of_extension
from (
       select pronamespace, proname, 'function', oid, 'pg_proc'::regclass from pg_proc
       union all
       select relnamespace, relname, relkind::text, oid, 'pg_class'::regclass from pg_class
     ) as named (schema, name, kind, oid, catalog)
join pg_namespace n on n.oid = named.schema
where n.nspname in ('public', 'code')
"""


@pytest.mark.parametrize("before", ["nothing", "first release"])
async def test_tables_are_in_public_functions_and_views_in_code_and_names_are_unique(
    database: str, before: str
) -> None:
    if before == "first release":
        await restore_first_release(database)
    await migrate.migrate(database)
    async with connected(database) as connection:
        assert await connection.fetchval("show search_path") == "public, code"
        rows = await connection.fetch(NAMES)
    kinds = {(row["schema"], row["kind"]) for row in rows if not row["is_of_extension"]}
    assert kinds == {
        ("code", "function"),
        ("code", "v"),
        ("public", "r"),
        ("public", "i"),
        ("public", "S"),
        ("public", "function"),  # of triggers, which outlive a migration run
    }
    names = {
        schema: {row["name"] for row in rows if row["schema"] == schema}
        for schema in ("public", "code")
    }
    assert names["public"] & names["code"] == set()


def test_each_migration_has_its_own_number() -> None:
    """A gap is a migration that was planned and not needed."""
    numbers = [int(path.name[:4]) for path in (db.SQL / "migrations").glob("*.sql")]
    assert len(set(numbers)) == len(numbers)


async def everything(url: str) -> Any:
    async with connected(url) as connection:
        functions = await connection.fetch(
            "select p.oid::regprocedure::text, pg_get_functiondef(p.oid) from pg_proc p"
            " where pronamespace = 'code'::regnamespace order by 1"
        )
        settings = await connection.fetch(
            "select setconfig from pg_db_role_setting s join pg_database d on d.oid = setdatabase"
            " where datname = current_database()"
        )
        return (
            await stored(connection),
            functions,
            settings,
            await connection.fetch("select * from migration order by name"),
        )


async def test_services_are_not_offered_at_a_place_without_an_address(first_release: str) -> None:
    async with connected(first_release) as connection:
        await connection.execute(
            "update service set location_types = '{instructor}' where instructor_id = $1", ANNA
        )
        others = await connection.fetchval(
            "select count(*) from service where is_active and instructor_id <> $1", ANNA
        )
    await migrate.migrate(first_release)  # closes other connections
    async with connected(first_release) as connection:
        rows = await connection.fetch(
            "select distinct is_active, location_types from service order by 1"
        )
        assert [tuple(row) for row in rows] == [
            (False, ["instructor"]),
            (True, ["student", "public"]),
        ]
        assert others == await connection.fetchval("select count(*) from service where is_active")
        assert not await connection.fetchval(
            "select exists (select from next_start where instructor_id = $1)", ANNA
        )


async def test_migrating_again_changes_nothing(first_release: str) -> None:
    await migrate.migrate(first_release)
    before = await everything(first_release)
    assert await migrate.migrate(first_release) == []
    assert await everything(first_release) == before


async def checksums(url: str) -> dict[str, str]:
    async with connected(url) as connection:
        rows = await connection.fetch("select name, sha256 from migration")
    return {row["name"]: row["sha256"] for row in rows}


async def test_the_checksums_of_the_first_release_are_renewed(first_release: str) -> None:
    before = await checksums(first_release)
    assert before
    assert not any(each.startswith("tokens:") for each in before.values())
    await migrate.migrate(first_release)
    after = await checksums(first_release)
    assert after == {
        path.name: migrate.checksum(path.read_text())
        for path in (db.SQL / "migrations").glob("*.sql")
    }


async def test_a_migration_with_another_layout_and_other_comments_is_the_same(
    database: str, next_release: Path
) -> None:
    await migrate.migrate(database)
    before = await everything(database)
    path = next_release / "migrations" / "0001_people.sql"
    path.write_text("-- A comment's apostrophe.\n" + path.read_text().replace(" (\n", "\n(  "))
    assert await migrate.migrate(database) == []
    assert await everything(database) == before


@pytest.mark.parametrize(
    ("sql", "other"),
    [
        (r"select E'it\'s --x'", r"select E'it\'s --y'"),
        ("/* -- */ select 1;", "/* -- */ drop table account;"),
        ("select $$ -- a\n$$", "select $$ -- b\n$$"),
        ("select 'a  b'", "select 'a b'"),
    ],
)
def test_different_statements_have_different_checksums(sql: str, other: str) -> None:
    assert migrate.checksum(sql) != migrate.checksum(other)


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ("between 1 and 200", "between 1 and 100"),
        ("'America/New_York'", "'America /New_York'"),
        ("create extension if not exists citext;", "-- create extension if not exists citext;"),
    ],
)
async def test_an_edited_migration_is_refused(
    first_release: str, next_release: Path, text: str, edit: str
) -> None:
    await migrate.migrate(first_release)
    path = next_release / "migrations" / "0001_people.sql"
    content = path.read_text()
    assert text in content
    path.write_text(content.replace(text, edit))
    with pytest.raises(MigrationError, match=r"0001_people\.sql was changed after"):
        await migrate.migrate(first_release)


@pytest.fixture
def next_release(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A copy of the SQL folder, which `migrate` uses and the test may change."""
    folder = tmp_path / "sql"
    shutil.copytree(db.SQL, folder)
    monkeypatch.setattr(migrate, "SQL", folder)
    return folder


SHAPES = (
    """
    create view lesson as select id, state from booking;
    create function lesson_state(lesson) returns text language sql stable as 'select ($1).state';
    create function lessons(p_limit integer) returns table (id uuid)
    language sql stable as 'select id from lesson limit p_limit';
    """,
    """
    create view lesson as select id, version, state from booking;
    create function lesson_state(lesson) returns text language sql stable as 'select ($1).state';
    create function lessons(p_limit integer, p_state text default 'confirmed')
    returns table (id uuid, version bigint)
    language sql stable as 'select id, version from lesson where state = p_state limit p_limit';
    """,
)


async def test_a_view_and_a_function_change_their_shape_while_in_use(
    first_release: str, next_release: Path
) -> None:
    (next_release / "functions" / "lesson.sql").write_text(SHAPES[0])
    await migrate.migrate(first_release)
    pool = await db.connect(first_release, size=2, name="test")

    async def read(tx: db.Tx) -> list[list[str]]:
        return [
            list(row.keys())
            for row in (
                await tx.fetch("select * from lesson limit 1")
                + await tx.fetch("select * from lessons(1)")
            )
        ]

    for _ in range(10):
        assert await db.transact(pool, read) == [["id", "state"], ["id"]]
    (next_release / "functions" / "lesson.sql").write_text(SHAPES[1])
    assert await migrate.migrate(first_release) == []
    for _ in range(10):
        assert await db.transact(pool, read) == [["id", "version", "state"], ["id", "version"]]
    await db.close(pool)


@pytest.mark.parametrize(
    ("dependency", "name"),
    [
        (
            "alter table account add constraint account_zone check (is_zone(time_zone))",
            "account_zone",
        ),
        ("create index service_start on booking (day_start('2026-01-01', state))", "service_start"),
        (
            "create view report as select state, count(*) from booking_detail group by state",
            "report",
        ),
    ],
)
async def test_a_stored_object_that_depends_on_code_is_reported_and_nothing_changes(
    database: str, next_release: Path, dependency: str, name: str
) -> None:
    await migrate.migrate(database)
    async with connected(database) as connection:
        await connection.execute(dependency)
    before = await everything(database)
    (next_release / "migrations" / "9999_more.sql").write_text("create table more (id integer)")
    with pytest.raises(MigrationError, match=f"object outside of it depends on them: .*{name} "):
        await migrate.migrate(database)
    assert await everything(database) == before


async def test_a_failed_migration_undoes_earlier_ones_and_new_functions(
    database: str, next_release: Path
) -> None:
    await migrate.migrate(database)
    before = await everything(database)
    (next_release / "migrations" / "9998_more.sql").write_text("create table more (id integer)")
    (next_release / "migrations" / "9999_wrong.sql").write_text("create table more (id integer)")
    (next_release / "functions" / "more.sql").write_text(
        "create function more() returns integer language sql as 'select 1'"
    )
    with pytest.raises(asyncpg.DuplicateTableError):
        await migrate.migrate(database)
    assert await everything(database) == before


async def test_a_migration_waits_for_a_reader_without_blocking_other_readers(
    database: str,
) -> None:
    await migrate.migrate(database)
    async with connected(database) as reader, connected(database) as other:
        transaction = reader.transaction()
        await transaction.start()
        await reader.fetch("select from booking_detail")
        migrating = asyncio.create_task(migrate.migrate(database))
        await waiting_for_a_lock(other)
        await other.fetch("select from booking_detail")  # not refused by lock_timeout
        assert not migrating.done()
        await transaction.rollback()
        assert await migrating == []


async def waiting_for_a_lock(connection: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await connection.fetchval("select count(*) from pg_locks where not granted"):
            await asyncio.sleep(0.01)


async def test_a_database_that_stays_locked_is_not_migrated(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate.migrate(database)
    monkeypatch.setattr(migrate, "_ATTEMPTS", 2)
    async with connected(database) as reader, reader.transaction():
        await reader.fetch("select from booking_detail")
        with pytest.raises(MigrationError, match="too busy to be migrated: nothing was changed"):
            await migrate.migrate(database)


async def test_migrating_a_restored_dump_restores_the_session_settings(
    database: str,
) -> None:
    await migrate.migrate(database)
    async with connected(database) as connection:
        name = await connection.fetchval("select current_database()")
        await connection.execute(f'alter role current_user in database "{name}" reset all')
    await migrate.migrate(database)
    pool: Pool = await db.connect(database, size=1, name="test")
    assert await pool.fetchval("show lock_timeout") == "2s"
    assert await pool.fetchval("show search_path") == "public, code"
    await db.close(pool)


async def test_reset_leaves_no_earlier_function(database: str) -> None:
    await migrate.migrate(database)
    async with connected(database) as connection:
        await connection.execute(
            "create function code.leftover() returns integer language sql as 'select 1'"
        )
    await maintenance.reset(database, database)
    async with connected(database) as connection:
        assert await connection.fetchval(
            "select to_regproc('code.leftover') is null and to_regproc('code.reserve') is not null"
        )


async def test_a_server_that_stops_during_the_first_connection_is_waited_for(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    close, closed = asyncpg.Connection.close, 0

    async def break_once(self: Any, *, timeout: float | None = None) -> None:
        nonlocal closed
        closed += 1
        await close(self, timeout=timeout)
        if closed == 1:
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(asyncpg.Connection, "close", break_once)
    await migrate.wait_until_reachable(database_url)
    assert closed == 2
    closed = 0
    monkeypatch.setattr(migrate, "REACHABLE_SECONDS", -1)
    with pytest.raises(migrate.UnreachableError, match="ended the connection"):
        await migrate.wait_until_reachable(database_url)
