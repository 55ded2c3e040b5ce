"""Subscriptions survive failures of Redis and report their state."""

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


class Listener:
    """A subscription, its messages, and the changes of its state."""

    def __init__(self, url: str, *channels: str) -> None:
        self.changes: list[bool] = []
        self.messages: list[tuple[str, bytes]] = []
        self.subscription = Subscription(url, channels, name="test", changed=self.changes.append)
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while True:
            self.messages.append(await self.subscription.next())

    async def until(self, changes: list[bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.changes != changes:
                await asyncio.sleep(0.01)

    async def receives(self, client: Redis, channel: str, data: bytes) -> None:
        await client.publish(channel, data)
        async with asyncio.timeout(PATIENCE):
            while (channel, data) not in self.messages:
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.subscription.close()


async def test_a_subscription_receives_the_messages_of_its_channels(
    client: Redis, redis_url: str
) -> None:
    listener = Listener(redis_url, "a", "b")
    await listener.until([True])
    await client.publish("c", b"another channel")
    await listener.receives(client, "a", b"1")
    await listener.receives(client, "b", b"\xff2")
    assert len(listener.messages) == 2
    await listener.close()


async def test_a_lost_connection_is_reported_and_replaced(
    client: Redis, redis_url: str, redis_server: RedisServer
) -> None:
    listener = Listener(redis_url, "a")
    await listener.until([True])
    redis_server.kill()
    await listener.until([True, False])
    redis_server.start()
    await listener.until([True, False, True])
    await listener.receives(client, "a", b"again")
    await client.client_kill_filter(_type="pubsub")
    await listener.until([True, False, True, False, True])
    await listener.receives(client, "a", b"and again")
    await listener.close()


async def test_a_subscription_waits_for_redis_to_start(
    client: Redis, redis_url: str, redis_server: RedisServer
) -> None:
    redis_server.stop()
    listener = Listener(redis_url, "a")
    await asyncio.sleep(0.5)
    assert listener.changes == []
    redis_server.start()
    await listener.until([True])
    await listener.receives(client, "a", b"at last")
    await listener.close()


async def test_a_client_survives_a_restart_without_an_error(
    client: Redis, redis_server: RedisServer
) -> None:
    await client.publish("a", b"")
    redis_server.kill()
    redis_server.start()
    await client.publish("a", b"")
