"""Which notifications an account wants. `delivery` drops those that are turned off."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from app.db import Db, Pool, Tx
from app.statements import statement

# The kinds that can be turned off.
KINDS = ("booking_confirmed", "booking_cancelled", "booking_rescheduled", "reminder")


@dataclass(frozen=True, slots=True)
class _Preference:
    kind: str
    email: bool


_preferences_of = statement("preferences_of", _Preference)
_set_preferences = statement("set_preferences", int)


async def preferences(db: Db, account_id: UUID) -> dict[str, bool]:
    """Whether mail of each kind in KINDS is sent to the account."""
    rows = await _preferences_of.all(db, account_id=account_id)
    stored = {row.kind: row.email for row in rows}
    return {kind: stored.get(kind, True) for kind in KINDS}


async def change(db: Pool | Tx, account_id: UUID, emails: Mapping[str, bool]) -> None:
    """Turns mail of these kinds (of KINDS) on or off. Raises Unavailable."""
    if emails:
        await _set_preferences.run(
            db, account_id=account_id, kinds=list(emails), emails=list(emails.values())
        )
