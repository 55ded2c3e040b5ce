"""Passwords: Argon2id, in a few threads of its own so that hashing never blocks the event loop, and which passwords will do."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app import refusal
from app.db import faults

T = TypeVar("T")

MIN_LENGTH = 10
MAX_LENGTH = 200

# OWASP's password storage cheat sheet: Argon2id with 19 MiB, two passes, one lane. About 20 ms.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# Of a password nobody knows: what is compared with when there is no such account, so that the answer takes as long.
_NOBODYS_HASH = "$argon2id$v=19$m=19456,t=2,p=1$cjfkpDCRL+xV9kNkAtpZNA$uNqko9/c40i5oDCtJgb0Hv+KXUGJi2phsVCqlVhfYUY"

_THREADS = 2
_MOST_IN_HAND = 256
_SECONDS = 5
_threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="argon2")
_in_hand = 0


def check(password: str, *, field: str = "password", not_these: tuple[str, ...] = ()) -> str:
    """The password, if it will do. Raises ValueError with a sentence. `not_these`: what an attacker would try first, such as the
    person's own e-mail address."""
    wanted = _normal(password)
    if len(wanted) < MIN_LENGTH:
        raise ValueError(f"A {field} needs at least {MIN_LENGTH} characters.")
    if len(wanted) > MAX_LENGTH:
        raise ValueError(f"A {field} can have at most {MAX_LENGTH} characters.")
    plain = wanted.casefold()
    if plain in _commonest() or len(set(plain)) < 4 or plain in {other.casefold() for other in not_these}:
        raise ValueError("This password is too easy to guess. Choose another.")
    return password


async def hashed(password: str) -> str:
    """Argon2id of the password. Raises Unavailable when too many are being worked on."""
    return await _in_thread(lambda: _hasher.hash(_normal(password)))


async def verified(password: str, password_hash: str | None) -> bool:
    """Whether it is the password of this hash; None takes as long and is False. Raises Unavailable as `hashed` does."""
    return await _in_thread(lambda: _verify(password_hash or _NOBODYS_HASH, _normal(password))) and password_hash is not None


def outdated(password_hash: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _hasher.check_needs_rehash(password_hash)


def _verify(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


async def _in_thread(work: Callable[[], T]) -> T:
    global _in_hand  # noqa: PLW0603 — one count for the process's one pool
    if _in_hand >= _MOST_IN_HAND:
        faults.record("password_queue_full", f"{_MOST_IN_HAND} passwords are being hashed")
        raise refusal.Unavailable
    _in_hand += 1
    try:
        async with asyncio.timeout(_SECONDS):
            return await asyncio.get_running_loop().run_in_executor(_threads, work)
    except TimeoutError:
        faults.record("password_queue_slow", f"a password was not hashed within {_SECONDS} s")
        raise refusal.Unavailable from None
    finally:
        _in_hand -= 1


def _normal(password: str) -> str:
    """One form for what looks the same, whatever the keyboard (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


@cache
def _commonest() -> frozenset[str]:
    return frozenset(Path(__file__).with_name("commonest_passwords.txt").read_text().split())
