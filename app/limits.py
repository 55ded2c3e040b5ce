"""Rate limits, counted in Redis for all processes together. While Redis is unavailable, each
process counts alone: the limits are looser then, but guessing stays bounded and nobody is locked
out."""

import ipaddress
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError
from starlette.requests import HTTPConnection

from app import refusal
from app.keyed_hash import keyed_hash
from app.settings import Settings

log = structlog.get_logger("limits")

# The first number is the limit, the second the window: 10 attempts in 5 minutes. Attempts are
# counted before a password is checked, so that parallel guesses cannot exceed a limit.

# Sign-ins, right or wrong: each costs a password hash. Many people may share an IP address.
SIGN_INS_OF_ADDRESS = RateLimitItemPerMinute(60, 1, namespace="sign-ins-address")
SIGN_IN_FAILURES_OF_ADDRESS = RateLimitItemPerMinute(60, 5, namespace="sign-in-address")
# One address guessing one account. A success resets the count.
SIGN_IN_FAILURES_OF_BOTH = RateLimitItemPerMinute(10, 5, namespace="sign-in-both")
# Many addresses guessing one account. So high that a few cannot lock the account's owner out.
SIGN_IN_FAILURES_OF_EMAIL = RateLimitItemPerHour(1000, 1, namespace="sign-in-email")
# A browser that the account has signed in with before does not count towards the limit above.
SIGN_IN_FAILURES_OF_DEVICE = RateLimitItemPerMinute(10, 5, namespace="sign-in-device")
CODE_FAILURES_OF_ACCOUNT = RateLimitItemPerMinute(10, 15, namespace="code-account")
# Of a signed-in account that has to enter its password again.
PASSWORD_FAILURES_OF_ACCOUNT = RateLimitItemPerMinute(10, 5, namespace="password-account")
# Each reads everything about the account.
EXPORTS_OF_ACCOUNT = RateLimitItemPerDay(20, 1, namespace="exports")
REGISTRATIONS_OF_ADDRESS = RateLimitItemPerHour(300, 1, namespace="register-address")
RESETS_OF_ADDRESS = RateLimitItemPerHour(30, 1, namespace="reset-address")
LINKS_OF_ADDRESS = RateLimitItemPerHour(120, 1, namespace="link-address")
# While strangers use this up, the newest link is less than an hour old, and works.
RESET_MAILS_OF_ACCOUNT = RateLimitItemPerHour(5, 1, namespace="reset-mails")
# Mail with links to an address that may be a stranger's. All ben+anything@… are one recipient.
LINK_MAILS_OF_RECIPIENT = RateLimitItemPerDay(10, 1, namespace="link-mails")
# Calls that change bookings.
BOOKINGS_OF_ACCOUNT = RateLimitItemPerMinute(120, 1, namespace="bookings")
# Each booking and each cancellation mails both people.
BOOKINGS_AND_CANCELLATIONS_OF_ACCOUNT = RateLimitItemPerHour(100, 1, namespace="lessons")
# Each move mails both people.
MOVES_OF_BOOKING = RateLimitItemPerHour(20, 1, namespace="moves")
# Lessons ahead of a student, including holds.
UPCOMING_LESSONS = 60

_REDIS_SECONDS = 0.25
_REDIS_RETRY_SECONDS = 5


class Limiter:
    """Counts in Redis, or in memory for a few seconds after Redis did not respond. Keys are hashes,
    so no address or e-mail is stored."""

    def __init__(self, settings: Settings) -> None:
        self._on = settings.rate_limits == "on"
        self._settings = settings
        self._local = FixedWindowRateLimiter(MemoryStorage())
        self._storage = _storage(settings.redis_url.get_secret_value()) if self._on else None
        self._redis = FixedWindowRateLimiter(self._storage) if self._storage else None
        self._retry_redis_at = 0.0

    @property
    def most_upcoming(self) -> int | None:
        """How many lessons ahead a student may have; None without limits."""
        return UPCOMING_LESSONS if self._on else None

    async def hit(
        self, limit: RateLimitItem, subject: str, sentence: str = "Too many attempts."
    ) -> None:
        """Counts one attempt. Raises RateLimited, with this sentence and the time to wait, if it
        exceeds the limit."""
        if self._on and not await self._call("hit", limit, subject):
            raise await self._rate_limited(limit, subject, sentence)

    async def check(self, limit: RateLimitItem, subject: str) -> None:
        """Raises RateLimited if another attempt would exceed the limit. Counts nothing."""
        if self._on and not await self._call("test", limit, subject):
            raise await self._rate_limited(limit, subject)

    async def forget(self, limit: RateLimitItem, subject: str) -> None:
        """Resets the count."""
        if self._on:
            await self._call("clear", limit, subject)

    async def _call(self, verb: str, limit: RateLimitItem, subject: str) -> bool:
        key = self._key(subject)
        if self._redis is not None and time.monotonic() >= self._retry_redis_at:
            try:
                return bool(await getattr(self._redis, verb)(limit, key))
            except (StorageError, OSError, TimeoutError) as error:
                self._retry_redis_at = time.monotonic() + _REDIS_RETRY_SECONDS
                log.warning("rate_limits_local", reason="redis_unavailable", error=str(error))
        return bool(await getattr(self._local, verb)(limit, key))

    async def _rate_limited(
        self, limit: RateLimitItem, subject: str, sentence: str = "Too many attempts."
    ) -> refusal.RateLimited:
        use_redis = self._redis is not None and time.monotonic() >= self._retry_redis_at
        limiter = self._redis if self._redis is not None and use_redis else self._local
        try:
            reset_at = (await limiter.get_window_stats(limit, self._key(subject))).reset_time
        except (StorageError, OSError, TimeoutError):
            return refusal.RateLimited(sentence)
        return refusal.RateLimited(sentence, retry_after=max(1, math.ceil(reset_at - time.time())))

    def _key(self, subject: str) -> str:
        return keyed_hash(self._settings, subject)

    async def close(self) -> None:
        if self._storage is not None and isinstance(self._storage.bridge, RedispyBridge):
            await self._storage.bridge.storage.aclose()


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Limiter]:
    """The limiter of this process."""
    limiter = Limiter(settings)
    try:
        yield limiter
    finally:
        await limiter.close()


def address(connection: HTTPConnection[Any]) -> str:
    """The client's address: of IPv6 only the /64 network, since one household owns all of it. An
    IPv4-mapped IPv6 address counts as IPv4."""
    host = connection.client.host if connection.client else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


async def count_link_mail(limiter: Limiter, email: str) -> None:
    """Counts a mail to an address (as the database folds it) that may be a stranger's. Raises
    RateLimited."""
    await limiter.hit(
        LINK_MAILS_OF_RECIPIENT,
        recipient(email),
        "We’ve sent several mails to this address today. Look for them in its spam folder.",
    )


def recipient(email: str) -> str:
    """The person behind an address (as the database folds it): ben+lessons@… is ben@…"""
    local, _, domain = email.rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


def _storage(url: str) -> RedisStorage | None:
    if not url:
        return None
    scheme, _, rest = url.partition("://")
    return RedisStorage(
        f"async+redis+unix://{rest}" if scheme == "unix" else f"async+{url}",
        implementation="redispy",
        wrap_exceptions=True,
        key_prefix="limits",
        socket_timeout=_REDIS_SECONDS,
        socket_connect_timeout=_REDIS_SECONDS,
        max_connections=100,
    )
