"""How often one may try: rate limits, counted in Redis so that all processes count together. While Redis is away each process
counts for itself, which is looser but neither blocks people nor lets guessing run free."""

import hashlib
import hmac
import ipaddress
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from limits import RateLimitItem, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError
from starlette.requests import HTTPConnection

from app import refusal
from app.settings import Settings

log = structlog.get_logger("limits")

# Sign-ins: what fails counts. Many people may share an address, and whoever is let in was not guessing.
SIGN_IN_FAILURES_OF_ADDRESS = RateLimitItemPerMinute(60, 5, namespace="sign-in-address")
SIGN_IN_FAILURES_OF_EMAIL = RateLimitItemPerMinute(10, 5, namespace="sign-in-email")
REGISTRATIONS_OF_ADDRESS = RateLimitItemPerHour(300, 1, namespace="register-address")
BOOKINGS_OF_ACCOUNT = RateLimitItemPerMinute(120, 1, namespace="bookings")

_REDIS_SECONDS = 0.25
_REDIS_AWAY_SECONDS = 5


class Limiter:
    """Counts in Redis, or here for a few seconds after Redis did not answer. Keys are hashes: no address or e-mail is kept."""

    def __init__(self, settings: Settings) -> None:
        self._on = settings.rate_limits == "on"
        self._secret = settings.secret_key.get_secret_value().encode()
        self._here = FixedWindowRateLimiter(MemoryStorage())
        self._storage = _storage(settings.redis_url.get_secret_value()) if self._on else None
        self._redis = FixedWindowRateLimiter(self._storage) if self._storage else None
        self._redis_again_at = 0.0

    async def hit(self, limit: RateLimitItem, who: str) -> None:
        """Counts one. Raises RateLimited, with when to come back, if that is one too many."""
        if self._on and not await self._ask("hit", limit, who):
            raise await self._refused(limit, who)

    async def check(self, limit: RateLimitItem, who: str) -> None:
        """Counts nothing. Raises RateLimited if one more would be too many."""
        if self._on and not await self._ask("test", limit, who):
            raise await self._refused(limit, who)

    async def forget(self, limit: RateLimitItem, who: str) -> None:
        """Starts counting anew."""
        if self._on:
            await self._ask("clear", limit, who)

    async def _ask(self, verb: str, limit: RateLimitItem, who: str) -> bool:
        key = self._key(who)
        if self._redis is not None and time.monotonic() >= self._redis_again_at:
            try:
                return bool(await getattr(self._redis, verb)(limit, key))
            except (StorageError, OSError, TimeoutError) as error:
                self._redis_again_at = time.monotonic() + _REDIS_AWAY_SECONDS
                log.warning("rate limits are counted per process: Redis did not answer", error=str(error))
        return bool(await getattr(self._here, verb)(limit, key))

    async def _refused(self, limit: RateLimitItem, who: str) -> refusal.RateLimited:
        counting = self._redis if self._redis is not None and time.monotonic() >= self._redis_again_at else self._here
        try:
            ends_at = (await counting.get_window_stats(limit, self._key(who))).reset_time
        except (StorageError, OSError, TimeoutError):
            return refusal.RateLimited()
        return refusal.RateLimited(retry_after=max(1, math.ceil(ends_at - time.time())))

    def _key(self, who: str) -> str:
        return hmac.new(self._secret, who.encode(), hashlib.sha256).hexdigest()[:32]

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
    """Where a request comes from. Of an IPv6 address the network counts: one household owns all the
    rest. An IPv4 address is the same in its IPv6 spelling."""
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
