"""The database is the type checker: every statement is prepared against the migrated schema and held against its dataclass."""

import types
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import pytest

import app.main
import app.operators
import jobs.worker
import loadtests.bench.__main__
import loadtests.removal
import loadtests.verdict
import realtime.relay
from app.db import Pool
from app.statements import CATALOG, STATEMENTS, Statement, load, positional

TYPES: dict[str, set[type]] = {
    "uuid": {UUID},
    "text": {str},
    "citext": {str},
    "bool": {bool},
    "int2": {int},
    "int4": {int},
    "int8": {int},
    "float8": {float},
    "numeric": {Decimal},
    "timestamptz": {datetime},
    "date": {date},
    "bytea": {bytes},
    "json": {dict, list, object},
    "jsonb": {dict, list, object},
    "text[]": {list},
    "int4[]": {list},
    "uuid[]": {list},
    "date[]": {list},
    "timestamptz[]": {list},
}


def bare(hint: Any) -> Any:
    """The type without `| None` and without parameters: list[int] | None → list."""
    if get_origin(hint) in {Union, types.UnionType}:
        (hint,) = [part for part in get_args(hint) if part is not type(None)]
    return get_origin(hint) or hint


# Between them these import every module that declares a statement.
PROCESSES = (app.main, app.operators, jobs.worker, realtime.relay, loadtests.verdict, loadtests.bench.__main__)


@pytest.fixture
def statements() -> list[Statement[Any]]:
    return STATEMENTS


async def mistakes(connection: Any, statements: list[Statement[Any]]) -> list[str]:
    """The statements whose columns are not what the code says. Raises asyncpg's error for one that cannot be prepared."""
    wrong = []
    for statement in statements:
        columns = (await connection.prepare(statement.sql)).get_attributes()
        if is_dataclass(statement.row):
            hints = get_type_hints(statement.row)
            if [column.name for column in columns] != [field.name for field in fields(statement.row)]:
                wrong.append(f"{statement.name}: columns {[c.name for c in columns]} are not {statement.row.__name__}'s")
                continue
            expected = [bare(hints[field.name]) for field in fields(statement.row)]
        else:
            expected = [bare(statement.row)] * len(columns)
            if len(columns) > 1:
                wrong.append(f"{statement.name}: {len(columns)} columns for a single value")
        for column, python in zip(columns, expected, strict=True):
            if python is not Any and python not in TYPES.get(column.type.name, set()):
                wrong.append(f"{statement.name}.{column.name}: {column.type.name} is not {python}")
    return wrong


async def test_every_statement_prepares_and_its_rows_are_what_the_code_says(
    pool: Pool, statements: list[Statement[Any]]
) -> None:
    async with pool.acquire() as connection:
        assert await mistakes(connection, statements) == []


def test_every_statement_in_the_files_is_used_by_the_code(statements: list[Statement[Any]]) -> None:
    assert set(CATALOG) == {statement.name for statement in statements}


def test_names_in_comments_strings_and_casts_are_not_parameters() -> None:
    sql, names = positional("select ':no', x::text -- :no it's fine\n from t where a = :yes and b = :yes and c > :also::int")
    assert names == ("yes", "also")
    assert sql == "select ':no', x::text -- :no it's fine\n from t where a = $1 and b = $1 and c > $2::int"


def test_two_statements_of_one_name_are_refused(tmp_path: Any) -> None:
    (tmp_path / "a.sql").write_text("-- name: same\nselect 1;\n")
    (tmp_path / "b.sql").write_text("-- name: same\nselect 2;\n")
    with pytest.raises(ValueError, match="two statements named same"):
        load(tmp_path)


async def test_a_missing_parameter_is_named(pool: Pool, statements: list[Statement[Any]]) -> None:
    booking = next(statement for statement in statements if statement.name == "booking")
    with pytest.raises(TypeError, match="booking takes"):
        await booking.first(pool, identity=1)
