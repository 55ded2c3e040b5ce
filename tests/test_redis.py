"""Subscriptions that outlive whatever Redis does, and say so."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from redis.asyncio import Redis

from app import redis
from app.redis import Subscription
from tests.cluster import PATIENCE
from tests.conftest import RedisServer


@pytest_asyncio.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    client = redis.client(redis_url, name="test")
    yield client
    await redis.close(client)


class Listening:
    """A subscription, what it brought, and what it said of itself."""

    def __init__(self, url: str, *channels: str) -> None:
        self.changes: list[bool] = []
        self.heard: list[tuple[str, bytes]] = []
        self.subscription = Subscription(url, channels, name="test", changed=self.changes.append)
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while True:
            self.heard.append(await self.subscription.next())

    async def until(self, changes: list[bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.changes != changes:
                await asyncio.sleep(0.01)

    async def hears(self, client: Redis, channel: str, data: bytes) -> None:
        await client.publish(channel, data)
        async with asyncio.timeout(PATIENCE):
            while (channel, data) not in self.heard:
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.subscription.close()


async def test_it_hears_what_is_said_on_its_channels(client: Redis, redis_url: str) -> None:
    listening = Listening(redis_url, "a", "b")
    await listening.until([True])
    await client.publish("c", b"not for us")
    await listening.hears(client, "a", b"1")
    await listening.hears(client, "b", b"\xff2")
    assert len(listening.heard) == 2
    await listening.close()


async def test_a_lost_connection_is_reported_and_made_anew(
    client: Redis, redis_url: str, redis_server: RedisServer
) -> None:
    listening = Listening(redis_url, "a")
    await listening.until([True])
    redis_server.kill()
    await listening.until([True, False])
    redis_server.start()
    await listening.until([True, False, True])
    await listening.hears(client, "a", b"again")
    await client.client_kill_filter(_type="pubsub")
    await listening.until([True, False, True, False, True])
    await listening.hears(client, "a", b"and again")
    await listening.close()


async def test_it_waits_for_a_redis_that_is_not_there_yet(
    client: Redis, redis_url: str, redis_server: RedisServer
) -> None:
    redis_server.stop()
    listening = Listening(redis_url, "a")
    await asyncio.sleep(0.5)
    assert listening.changes == []
    redis_server.start()
    await listening.until([True])
    await listening.hears(client, "a", b"at last")
    await listening.close()


async def test_a_client_outlives_a_restart_without_an_error(
    client: Redis, redis_server: RedisServer
) -> None:
    await client.publish("a", b"")
    redis_server.kill()
    redis_server.start()
    await client.publish("a", b"")
