"""How much personal data is stored, in numbers without personal data."""

from dataclasses import asdict, dataclass
from typing import Any

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


async def read(db: Db) -> dict[str, Any]:
    """`{accounts, unconfirmed_accounts, erased_accounts, unfinished_erasures, roles: {name: number},
    rows: {table: estimate}}`."""
    return asdict(await _numbers.one(db))
