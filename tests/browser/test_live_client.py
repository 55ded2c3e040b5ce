"""The live protocol's client by itself, against a server that is played by the test: what it applies,
ignores and asks for again."""

import asyncio
import json
from typing import Any

from playwright.async_api import Page, Request, Route, WebSocketRoute, expect

from app import wire
from app.availability import board
from app.db import Pool
from tests import factories
from tests.browser.conftest import Open, stop_clock
from tests.browser.test_board import expect_not_free, take, time
from tests.factories import Account, Instructor


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


async def connected(
    open_page: Open, pool: Pool, viewer: Account | None = None
) -> tuple[Page, Played, Instructor, dict[str, Any]]:
    """An instructor's page that has been told the board it was drawn with."""
    anna = await factories.instructor(pool, "Anna")
    page, played = await open_played(open_page, f"/instructors/{anna.id}?minutes=30", viewer)
    first = await played.watch()
    assert {
        "instructor": str(anna.id),
        "first": str(anna.today),
        "days": 35,
    }.items() <= first.items()
    now_is(played, anna, first)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    return page, played, anna, first


async def open_played(open_page: Open, path: str, viewer: Account | None) -> tuple[Page, Played]:
    played = Played()
    page = await open_page("about:blank", viewer)
    await page.context.route_web_socket("**/live", played)
    await page.clock.install()
    await page.goto(path)
    return page, played


def now_is(played: Played, anna: Instructor, watch: dict[str, Any]) -> None:
    """The beacon that answers a resume with nothing missed."""
    versions = {str(anna.id): watch["version"]}
    now = wire.instant(anna.at("00:00", day=0))
    played.say(type="beacon", now=now, epoch=watch["epoch"], versions=versions)


async def without_nine(pool: Pool, anna: Instructor) -> dict[str, Any]:
    """Tomorrow, as it looks when the lesson at nine is gone."""
    shown = await board.snapshot(pool, anna.id, anna.day(), 1)
    assert shown is not None
    day: dict[str, Any] = shown.days[str(anna.day())]
    return {str(anna.day()): day | {"free": [[wire.instant(anna.at("09:30")), day["free"][0][1]]]}}


async def test_the_next_version_is_applied_and_older_ones_are_ignored(
    open_page: Open, pool: Pool
) -> None:
    page, played, anna, first = await connected(open_page, pool)
    nine = time(page, anna.at("09:00"))
    change = {
        "type": "change",
        "instructor": str(anna.id),
        "epoch": first["epoch"],
        "days": await without_nine(pool, anna),
    }
    played.say(**change, version=first["version"])
    await played.silent()
    await expect(nine).to_have_attribute("data-state", "free")
    played.say(**change, version=first["version"] + 1)
    await expect_not_free(page, anna.at("09:00"))
    await played.silent()


async def test_after_a_gap_it_resumes_from_what_it_has(open_page: Open, pool: Pool) -> None:
    page, played, anna, first = await connected(open_page, pool)
    change = {
        "type": "change",
        "instructor": str(anna.id),
        "epoch": first["epoch"],
        "days": await without_nine(pool, anna),
    }
    played.say(**change, version=first["version"] + 2)
    asked = await played.watch()
    assert (asked["epoch"], asked["version"]) == (first["epoch"], first["version"])
    await expect(page.locator("#live")).to_have_attribute("data-state", "catching up")
    await expect(time(page, anna.at("09:00"))).to_have_attribute("data-state", "free")
    played.say(**(change | {"days": {}}), version=first["version"] + 1)
    played.say(**change, version=first["version"] + 2)
    played.say(
        type="beacon",
        now="2026-01-01T00:00:00Z",
        epoch=first["epoch"],
        versions={str(anna.id): first["version"] + 2},
    )
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await expect(time(page, anna.at("09:00"))).to_have_count(0)


async def test_another_epoch_starts_afresh(open_page: Open, pool: Pool) -> None:
    page, played, anna, _ = await connected(open_page, pool)
    played.say(type="change", instructor=str(anna.id), epoch="another", version=1, days={})
    asked = await played.watch()
    assert "epoch" not in asked
    days = await without_nine(pool, anna) | {
        str(anna.day(n)): {"free": [], "held": []} for n in (0, *range(2, 35))
    }
    played.say(
        type="board", instructor=str(anna.id), epoch="another", version=1, time_zone="America/New_York",
        min_advance_minutes=120, days=days,
    )  # fmt: skip
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await expect_not_free(page, anna.at("09:00"))


async def test_a_beacon_reveals_a_lost_last_message(open_page: Open, pool: Pool) -> None:
    _, played, anna, first = await connected(open_page, pool)
    played.say(
        type="beacon",
        now="2026-01-01T00:00:00Z",
        epoch=first["epoch"],
        versions={str(anna.id): first["version"] + 1},
    )
    asked = await played.watch()
    assert (asked["epoch"], asked["version"]) == (first["epoch"], first["version"])


async def test_a_silent_connection_is_asked_for_an_answer_and_stays_when_one_comes(
    open_page: Open, pool: Pool
) -> None:
    page, played, anna, first = await connected(open_page, pool)
    dot = page.locator("#live")
    await page.clock.run_for(20_000)
    await played.silent()
    await page.clock.run_for(6_000)
    probe = await played.watch()
    assert (probe["epoch"], probe["version"]) == (first["epoch"], first["version"])
    await expect(dot).to_have_attribute("data-state", "catching up")
    now_is(played, anna, probe)
    await expect(dot).to_have_attribute("data-state", "live")
    await page.clock.run_for(20_000)
    await played.silent()
    assert len(played.sockets) == 1


async def test_a_silent_connection_that_does_not_answer_either_is_dead(
    open_page: Open, pool: Pool
) -> None:
    page, played, _, first = await connected(open_page, pool)
    await page.clock.run_for(26_000)
    await played.watch()
    assert len(played.sockets) == 1
    await page.clock.run_for(12_000)
    resumed = await played.watch()
    assert len(played.sockets) == 2
    assert (resumed["epoch"], resumed["version"]) == (first["epoch"], first["version"])


async def test_a_silent_connection_of_a_page_without_a_board_is_not_called_live(
    open_page: Open, pool: Pool
) -> None:
    page, played = await open_played(open_page, "/lessons", await factories.student(pool, "Ben"))
    dot = page.locator("#live")
    await expect(dot).to_have_attribute("data-state", "live")
    await page.clock.run_for(26_000)
    await expect(dot).to_have_attribute("data-state", "catching up")
    assert len(played.sockets) == 1
    await page.clock.run_for(26_000)
    await expect(dot).to_have_attribute("data-state", "live")
    assert len(played.sockets) == 2


async def test_a_calendar_that_is_not_found_is_not_live_and_is_asked_for_again(
    open_page: Open, pool: Pool
) -> None:
    page, played, anna, first = await connected(open_page, pool)
    dot, notice = page.locator("#live"), page.locator("#refused")
    await expect(notice).to_be_hidden()
    played.say(type="error", code="NOT_FOUND", detail="Not there.", instructor=str(anna.id))
    await expect(dot).to_have_attribute("data-state", "offline")
    await expect(notice).to_contain_text("Anna can’t be booked right now.")
    await expect(page.locator("#announcements")).not_to_contain_text("The connection is lost.")
    await page.clock.run_for(65_000)
    await played.watch()
    shown = await board.snapshot(pool, anna.id, anna.today, 35)
    assert shown is not None
    played.say(
        type="board",
        instructor=str(anna.id),
        epoch=first["epoch"],
        version=first["version"],
        time_zone=shown.time_zone,
        min_advance_minutes=shown.min_advance_minutes,
        days=shown.days,
    )
    await expect(dot).to_have_attribute("data-state", "live")
    await expect(notice).to_be_hidden()


async def test_a_card_whose_calendar_is_not_found_offers_nothing(
    open_page: Open, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    page, played = await open_played(open_page, "/", None)
    await played.watch()
    await expect(page.locator(".next .time[href]")).not_to_have_count(0)
    played.say(type="error", code="NOT_FOUND", detail="Not there.", instructor=str(anna.id))
    await expect(page.locator(".next .time[href]")).to_have_count(0)


async def test_a_refresh_reads_the_viewers_own_lessons_again(open_page: Open, pool: Pool) -> None:
    ben, cleo = await factories.student(pool, "Ben"), await factories.instructor(pool, "Cleo")
    page, played, anna, _ = await connected(open_page, pool, ben)
    nine = time(page, anna.at("09:00"))
    await expect(nine).to_have_attribute("data-state", "free")
    await take(pool, cleo, anna.at("09:00"), ben.id)
    played.say(type="refresh")
    await expect(nine).to_have_attribute("data-state", "busy")


async def test_a_list_that_could_not_be_read_is_read_again_soon(
    open_page: Open, pool: Pool
) -> None:
    ben, anna = await factories.student(pool, "Ben"), await factories.instructor(pool, "Anna")
    page, played = await open_played(open_page, "/lessons", ben)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    refused: asyncio.Queue[None] = asyncio.Queue()

    async def refuse(route: Route) -> None:
        await route.fulfill(status=503)
        refused.put_nowait(None)

    await page.route("**/lessons", refuse)
    await take(pool, anna, anna.at("09:00"), ben.id)
    played.say(type="refresh")
    await page.clock.run_for(5_000)
    await asyncio.wait_for(refused.get(), 10)
    await expect(page.locator("#live")).to_have_attribute("data-state", "catching up")
    await page.unroute("**/lessons", refuse)
    await page.clock.run_for(60_000)
    await expect(page.locator(".row")).to_contain_text("Piano with Anna")
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")


async def test_pages_that_are_told_to_refresh_together_do_not_all_read_at_once(
    open_page: Open, pool: Pool
) -> None:
    page, played = await open_played(open_page, "about:blank", await factories.student(pool, "Ben"))
    answers: asyncio.Queue[Request] = asyncio.Queue()

    def finished(request: Request) -> None:
        if request.url.endswith("/lessons"):
            answers.put_nowait(request)

    page.on("requestfinished", finished)
    await page.goto("/lessons")
    for _ in range(2):  # as a page, and once more when it is connected
        await asyncio.wait_for(answers.get(), 15)
    await page.evaluate("Math.random = () => 0.8")
    await stop_clock(page)
    for _ in range(3):
        played.say(type="refresh")
    await expect(page.locator("#live")).to_have_attribute("data-state", "catching up")
    await page.clock.run_for(3_900)
    await played.silent()
    assert answers.empty()
    await page.clock.run_for(200)
    await asyncio.wait_for(answers.get(), 15)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    assert answers.empty()


async def test_after_goodbye_it_stays_away_as_long_as_it_was_told(
    open_page: Open, pool: Pool
) -> None:
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
    await factories.instructor(pool, "Anna")
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


async def test_how_long_it_waits_before_it_reads_again(open_page: Open, pool: Pool) -> None:
    await factories.instructor(pool, "Anna")
    page = await open_page("/")
    delays = await page.evaluate(
        """async () => {
             const { retryDelay } = await import("/static/refresh.js");
             return [1, 2, 3, 50].map((failures) => [0, 0.9999].map((r) => retryDelay(failures, r)));
           }"""
    )
    for (shortest, longest), most in zip(delays, (2_000, 4_000, 8_000, 60_000), strict=True):
        assert shortest == most / 2
        assert most * 0.99 < longest < most
