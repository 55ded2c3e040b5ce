"""The worker: due rows become mails at once, whatever Redis does and however many workers there are."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from app.db import Pool
from app.settings import Settings, SettingsError
from jobs import dispatcher, queue, worker
from tests.conftest import RedisServer
from tests.jobs.conftest import working
from tests.notifications.ledger import book, cancel, couple, dev_mails, overdue_all, rows, unsent
from tests.notifications.mailbox import Mailbox


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


async def all_sent(pool: Pool, seconds: float = 10) -> None:
    async def none_left() -> bool:
        return await unsent(pool) == 0

    await until(none_left, seconds)


async def wake_up(settings: Settings) -> None:
    async with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
        await redis.publish(dispatcher.WAKEUP, b"")


async def test_a_wake_up_brings_both_mails_at_once(pool: Pool, settings: Settings) -> None:
    anna, ben = await couple(pool)
    async with working(settings.model_copy(update={"sweep_seconds": 60})):
        await asyncio.sleep(0.5)  # it has looked, and listens
        await book(pool, anna, ben)
        await wake_up(settings)
        await all_sent(pool, seconds=3)
    assert sorted(recipient for recipient, _ in await dev_mails(pool)) == [anna.email, ben.email]


async def test_it_is_arq_that_does_the_work(pool: Pool, settings: Settings) -> None:
    async with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
        await redis.config_resetstat()
        await book(pool, *await couple(pool))
        async with working(settings):
            await all_sent(pool)
        used = await redis.info("commandstats")
        assert used["cmdstat_zadd"]["calls"] == 1  # one job for both mails
        assert used["cmdstat_zrem"]["calls"] == 2  # arq's two of each finished job
        assert await redis.keys("arq:*") == []  # and nothing is left behind


async def test_what_no_wake_up_told_of_is_found_by_sweeping(pool: Pool, settings: Settings) -> None:
    async with working(settings):
        anna, ben = await couple(pool)
        made = await book(pool, anna, ben)
        await cancel(pool, ben, made)
        await all_sent(pool)
    subjects = [subject.partition(":")[0] for recipient, subject in await dev_mails(pool) if recipient == ben.email]
    assert subjects == ["Confirmed", "Cancelled"]


async def test_what_was_due_before_the_worker_started_is_sent(pool: Pool, settings: Settings) -> None:
    await book(pool, *await couple(pool))
    async with working(settings):
        await all_sent(pool)
    assert len(await dev_mails(pool)) == 2


async def test_several_workers_send_each_mail_once(pool: Pool, by_smtp: Settings, box: Mailbox) -> None:
    anna, ben = await couple(pool)
    for hour in range(9, 17):
        await book(pool, anna, ben, f"{hour:02}:00")
    async with working(by_smtp), working(by_smtp), working(by_smtp):
        await all_sent(pool)
        await asyncio.sleep(1)
    assert len(box.mails) == 16
    assert len({mail["Message-ID"] for mail in box.mails}) == 16


async def test_more_than_the_queue_holds_is_sent_too(pool: Pool, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "QUEUE_LENGTH", 3)
    anna, ben = await couple(pool)
    for hour in range(9, 17):
        await book(pool, anna, ben, f"{hour:02}:00")
    async with working(settings):
        await all_sent(pool, seconds=20)
    assert len(await dev_mails(pool)) == 16


async def test_with_redis_stopped_mails_still_go_out_and_later_as_before(
    pool: Pool, settings: Settings, redis_server: RedisServer
) -> None:
    anna, ben = await couple(pool)
    async with working(settings):
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


async def test_a_worker_started_without_redis_delivers(pool: Pool, settings: Settings, redis_server: RedisServer) -> None:
    redis_server.kill()
    await book(pool, *await couple(pool))
    async with working(settings):
        await all_sent(pool)
    assert len(await dev_mails(pool)) == 2


async def test_redis_killed_or_emptied_in_the_middle_loses_nothing_and_repeats_nothing(
    pool: Pool, by_smtp: Settings, box: Mailbox, redis_server: RedisServer
) -> None:
    async def slowly() -> None:
        await asyncio.sleep(0.2)

    box.before_taking = slowly
    anna, ben = await couple(pool)
    async with working(by_smtp), working(by_smtp):
        for number, harm in enumerate([redis_server.flush, redis_server.kill, redis_server.start, redis_server.flush]):
            for hour in (9, 10, 11, 12):
                await book(pool, anna, ben, f"{hour:02}:00", day=2 + number)
            await asyncio.sleep(0.4)
            harm()
        await all_sent(pool, seconds=20)
        await asyncio.sleep(0.5)
    assert len(box.mails) == len(await rows(pool)) == 32
    assert len({mail["Message-ID"] for mail in box.mails}) == 32


async def test_cut_off_from_postgres_again_and_again_it_keeps_each_mail_exactly_once(pool: Pool, settings: Settings) -> None:
    anna, ben = await couple(pool)
    for day in range(2, 10):
        for hour in range(9, 17):
            await book(pool, anna, ben, f"{hour:02}:00", day=day)
    async with working(settings):
        for _ in range(10):
            await asyncio.sleep(0.1)
            await pool.execute(
                """select pg_terminate_backend(pid) from pg_stat_activity
                   where application_name = 'worker' and datname = current_database()"""
            )
        await all_sent(pool)
    kept = await dev_mails(pool)
    assert len(kept) == len(set(kept)) == 128


async def test_the_mail_server_down_and_up_again(pool: Pool, by_smtp: Settings, box: Mailbox) -> None:
    await box.stop()
    anna, ben = await couple(pool)
    async with working(by_smtp):
        await book(pool, anna, ben)

        async def tried() -> bool:
            return all(row["attempts"] == 1 for row in await rows(pool))

        await until(tried)
        await box.start()
        await overdue_all(pool)
        await all_sent(pool)
    assert len(box.to(anna.email)) == len(box.to(ben.email)) == 1


async def test_one_slow_recipient_holds_up_nobody(pool: Pool, by_smtp: Settings, box: Mailbox) -> None:
    anna, ben = await couple(pool)
    let_go = asyncio.Event()
    first = True

    async def one_hangs() -> None:
        nonlocal first
        if first:
            first = False
            await let_go.wait()

    box.before_taking = one_hangs
    for hour in range(9, 15):
        await book(pool, anna, ben, f"{hour:02}:00")
    async with working(by_smtp):
        await box.has(11)
        let_go.set()
        await all_sent(pool)


async def test_asked_to_stop_it_finishes_the_mail_on_its_way(pool: Pool, by_smtp: Settings, box: Mailbox) -> None:
    at_the_door, let_go = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        at_the_door.set()
        await let_go.wait()

    box.before_taking = wait
    await book(pool, *await couple(pool))
    stop = asyncio.Event()
    task = asyncio.create_task(worker.run(by_smtp, stop))
    await asyncio.wait_for(at_the_door.wait(), 10)
    await asyncio.sleep(0.5)
    stop.set()
    await asyncio.sleep(0.5)
    let_go.set()
    await asyncio.wait_for(task, 5)
    assert await unsent(pool) == 0
    assert len(box.mails) == 2


async def test_asked_to_stop_it_does_not_wait_for_ever(
    pool: Pool, by_smtp: Settings, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "DRAIN_SECONDS", 0.5)
    at_the_door, never = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        at_the_door.set()
        await never.wait()

    box.before_taking = wait
    await book(pool, *await couple(pool))
    stop = asyncio.Event()
    task = asyncio.create_task(worker.run(by_smtp, stop))
    await asyncio.wait_for(at_the_door.wait(), 10)
    stop.set()
    await asyncio.wait_for(task, 5)
    assert [row["sent_at"] for row in await rows(pool)] == [None, None]
    never.set()


async def test_a_job_is_in_the_queue_once(redis_url: str) -> None:
    redis = queue.connect(redis_url)
    for _ in range(3):
        await queue.put(redis, [7, 12])
    await queue.put(redis, [8])
    assert await queue.waiting(redis) == {7, 8, 12}
    assert await redis.zcard(queue.NAME) == 2
    packed = await redis.get("arq:job:notifications:7,12")
    assert packed.startswith(b"{")  # JSON: nothing in Redis can run code here
    ttl = await redis.pttl("arq:job:notifications:7,12")
    assert timedelta(milliseconds=ttl) <= timedelta(seconds=queue.EXPIRES_SECONDS)
    await redis.aclose()


async def test_settings_it_cannot_work_with_are_named(settings: Settings) -> None:
    for name, wrong in (
        ("smtp_url", SecretStr("mail.example.com")),
        ("redis_url", SecretStr("")),
        ("mail_from", "InstaInstru"),
    ):
        with pytest.raises(SettingsError, match=name.upper()):
            await worker.run(settings.model_copy(update={name: wrong}), asyncio.Event())
