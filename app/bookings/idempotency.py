"""The Idempotency-Key: a repeated call gets the stored answer instead of a second effect. The
functions in sql/functions that change bookings look it up and store it (idempotency.sql)."""

import hashlib
from dataclasses import dataclass

from app import refusal

MAX_KEY = 200


@dataclass(frozen=True, slots=True)
class Call:
    """A call with a key. A repeat has the same `fingerprint`: SHA-256 of method, path and body."""

    key: str
    fingerprint: bytes


def call(key: str, method: str, path: str, body: bytes) -> Call:
    """Raises ValidationError if the key is empty, too long, or contains NUL."""
    if not 1 <= len(key) <= MAX_KEY or "\x00" in key:
        raise refusal.ValidationError(
            f"An Idempotency-Key has 1 to {MAX_KEY} characters.", field="Idempotency-Key"
        )
    body_sha256 = hashlib.sha256(body).digest()
    return Call(key, hashlib.sha256(f"{method}\n{path}\n".encode() + body_sha256).digest())
