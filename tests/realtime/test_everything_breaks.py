"""Every part breaks, in random order, while students book and cancel. Afterwards every screen of
every process equals the database, and none of them ever had a gap."""

import asyncio
import contextlib
import random
import time
from uuid import UUID

import asyncpg

from app import db, refusal
from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.cluster import TEMPLATE, Server
from tests.conftest import RedisServer
from tests.processes import Running, Starter
from tests.realtime.faults import all_published
from tests.realtime.screens import Screens, catches_up

SECONDS = 12
AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, refusal.Refusal)


class Crowd:
    """Students who book and cancel all the time."""

    def __init__(
        self,
        pool: Pool,
        instructors: list[factories.Instructor],
        students: list[factories.Account],
        chance: random.Random,
    ) -> None:
        self.pool = pool
        self.instructors = instructors
        self.students = students
        self.chance = chance
        self.lessons: list[tuple[UUID, UUID]] = []

    async def act(self) -> None:
        while True:
            with contextlib.suppress(*AWAY):
                if self.lessons and self.chance.random() < 0.4:
                    student, lesson = self.lessons.pop()
                    await self.pool.fetchrow(
                        "select * from cancel_booking($1, $2, '', now())", student, lesson
                    )
                else:
                    await self._book()
            await asyncio.sleep(0.03)

    async def _book(self) -> None:
        instructor, student = (
            self.chance.choice(self.instructors),
            self.chance.choice(self.students),
        )
        start = instructor.at(
            f"{self.chance.randrange(9, 17):02}:00", day=self.chance.randrange(1, 20)
        )
        lesson = await factories.lesson(self.pool, student.id, instructor.service_id, start)
        self.lessons.append((student.id, lesson.id))


async def test_after_faults_in_random_order_every_screen_equals_the_database(
    postgres_server: Server, redis_server: RedisServer, settings: Settings
) -> None:
    chance = random.Random(11)
    database = postgres_server.cluster.database(TEMPLATE)
    start = Starter(
        settings.model_copy(update={"database_url": type(settings.database_url)(database)})
    )
    pool = await db.connect(database)
    try:
        instructors = [await factories.instructor(pool, f"Anna {number}") for number in range(5)]
        students = [await factories.student(pool, f"Ben {number}") for number in range(10)]
        webs, relays = [start("serve"), start("serve")], [start("relay"), start("relay")]
        screens = Screens(webs[0].url)
        watching = [await screens.open(url=webs[number % 2].url) for number in range(12)]
        for screen in watching:
            for instructor in chance.sample(instructors, 3):
                await screen.shows(instructor, days=chance.choice([3, 7, 35]))
        crowd = Crowd(pool, instructors, students, chance)
        acting = [asyncio.create_task(crowd.act()) for _ in range(3)]
        await _break_everything(postgres_server, redis_server, start, relays, chance)
        for task in acting:
            task.cancel()
        await asyncio.gather(*acting, return_exceptions=True)
        await pool.expire_connections()
        by_id = {str(instructor.id): instructor for instructor in instructors}
        for screen in watching:
            for instructor_id in screen.boards:
                await catches_up(pool, screen, by_id[instructor_id])
        await all_published(pool)
        assert sum(len(screen.of("change")) for screen in watching) > 100
        await screens.close()
    finally:
        start.stop_all()
        pool.terminate()


async def _break_everything(
    postgres: Server,
    redis: RedisServer,
    start: Starter,
    relays: list[Running],
    chance: random.Random,
) -> None:
    """Stops in threads: a server aborts screens that answer no pings. Does not start in threads,
    because a process ends with the thread that started it."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for what in chance.sample(["postgres", "redis", "flush", "subscriptions", "relay"], 5):
            await asyncio.sleep(chance.uniform(0.3, 1.2))
            if what == "postgres":
                await asyncio.to_thread(chance.choice([postgres.stop, postgres.kill]))
                await asyncio.sleep(chance.uniform(0, 1.5))
                postgres.start()
            elif what == "redis":
                await asyncio.to_thread(chance.choice([redis.stop, redis.kill]))
                await asyncio.sleep(chance.uniform(0, 1.5))
                redis.start()
            elif what == "flush":
                redis.flush()
            elif what == "subscriptions":
                redis.embedded.ask(b"CLIENT KILL TYPE pubsub")
            else:
                await asyncio.to_thread(relays.pop(0).kill)
                relays.append(start("relay"))
