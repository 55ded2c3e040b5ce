"""The role of web processes, relay and worker reads and writes rows, and nothing else."""

from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from app import db, migrate
from app.db import Pool
from app.embedded.postgres import APP_ROLE
from app.settings import Settings, read
from tests.cluster import Cluster
from tests.conftest import connected
from tests.processes import Starter


@pytest.fixture
async def as_app(app_database_url: str) -> AsyncIterator[Pool]:
    """Connections of the role of the product's processes."""
    async with connected(app_database_url) as pool:
        yield pool


@pytest.mark.parametrize(
    "statement",
    [
        "create table public.mine (id int)",
        "create table code.mine (id int)",
        "create view public.mine as select 1",
        "create function public.mine() returns int language sql as 'select 1'",
        "create function code.mine() returns int language sql as 'select 1'",
        "create schema mine",
        "create extension pg_stat_statements",
        "create role mine",
        "create database mine",
        "alter table account add column mine int",
        "alter table booking drop constraint booking_instructor_no_overlap",
        "alter table account disable trigger all",
        "alter table account owner to current_user",
        "alter function code.epoch() owner to current_user",
        "drop table booking",
        "drop function code.epoch()",
        "drop view code.booking_detail",
        "drop schema code cascade",
        "drop index booking_instructor_no_overlap",
        "truncate booking",
        "alter role postgres password 'mine'",
        "alter role current_user superuser",
        "set role postgres",
        "set session_replication_role = replica",
        "alter system set fsync = off",
        "copy account to program 'cat'",
        "copy account to '/tmp/mine'",
        "select pg_read_file('/etc/passwd')",
        "select * from pg_authid",
        "select lo_import('/etc/passwd')",
        "insert into migration (name, sha256) values ('9999_mine.sql', '')",
        "delete from migration",
        "insert into permission select 'mine', 'mine' from permission limit 1",
        "update role_permission set role = 'student'",
        "delete from role",
    ],
)
async def test_the_app_role_cannot_alter_the_schema_or_reach_the_server(
    as_app: Pool, statement: str
) -> None:
    with pytest.raises(
        (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidObjectDefinitionError)
    ) as refused:
        await as_app.execute(statement)
    assert "denied" in str(refused.value) or "must be" in str(refused.value)


async def test_the_settings_of_tests_and_of_every_process_use_it(
    settings: Settings, start: Starter, pool: Pool, client: httpx.AsyncClient
) -> None:
    """So all tests of the product prove that it is enough."""
    assert (await client.get("/")).status_code == 200
    for process in ("serve", "relay", "worker"):
        start(process)

    connections = """
    select distinct application_name, usename::text from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
      and application_name not in ('test', 'migrate')"""
    rows = await pool.fetch(connections)
    assert {row["usename"] for row in rows} == {APP_ROLE}
    assert {row["application_name"] for row in rows} >= {"web", "live"}


async def test_the_app_role_has_the_same_session_defaults_as_the_owner(
    as_app: Pool, pool: Pool
) -> None:
    for setting in ("search_path", "timezone", "statement_timeout", "lock_timeout", "jit"):
        assert await as_app.fetchval(f"show {setting}") == await pool.fetchval(f"show {setting}")


async def test_the_app_role_may_use_tables_and_sequences_that_the_owner_adds(
    pool: Pool, as_app: Pool
) -> None:
    await pool.execute("create table diary (id serial, words text)")
    assert await as_app.fetchval("insert into diary (words) values ('dear') returning id") == 1
    await as_app.execute("delete from diary")
    await pool.execute("drop table diary")


async def test_migrate_creates_the_role_with_its_password_and_grants_each_time(
    postgres: Cluster,
) -> None:
    url = await postgres.empty("two_roles")
    app_url = url.replace("//postgres@", "//another_app:p%40ss@")
    try:
        await migrate.migrate(url, app_url)
        await migrate.migrate(url, app_url)
        pool = await db.connect(app_url, size=1, name="test")
        assert await pool.fetchval("select current_user") == "another_app"
        assert await pool.fetchval("select epoch() is not null and count(*) = 0 from account")
        assert await pool.fetchval("show search_path") == "public, code"
        await db.close(pool)
        owner = await asyncpg.connect(url)
        password = "select rolpassword from pg_authid where rolname = 'another_app'"
        assert (await owner.fetchval(password)).startswith("SCRAM-SHA-256$")
        await owner.execute("drop owned by another_app; drop role another_app")
        await owner.close()
    finally:
        await postgres.drop("two_roles")


async def test_an_owner_that_may_not_create_roles_says_what_to_do(postgres: Cluster) -> None:
    superuser = await asyncpg.connect(await postgres.empty("small_owner"))
    await superuser.execute(
        "create role small_owner login; alter database small_owner owner to small_owner"
    )
    url = postgres.database("small_owner", "small_owner")
    app_url = postgres.database("small_owner", "small_app")
    try:
        with pytest.raises(migrate.MigrationError, match='create role "small_app" login password'):
            await migrate.migrate(url, app_url)
        await superuser.execute("create role small_app login")
        assert "0001_people.sql" in await migrate.migrate(url, app_url)
        app = await asyncpg.connect(app_url)
        assert await app.fetchval("select count(*) from account") == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute("drop table booking")
        await app.close()
    finally:
        await superuser.close()
        await postgres.drop("small_owner")
        admin = await asyncpg.connect(postgres.database("postgres"))
        await admin.execute("drop role if exists small_owner; drop role if exists small_app")
        await admin.close()


async def test_two_different_databases_are_refused(database_url: str, postgres: Cluster) -> None:
    url = await postgres.empty("elsewhere")
    try:
        with pytest.raises(migrate.MigrationError, match="name different databases"):
            await migrate.migrate(url, database_url.replace("//postgres@", f"//{APP_ROLE}@"))
    finally:
        await postgres.drop("elsewhere")


def test_with_one_address_everything_uses_it() -> None:
    for setting in ("database_url", "migrate_database_url"):
        settings = read(_env_file=None, **{setting: "postgresql://a@/b"})
        assert settings.owner_database_url == "postgresql://a@/b"
        assert settings.database_url == SecretStr("postgresql://a@/b")
