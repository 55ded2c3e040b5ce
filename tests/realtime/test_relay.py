"""From the outbox to Redis: order, partitions, what a message says, and wake-ups."""

import asyncio
import json
import time
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest_asyncio
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from structlog.testing import capture_logs

from app import db, redis
from app.db import Pool
from app.settings import Settings
from app.statements import CATALOG
from realtime import channels, relay
from realtime.channels import GAP_SECONDS, Wakeup
from tests import factories
from tests.cluster import PATIENCE, TEMPLATE, Server
from tests.conftest import RedisServer
from tests.processes import Starter
from tests.realtime.faults import Proxy, all_published


@pytest_asyncio.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    client = redis.client(redis_url, name="test")
    yield client
    await redis.close(client)


@pytest_asyncio.fixture
async def subscriber(client: Redis) -> AsyncIterator[PubSub]:
    """Subscribed to all partitions."""
    async with client.pubsub() as subscriber:
        await subscriber.subscribe(*channels.PARTITION_CHANNELS)
        for _ in channels.PARTITION_CHANNELS:
            await subscriber.get_message(timeout=PATIENCE)
        yield subscriber


async def received(subscriber: PubSub, count: int) -> list[tuple[str, dict[str, Any]]]:
    messages: list[tuple[str, dict[str, Any]]] = []
    async with asyncio.timeout(PATIENCE):
        while len(messages) < count:
            message = await subscriber.get_message(timeout=1)
            if message is not None and message["data"]:  # no heartbeat
                messages.append((message["channel"].decode(), json.loads(message["data"])))
    return messages


async def publish(pool: Pool, client: Redis, settings: Settings) -> int:
    async with db.exclusive_connection(pool) as connection:
        relay = relaying(client, settings)
        count = await relay.publish_batch(connection)
        await relay.remove_published(connection)
        return count


def relaying(client: Redis, settings: Settings, shard: int = 0) -> relay.Relay:
    return relay.Relay(client, settings, shard, asyncio.Event())


async def test_each_change_travels_on_its_calendars_partition_in_order(
    pool: Pool, client: Redis, subscriber: PubSub, settings: Settings
) -> None:
    instructors = [await factories.instructor(pool, f"Anna {number}") for number in range(5)]
    ben = await factories.student(pool)
    for hour in ("09", "11"):
        for number, instructor in enumerate(instructors):
            await factories.lesson(
                pool, ben.id, instructor.service_id, instructor.at(f"{hour}:00", day=1 + number)
            )
    assert await publish(pool, client, settings) == 10
    assert await publish(pool, client, settings) == 0
    messages = await received(subscriber, 10)
    for instructor in instructors:
        own = [
            (channel, message)
            for channel, message in messages
            if message["instructor"] == str(instructor.id)
        ]
        partition = zlib.crc32(instructor.id.bytes) % channels.PARTITIONS
        assert [channel for channel, _ in own] == [f"board:{partition}"] * 2
        assert [message["version"] for _, message in own] == [1, 2]


async def test_an_id_that_the_queue_uses_again_after_a_failover_is_published(
    pool: Pool, client: Redis, subscriber: PubSub, settings: Settings
) -> None:
    """The standby knew neither the change with that id nor that it was published."""
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    before_and_after = relaying(client, settings)
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    async with db.exclusive_connection(pool) as connection:
        assert await before_and_after.publish_batch(connection) == 1
    await pool.execute("delete from outbox_unpublished")
    await pool.execute("alter table outbox_unpublished alter column id restart")
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("11:00"))
    running = asyncio.create_task(before_and_after.run(pool))
    await all_published(pool)
    running.cancel()
    messages = await received(subscriber, 2)
    assert [message["version"] for _, message in messages] == [1, 2]


async def test_a_message_has_the_altered_days_and_the_events(
    pool: Pool, client: Redis, subscriber: PubSub, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    lesson = await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
    await publish(pool, client, settings)
    [(_, message)] = await received(subscriber, 1)
    row = await pool.fetchrow("select epoch, days from board($1, $2, 1)", anna.id, anna.day())
    assert row is not None
    assert message["epoch"] == row["epoch"]
    assert message["days"] == row["days"]
    assert abs(message["at"] - time.time()) < PATIENCE
    [event] = message["events"]
    assert event == {
        "event": "created",
        "booking_id": str(lesson.id),
        "student_id": str(ben.id),
        "instructor_id": str(anna.id),
        "previous_version": 0,
    }


async def test_changes_leave_the_queue_together_and_are_sent_once_until_then(
    pool: Pool, client: Redis, subscriber: PubSub, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    on_queue = "select count(*) from outbox_unpublished"
    async with db.exclusive_connection(pool) as connection:
        relay = relaying(client, settings)
        await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
        assert await relay.publish_batch(connection) == 1
        await factories.lesson(pool, ben.id, anna.service_id, anna.at("12:00"))
        assert await relay.publish_batch(connection) == 1
        assert await pool.fetchval(on_queue) == 2
        await relay.remove_published(connection)
        assert await pool.fetchval(on_queue) == 0
    messages = await received(subscriber, 2)
    assert [message["version"] for _, message in messages] == [1, 2]


async def test_a_change_that_redis_did_not_accept_stays_in_the_queue(
    pool: Pool, client: Redis, redis_server: RedisServer, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
    redis_server.stop()
    try:
        await publish(pool, client, settings)
    except redis.UNREACHABLE_ERRORS:
        pass
    else:
        raise AssertionError("it was published nowhere")
    assert await pool.fetchval("select count(*) from outbox_unpublished") == 1
    redis_server.start()
    assert await publish(pool, client, settings) == 1


async def test_a_published_change_leaves_the_queue_without_its_row_being_written_again(
    pool: Pool,
) -> None:
    """The wide row of the outbox is not written again: about 60 bytes of WAL for each change."""
    anna = await factories.instructor(pool, "Anna")
    await pool.execute(
        """
        with change as (
          insert into outbox (instructor_id, version, days)
          select $1, n, jsonb_build_object('text', repeat('long ', 200))
          from generate_series(1000, 1300) as n returning instructor_id, version
        ) insert into outbox_unpublished (instructor_id, version) select * from change
        """,
        anna.id,
    )
    remove, _ = CATALOG["remove_published"]
    async with pool.acquire() as connection, connection.transaction():
        first, *ids = await connection.fetchval("select array_agg(id) from outbox_unpublished")
        # The first change of a page after a checkpoint also writes the whole page.
        await connection.execute(remove, [first])
        (plan,) = await connection.fetchval(f"explain (analyze, wal, format json) {remove}", ids)
    assert 0 < plan["Plan"]["WAL Bytes"] / len(ids) < 120


async def test_only_one_connection_has_the_lock_and_it_ends_with_the_connection(
    pool: Pool, client: Redis, settings: Settings
) -> None:
    async with db.exclusive_connection(pool) as one, db.exclusive_connection(pool) as other:
        first, second = relaying(client, settings), relaying(client, settings)
        assert await first.lock(one)
        assert not await second.lock(other)
        await pool.execute("select pg_terminate_backend($1)", one.get_server_pid())
        async with asyncio.timeout(PATIENCE):
            while not await second.lock(other):
                await asyncio.sleep(0.02)


async def lock_holder(pool: Pool) -> str | None:
    """The name of the connection that holds a relay's lock."""
    name: str | None = await pool.fetchval(
        "select a.application_name from pg_locks l join pg_stat_activity a using (pid)"
        " where l.locktype = 'advisory' and l.granted and l.objsubid = 1"
        " and l.database = (select oid from pg_database where datname = current_database())"
    )
    return name


async def until_lock_holder(pool: Pool, name: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while await lock_holder(pool) != name:
            await asyncio.sleep(0.05)


async def test_a_relay_that_loses_redis_gives_its_lock_to_a_standby_within_8_seconds(
    pool: Pool, client: Redis, redis_server: RedisServer, settings: Settings, tmp_path: Path
) -> None:
    url = settings.database_url.get_secret_value()
    pools = [await db.connect(url, size=1, name=name) for name in ("first", "standby")]
    with Proxy(Path(urlsplit(redis_server.url).path), tmp_path / "redis.sock") as proxy:
        proxied = redis.client(proxy.redis_url, name="test")
        first = asyncio.create_task(relaying(proxied, settings).run(pools[0]))
        await until_lock_holder(pool, "first")
        standby = asyncio.create_task(relaying(client, settings).run(pools[1]))
        await asyncio.sleep(1)
        assert await lock_holder(pool) == "first"
        proxy.unreachable = True  # no error, no answer, and Postgres is there as ever
        proxy.silence()
        silent_at = time.monotonic()
        await until_lock_holder(pool, "standby")
        assert relay.REDIS_SECONDS - 2 < time.monotonic() - silent_at <= 8
        for task in (first, standby):
            task.cancel()
        await asyncio.gather(first, standby, return_exceptions=True)
        await redis.close(proxied)
    for one in pools:
        await db.close(one)


async def test_a_relay_that_starts_before_redis_says_so_and_begins_when_wait_for_redis(
    start: Starter, redis_server: RedisServer
) -> None:
    redis_server.stop()
    running = start("relay", log_level="info")
    await asyncio.to_thread(running.wait_for, "redis_unavailable")
    redis_server.start()
    await asyncio.to_thread(running.wait_for, "relay_active")
    assert "Traceback" not in running.log


async def test_a_relay_that_meets_a_stopped_postgres_says_so_and_begins_when_it_answers(
    postgres_server: Server, settings: Settings
) -> None:
    url = postgres_server.cluster.database(TEMPLATE)
    postgres_server.stop()
    with capture_logs() as logs:
        changed = settings.model_copy(update={"database_url": SecretStr(url)})
        task = asyncio.create_task(relay.main(changed))
        await until_logged(logs, "postgres_unavailable")
        postgres_server.start()
        await until_logged(logs, "relay_active")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert "error" not in {line["log_level"] for line in logs}


async def until_logged(logs: Sequence[Mapping[str, Any]], event: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while event not in [line["event"] for line in logs]:
            await asyncio.sleep(0.05)


async def test_a_wake_up_makes_the_relay_look_at_once(
    pool: Pool, client: Redis, subscriber: PubSub, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    slow = settings.model_copy(update={"relay_poll_seconds": 10 * PATIENCE})
    tell = Wakeup(client, client)
    tasks = [asyncio.create_task(relay.main(slow)), asyncio.create_task(tell.run())]
    async with asyncio.timeout(PATIENCE):
        while not (await client.pubsub_numsub(channels.WAKEUP))[0][1]:
            await asyncio.sleep(0.02)
    await asyncio.sleep(1)  # the relay has looked at its start
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
    tell()
    await received(subscriber, 1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_many_wake_ups_become_few_hints_and_the_last_one_arrives(
    client: Redis, redis_url: str
) -> None:
    tell, wakeup = Wakeup(client, client), asyncio.Event()
    hints = 0

    async def count() -> None:
        nonlocal hints
        while True:
            await wakeup.wait()
            wakeup.clear()
            hints += 1

    work = [tell.run(), channels.listen(redis_url, [wakeup], name="test"), count()]
    tasks = [asyncio.create_task(one) for one in work]
    async with asyncio.timeout(PATIENCE):
        while not hints:  # the one of the subscription
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        hints = 0
        for _ in range(1000):
            tell()
        while not hints:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    assert hints <= 2
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_hints_are_sent_at_intervals(client: Redis, redis_url: str) -> None:
    tell, hints = Wakeup(client, client), 0
    async with client.pubsub() as subscriber:
        await subscriber.subscribe(channels.WAKEUP)
        await subscriber.get_message(timeout=PATIENCE)
        task = asyncio.create_task(tell.run())
        started = time.monotonic()
        for _ in range(50):
            tell()
            await asyncio.sleep(0.001)
        seconds = time.monotonic() - started
        while await subscriber.get_message(timeout=0.2 if hints else PATIENCE):
            hints += 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert 1 <= hints <= seconds / GAP_SECONDS + 2


async def test_without_redis_a_wake_up_causes_no_error_and_later_ones_work_again(
    client: Redis, redis_server: RedisServer, redis_url: str
) -> None:
    tell, wakeup = Wakeup(client, client), asyncio.Event()
    tasks = [
        asyncio.create_task(tell.run()),
        asyncio.create_task(channels.listen(redis_url, [wakeup], name="test")),
    ]
    redis_server.stop()
    tell()
    await asyncio.sleep(0.2)
    redis_server.start()
    async with asyncio.timeout(PATIENCE):
        await wakeup.wait()  # said at the subscription, because hints may have been missed
        wakeup.clear()
        tell()
        await wakeup.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
