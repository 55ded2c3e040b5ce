"""From Redis to the hub: a burst of changes does not block the loop."""

import asyncio
import json
import time
from typing import Any
from uuid import uuid4

from app import redis
from app.settings import Settings
from realtime import channels
from realtime.calendar import Requests
from realtime.history import Board
from realtime.hub import Hub
from realtime.subscriber import Subscriber
from tests.realtime.in_memory import EPOCH, NOW, WEEK, Recorder

CHANGES = 300


async def test_a_burst_of_changes_does_not_block_the_loop(settings: Settings) -> None:
    instructor = str(uuid4())
    requests = Requests()
    hub = Hub(settings, requests, now=lambda: NOW)
    hub.begin_epoch(EPOCH)
    client = redis.client(settings.redis_url.get_secret_value(), name="test")
    subscriber = Subscriber(hub, requests, settings, [client], lambda _: None)
    for _ in range(10_000):
        hub.watch(hub.join(Recorder(), None), instructor, WEEK)
    calendar = hub.calendars[instructor]
    hub.board_loaded(calendar, WEEK, Board(EPOCH, 0, b""))
    receiving = asyncio.create_task(subscriber.run())
    while await client.publish(channels.PARTITION_CHANNELS[0], b"") == 0:
        await asyncio.sleep(0.05)

    clock = time.process_time  # what other processes take does not count
    async with client.pipeline(transaction=False) as pipeline:
        for version in range(1, CHANGES + 1):
            days: dict[str, Any] = {WEEK.first: {"free": [], "held": []}}
            change = {
                "instructor": instructor,
                "epoch": EPOCH,
                "version": version,
                "days": days,
                "events": [],
                "at": 0,
            }
            pipeline.publish(channels.PARTITION_CHANNELS[0], json.dumps(change))
        await pipeline.execute()
    began = last = clock()
    longest = 0.0
    while (calendar.version or 0) < CHANGES:
        await asyncio.sleep(0)
        longest, last = max(longest, clock() - last), clock()
    together = clock() - began
    receiving.cancel()
    await asyncio.gather(receiving, return_exceptions=True)
    await redis.close(client)
    # One after another they take this long; nobody waits for more than a few of them.
    assert longest < together / 4
