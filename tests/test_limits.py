"""Rate limits, counted in Redis and, while it is down, in the process."""

import re

import pytest
from limits import RateLimitItemPerMinute
from redis.asyncio import Redis
from starlette.requests import HTTPConnection

from app import limits, refusal
from app.settings import Settings
from tests.conftest import RedisServer

THREE = RateLimitItemPerMinute(3, namespace="test")


@pytest.fixture
def limited(settings: Settings) -> Settings:
    return settings.model_copy(update={"rate_limits": "on"})


async def test_a_call_above_the_limit_is_refused_with_retry_after(limited: Settings) -> None:
    async with limits.opened(limited) as limiter:
        for _ in range(3):
            await limiter.hit(THREE, "ben")
        with pytest.raises(refusal.RateLimited) as refused:
            await limiter.hit(THREE, "ben")
        assert 1 <= refused.value.retry_after <= 60
        await limiter.hit(THREE, "anna")


async def test_a_check_does_not_count_and_forget_resets_the_count(limited: Settings) -> None:
    async with limits.opened(limited) as limiter:
        for _ in range(3):
            await limiter.check(THREE, "ben")
            await limiter.hit(THREE, "ben")
        with pytest.raises(refusal.RateLimited):
            await limiter.check(THREE, "ben")
        await limiter.forget(THREE, "ben")
        await limiter.check(THREE, "ben")


async def test_two_processes_share_their_counts(limited: Settings) -> None:
    async with limits.opened(limited) as one, limits.opened(limited) as other:
        await one.hit(THREE, "ben")
        await other.hit(THREE, "ben")
        await one.hit(THREE, "ben")
        with pytest.raises(refusal.RateLimited):
            await other.hit(THREE, "ben")


async def test_without_redis_each_process_counts_alone(
    limited: Settings, redis_server: RedisServer
) -> None:
    async with limits.opened(limited) as limiter:
        await limiter.hit(THREE, "ben")
        redis_server.kill()
        for _ in range(3):
            await limiter.hit(THREE, "ben")
        with pytest.raises(refusal.RateLimited) as refused:
            await limiter.hit(THREE, "ben")
        assert 1 <= refused.value.retry_after <= 60


async def test_keys_in_redis_contain_no_personal_data(
    limited: Settings, redis_server: RedisServer
) -> None:
    async with limits.opened(limited) as limiter:
        await limiter.hit(THREE, "ben@example.com")
    async with Redis.from_url(redis_server.url) as redis:
        (key,) = await redis.keys("*")
    assert re.fullmatch(rb"limits:test/[0-9a-f]{32}/3/1/minute", key)


async def test_limits_can_be_turned_off(settings: Settings) -> None:
    async with limits.opened(settings) as limiter:
        for _ in range(10):
            await limiter.hit(THREE, "ben")


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("203.0.113.7", 1), "203.0.113.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (("::ffff:203.0.113.7", 1), "203.0.113.7"),
        (("fe80::1%eth0", 1), "fe80::/64"),
        (("testclient", 1), "testclient"),
        (None, ""),
    ],
)
def test_an_address_is_an_ipv4_host_or_an_ipv6_network(
    client: tuple[str, int] | None, address: str
) -> None:
    assert (
        limits.address(HTTPConnection({"type": "http", "headers": [], "client": client})) == address
    )


@pytest.mark.parametrize(
    ("seconds", "wait"),
    [(1, "1 second"), (45, "45 seconds"), (60, "1 minute"), (61, "2 minutes"), (240, "4 minutes")],
)
def test_too_many_attempts_say_how_long_to_wait(seconds: int, wait: str) -> None:
    assert (
        refusal.RateLimited(retry_after=seconds).detail
        == f"Too many attempts. Try again in {wait}."
    )
