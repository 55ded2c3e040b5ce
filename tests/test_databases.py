"""The databases of the tests: rows of an earlier test are gone, and a database that differs in
anything else is not used again."""

import asyncpg
import pytest

from app import db
from tests import factories
from tests.databases import Databases


async def use(databases: Databases, statement: str = "select 1") -> str:
    """Changes the next database; returns its address."""
    async with databases.one() as url:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()
    return url


async def test_rows_and_sequences_are_as_in_a_new_database(databases: Databases) -> None:
    mail = """insert into dev_mail (sender, recipient, subject, body_text, body_html)
              values ('a@example.com', 'b@example.com', '', '', '') returning id"""
    async with databases.one() as first:
        pool = await db.connect(first)
        anna = await factories.instructor(pool)
        ben = await factories.student(pool)
        await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
        assert await pool.fetchval(mail) == 1
        abandoned = await asyncpg.connect(first)
        await abandoned.execute("begin; lock table account")
        await pool.close()
    async with databases.one() as second:
        assert second == first
        pool = await db.connect(second)
        for table in ("account", "booking", "outbox", "notification", "dev_mail", "next_start"):
            assert await pool.fetchval(f"select count(*) from {table}") == 0
        assert await pool.fetchval("select count(*) from catalog_service") > 0
        assert await pool.fetchval(mail) == 1
        await pool.close()
    abandoned.terminate()


@pytest.mark.parametrize(
    "statement",
    [
        "alter table booking drop constraint booking_student_no_overlap",
        "alter table account add column title text",
        "alter table account disable trigger all",
        "create table more (id integer)",
        "create index more on account (id)",
        "drop function booking_horizon() cascade",
        "alter function booking_horizon() cost 7",
        "update site set epoch_seed = gen_random_uuid()",
        "delete from role_permission where role = 'student'",
        "insert into role (name) values ('pirate')",
        "alter role current_user in database {name} set jit = on",
        "alter database {name} set default_transaction_read_only = on",
        """insert into account (email, full_name, password_hash)
           values ('a@example.com', 'A', '');
           analyze account""",
    ],
)
async def test_a_database_that_a_test_changed_otherwise_is_dropped(
    databases: Databases, statement: str
) -> None:
    url = await use(databases)
    name = url.partition("?")[0].rpartition("/")[2]
    assert await use(databases, statement.format(name=name)) == url
    assert await use(databases) != url
