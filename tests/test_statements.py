"""Every statement is prepared on the migrated schema and compared with its dataclass."""

from typing import Any

import pytest

import app.backup
import app.demo
import app.main
import app.maintenance
import jobs.worker
import loadtests.bench.__main__
import loadtests.removal
import loadtests.verdict
import realtime.relay
from app.db import Pool
from app.statements import CATALOG, STATEMENTS, Statement, load, positional
from tests.statement_columns import mismatches

# Together these import every module that declares a statement.
PROCESSES = (
    app.backup,
    app.demo,
    app.main,
    app.maintenance,
    jobs.worker,
    realtime.relay,
    loadtests.verdict,
    loadtests.bench.__main__,
)


@pytest.fixture
def statements() -> list[Statement[Any]]:
    return STATEMENTS


async def test_every_statement_prepares_and_its_columns_match_the_row_type(
    pool: Pool, statements: list[Statement[Any]]
) -> None:
    async with pool.acquire() as connection:
        assert await mismatches(connection, statements) == []


def test_every_statement_in_the_files_is_used_by_the_code(statements: list[Statement[Any]]) -> None:
    assert set(CATALOG) == {statement.name for statement in statements}


def test_names_in_comments_strings_and_casts_are_not_parameters() -> None:
    sql, names = positional(
        "select ':no', x::text -- :no it's fine\n"
        " from t where a = :yes and b = :yes and c > :also::int"
    )
    assert names == ("yes", "also")
    assert (
        sql
        == "select ':no', x::text -- :no it's fine\n from t where a = $1 and b = $1 and c > $2::int"
    )


def test_two_statements_of_one_name_are_refused(tmp_path: Any) -> None:
    (tmp_path / "a.sql").write_text("-- name: same\nselect 1;\n")
    (tmp_path / "b.sql").write_text("-- name: same\nselect 2;\n")
    with pytest.raises(ValueError, match="two statements named same"):
        load(tmp_path)


async def test_a_wrong_parameter_is_reported(pool: Pool, statements: list[Statement[Any]]) -> None:
    booking = next(statement for statement in statements if statement.name == "booking")
    with pytest.raises(TypeError, match="booking takes"):
        await booking.first(pool, identity=1)
