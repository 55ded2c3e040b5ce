"""Passwords: the rules for new ones, and Argon2id hashes. Hashing runs in its own threads, so it
never blocks the event loop."""

import asyncio
import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app import refusal
from app.db import faults

T = TypeVar("T")

PRODUCT_NAME = "instainstru"
MIN_LENGTH = 10
MAX_LENGTH = 200

# OWASP's password storage cheat sheet: Argon2id with 19 MiB, two passes, one lane. About 20 ms.
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
# The hash of a random password. It is checked for an unknown e-mail address, so that the response
# takes equally long.
_DUMMY_HASH = (
    "$argon2id$v=19$m=19456,t=2,p=1$cjfkpDCRL+xV9kNkAtpZNA"
    "$uNqko9/c40i5oDCtJgb0Hv+KXUGJi2phsVCqlVhfYUY"
)

_THREADS = 2
_MAX_PENDING = 256
_SECONDS = 5
_threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="argon2")
_pending = 0


def check(password: str, *, field: str = "password", personal_values: Sequence[str] = ()) -> str:
    """The password, if it is acceptable. Raises ValueError with a sentence. `personal_values`: the
    person's name and e-mail address, which an attacker would try first."""
    normal = _normal(password)
    if len(normal) < MIN_LENGTH:
        raise ValueError(f"A {field} needs at least {MIN_LENGTH} characters.")
    if len(normal) > MAX_LENGTH:
        raise ValueError(f"A {field} can have at most {MAX_LENGTH} characters.")
    plain = normal.casefold()
    if plain in _commonest() or len(set(plain)) < 4:
        raise ValueError("This password is too easy to guess. Choose another.")
    if _is_little_more_than(plain, (PRODUCT_NAME,)):
        raise ValueError("This password is mostly our own name. Choose another.")
    if _is_little_more_than(plain, _words(personal_values)):
        raise ValueError("This password is mostly your name or e-mail address. Choose another.")
    return password


def _words(values: Sequence[str]) -> set[str]:
    """The values in lower case, their words, and the words without spaces between them."""
    plain = [_normal(value).casefold() for value in values]
    words = {word for value in plain for word in re.split(r"[^\w]+", value)}
    joined = {re.sub(r"\W", "", value) for value in plain}
    return {word for word in words | joined | set(plain) if len(word) >= 4}


def _is_little_more_than(password: str, words: Collection[str]) -> bool:
    """Whether fewer than five letters and digits remain of the password without these words."""
    rest = password
    for word in sorted(words, key=len, reverse=True):
        rest = rest.replace(word, "")
    return rest != password and sum(character.isalnum() for character in rest) < 5


async def check_own(password: str, password_hash: str) -> None:
    """Raises ValidationError unless this is the password of the hash."""
    if not await verify(password, password_hash):
        raise refusal.ValidationError("That isn’t your password. Try again.", field="password")


async def make_hash(password: str) -> str:
    """The Argon2id hash. Raises Unavailable when too many passwords are being hashed."""
    return await _in_thread(lambda: _hasher.hash(_normal(password)))


async def verify(password: str, password_hash: str | None) -> bool:
    """Whether this is the password of the hash. For None it takes as long and returns False. Raises
    Unavailable as `make_hash` does."""
    matches = await _in_thread(lambda: _verify(password_hash or _DUMMY_HASH, _normal(password)))
    return matches and password_hash is not None


def needs_rehash(password_hash: str) -> bool:
    """Whether the hash has other parameters than new hashes."""
    return _hasher.check_needs_rehash(password_hash)


def _verify(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


async def _in_thread(work: Callable[[], T]) -> T:
    global _pending  # noqa: PLW0603 — one count for the process's one pool
    if _pending >= _MAX_PENDING:
        faults.record("password_queue_full", f"{_MAX_PENDING} passwords are being hashed")
        raise refusal.Unavailable
    _pending += 1
    try:
        async with asyncio.timeout(_SECONDS):
            return await asyncio.get_running_loop().run_in_executor(_threads, work)
    except TimeoutError:
        faults.record("password_queue_slow", f"a password was not hashed within {_SECONDS} s")
        raise refusal.Unavailable from None
    finally:
        _pending -= 1


def _normal(password: str) -> str:
    """Normalizes Unicode: keyboards encode the same text differently (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


@cache
def _commonest() -> frozenset[str]:
    """Those of at least MIN_LENGTH characters among the lists of Django (BSD license) and zxcvbn
    (MIT license), and the most common shorter ones with their usual endings."""
    return frozenset(Path(__file__).with_name("commonest_passwords.txt").read_text().split())
