"""The live protocol's client by itself, against a server that is played by the test: what it applies, ignores and asks for again."""

import asyncio
import json
from typing import Any

from playwright.async_api import Page, WebSocketRoute, expect

from app import wire
from app.availability import board
from app.db import Pool
from tests import people
from tests.browser.conftest import Open
from tests.browser.test_board import time
from tests.people import Instructor


class Played:
    """The server's side of every connection the page makes."""

    def __init__(self) -> None:
        self.sockets: list[WebSocketRoute] = []
        self.heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def __call__(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        socket.on_message(lambda text: self.heard.put_nowait(json.loads(text)))

    def say(self, **message: Any) -> None:
        self.sockets[-1].send(json.dumps(message))

    async def watch(self) -> dict[str, Any]:
        message = await asyncio.wait_for(self.heard.get(), 10)
        assert message["type"] == "watch"
        return message

    async def silent(self) -> None:
        await asyncio.sleep(0.3)
        assert self.heard.empty()


async def connected(open_page: Open, pool: Pool) -> tuple[Page, Played, Instructor, dict[str, Any]]:
    """A page that has been told the board it was drawn with."""
    anna = await people.instructor(pool, "Anna")
    played = Played()
    page = await open_page("about:blank")
    await page.context.route_web_socket("**/live", played)
    await page.clock.install()
    await page.goto(f"/instructors/{anna.id}?minutes=30")
    first = await played.watch()
    assert {"instructor": str(anna.id), "first": str(anna.today), "days": 35}.items() <= first.items()
    played.say(
        type="beacon",
        now=wire.instant(anna.at("00:00", day=0)),
        epoch=first["epoch"],
        versions={str(anna.id): first["version"]},
    )
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    return page, played, anna, first


async def without_nine(pool: Pool, anna: Instructor) -> dict[str, Any]:
    """Tomorrow, as it looks when the lesson at nine is gone."""
    shown = await board.snapshot(pool, anna.id, anna.day(), 1)
    assert shown is not None
    day: dict[str, Any] = shown.days[str(anna.day())]
    return {str(anna.day()): day | {"free": [[wire.instant(anna.at("09:30")), day["free"][0][1]]]}}


async def test_the_next_version_is_applied_and_older_ones_are_ignored(open_page: Open, pool: Pool) -> None:
    page, played, anna, first = await connected(open_page, pool)
    nine = time(page, anna.at("09:00"))
    change = {"type": "change", "instructor": str(anna.id), "epoch": first["epoch"], "days": await without_nine(pool, anna)}
    played.say(**change, version=first["version"])
    await played.silent()
    await expect(nine).to_have_attribute("data-state", "free")
    played.say(**change, version=first["version"] + 1)
    await expect(nine).to_have_attribute("data-state", "gone")
    await played.silent()


async def test_after_a_gap_it_resumes_from_what_it_has(open_page: Open, pool: Pool) -> None:
    page, played, anna, first = await connected(open_page, pool)
    change = {"type": "change", "instructor": str(anna.id), "epoch": first["epoch"], "days": await without_nine(pool, anna)}
    played.say(**change, version=first["version"] + 2)
    asked = await played.watch()
    assert (asked["epoch"], asked["version"]) == (first["epoch"], first["version"])
    await expect(page.locator("#live")).to_have_attribute("data-state", "catching up")
    await expect(time(page, anna.at("09:00"))).to_have_attribute("data-state", "free")
    played.say(**(change | {"days": {}}), version=first["version"] + 1)
    played.say(**change, version=first["version"] + 2)
    played.say(type="beacon", now="2026-01-01T00:00:00Z", epoch=first["epoch"], versions={str(anna.id): first["version"] + 2})
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await expect(time(page, anna.at("09:00"))).to_have_count(0)


async def test_another_epoch_starts_afresh(open_page: Open, pool: Pool) -> None:
    page, played, anna, _ = await connected(open_page, pool)
    played.say(type="change", instructor=str(anna.id), epoch="another", version=1, days={})
    asked = await played.watch()
    assert "epoch" not in asked
    days = await without_nine(pool, anna) | {str(anna.day(n)): {"free": [], "held": []} for n in (0, *range(2, 35))}
    played.say(
        type="board", instructor=str(anna.id), epoch="another", version=1, time_zone="America/New_York",
        min_advance_minutes=120, days=days,
    )  # fmt: skip
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await expect(time(page, anna.at("09:00"))).to_have_attribute("data-state", "gone")


async def test_a_beacon_reveals_a_lost_last_message(open_page: Open, pool: Pool) -> None:
    _, played, anna, first = await connected(open_page, pool)
    played.say(type="beacon", now="2026-01-01T00:00:00Z", epoch=first["epoch"], versions={str(anna.id): first["version"] + 1})
    asked = await played.watch()
    assert (asked["epoch"], asked["version"]) == (first["epoch"], first["version"])


async def test_silence_for_45_seconds_is_a_dead_connection(open_page: Open, pool: Pool) -> None:
    page, played, _, first = await connected(open_page, pool)
    await page.clock.run_for(40_000)
    assert len(played.sockets) == 1
    await page.clock.run_for(15_000)
    asked = await played.watch()
    assert len(played.sockets) == 2
    assert (asked["epoch"], asked["version"]) == (first["epoch"], first["version"])


async def test_after_goodbye_it_stays_away_as_long_as_it_was_told(open_page: Open, pool: Pool) -> None:
    page, played, _, _ = await connected(open_page, pool)
    played.say(type="bye", after_ms=8_000)
    await played.sockets[-1].close(code=1012)
    await page.clock.run_for(7_500)
    assert len(played.sockets) == 1
    await page.clock.run_for(5_000)
    await played.watch()


async def test_a_bad_client_does_not_come_back(open_page: Open, pool: Pool) -> None:
    page, played, _, _ = await connected(open_page, pool)
    await played.sockets[-1].close(code=4400)
    await page.clock.run_for(120_000)
    assert len(played.sockets) == 1
    await expect(page.locator("#live")).to_have_attribute("data-state", "offline")


async def test_how_long_it_stays_away_by_close_code(open_page: Open, pool: Pool) -> None:
    await people.instructor(pool, "Anna")
    page = await open_page("/")
    delays = await page.evaluate(
        """async () => {
             const { delay } = await import("/static/live.js");
             const both = (code, failures) => [delay(code, failures, 0), delay(code, failures, 0.9999)];
             return { first: both(1006, 0), later: both(1011, 9), many: both(4429, 0),
                      never: [1009, 4400, 4401, 4403].map((code) => delay(code, 0, 0.5)), bye: delay(1012, 0, 0, 4000) };
           }"""
    )
    assert delays["first"][0] == 500
    assert delays["first"][1] <= 1_500
    assert delays["later"][0] == 500
    assert 25_000 < delays["later"][1] <= 30_000
    assert delays["many"][0] >= 30_000
    assert delays["never"] == [None] * 4
    assert delays["bye"] >= 4_000
