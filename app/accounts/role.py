"""Roles that an account gives itself. What staff does with roles is in `staff`."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from app import refusal
from app.db import Db, Pool, Tx
from app.statements import statement


@dataclass(frozen=True, slots=True)
class _Result:
    is_refused: bool
    is_new: bool


_take = statement("take_role", _Result)
_removed = statement("removed_roles", str)


async def take(db: Pool | Tx, account_id: UUID, role: Literal["student", "instructor"]) -> bool:
    """Gives the account the role, and an instructor a profile and a calendar. False if it has the
    role already. Raises NotAllowed if an admin has removed it."""
    result = await _take.one(db, account_id=account_id, role=role)
    if result.is_refused:
        raise refusal.NotAllowed(
            f"An admin has removed the role {role} from your account, and only an admin can give "
            "it back. Ask our team."
        )
    return result.is_new


async def removed(db: Db, account_id: UUID) -> list[str]:
    """The roles that an admin has removed from the account."""
    return await _removed.all(db, account_id=account_id)
