"""Rate limits, counted in Redis for all processes together. While Redis is unavailable, each
process counts alone: the limits are looser then, but guessing stays bounded and nobody is locked
out."""

import ipaddress
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import structlog
from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerHour, RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from prometheus_client import Counter
from starlette.requests import HTTPConnection

from app import refusal
from app.keyed_hash import keyed_hash
from app.redis import UNREACHABLE_ERRORS
from app.settings import Settings

log = structlog.get_logger("limits")

# The first number is the limit, the second the window: 10 attempts in 5 minutes. Attempts are
# counted before a password is checked, so that parallel guesses cannot exceed a limit.

# Sign-ins, successful or not: each costs a password hash. Many people may share an IP address.
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
# Each export reads everything about the account.
EXPORTS_OF_ACCOUNT = RateLimitItemPerDay(20, 1, namespace="exports")
REGISTRATIONS_OF_ADDRESS = RateLimitItemPerHour(300, 1, namespace="register-address")
RESETS_OF_ADDRESS = RateLimitItemPerHour(30, 1, namespace="reset-address")
LINKS_OF_ADDRESS = RateLimitItemPerHour(120, 1, namespace="link-address")
# While strangers use this up, the newest link is less than an hour old, and works.
RESET_MAILS_OF_ACCOUNT = RateLimitItemPerHour(5, 1, namespace="reset-mails")
# Mail with links to an address that may be a stranger's. All ben+anything@… are one recipient.
LINK_MAILS_OF_RECIPIENT = RateLimitItemPerDay(10, 1, namespace="link-mails")
# Each move mails both people.
MOVES_OF_BOOKING = RateLimitItemPerHour(20, 1, namespace="moves")
# Upcoming lessons of a student, including holds.
UPCOMING_LESSONS = 60


@dataclass(frozen=True)
class RateClass:
    """How many requests of one kind an account and an address may make. Where `in_process`, each
    process counts alone: these requests are too cheap to ask Redis first."""

    of_account: RateLimitItem | None
    of_address: RateLimitItem
    in_process: bool = False
    sentence: str = "You’re sending requests too quickly."


def _per_minute(amount: int, namespace: str) -> RateLimitItem:
    return RateLimitItemPerMinute(amount, 1, namespace=namespace)


# The class of a route follows from its decorators in app.web; docs/limits.md shows this table.
# The limits of addresses leave room for a school or an office behind one address.
CLASSES: dict[str, RateClass] = {
    "sign-in": RateClass(None, _per_minute(120, "sign-in-class-address")),
    "search": RateClass(_per_minute(120, "search-account"), _per_minute(600, "search-address")),
    # Each booking and each cancellation mails both people.
    "lessons": RateClass(
        RateLimitItemPerHour(100, 1, namespace="lessons-account"),
        _per_minute(3000, "bookings-address"),
        sentence="You’ve booked and cancelled very often.",
    ),
    "bookings": RateClass(
        _per_minute(120, "bookings-account"), _per_minute(3000, "bookings-address")
    ),
    "write": RateClass(_per_minute(300, "write-account"), _per_minute(3000, "write-address")),
    "read": RateClass(_per_minute(600, "read-account"), _per_minute(6000, "read-address")),
    "public-read": RateClass(None, _per_minute(3000, "public-read-address"), in_process=True),
    "file": RateClass(None, _per_minute(6000, "file-address"), in_process=True),
    "socket": RateClass(_per_minute(120, "socket-account"), _per_minute(600, "socket-address")),
    "operations": RateClass(None, _per_minute(600, "operations-address"), in_process=True),
}

# A limit, and the subject that it counts.
Count = tuple[RateLimitItem, str]
# A script in Redis, called with its keys and arguments.
Script = Callable[[Sequence[str], Sequence[int]], Awaitable[Any]]

_FIRST = _per_minute(1, "refusals")
_REDIS_SECONDS = 0.25
_REDIS_RETRY_SECONDS = 5
# The most counters of a process.
_MAX_COUNTS = 100_000
# Counts one request for each key, whose limit and seconds are arguments. Returns for each how long
# to wait; 0 if the request is within the limit.
_COUNT = """
local waits = {}
for i, key in ipairs(KEYS) do
  local count = redis.call('incr', key)
  if count == 1 then redis.call('expire', key, ARGV[2 * i]) end
  waits[i] = 0
  if count > tonumber(ARGV[2 * i - 1]) then waits[i] = math.max(redis.call('ttl', key), 1) end
end
return waits
"""
# Counts one attempt for each key, whose limit, seconds and step are arguments, up to the first that
# it exceeds. A step of 0 counts nothing. Returns how long to wait; 0 within all limits.
_ATTEMPT = """
for i, key in ipairs(KEYS) do
  local limit, seconds, step = ARGV[3 * i - 2], ARGV[3 * i - 1], ARGV[3 * i]
  local count = step == '0' and (redis.call('get', key) or 0) + 1 or redis.call('incr', key)
  if step == '1' and count == 1 then redis.call('expire', key, seconds) end
  if count > tonumber(limit) then return math.max(redis.call('ttl', key), 1) end
end
return 0
"""
_FORGET = "return redis.call('del', unpack(KEYS))"

_REFUSED = Counter("rate_limited", "Requests refused by the limit of their class.", ["rate_class"])


class Counts:
    """Counters of this process, each for one window of time."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], list[float]] = {}  # end of the window, count

    def hit(self, limit: RateLimitItem, subject: str, now: float) -> float:
        """Counts one request. Returns the seconds to wait; 0 within the limit."""
        key = (limit.namespace, subject)
        count = self._counts.get(key)
        if count is None or count[0] <= now:
            if len(self._counts) >= _MAX_COUNTS:
                self._sweep(now)
            self._counts[key] = [now + limit.get_expiry(), 1]
            return 0
        count[1] += 1
        return count[0] - now if count[1] > limit.amount else 0

    def attempt(self, limit: RateLimitItem, subject: str, step: int, *, now: float) -> float:
        """Like `hit`, but a step of 0 counts nothing."""
        if step:
            return self.hit(limit, subject, now)
        until, count = self._counts.get((limit.namespace, subject), (0.0, 0))
        return until - now if until > now and count >= limit.amount else 0

    def forget(self, limit: RateLimitItem, subject: str) -> None:
        self._counts.pop((limit.namespace, subject), None)

    def _sweep(self, now: float) -> None:
        """Makes room: ended windows first; a flood from that many addresses empties the rest."""
        self._counts = {key: count for key, count in self._counts.items() if count[0] > now}
        if len(self._counts) >= _MAX_COUNTS:
            self._counts.clear()


class Limiter:
    """Counts in Redis, or in memory for a few seconds after Redis did not respond. Keys in Redis
    are hashes, so no address or e-mail is stored."""

    def __init__(self, settings: Settings) -> None:
        self._on = settings.rate_limits == "on"
        self._storage = _storage(settings.redis_url.get_secret_value()) if self._on else None
        self._count_in_redis = _script(self._storage, _COUNT)
        self._attempt_in_redis = _script(self._storage, _ATTEMPT)
        self._forget_in_redis = _script(self._storage, _FORGET)
        self._retry_redis_at = 0.0
        self._counts = Counts()
        # Separate, so that a flood of requests cannot evict them.
        self._attempts = Counts()
        # Keys in Redis whose limit is exceeded, and until when: a flood then costs no round trips.
        self._exceeded: dict[str, float] = {}
        self._keyed = lru_cache(10_000)(partial(keyed_hash, settings))

    @property
    def max_upcoming(self) -> int | None:
        """How many upcoming lessons a student may have; None without limits."""
        return UPCOMING_LESSONS if self._on else None

    def count_here(self, name: str, address: str) -> None:
        """Counts a request of a class that is counted in the process. Raises RateLimited."""
        if self._on and address:
            limit = CLASSES[name].of_address
            if wait := self._counts.hit(limit, address, time.monotonic()):
                raise self._refused(name, wait)

    async def count(self, name: str, address: str, account_id: object = None) -> None:
        """Counts a request of this class for the address and the account, in one round trip. Raises
        RateLimited."""
        if not self._on:
            return
        rate_class = CLASSES[name]
        if rate_class.in_process:
            self.count_here(name, address)
            return
        counts: list[Count] = []
        if account_id is not None and rate_class.of_account:
            counts.append((rate_class.of_account, self._keyed(str(account_id))))
        if address:
            counts.append((rate_class.of_address, self._keyed(address)))
        if counts and (wait := await self._wait(counts)):
            raise self._refused(name, wait)

    def is_first(self, refused: str) -> bool:
        """Whether this is the first such refusal in a minute."""
        return not self._counts.hit(_FIRST, refused, time.monotonic())

    async def _wait(self, counts: Sequence[Count]) -> float:
        """Counts a request for each subject. Returns the seconds to wait; 0 within all limits."""
        now = time.monotonic()
        keys = [_key(*count) for count in counts]
        if self._exceeded and (until := max(self._exceeded.get(key, 0) for key in keys)) > now:
            return until - now
        arguments = [n for limit, _ in counts for n in (limit.amount, limit.get_expiry())]
        waits = await self._in_redis(self._count_in_redis, keys, arguments)
        if waits is not None:
            if any(waits):
                self._remember(dict(zip(keys, waits, strict=True)), now)
            return float(max(waits))
        return max(self._counts.hit(limit, subject, now) for limit, subject in counts)

    def _remember(self, waits: Mapping[str, int], now: float) -> None:
        if len(self._exceeded) >= _MAX_COUNTS:
            self._exceeded.clear()
        self._exceeded |= {key: now + wait for key, wait in waits.items() if wait}

    def _refused(self, name: str, wait: float) -> refusal.RateLimited:
        _REFUSED.labels(name).inc()
        return refusal.RateLimited(CLASSES[name].sentence, retry_after=max(1, math.ceil(wait)))

    def _redis_failed(self, error: Exception) -> None:
        self._retry_redis_at = time.monotonic() + _REDIS_RETRY_SECONDS
        log.warning("rate_limits_local", reason="redis_unavailable", error=str(error))

    async def hit(
        self, limit: RateLimitItem, subject: str, sentence: str = "Too many attempts."
    ) -> None:
        """Counts one attempt. Raises RateLimited, with this sentence and the time to wait, if it
        exceeds the limit."""
        await self.attempt((limit, subject), sentence=sentence)

    async def attempt(
        self, *counts: Count, check: Sequence[Count] = (), sentence: str = "Too many attempts."
    ) -> None:
        """Counts one attempt for each subject, up to the first whose limit it exceeds, in one round
        trip. `check`: limits that it must not exceed either, and does not count towards. Raises
        RateLimited."""
        if not self._on:
            return
        steps = [
            *((limit, self._keyed(subject), 0) for limit, subject in check),
            *((limit, self._keyed(subject), 1) for limit, subject in counts),
        ]
        keys = [_key(limit, subject) for limit, subject, _ in steps]
        arguments = [
            n for limit, _, step in steps for n in (limit.amount, limit.get_expiry(), step)
        ]
        wait = await self._in_redis(self._attempt_in_redis, keys, arguments)
        if wait is None:
            now = time.monotonic()
            waits = (self._attempts.attempt(*step, now=now) for step in steps)
            wait = next((wait for wait in waits if wait), 0)
        if wait:
            raise refusal.RateLimited(sentence, retry_after=max(1, math.ceil(wait)))

    async def forget(self, *counts: Count) -> None:
        """Resets the counts, in one round trip."""
        if self._on:
            keyed = [(limit, self._keyed(subject)) for limit, subject in counts]
            await self._in_redis(self._forget_in_redis, [_key(*count) for count in keyed], [])
            for count in keyed:
                self._attempts.forget(*count)

    async def _in_redis(
        self, script: Script | None, keys: Sequence[str], arguments: Sequence[int]
    ) -> Any:
        """The result of the script; None while Redis does not respond."""
        if script is None or time.monotonic() < self._retry_redis_at:
            return None
        try:
            return await script(keys, arguments)
        except UNREACHABLE_ERRORS as error:
            self._redis_failed(error)
            return None

    async def close(self) -> None:
        if self._storage is not None and isinstance(self._storage.bridge, RedispyBridge):
            await self._storage.bridge.storage.aclose()


@asynccontextmanager
async def open_limiter(settings: Settings) -> AsyncIterator[Limiter]:
    """The limiter of this process."""
    limiter = Limiter(settings)
    try:
        yield limiter
    finally:
        await limiter.close()


def address(connection: HTTPConnection[Any]) -> str:
    """The client's address: of IPv6 only the /64 network, since one household owns all of it. An
    IPv4-mapped IPv6 address counts as IPv4."""
    client = connection.scope.get("client")
    return _network(client[0]) if client else ""


@lru_cache(10_000)
def _network(host: str) -> str:
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


def _key(limit: RateLimitItem, keyed_subject: str) -> str:
    """The counter in Redis."""
    return f"limits:{limit.namespace}/{keyed_subject}"


def _script(storage: RedisStorage | None, source: str) -> Script | None:
    if storage is None or not isinstance(storage.bridge, RedispyBridge):
        return None
    script: Script = storage.bridge.storage.register_script(source)
    return script


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
