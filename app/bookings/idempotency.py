"""The Idempotency-Key: a repeated request gets the stored answer instead of a second booking (rules.md)."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app import refusal
from app.db import Pool, Tx, statement, transact

MAX_KEY = 200


@dataclass(frozen=True, slots=True)
class Call:
    """What must be the same for a repeat to be a repeat."""

    key: str
    method: str
    path: str
    body_sha256: bytes


def call(key: str, method: str, path: str, body: bytes) -> Call:
    """Raises ValidationError for a key that will not do."""
    if not 1 <= len(key) <= MAX_KEY or "\x00" in key:
        raise refusal.ValidationError(f"An Idempotency-Key has 1 to {MAX_KEY} characters.", field="Idempotency-Key")
    return Call(key, method, path, hashlib.sha256(body).digest())


@dataclass(frozen=True, slots=True)
class Stored:
    method: str
    path: str
    body_sha256: bytes
    answer: Any


_claim = statement("claim_idempotency_key", str)
_stored = statement("idempotent_answer", Stored)
_store = statement("store_idempotent_answer", int)


async def once(
    pool: Pool, account_id: UUID, call: Call | None, work: Callable[[Pool | Tx], Awaitable[Any]], *, now: datetime
) -> Any:
    """The answer of `work`, or the one it gave to the first call with this key. Without a call, `work` simply runs. Refusals
    roll everything back, the key too, so a refused call may be tried again. Raises IdempotencyMismatch."""
    if call is None:
        return await work(pool)

    async def first_or_repeat(tx: Tx) -> Any:
        # A repeat that runs at the same time waits here until the first has committed or given up.
        claimed = await _claim.first(
            tx, account_id=account_id, key=call.key, method=call.method, path=call.path, body_sha256=call.body_sha256, now=now
        )
        if claimed is None:
            stored = await _stored.one(tx, account_id=account_id, key=call.key)
            if (stored.method, stored.path, stored.body_sha256) != (call.method, call.path, call.body_sha256):
                raise refusal.IdempotencyMismatch
            return stored.answer
        answer = await work(tx)
        await _store.run(tx, account_id=account_id, key=call.key, answer=answer)
        return answer

    return await transact(pool, first_or_repeat)
