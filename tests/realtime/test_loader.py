"""From Postgres to the hub."""

import asyncio
from datetime import timedelta

from prometheus_client import REGISTRY

from app.db import Pool
from app.settings import Settings
from realtime.calendar import Requests
from realtime.history import Window
from realtime.hub import Hub
from realtime.loader import Loader
from tests import factories
from tests.cluster import PATIENCE
from tests.realtime.in_memory import FIRST, NOW, Recorder


async def test_weeks_that_a_screen_has_already_left_are_not_read(
    pool: Pool, settings: Settings
) -> None:
    anna = await factories.instructor(pool)
    requests = Requests()
    hub = Hub(settings, requests, now=lambda: NOW)
    hub.begin_epoch(await pool.fetchval("select epoch()"))
    watcher = hub.join(recorder := Recorder(), None)
    weeks = [Window.of(FIRST + timedelta(weeks=number), 7) for number in range(20)]
    for week in weeks:
        hub.watch(watcher, str(anna.id), week)
    before = boards_read()
    loading = asyncio.create_task(Loader(hub, requests, pool).run())
    async with asyncio.timeout(PATIENCE):
        while not recorder.messages:
            await asyncio.sleep(0.01)
    loading.cancel()
    await asyncio.gather(loading, return_exceptions=True)
    assert [min(board["days"]) for board in recorder.of("board")] == [weeks[-1].first]
    assert boards_read() - before == 1


async def test_a_change_that_cannot_be_read_delays_no_other_calendar_and_is_shown_by_a_board(
    pool: Pool, settings: Settings
) -> None:
    anna, carl = await factories.instructor(pool), await factories.instructor(pool, "Carl")
    requests = Requests()
    hub = Hub(settings, requests, now=lambda: NOW)
    hub.begin_epoch(await pool.fetchval("select epoch()"))
    recorders = [Recorder(), Recorder()]
    ben = await factories.student(pool)
    week = Window.of(anna.day(), 7)
    for instructor, recorder in zip((anna, carl), recorders, strict=True):
        hub.watch(hub.join(recorder, None), str(instructor.id), week)
    loading = asyncio.create_task(Loader(hub, requests, pool).run())
    async with asyncio.timeout(PATIENCE):
        while not all(recorder.versions() == [0] for recorder in recorders):
            await asyncio.sleep(0.01)
    for instructor, hour in ((anna, "09:00"), (carl, "11:00")):
        await factories.lesson(pool, ben.id, instructor.service_id, instructor.at(hour))
    await pool.execute(
        "update outbox set days = $2, events = $3 where instructor_id = $1",
        anna.id, ["of another release"], [["of another release"]],
    )  # fmt: skip
    for calendar in hub.calendars.values():
        calendar.compare(1)
    async with asyncio.timeout(PATIENCE):
        while not all(recorder.versions() == [0, 1] for recorder in recorders):
            await asyncio.sleep(0.01)
    loading.cancel()
    await asyncio.gather(loading, return_exceptions=True)
    assert [message["type"] for message in recorders[0].messages] == ["board", "board"]
    assert [message["type"] for message in recorders[1].messages] == ["board", "change"]


def boards_read() -> float:
    return REGISTRY.get_sample_value("live_boards_total") or 0.0
