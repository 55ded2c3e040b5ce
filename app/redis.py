"""Redis: clients with timeouts on every call, and subscriptions that survive outages. Correctness
never depends on Redis: a subscriber learns when messages may be missing, and reads Postgres."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog
from redis.asyncio import (
    Connection,
    ConnectionPool,
    Redis,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.client import PubSub
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

log = structlog.get_logger("redis")

CONNECT_SECONDS = 2
ANSWER_SECONDS = 3
# What a call raises while Redis is down, restarting or too slow.
UNREACHABLE_ERRORS = (RedisError, OSError, TimeoutError)

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0


def client(url: str, *, name: str) -> Redis:
    """A client that connects on first use, and replaces its connections after a restart of
    Redis."""
    return _client(url, name, retry=Retry(NoBackoff(), 1), retry_on_error=[RedisConnectionError])


def _client(url: str, name: str, **options: Any) -> Redis:
    parsed: dict[str, Any] = dict(parse_url(url))
    kind = _CONNECTIONS[parsed.pop("connection_class", Connection)]
    times = {"socket_connect_timeout": CONNECT_SECONDS, "socket_timeout": ANSWER_SECONDS}
    return Redis.from_pool(
        ConnectionPool(connection_class=kind, client_name=name, **times, **options, **parsed)
    )


class _Cancellable(AbstractConnection):
    """Sends under asyncio.timeout. With a `socket_timeout`, redis-py uses asyncio.wait_for, which
    in Python 3.11 may swallow a cancellation, so that the task never ends."""

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        seconds, self.socket_timeout = self.socket_timeout, None
        try:
            async with asyncio.timeout(seconds):
                await super().send_packed_command(command, check_health)
        finally:
            self.socket_timeout = seconds


class _Tcp(_Cancellable, Connection):
    pass


class _Tls(_Cancellable, SSLConnection):
    pass


class _Socket(_Cancellable, UnixDomainSocketConnection):
    pass


_CONNECTIONS: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: _Tcp,
    SSLConnection: _Tls,
    UnixDomainSocketConnection: _Socket,
}


async def close(redis: Redis) -> None:
    """Closes a client and its connections; no error if Redis is down."""
    with contextlib.suppress(*UNREACHABLE_ERRORS):
        async with asyncio.timeout(CONNECT_SECONDS):
            await redis.aclose()


class Subscription:
    """A permanent subscription to some channels, on its own connection. Unlike redis-py, it reports
    every loss: it calls `changed(True)` when all channels are subscribed (again), and
    `changed(False)` when the connection is lost. Messages may be missing before either call."""

    def __init__(
        self, url: str, channels: Sequence[str], *, name: str, changed: Callable[[bool], None]
    ) -> None:
        self._url = url
        self._channels = channels
        self._name = name
        self._changed = changed
        self._redis: Redis | None = None
        self._pubsub: PubSub | None = None
        self._confirmed = 0
        self._pause = _FIRST_PAUSE

    @property
    def is_subscribed(self) -> bool:
        """Whether Redis has confirmed every channel."""
        return self._confirmed == len(self._channels)

    async def next(self) -> tuple[str, bytes]:
        """The next message, as (channel, data). Reconnects until it succeeds; raises only
        CancelledError."""
        while True:
            try:
                pubsub = self._pubsub or await self._subscribe()
                message = await pubsub.get_message(timeout=1)
            except UNREACHABLE_ERRORS as error:
                await self._lost(f"{type(error).__name__}: {error}")
                await asyncio.sleep(self._pause * random.uniform(0.5, 1.5))  # noqa: S311 — a jitter
                self._pause = min(self._pause * 2, _LONGEST_PAUSE)
                continue
            if message is not None and message["type"] == "message":
                return message["channel"].decode(), message["data"]
            if message is not None and message["type"] == "subscribe":
                self._confirm()

    async def close(self) -> None:
        pubsub, redis = self._pubsub, self._redis
        self._pubsub = self._redis = None
        self._confirmed = 0
        if pubsub is not None and redis is not None:
            with contextlib.suppress(*UNREACHABLE_ERRORS):
                async with asyncio.timeout(CONNECT_SECONDS):
                    await pubsub.aclose()  # type: ignore[no-untyped-call]  # not annotated
            await close(redis)

    async def _subscribe(self) -> PubSub:
        # No retries: redis-py would hide a lost connection.
        self._redis = _client(self._url, self._name, retry=Retry(NoBackoff(), 0))
        self._pubsub = self._redis.pubsub()
        await self._pubsub.subscribe(*self._channels)
        return self._pubsub

    def _confirm(self) -> None:
        self._confirmed += 1
        if self.is_subscribed:
            log.debug("redis_subscribed", channels=len(self._channels))
            self._pause = _FIRST_PAUSE
            self._changed(True)

    async def _lost(self, reason: str) -> None:
        was_subscribed = self.is_subscribed
        await self.close()
        if was_subscribed:
            log.warning("redis_subscription_lost", reason=reason)
            self._changed(False)
