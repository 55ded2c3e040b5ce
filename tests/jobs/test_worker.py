"""The worker: due rows soon become mails, with any state of Redis and any number of workers."""

import asyncio
import time
from datetime import timedelta

import pytest
from arq.worker import Worker
from pydantic import SecretStr
from redis.asyncio import Redis

from app.db import Pool
from app.settings import Settings, SettingsError
from jobs import dispatcher, queue, worker
from tests.cluster import PATIENCE
from tests.conftest import RedisServer
from tests.jobs.conftest import all_sent, running_worker, until
from tests.notifications.ledger import book, cancel, couple, dev_mails, make_all_due, rows, unsent
from tests.notifications.mailbox import Mailbox

# If a pipeline of arq is cancelled while it returns its connection, only the garbage collector
# closes it, and redis-py warns.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed client session.*Pipeline:ResourceWarning")


async def wake_up(settings: Settings) -> None:
    """Sends the message as soon as a worker is subscribed."""
    async with (
        Redis.from_url(settings.redis_url.get_secret_value()) as redis,
        asyncio.timeout(PATIENCE),
    ):
        while not await redis.publish(dispatcher.WAKEUP, b""):
            await asyncio.sleep(0.02)


async def test_a_wake_up_sends_both_mails_at_once(pool: Pool, settings: Settings) -> None:
    anna, ben = await couple(pool)
    async with running_worker(settings.model_copy(update={"sweep_seconds": 300})):
        await asyncio.sleep(0.5)  # the first sweep is over
        await book(pool, anna, ben)
        await wake_up(settings)
        await all_sent(pool)
    assert sorted(recipient for recipient, _ in await dev_mails(pool)) == [anna.email, ben.email]


async def test_arq_runs_the_deliveries(pool: Pool, settings: Settings) -> None:
    async with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
        await redis.config_resetstat()
        await book(pool, *await couple(pool))
        async with running_worker(settings):
            await all_sent(pool)
        stats = await redis.info("commandstats")
        # One job for both mails, and the one that rolls searches up.
        assert stats["cmdstat_zadd"]["calls"] == 2
        assert stats["cmdstat_zrem"]["calls"] == 4  # arq calls it twice per finished job
        # No leftovers, except the mark by which no other worker starts the second job now.
        (key,) = await redis.keys("arq:*")
        assert key.startswith(b"arq:in-progress:search_report:")
        assert 0 < await redis.ttl(key) <= 60


async def test_a_sweep_sends_mails_without_a_wake_up(pool: Pool, settings: Settings) -> None:
    async with running_worker(settings):
        anna, ben = await couple(pool)
        booking = await book(pool, anna, ben)
        await cancel(pool, ben, booking)
        await all_sent(pool)
    mails = await dev_mails(pool)
    subjects = [subject.partition(":")[0] for recipient, subject in mails if recipient == ben.email]
    assert subjects == ["Confirmed", "Cancelled"]


async def test_mails_due_before_the_worker_started_are_sent(pool: Pool, settings: Settings) -> None:
    await book(pool, *await couple(pool))
    async with running_worker(settings):
        await all_sent(pool)
    assert len(await dev_mails(pool)) == 2


async def test_several_workers_send_each_mail_once(
    pool: Pool, by_smtp: Settings, box: Mailbox
) -> None:
    anna, ben = await couple(pool)
    for hour in range(9, 17):
        await book(pool, anna, ben, f"{hour:02}:00")
    async with running_worker(by_smtp), running_worker(by_smtp), running_worker(by_smtp):
        await all_sent(pool)
        await asyncio.sleep(1)
    assert len(box.mails) == 16
    assert len({mail["Message-ID"] for mail in box.mails}) == 16


async def test_more_mails_than_the_queue_holds_are_sent(
    pool: Pool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "QUEUE_LENGTH", 3)
    anna, ben = await couple(pool)
    for hour in range(9, 17):
        await book(pool, anna, ben, f"{hour:02}:00")
    async with running_worker(settings):
        await all_sent(pool)
    assert len(await dev_mails(pool)) == 16


async def test_mails_go_out_while_redis_is_stopped_and_after_its_return(
    pool: Pool, settings: Settings, redis_server: RedisServer
) -> None:
    anna, ben = await couple(pool)
    async with running_worker(settings):
        await book(pool, anna, ben, "09:00")
        await all_sent(pool)
        redis_server.stop()
        await book(pool, anna, ben, "10:00")
        await all_sent(pool)
        redis_server.start()
        await asyncio.sleep(1.5)  # longer than the pauses between attempts to reconnect
        await book(pool, anna, ben, "11:00")
        await wake_up(settings)
        await all_sent(pool)
    assert len(await dev_mails(pool)) == 6


async def test_a_worker_started_without_redis_sends_mails(
    pool: Pool, settings: Settings, redis_server: RedisServer
) -> None:
    redis_server.kill()
    await book(pool, *await couple(pool))
    async with running_worker(settings):
        await all_sent(pool)
    assert len(await dev_mails(pool)) == 2


async def test_a_killed_or_flushed_redis_loses_and_repeats_no_mail(
    pool: Pool, by_smtp: Settings, box: Mailbox, redis_server: RedisServer
) -> None:
    async def slowly() -> None:
        await asyncio.sleep(0.2)

    box.before_accepting = slowly
    anna, ben = await couple(pool)
    async with running_worker(by_smtp), running_worker(by_smtp):
        server = redis_server
        for number, fault in enumerate([server.flush, server.kill, server.start, server.flush]):
            for hour in (9, 10, 11, 12):
                await book(pool, anna, ben, f"{hour:02}:00", day=2 + number)
            await asyncio.sleep(0.4)
            fault()
        await all_sent(pool)
        await asyncio.sleep(0.5)
    assert len(box.mails) == len(await rows(pool)) == 32
    assert len({mail["Message-ID"] for mail in box.mails}) == 32


async def test_lost_postgres_connections_store_each_mail_once(
    pool: Pool, settings: Settings
) -> None:
    anna, ben = await couple(pool)
    for day in range(2, 10):
        for hour in range(9, 17):
            await book(pool, anna, ben, f"{hour:02}:00", day=day)
    async with running_worker(settings):
        for _ in range(10):
            await asyncio.sleep(0.1)
            await pool.execute(
                """select pg_terminate_backend(pid) from pg_stat_activity
                   where application_name = 'worker' and datname = current_database()"""
            )
        await all_sent(pool)
    mails = await dev_mails(pool)
    assert len(mails) == len(set(mails)) == 128


async def test_mails_are_sent_after_the_mail_server_returns(
    pool: Pool, by_smtp: Settings, box: Mailbox
) -> None:
    await box.stop()
    anna, ben = await couple(pool)
    async with running_worker(by_smtp):
        await book(pool, anna, ben)

        async def attempted() -> bool:
            return all(row["attempts"] == 1 for row in await rows(pool))

        await until(attempted)
        await box.start()
        await make_all_due(pool)
        await all_sent(pool)
    assert len(box.to(anna.email)) == len(box.to(ben.email)) == 1


async def test_a_slow_recipient_does_not_delay_others(
    pool: Pool, by_smtp: Settings, box: Mailbox
) -> None:
    anna, ben = await couple(pool)
    release = asyncio.Event()
    first = True

    async def first_hangs() -> None:
        nonlocal first
        if first:
            first = False
            await release.wait()

    box.before_accepting = first_hangs
    for hour in range(9, 15):
        await book(pool, anna, ben, f"{hour:02}:00")
    async with running_worker(by_smtp):
        await box.has(11)
        release.set()
        await all_sent(pool)


async def test_a_stopping_worker_finishes_the_current_mail(
    pool: Pool, by_smtp: Settings, box: Mailbox
) -> None:
    delivering, release = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        delivering.set()
        await release.wait()

    box.before_accepting = wait
    await book(pool, *await couple(pool))
    stop = asyncio.Event()
    task = asyncio.create_task(worker.run(by_smtp, stop))
    await asyncio.wait_for(delivering.wait(), PATIENCE)
    await asyncio.sleep(0.5)
    stop.set()
    await asyncio.sleep(0.5)
    release.set()
    await asyncio.wait_for(task, PATIENCE)
    assert await unsent(pool) == 0
    assert len(box.mails) == 2


async def test_a_stopping_worker_waits_only_for_drain_seconds(
    pool: Pool, by_smtp: Settings, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "DRAIN_SECONDS", 0.5)
    delivering, never = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        delivering.set()
        await never.wait()

    box.before_accepting = wait
    await book(pool, *await couple(pool))
    stop = asyncio.Event()
    task = asyncio.create_task(worker.run(by_smtp, stop))
    await asyncio.wait_for(delivering.wait(), PATIENCE)
    stop.set()
    await asyncio.wait_for(task, PATIENCE)
    assert [row["sent_at"] for row in await rows(pool)] == [None, None]
    never.set()


async def test_a_job_that_starts_while_the_worker_stops_is_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    polls, is_finished = asyncio.Event(), asyncio.Event()

    async def job() -> None:
        await asyncio.sleep(0.1)
        is_finished.set()

    async def poll(arq: Worker) -> None:
        polls.set()
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            arq.tasks["last"] = asyncio.create_task(job())

    monkeypatch.setattr(Worker, "_poll_iteration", poll)
    async with running_worker(settings):
        await asyncio.wait_for(polls.wait(), PATIENCE)
    assert is_finished.is_set()


async def test_a_pipeline_that_is_cancelled_while_it_ends_keeps_no_connection(
    redis_url: str,
) -> None:
    redis = queue.connect(redis_url)
    pipeline = redis.pipeline()
    await pipeline.watch("a key")
    await redis.client_pause(2_000)
    end = asyncio.create_task(pipeline.aclose())
    await asyncio.sleep(0.2)  # it waits for Redis
    end.cancel()
    with pytest.raises(asyncio.CancelledError):
        await end
    assert pipeline.connection is None
    await redis.aclose()


async def test_a_duplicate_job_is_not_enqueued(redis_url: str) -> None:
    redis = queue.connect(redis_url)
    for _ in range(3):
        await queue.enqueue(redis, [7, 12])
    await queue.enqueue(redis, [8])
    assert await queue.notification_ids(redis) == {7, 8, 12}
    # The clock goes back by an hour: a job that arq would run in an hour counts as lost.
    ahead = 1_000 * (time.time() + 3_600)
    await redis.zadd(queue.NAME, {"notifications:9": ahead, "notifications:8": ahead})
    assert await queue.notification_ids(redis) == {7, 12}
    await redis.zrem(queue.NAME, "notifications:9")
    await redis.zadd(queue.NAME, {"search_report:1795334400123": 1})  # a job of another kind
    assert await queue.notification_ids(redis) == {7, 12}
    await redis.zrem(queue.NAME, "search_report:1795334400123")
    assert await redis.zcard(queue.NAME) == 2
    job = await redis.get("arq:job:notifications:7,12")
    assert job.startswith(b"{")  # JSON, unlike pickle, cannot run code
    ttl = await redis.pttl("arq:job:notifications:7,12")
    assert timedelta(milliseconds=ttl) <= timedelta(seconds=queue.EXPIRES_SECONDS)
    await redis.aclose()


async def test_the_error_names_the_unusable_setting(settings: Settings) -> None:
    for name, value in (
        ("smtp_url", SecretStr("mail.example.com")),
        ("redis_url", SecretStr("")),
        ("mail_from", "InstaInstru"),
    ):
        with pytest.raises(SettingsError, match=name.upper()):
            await worker.run(settings.model_copy(update={name: value}), asyncio.Event())


async def test_a_job_that_gets_no_answer_ends_with_a_warning_and_its_mails_are_sent_later(
    pool: Pool,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(worker, "JOB_SECONDS", 1)
    anna, ben = await couple(pool)
    await book(pool, anna, ben)
    redis = queue.connect(settings.redis_url.get_secret_value())
    await queue.enqueue(redis, [row["id"] for row in await rows(pool)])

    async def queue_is_empty() -> bool:
        return await queue.notification_ids(redis) == set()

    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("lock table notification in access exclusive mode")
        async with running_worker(settings):
            await until(queue_is_empty)
            await transaction.rollback()
            await all_sent(pool)
    await redis.aclose()
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []
