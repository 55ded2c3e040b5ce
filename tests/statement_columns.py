"""Compares the columns of statements with the types that the code declares for them."""

import types
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from app.statements import Statement

# Python types by the name of the Postgres type.
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
    """The type without `| None` and without parameters: list[int] | None → list. Of a Literal, the
    type of its values."""
    if get_origin(hint) in {Union, types.UnionType}:
        (hint,) = [part for part in get_args(hint) if part is not type(None)]
    if get_origin(hint) is Literal:
        return type(get_args(hint)[0])
    return get_origin(hint) or hint


async def mismatches(connection: Any, statements: list[Statement[Any]]) -> list[str]:
    """One line per statement whose columns differ from its type. Raises asyncpg's error for a
    statement that cannot be prepared."""
    lines = []
    for statement in statements:
        columns = (await connection.prepare(statement.sql)).get_attributes()
        if is_dataclass(statement.row):
            hints = get_type_hints(statement.row)
            if [column.name for column in columns] != [
                field.name for field in fields(statement.row)
            ]:
                names = [column.name for column in columns]
                lines.append(f"{statement.name}: {names} are not {statement.row.__name__}'s")
                continue
            expected = [bare(hints[field.name]) for field in fields(statement.row)]
        else:
            expected = [bare(statement.row)] * len(columns)
            if len(columns) > 1:
                lines.append(f"{statement.name}: {len(columns)} columns for a single value")
        for column, python in zip(columns, expected, strict=True):
            if python is not Any and python not in TYPES.get(column.type.name, set()):
                lines.append(f"{statement.name}.{column.name}: {column.type.name} is not {python}")
    return lines
