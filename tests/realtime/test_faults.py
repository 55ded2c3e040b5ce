"""Faults between a commit and a screen: afterwards nothing is lost, and every screen equals the
database within the bound. Intervals are short, except in the tests of the real bound."""

import asyncio
import os
import shutil
import signal
import time
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import SecretStr

from app import db
from app.db import Pool
from app.settings import Settings
from realtime import channels
from tests import factories
from tests.cluster import PATIENCE, TEMPLATE, Cluster, Server
from tests.conftest import RedisServer, patient_pool
from tests.processes import Running, Starter
from tests.realtime.faults import Proxy, all_published, lesson_whose_message_is_lost, unpublished
from tests.realtime.screens import Screen, Screens, catches_up

# Calendars are compared every second, or in some tests every 12 seconds: what is right sooner was
# told by a message.
FASTER_THAN_A_COMPARISON = 9.0
# Seconds that a screen may be wrong. A busy machine may be late once, a product that does not keep
# the bound is late every time.
BOUND = 15
ATTEMPTS = ("09:00", "11:00", "13:00")


def socket_of(server: RedisServer) -> Path:
    return Path(urlsplit(server.url).path)


async def status_of(web: Running, code: int, **expected: str) -> dict[str, str]:
    """Waits until readiness has this status and these fields; returns the answer."""
    async with asyncio.timeout(PATIENCE), httpx.AsyncClient(timeout=PATIENCE) as client:
        while True:
            answer = await client.get(f"{web.url}/health/ready")
            body: dict[str, str] = answer.json()
            if answer.status_code == code and expected.items() <= body.items():
                return body
            await asyncio.sleep(0.1)


def partition(instructor: factories.Instructor) -> int:
    return zlib.crc32(instructor.id.bytes) % channels.PARTITIONS


# ---- the relay


async def test_a_relay_killed_between_publishing_and_marking_loses_and_doubles_nothing(
    start: Starter, pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    screens = Screens(start("serve").url)
    watching = [await screens.open() for _ in range(3)]
    bens = await screens.open(token=await factories.token_of(pool, ben.id, settings))
    for screen in watching:
        await screen.shows(anna)
    for hour in (9, 10, 11):
        await factories.lesson(pool, ben.id, anna.service_id, anna.at(f"{hour:02}:00"))
    async with pool.acquire() as connection, connection.transaction():
        # The relay can read these rows and publish them, but has to wait before it may mark them.
        await connection.execute("select from outbox_unpublished for update")
        relay = start("relay")
        for screen in watching:
            await screen.reaches(anna, 3)
        relay.kill()
        # Its session still waits for the lock, and would mark the rows when it gets it.
        await connection.execute(
            "select pg_terminate_backend(pid, 60000) from pg_stat_activity "
            "where application_name = 'relay' and datname = current_database()"
        )
    assert await unpublished(pool) == 3
    start("relay")
    await all_published(pool)
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("12:00"))
    for screen in watching:
        await catches_up(pool, screen, anna)
        assert [message["version"] for message in screen.of("change")] == [1, 2, 3, 4]
    async with asyncio.timeout(PATIENCE):
        while len(bens.of("booking")) < 4:
            await asyncio.sleep(0.02)
    await bens.quiet(0.5)
    assert len(bens.of("booking")) == 4
    await screens.close()


async def test_of_two_relays_one_works_and_the_other_takes_over_when_it_is_killed(
    start: Starter, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    screens = Screens(start("serve", reconcile_seconds=12).url)
    screen = await screens.open()
    await screen.shows(anna)
    first, second = start("relay", log_level="info"), start("relay", log_level="info")
    for relay in (first, second):
        relay.wait_for("relay_started")
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    await all_published(pool)
    await catches_up(pool, screen, anna, seconds=FASTER_THAN_A_COMPARISON)
    async with asyncio.timeout(PATIENCE):
        while "relay_active" not in first.log + second.log:
            await asyncio.sleep(0.02)
    active, standing_by = (first, second) if "relay_active" in first.log else (second, first)
    assert "relay_active" not in standing_by.log
    active.kill()
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
    await all_published(pool)
    await catches_up(pool, screen, anna, seconds=FASTER_THAN_A_COMPARISON)
    await asyncio.to_thread(standing_by.wait_for, "relay_active")
    await screens.close()


async def test_a_relay_that_was_away_publishes_all_of_it_in_order(
    start: Starter, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    for step in range(1200):  # more than two batches
        await pool.execute("select step($1, array[$2::date])", anna.id, anna.day(step % 5))
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    screens = Screens(start("serve").url)
    screen = await screens.open()
    await screen.shows(anna)
    start("relay")
    await all_published(pool)
    await catches_up(pool, screen, anna)
    await screens.close()


# ---- Redis


async def test_without_redis_screens_are_slower_and_with_redis_back_as_fast_as_before(
    screens: Screens, pool: Pool, redis_server: RedisServer, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    screen = await screens.open(token=await factories.token_of(pool, anna.id, settings))
    await screen.shows(anna)
    redis_server.stop()
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    await catches_up(pool, screen, anna)
    await screen.receives("booking", event="created")
    newcomer = await screens.open()
    await newcomer.shows(anna)
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
    for watching in (screen, newcomer):
        await catches_up(pool, watching, anna)
    redis_server.start()
    await all_published(pool)
    await asyncio.sleep(1)
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("11:00"))
    for watching in (screen, newcomer):
        await catches_up(pool, watching, anna)
    async with asyncio.timeout(PATIENCE):
        while len(screen.of("booking")) < 3:  # they follow the board
            await asyncio.sleep(0.05)
    assert len(screen.of("booking")) == 3


async def test_redis_killed_and_started_while_people_book_loses_nothing(
    screens: Screens, pool: Pool, redis_server: RedisServer
) -> None:
    instructors = [await factories.instructor(pool, f"Anna {number}") for number in range(4)]
    ben = await factories.student(pool)
    watching = [await screens.open() for _ in range(3)]
    for screen in watching:
        for instructor in instructors:
            await screen.shows(instructor)

    async def book() -> None:
        for day in range(1, 6):
            for number, instructor in enumerate(instructors):
                await factories.lesson(
                    pool, ben.id, instructor.service_id, instructor.at(f"{10 + number}:00", day=day)
                )
                await asyncio.sleep(0.1)

    booking = asyncio.create_task(book())
    for _ in range(2):
        await asyncio.sleep(0.5)
        redis_server.kill()
        await asyncio.sleep(0.3)
        redis_server.start()
    await booking
    await all_published(pool)
    for screen in watching:
        for instructor in instructors:
            await catches_up(pool, screen, instructor)


async def test_a_flushed_redis_costs_nothing(
    screens: Screens, pool: Pool, redis_server: RedisServer
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    screen = await screens.open()
    await screen.shows(anna)
    for hour in range(9, 15):
        redis_server.flush()
        await factories.lesson(pool, ben.id, anna.service_id, anna.at(f"{hour:02}:00"))
    await catches_up(pool, screen, anna)
    await all_published(pool)


async def test_a_process_whose_subscription_is_muted_notices_it(
    start: Starter, pool: Pool, redis_server: RedisServer, tmp_path: Path
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    start("relay")
    with Proxy(socket_of(redis_server), tmp_path / "redis.sock") as proxy:
        web = start("serve", redis_url=proxy.redis_url, reconcile_seconds=12, log_level="info")
        screens = Screens(web.url)
        screen = await screens.open()
        await screen.shows(anna)
        await asyncio.sleep(2.5)  # the reconciles of the start are over
        proxy.muted = True
        await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
        # Noticed by the missing heartbeats, long before the next reconcile.
        await catches_up(pool, screen, anna, seconds=FASTER_THAN_A_COMPARISON)
        assert "redis_disconnected" in web.log
        # Other processes receive changes, so this one is not ready.
        await status_of(web, 503, reason="live")
        proxy.muted = False
        async with asyncio.timeout(PATIENCE):
            while web.log.count("redis_connected") < 2:
                await asyncio.sleep(0.1)
        await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
        await catches_up(pool, screen, anna, seconds=FASTER_THAN_A_COMPARISON)
        await screens.close()
        web.stop()


async def test_without_a_relay_every_process_is_degraded_and_goes_on_working(
    start: Starter, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    relay, web = start("relay"), start("serve")
    screens = Screens(web.url)
    screen = await screens.open()
    await screen.shows(anna)
    assert (await status_of(web, 200, live="connected"))["status"] == "ok"
    relay.kill()
    assert (await status_of(web, 200, live="degraded"))["status"] == "degraded"
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    await catches_up(pool, screen, anna)
    await asyncio.sleep(5)  # long enough to be called disconnected, if there were a relay
    assert (await status_of(web, 200))["live"] == "degraded"
    await screens.close()


async def test_a_relay_that_does_not_reach_redis_leaves_the_work_to_one_that_does(
    start: Starter, pool: Pool, redis_server: RedisServer, tmp_path: Path
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    with Proxy(socket_of(redis_server), tmp_path / "redis.sock") as proxy:
        first = start("relay", redis_url=proxy.redis_url, log_level="info")
        first.wait_for("relay_active")
        second = start("relay", log_level="info")
        second.wait_for("relay_started")
        screens = Screens(start("serve", reconcile_seconds=12).url)
        screen = await screens.open()
        await screen.shows(anna)
        proxy.unreachable = True
        proxy.silence()
        await asyncio.to_thread(second.wait_for, "relay_active")
        await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
        await all_published(pool)
        await catches_up(pool, screen, anna, seconds=FASTER_THAN_A_COMPARISON)
        await screens.close()
        first.stop()


async def test_partitions_are_spread_over_shards_and_redis_servers(
    start: Starter, pool: Pool, redis_server: RedisServer
) -> None:
    instructors = [await factories.instructor(pool, f"Anna {number}") for number in range(8)]
    ben = await factories.student(pool)
    other = RedisServer()
    other.start()
    try:
        changed: dict[str, Any] = {
            "live_redis_urls": SecretStr(f"{redis_server.url},{other.url}"),
            "log_level": "info",
        }
        relays = [start("relay", "--shard", f"{shard}", **changed) for shard in (0, 1)]
        for relay in relays:
            relay.wait_for("relay_active")
        web = start("serve", reconcile_seconds=12, **changed)
        await status_of(web, 200, live="connected")
        screens = Screens(web.url)
        screen = await screens.open()
        for instructor in instructors:
            await screen.shows(instructor)

        async def book(hour: str) -> None:
            for day, instructor in enumerate(instructors, 1):
                await factories.lesson(
                    pool, ben.id, instructor.service_id, instructor.at(hour, day=day)
                )

        await book("10:00")
        for instructor in instructors:
            await catches_up(pool, screen, instructor, seconds=FASTER_THAN_A_COMPARISON)
        # One server dies: its half of the calendars is updated from Postgres meanwhile.
        other.kill()
        await status_of(web, 200, live="degraded")
        await book("12:00")
        for instructor in instructors:
            await catches_up(pool, screen, instructor, seconds=FASTER_THAN_A_COMPARISON)
        published = {
            partition(instructor) % 2
            for instructor in instructors
            if not await unpublished(pool, instructor)
        }
        assert published == {0}
        other.start()
        await all_published(pool)
        await status_of(web, 200, live="connected")
        await screens.close()
    finally:
        start.stop_all()
        other.stop()
        shutil.rmtree(other.folder)


async def test_sockets_and_requests_can_be_served_by_different_processes(
    start: Starter, pool: Pool
) -> None:
    anna = await factories.instructor(pool)
    start("relay")
    sockets, requests = start("serve", "--only", "live"), start("serve", "--only", "http")
    screens = Screens(sockets.url)
    await (await screens.open()).shows(anna)
    with pytest.raises(Exception, match=r"403|404"):
        await screens.open(url=requests.url)
    statuses = [
        (await asyncio.to_thread(httpx.get, f"{web.url}/login", timeout=PATIENCE)).status_code
        for web in (sockets, requests)
    ]
    assert statuses == [404, 200]
    await screens.close()


# ---- sessions


async def test_signing_out_everywhere_closes_the_accounts_sockets_at_once(
    start: Starter, pool: Pool, settings: Settings
) -> None:
    ben, eva = await factories.student(pool), await factories.student(pool, "Eva")
    token = await factories.token_of(pool, ben.id, settings)
    start("relay")
    webs = [start("serve", reconcile_seconds=12) for _ in range(2)]
    screens = Screens(webs[0].url)
    bens = [await screens.open(url=web.url, token=token) for web in webs]
    bens.append(await screens.open(token=await factories.token_of(pool, ben.id, settings)))
    evas = await screens.open(token=await factories.token_of(pool, eva.id, settings))
    await asyncio.sleep(3)  # the reconciles of the start are over, the next is 12 s away
    async with httpx.AsyncClient(
        headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE
    ) as client:
        answer = await client.post(f"{webs[1].url}/api/auth/logout-everywhere")
    assert answer.status_code == 204
    assert [await screen.ends(seconds=FASTER_THAN_A_COMPARISON) for screen in bens] == [4403] * 3
    assert evas.closed_with is None
    await screens.close()


async def test_a_locked_table_of_bookings_keeps_no_ended_session_open(
    screens: Screens, pool: Pool, database_url: str, settings: Settings
) -> None:
    ben = await factories.student(pool)
    screen = await screens.open(token=await factories.token_of(pool, ben.id, settings))
    await asyncio.sleep(0.5)  # its account's total has been read
    async with (
        patient_pool(database_url, size=1) as outside,
        outside.acquire() as connection,
        connection.transaction(),
    ):
        await connection.execute("lock table booking in access exclusive mode")
        await pool.execute("delete from session where account_id = $1", ben.id)
        assert await screen.ends() == 4403


# ---- lost messages


async def test_when_only_the_last_message_is_lost_the_screen_is_right_within_the_interval(
    screens: Screens, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    screen = await screens.open()
    await screen.shows(anna)
    await lesson_whose_message_is_lost(pool, ben, anna, anna.at("09:00"))
    await catches_up(pool, screen, anna)
    assert [message["version"] for message in screen.of("change")] == [1]


async def test_a_gap_is_filled_as_soon_as_the_next_message_shows_it(
    start: Starter, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    start("relay")
    screens = Screens(start("serve", reconcile_seconds=12).url)
    screen = await screens.open()
    await screen.shows(anna)
    for hour in (9, 10, 11):
        await lesson_whose_message_is_lost(pool, ben, anna, anna.at(f"{hour:02}:00"))
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("12:00"))
    await all_published(pool)
    await catches_up(pool, screen, anna, seconds=FASTER_THAN_A_COMPARISON)
    assert [message["version"] for message in screen.of("change")] == [1, 2, 3, 4]
    assert screen.of("board")[1:] == []
    await screens.close()


async def test_a_gap_whose_history_is_gone_is_filled_by_a_board(
    screens: Screens, pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    screen = await screens.open(token=await factories.token_of(pool, anna.id, settings))
    await screen.shows(anna)
    await lesson_whose_message_is_lost(pool, ben, anna, anna.at("09:00"), without_history=True)
    await catches_up(pool, screen, anna)
    assert [message["version"] for message in screen.of("board", "change")] == [0, 1]
    assert screen.of("change") == []
    await screen.receives("refresh")


async def test_both_accounts_learn_of_a_lost_booking_message(
    screens: Screens, pool: Pool, settings: Settings
) -> None:
    anna, ben, eva = (
        await factories.instructor(pool),
        await factories.student(pool),
        await factories.student(pool, "Eva"),
    )
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("15:00"))
    annas, bens, evas = [
        await screens.open(token=await factories.token_of(pool, person.id, settings))
        for person in (anna, ben, eva)
    ]
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    for screen in (annas, bens):
        await screen.receives("booking")
    await asyncio.sleep(1)
    lesson_id = await lesson_whose_message_is_lost(pool, ben, anna, anna.at("10:00"))
    # The instructor's calendar is followed by version, so the message itself is found again.
    message = await annas.receives("booking", after=len(annas.messages))
    assert message["booking"]["id"] == str(lesson_id)
    # Here the student gets it too, because the calendar is followed; there are no duplicates.
    await bens.receives("booking", after=1)
    assert await evas.quiet(2) == []
    assert [screen.of("refresh") for screen in (annas, bens, evas)] == [[], [], []]


async def test_a_student_learns_of_a_lost_message_of_a_calendar_that_nobody_follows(
    screens: Screens, pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    screen = await screens.open(token=await factories.token_of(pool, ben.id, settings))
    await asyncio.sleep(2)  # the total of the account is read
    await lesson_whose_message_is_lost(pool, ben, anna, anna.at("09:00"))
    await screen.receives("refresh")
    # Counting goes on from there: the next message arrives, and there is no further refresh.
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
    await screen.receives("booking")
    assert await screen.quiet(2.5) == []


# ---- Postgres


async def test_postgres_restarted_twice_and_nothing_is_lost(
    postgres_server: Server, redis_server: RedisServer, settings: Settings
) -> None:
    database = postgres_server.cluster.database(TEMPLATE)
    starter = Starter(
        settings.model_copy(update={"database_url": type(settings.database_url)(database)})
    )
    pool = await db.connect(database)
    try:
        anna, ben = await factories.instructor(pool), await factories.student(pool)
        carl = await factories.instructor(pool, "Carl")
        web = starter("serve")
        starter("relay")
        await factories.lesson(pool, ben.id, anna.service_id, anna.at("11:00"))
        await all_published(pool)  # the relay has started
        screens = Screens(web.url)
        screen = await screens.open()
        await screen.shows(anna)
        for hour, end in ((9, postgres_server.stop), (10, postgres_server.kill)):
            await asyncio.to_thread(end)  # the sockets go on meanwhile
            newcomer = await screens.open()
            await newcomer.watch(carl)
            error = await newcomer.receives("error")
            assert (error["code"], error["instructor"]) == ("UNAVAILABLE", str(carl.id))
            postgres_server.start()
            await pool.expire_connections()
            await factories.lesson(pool, ben.id, anna.service_id, anna.at(f"{hour:02}:00"))
            await catches_up(pool, screen, anna)
            # The delayed watch is answered now.
            await newcomer.receives("board")
            await catches_up(pool, newcomer, carl)
            await newcomer.close()
        await all_published(pool)
        await screens.close()
    finally:
        starter.stop_all()
        pool.terminate()


async def test_silent_postgres_connections_are_replaced_and_screens_are_right_within_15_seconds(
    start: Starter, pool: Pool, settings: Settings, postgres: Cluster, tmp_path: Path
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    start("relay")
    with Proxy(Path(postgres.sockets, ".s.PGSQL.5432"), tmp_path / ".s.PGSQL.5432") as proxy:
        address = settings.database_url.get_secret_value().replace(
            str(postgres.sockets), str(tmp_path)
        )
        real = Settings.model_fields["reconcile_seconds"].default
        web = start("serve", database_url=SecretStr(address), reconcile_seconds=real)
        assert proxy.connections >= 2
        screens = Screens(web.url)
        screen = await screens.open()
        await screen.shows(anna)
        await asyncio.sleep(3)
        for hour in ATTEMPTS:
            proxy.silence()
            await lesson_whose_message_is_lost(pool, ben, anna, anna.at(hour))
            newcomer = await screens.open()
            await newcomer.watch(anna, days=3)
            await newcomer.receives("board")
            if (seconds := await catches_up(pool, screen, anna)) < BOUND:
                break
        assert seconds < BOUND
        await status_of(web, 200)
        await screens.close()
        web.stop()


async def test_a_locked_calendar_delays_the_screen_of_no_other_calendar(
    start: Starter, pool: Pool, database_url: str, settings: Settings
) -> None:
    anna, carl, ben = (
        await factories.instructor(pool),
        await factories.instructor(pool, "Carl"),
        await factories.student(pool),
    )
    eva = await factories.student(pool, "Eva")  # whose row no booking of Ben's holds
    token = await factories.token_of(pool, ben.id, settings)
    start("relay")
    web = start("serve", database_pool=2)
    screens = Screens(web.url)
    screen = await screens.open()
    await screen.shows(carl)
    async with (
        patient_pool(database_url, size=1) as outside,
        outside.acquire() as connection,
        httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE) as client,
    ):
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            "select from calendar where instructor_id = $1 for update", anna.id
        )

        async def book(hour: int) -> int:
            body = {
                "service_id": str(anna.service_id),
                "start": anna.at(f"{hour:02}:00").isoformat(),
                "duration_minutes": 60,
            }
            return (
                await client.post(f"{web.url}/api/bookings", json=body | {"location": "Here"})
            ).status_code

        async def keep_booking(hour: int) -> None:
            while True:
                await book(hour)

        waiting = [asyncio.create_task(keep_booking(hour)) for hour in range(9, 17)]
        await asyncio.sleep(1)
        await lesson_whose_message_is_lost(pool, eva, carl, carl.at("09:00"))
        await catches_up(pool, screen, carl)
        newcomer = await screens.open()
        await newcomer.shows(anna)  # the locked calendar can be read, too
        # Requests that need another connection wait, but the live path has its own.
        await status_of(web, 503, reason="pool")
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await transaction.rollback()
    await screens.close()


async def test_a_board_that_could_not_be_read_is_sent_once_it_can_be(
    screens: Screens, pool: Pool
) -> None:
    anna = await factories.instructor(pool)
    await pool.execute(
        "alter function board(uuid, date, int) rename to board_elsewhere"
    )  # an unexpected error
    screen = await screens.open()
    await screen.watch(anna)
    assert (await screen.receives("error"))["code"] == "UNAVAILABLE"
    await pool.execute("alter function board_elsewhere(uuid, date, int) rename to board")
    await screen.receives("board")
    await catches_up(pool, screen, anna)


async def rewind(pool: Pool, instructor: factories.Instructor) -> None:
    """As after the restore of an older dump: later rows are gone, under the same epoch."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "delete from notification; delete from booking_audit;"
            " delete from booking; delete from outbox"
        )
        await connection.execute(
            "update calendar set version = 0 where instructor_id = $1", instructor.id
        )


async def test_a_rewound_database_begins_a_new_epoch_for_every_process(
    start: Starter, pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    start("relay")
    urls = [start("serve").url for _ in range(2)]
    screens = Screens(urls[0])
    watching = [await screens.open(url=url) for url in urls]
    bens = await screens.open(token=await factories.token_of(pool, ben.id, settings))
    for screen in watching:
        await screen.shows(anna)
    for hour in (9, 10, 11):
        await factories.lesson(pool, ben.id, anna.service_id, anna.at(f"{hour:02}:00"))
    for screen in watching:
        await screen.reaches(anna, 3)
    epoch = watching[0].boards[str(anna.id)]["epoch"]
    await all_published(pool)
    await rewind(pool, anna)
    for screen in watching:
        board = await screen.receives("board", after=4, version=0)
        assert board["epoch"] != epoch
    await bens.receives("refresh")
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("12:00"))
    for screen in watching:
        await catches_up(pool, screen, anna)
        assert len({message["epoch"] for message in screen.of("board")}) == 2
    await bens.receives("booking", after=len(bens.of("booking", "refresh")) - 1)
    await screens.close()


async def test_a_new_epoch_by_an_operator_gives_every_screen_a_new_board(
    screens: Screens, pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    screen = await screens.open(token=await factories.token_of(pool, ben.id, settings))
    board = await screen.shows(anna)
    await pool.execute("update site set epoch_seed = gen_random_uuid()")
    fresh = await screen.receives("board", after=screen.messages.index(board) + 1)
    assert fresh["epoch"] != board["epoch"]
    await screen.receives("refresh")
    await screen.watch(anna, epoch=board["epoch"], version=0)
    await screen.receives("board", after=screen.messages.index(fresh) + 1)
    await catches_up(pool, screen, anna)


# ---- several processes


async def test_two_processes_show_the_same_board_and_one_outlives_the_other(
    start: Starter, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    start("relay")
    one, other = start("serve"), start("serve")
    screens = Screens(one.url)
    ones, others = await screens.open(), await screens.open(url=other.url)
    for screen in (ones, others):
        await screen.shows(anna)
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    for screen in (ones, others):
        await catches_up(pool, screen, anna)
    one.kill()
    assert await ones.ends() == 1006
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
    await catches_up(pool, others, anna)
    again = await screens.open(url=other.url)
    board = ones.boards[str(anna.id)]
    again.resume_from(board)
    await again.watch(anna, epoch=board["epoch"], version=board["version"])
    await catches_up(pool, again, anna)
    assert [message["version"] for message in again.of("change")] == [2]
    await screens.close()


# ---- the end of a process


async def test_a_process_that_ends_closes_its_sockets_in_paced_batches(
    start: Starter, pool: Pool
) -> None:
    anna = await factories.instructor(pool)
    web = start("serve", drain_seconds=6)
    screens = Screens(web.url)
    watching = [await screens.open() for _ in range(20)]
    for screen in watching:
        await screen.shows(anna)
    began = time.monotonic()
    os.kill(web.pid, signal.SIGTERM)
    await asyncio.sleep(0.3)
    assert (
        await asyncio.to_thread(httpx.get, f"{web.url}/health/live", timeout=PATIENCE)
    ).status_code == 200
    with pytest.raises(Exception, match="503"):
        await screens.open()
    ended: list[float] = []

    async def ends(screen: Screen) -> None:
        assert await screen.ends() == 1012
        ended.append(time.monotonic() - began)

    await asyncio.gather(*(ends(screen) for screen in watching))
    assert await asyncio.to_thread(web.wait) == 0
    byes = [screen.of("bye")[0]["after_ms"] for screen in watching]
    assert min(byes) >= 500
    assert len(set(byes)) > 10
    assert max(ended) - min(ended) > 1


# ---- the stated bound, with the intervals of a real deployment


async def test_a_connected_screen_is_stale_for_15_seconds_at_most(
    start: Starter, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    real = {
        name: Settings.model_fields[name].default
        for name in ("reconcile_seconds", "beacon_seconds", "relay_poll_seconds")
    }
    start("relay", **real)
    screens = Screens(start("serve", **real).url)
    screen = await screens.open()
    await screen.shows(anna)
    await asyncio.sleep(
        3
    )  # the reconciles of the start are over, so the next one is a whole interval away
    for hour in ATTEMPTS:
        await lesson_whose_message_is_lost(pool, ben, anna, anna.at(hour))
        if (seconds := await catches_up(pool, screen, anna)) < BOUND:
            break
    assert seconds < BOUND
    await screens.close()
