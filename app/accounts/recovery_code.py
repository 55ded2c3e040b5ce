"""Recovery codes, for somebody who has lost the phone with the app: each one signs in once, instead
of a code of the app. They are shown when they are created, and only their hashes are stored."""

import hashlib
import re
import secrets
from datetime import datetime
from uuid import UUID

from app import refusal
from app.accounts import mail
from app.db import Db, Pool, Tx, transact
from app.statements import statement

COUNT = 10
# 32 characters without those that look alike: 16 of them are 80 random bits, too many to guess even
# with the hashes, so a fast hash is enough.
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_GROUPS, _GROUP_LENGTH = 4, 4

_lock_totp = statement("lock_confirmed_totp", UUID)
_replace = statement("replace_recovery_codes", int)
_use = statement("use_recovery_code", UUID)
_left = statement("recovery_codes_left", int)


async def create(pool: Pool, account_id: UUID) -> list[str]:
    """New codes, which replace the earlier ones. Raises WrongState without a second factor."""
    codes = [_random() for _ in range(COUNT)]

    async def write(tx: Tx) -> None:
        if await _lock_totp.first(tx, account_id=account_id) is None:
            raise refusal.WrongState("Set up your second factor first.", state="off")
        await _replace.run(
            tx, account_id=account_id, hashes=[_hash(account_id, code) for code in codes]
        )

    await transact(pool, write)
    return codes


async def use(pool: Pool, account_id: UUID, text: str, *, now: datetime) -> bool:
    """Uses up the code and mails the account. False if it is none of the account's."""

    async def write(tx: Tx) -> bool:
        if await _use.first(tx, account_id=account_id, hash=_hash(account_id, text)) is None:
            return False
        await mail.send(tx, "recovery_code_used", account_id, now=now)
        return True

    return await transact(pool, write)


async def remaining(db: Db, account_id: UUID) -> int:
    """How many codes the account can still use."""
    return await _left.one(db, account_id=account_id)


def _random() -> str:
    groups = (
        "".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS)
    )
    return "-".join(groups)


def _hash(account_id: UUID, code: str) -> bytes:
    """The hash of a code, whatever its spacing and capitalization."""
    letters = re.sub(r"[\s-]", "", code).lower()
    return hashlib.sha256(f"{account_id} {letters}".encode()).digest()
