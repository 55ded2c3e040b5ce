"""A worker killed (SIGKILL) at the worst moments: no mail is lost, and only the documented gap can
duplicate one."""

import asyncio
from collections.abc import Callable
from typing import Any

from app.db import Pool
from app.settings import Settings
from tests.cluster import PATIENCE
from tests.jobs.conftest import all_sent
from tests.notifications.ledger import book, couple, dev_mails, rows, unsent
from tests.notifications.mailbox import Mailbox
from tests.processes import Running

Workers = Callable[[Settings], Running]


async def kill(running: Running) -> None:
    await asyncio.to_thread(running.kill)


async def test_killed_before_the_server_accepts_the_mail(
    pool: Pool, by_smtp: Settings, box: Mailbox, workers: Workers
) -> None:
    delivering, dead = asyncio.Event(), asyncio.Event()

    async def wait_for_death() -> None:
        delivering.set()
        await dead.wait()

    box.before_accepting = wait_for_death
    anna, ben = await couple(pool)
    await book(pool, anna, ben)
    first = workers(by_smtp)
    await asyncio.wait_for(delivering.wait(), PATIENCE)
    await kill(first)
    await box.stop()  # and its two connections of the dead worker
    assert [row["sent_at"] for row in await rows(pool)] == [None, None]
    box.mails.clear()
    dead.set()
    await box.start()
    workers(by_smtp)
    await all_sent(pool)
    await asyncio.sleep(1)
    assert len(box.to(anna.email)) == len(box.to(ben.email)) == 1


async def test_a_worker_killed_between_acceptance_and_commit_repeats_the_mail_with_the_same_id(
    pool: Pool, by_smtp: Settings, box: Mailbox, workers: Workers
) -> None:
    alive: list[Running] = []

    async def kill_worker() -> None:
        if alive:
            await kill(alive.pop())

    box.after_accepting = kill_worker
    anna, ben = await couple(pool)
    await book(pool, anna, ben)
    alive.append(workers(by_smtp))
    async with asyncio.timeout(PATIENCE):
        while alive:
            await asyncio.sleep(0.05)
    workers(by_smtp)
    await all_sent(pool)
    await asyncio.sleep(1)
    for account in (anna, ben):
        copies = box.to(account.email)
        assert 1 <= len(copies) <= 2
        assert len({mail["Message-ID"] for mail in copies}) == 1
    assert 3 <= len(box.mails) <= 4  # the other mail may have been in the same gap


async def test_killed_after_both_mails_repeats_neither(
    pool: Pool, by_smtp: Settings, box: Mailbox, workers: Workers
) -> None:
    await book(pool, *await couple(pool))
    first = workers(by_smtp)
    await all_sent(pool)
    await kill(first)
    workers(by_smtp)
    await asyncio.sleep(4)  # twice as long as a dead worker keeps its job
    assert len(box.mails) == 2


async def test_repeated_kills_without_a_mail_server_store_each_mail_once(
    pool: Pool, settings: Settings, workers: Workers
) -> None:
    anna, ben = await couple(pool)
    total = 0
    for day in (2, 5, 8, 11):
        for hour in range(9, 17):
            for later in range(3):
                await book(pool, anna, ben, f"{hour:02}:00", day=day + later)
        total += 48
        running = workers(settings)
        async with asyncio.timeout(PATIENCE):
            while await unsent(pool) > 20:
                await asyncio.sleep(0.01)
        await kill(running)
    workers(settings)
    await all_sent(pool)
    mails: list[Any] = await dev_mails(pool)
    assert len(mails) == len(set(mails)) == total == 192
