"""Staff's view of accounts: searching them and changing their roles."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from typing_extensions import TypedDict

from app import gate, refusal, wire
from app.db import Db, Pool, transact
from app.schema import Id, InstantText
from app.statements import statement

Role = Literal["student", "instructor", "admin"]
# Shorter text is in nearly every address.
MIN_TEXT = 3
_LAST_ID = UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class Account:
    """An account as staff sees it."""

    id: UUID
    email: str
    full_name: str
    is_verified: bool  # whether it has confirmed its e-mail address
    is_erased: bool
    roles: list[str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RoleChange:
    """The roles that an account has gained and lost."""

    refusal: str | None
    added: list[str] | None
    removed: list[str] | None


_newest = statement("newest_accounts", Account)
_newest_of_role = statement("newest_accounts_of_role", Account)
_with_words = statement("accounts_with_words", Account)
_account = statement("account_for_staff", Account)
_set_roles = statement("set_roles", RoleChange)


async def accounts(
    db: Db, *, text: str, role: Role | None, before: UUID | None = None, limit: int
) -> list[Account]:
    """Accounts with this text in their name or address, and with this role, newest first. `text` is
    empty, or has at least MIN_TEXT characters. `before`: the last one on the previous page."""
    page = {"before": before or _LAST_ID, "limit": limit}
    if text:
        return await _with_words.all(db, pattern=f"%{_escaped(text)}%", role=role, **page)
    if role:
        return await _newest_of_role.all(db, role=role, **page)
    return await _newest.all(db, **page)


def _escaped(text: str) -> str:
    """Escaped for a pattern of `like`."""
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


async def account(db: Db, account_id: UUID) -> Account:
    """Raises NotFound."""
    row = await _account.first(db, id=account_id)
    if row is None:
        raise refusal.NotFound
    return row


async def set_roles(
    pool: Pool, actor_id: UUID, account_id: UUID, roles: Collection[Role]
) -> RoleChange:
    """Gives the account exactly these roles (sql/functions/roles.sql). Raises NotFound, and
    NotAllowed for the actor's own admin role."""
    async with gate.writer(pool, account_id):
        change = await transact(
            pool,
            lambda tx: _set_roles.one(
                tx, actor_id=actor_id, account_id=account_id, roles=sorted(set(roles))
            ),
            begin=False,
        )
    if change.refusal == "NOT_FOUND":
        raise refusal.NotFound
    if change.refusal == "OWN_ADMIN_ROLE":
        raise refusal.NotAllowed(
            "You can’t remove your own admin role. Ask another admin to do it."
        )
    if change.refusal:
        raise refusal.NotAllowed
    return change


class StaffAccountJson(TypedDict):
    id: Id
    email: str
    full_name: str
    email_verified: bool
    erased: bool
    roles: list[str]
    created_at: InstantText


def as_json(account: Account) -> StaffAccountJson:
    return {
        "id": str(account.id),
        "email": account.email,
        "full_name": account.full_name,
        "email_verified": account.is_verified,
        "erased": account.is_erased,
        "roles": account.roles,
        "created_at": wire.instant(account.created_at),
    }
