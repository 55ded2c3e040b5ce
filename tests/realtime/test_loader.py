"""From Postgres to the hub: what is read, and what need not be."""

import asyncio
from datetime import timedelta

from prometheus_client import REGISTRY

from app.db import Pool
from app.settings import Settings
from realtime.history import Window
from realtime.hub import Hub
from realtime.loader import Loader
from tests import factories
from tests.realtime.paper import FIRST, NOW, Paper


async def test_weeks_that_a_screen_has_left_already_are_not_read(
    pool: Pool, settings: Settings
) -> None:
    anna = await factories.instructor(pool)
    loader = Loader(pool)
    hub = Hub(settings, loader, now=lambda: NOW)
    hub.begin_epoch(await pool.fetchval("select epoch()"))
    watcher = hub.join(paper := Paper(), None)
    weeks = [Window.of(FIRST + timedelta(weeks=number), 7) for number in range(20)]
    for week in weeks:
        hub.watch(watcher, str(anna.id), week)
    before = boards_read()
    loading = asyncio.create_task(loader.run(hub))
    async with asyncio.timeout(10):
        while not paper.told:
            await asyncio.sleep(0.01)
    loading.cancel()
    await asyncio.gather(loading, return_exceptions=True)
    assert [min(board["days"]) for board in paper.of("board")] == [weeks[-1].first]
    assert boards_read() - before == 1


def boards_read() -> float:
    return REGISTRY.get_sample_value("live_boards_total") or 0.0
