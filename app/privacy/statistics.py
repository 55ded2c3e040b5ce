"""How much personal data is stored, in numbers without personal data."""

from dataclasses import dataclass
from typing import Any

from typing_extensions import TypedDict

from app.db import Db
from app.statements import statement


@dataclass(frozen=True, slots=True)
class _Numbers:
    """`rows` are estimates by table, as Postgres last counted them."""

    accounts: int
    unconfirmed_accounts: int
    erased_accounts: int
    unfinished_erasures: int
    roles: dict[str, Any]
    rows: dict[str, Any]


_numbers = statement("privacy_numbers", _Numbers)


class StatisticsJson(TypedDict):
    """Numbers of accounts, of roles by name, and estimates of rows by table."""

    accounts: int
    unconfirmed_accounts: int
    erased_accounts: int
    unfinished_erasures: int
    roles: dict[str, int]
    rows: dict[str, int]


async def read(db: Db) -> StatisticsJson:
    row = await _numbers.one(db)
    return {
        "accounts": row.accounts,
        "unconfirmed_accounts": row.unconfirmed_accounts,
        "erased_accounts": row.erased_accounts,
        "unfinished_erasures": row.unfinished_erasures,
        "roles": row.roles,
        "rows": row.rows,
    }
