"""The client of the live protocol. The test takes the server's side of the WebSocket, because a
real server cannot be made to skip, repeat or withhold messages."""

import asyncio
import json
from typing import Any

from playwright.async_api import Page, Request, Route, WebSocketRoute, expect

from app import wire
from app.availability import board
from app.db import Pool
from tests import factories
from tests.browser.board import book, expect_not_free, time_button
from tests.browser.conftest import Open, stop_clock
from tests.cluster import PATIENCE
from tests.factories import Account, Instructor


class FakeServer:
    """The server's side of all connections of a page."""

    def __init__(self) -> None:
        self.sockets: list[WebSocketRoute] = []
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def __call__(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        socket.on_message(lambda text: self.messages.put_nowait(json.loads(text)))

    def send(self, **message: Any) -> None:
        self.sockets[-1].send(json.dumps(message))

    async def watch(self) -> dict[str, Any]:
        message = await asyncio.wait_for(self.messages.get(), PATIENCE)
        assert message["type"] == "watch"
        return message

    async def expect_no_message(self) -> None:
        await asyncio.sleep(0.3)
        assert self.messages.empty()


async def connected(
    open_page: Open, pool: Pool, viewer: Account | None = None, *, timed: bool = False
) -> tuple[Page, FakeServer, Instructor, dict[str, Any]]:
    """An instructor's page that is live with the board it was drawn with."""
    anna = await factories.instructor(pool, "Anna")
    path = f"/instructors/{anna.id}?minutes=30"
    page, server = await open_page_of(open_page, path, viewer, timed=timed)
    first = await server.watch()
    assert {
        "instructor": str(anna.id),
        "first": str(anna.today),
        "days": 35,
    }.items() <= first.items()
    send_beacon(server, anna, first)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    return page, server, anna, first


async def open_page_of(
    open_page: Open, path: str, viewer: Account | None, *, timed: bool = False
) -> tuple[Page, FakeServer]:
    """With `timed`, the page has a clock that the test moves."""
    server = FakeServer()
    page = await open_page("about:blank", viewer)
    await page.route_web_socket("**/live", server)
    if timed:
        await page.clock.install()
    await page.goto(path)
    return page, server


def send_beacon(server: FakeServer, anna: Instructor, watch: dict[str, Any]) -> None:
    """Answers a resume: nothing was missed."""
    versions = {str(anna.id): watch["version"]}
    now = wire.instant(anna.at("00:00", day=0))
    server.send(type="beacon", now=now, epoch=watch["epoch"], versions=versions)


async def without_nine(pool: Pool, anna: Instructor) -> dict[str, Any]:
    """Tomorrow's board without the start at nine."""
    snapshot = await board.snapshot(pool, anna.id, anna.day(), 1)
    assert snapshot is not None
    day: dict[str, Any] = snapshot.days[str(anna.day())]
    return {str(anna.day()): day | {"free": [[wire.instant(anna.at("09:30")), day["free"][0][1]]]}}


async def test_the_next_version_is_applied_and_older_ones_are_ignored(
    open_page: Open, pool: Pool
) -> None:
    page, server, anna, first = await connected(open_page, pool)
    nine = time_button(page, anna.at("09:00"))
    change = {
        "type": "change",
        "instructor": str(anna.id),
        "epoch": first["epoch"],
        "days": await without_nine(pool, anna),
    }
    server.send(**change, version=first["version"])
    await server.expect_no_message()
    await expect(nine).to_have_attribute("data-state", "free")
    server.send(**change, version=first["version"] + 1)
    await expect_not_free(page, anna.at("09:00"))
    await server.expect_no_message()


async def test_after_a_gap_the_page_resumes_from_its_version(open_page: Open, pool: Pool) -> None:
    page, server, anna, first = await connected(open_page, pool)
    change = {
        "type": "change",
        "instructor": str(anna.id),
        "epoch": first["epoch"],
        "days": await without_nine(pool, anna),
    }
    server.send(**change, version=first["version"] + 2)
    watch = await server.watch()
    assert (watch["epoch"], watch["version"]) == (first["epoch"], first["version"])
    await expect(page.locator("#live")).to_have_attribute("data-state", "catching up")
    await expect(time_button(page, anna.at("09:00"))).to_have_attribute("data-state", "free")
    server.send(**(change | {"days": {}}), version=first["version"] + 1)
    server.send(**change, version=first["version"] + 2)
    server.send(
        type="beacon",
        now="2026-01-01T00:00:00Z",
        epoch=first["epoch"],
        versions={str(anna.id): first["version"] + 2},
    )
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await expect(time_button(page, anna.at("09:00"))).to_have_count(0)


async def test_a_new_epoch_replaces_the_board(open_page: Open, pool: Pool) -> None:
    page, server, anna, _ = await connected(open_page, pool)
    server.send(type="change", instructor=str(anna.id), epoch="another", version=1, days={})
    watch = await server.watch()
    assert "epoch" not in watch
    days = await without_nine(pool, anna) | {
        str(anna.day(n)): {"free": [], "held": []} for n in (0, *range(2, 35))
    }
    server.send(
        type="board",
        instructor=str(anna.id),
        epoch="another",
        version=1,
        time_zone="America/New_York",
        min_advance_minutes=120,
        days=days,
    )
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await expect_not_free(page, anna.at("09:00"))


async def test_a_beacon_reveals_that_the_last_message_was_lost(open_page: Open, pool: Pool) -> None:
    _, server, anna, first = await connected(open_page, pool)
    server.send(
        type="beacon",
        now="2026-01-01T00:00:00Z",
        epoch=first["epoch"],
        versions={str(anna.id): first["version"] + 1},
    )
    watch = await server.watch()
    assert (watch["epoch"], watch["version"]) == (first["epoch"], first["version"])


async def test_a_silent_connection_is_probed_and_kept_if_the_server_answers(
    open_page: Open, pool: Pool
) -> None:
    page, server, anna, first = await connected(open_page, pool, timed=True)
    dot = page.locator("#live")
    await page.clock.run_for(20_000)
    await server.expect_no_message()
    await page.clock.run_for(6_000)
    probe = await server.watch()
    assert (probe["epoch"], probe["version"]) == (first["epoch"], first["version"])
    await expect(dot).to_have_attribute("data-state", "catching up")
    send_beacon(server, anna, probe)
    await expect(dot).to_have_attribute("data-state", "live")
    await page.clock.run_for(20_000)
    await server.expect_no_message()
    assert len(server.sockets) == 1


async def test_a_silent_connection_without_an_answer_to_the_probe_is_replaced(
    open_page: Open, pool: Pool
) -> None:
    page, server, _, first = await connected(open_page, pool, timed=True)
    await page.clock.run_for(26_000)
    await server.watch()
    assert len(server.sockets) == 1
    await page.clock.run_for(12_000)
    resumed = await server.watch()
    assert len(server.sockets) == 2
    assert (resumed["epoch"], resumed["version"]) == (first["epoch"], first["version"])


async def test_a_silent_connection_of_a_page_without_a_board_is_not_live(
    open_page: Open, pool: Pool
) -> None:
    page, server = await open_page_of(
        open_page, "/lessons", await factories.student(pool, "Ben"), timed=True
    )
    dot = page.locator("#live")
    await expect(dot).to_have_attribute("data-state", "live")
    await page.clock.run_for(26_000)
    await expect(dot).to_have_attribute("data-state", "catching up")
    assert len(server.sockets) == 1
    await page.clock.run_for(26_000)
    await expect(dot).to_have_attribute("data-state", "live")
    assert len(server.sockets) == 2


async def test_a_calendar_that_is_not_found_is_not_live_and_is_requested_again(
    open_page: Open, pool: Pool
) -> None:
    page, server, anna, first = await connected(open_page, pool, timed=True)
    dot, notice = page.locator("#live"), page.locator("#not-public")
    await expect(notice).to_be_hidden()
    server.send(type="error", code="NOT_FOUND", detail="Not there.", instructor=str(anna.id))
    await expect(dot).to_have_attribute("data-state", "offline")
    await expect(notice).to_contain_text("Anna can’t be booked right now.")
    await expect(page.locator("#announcements")).not_to_contain_text("Connection lost.")
    await page.clock.run_for(65_000)
    await server.watch()
    snapshot = await board.snapshot(pool, anna.id, anna.today, 35)
    assert snapshot is not None
    server.send(
        type="board",
        instructor=str(anna.id),
        epoch=first["epoch"],
        version=first["version"],
        time_zone=snapshot.time_zone,
        min_advance_minutes=snapshot.min_advance_minutes,
        days=snapshot.days,
    )
    await expect(dot).to_have_attribute("data-state", "live")
    await expect(notice).to_be_hidden()


async def test_a_card_whose_calendar_is_not_found_has_no_times(open_page: Open, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna")
    page, server = await open_page_of(open_page, "/", None)
    await server.watch()
    await expect(page.locator(".next .time[href]")).not_to_have_count(0)
    server.send(type="error", code="NOT_FOUND", detail="Not there.", instructor=str(anna.id))
    await expect(page.locator(".next .time[href]")).to_have_count(0)


async def test_a_refresh_message_makes_the_page_read_the_viewers_own_lessons(
    open_page: Open, pool: Pool
) -> None:
    ben, cleo = await factories.student(pool, "Ben"), await factories.instructor(pool, "Cleo")
    page, server, anna, _ = await connected(open_page, pool, ben, timed=True)
    nine = time_button(page, anna.at("09:00"))
    await expect(nine).to_have_attribute("data-state", "free")
    await book(pool, cleo, anna.at("09:00"), ben.id)
    # The answer to the resume of a page that has just been opened: it reads at once.
    await stop_clock(page)
    server.send(type="refresh")
    await expect(nine).to_have_attribute("data-state", "busy")
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    # Later ones come to many pages at a time.
    server.send(type="refresh")
    await expect(page.locator("#live")).to_have_attribute("data-state", "catching up")


async def test_a_failed_read_of_a_list_is_repeated(open_page: Open, pool: Pool) -> None:
    ben, anna = await factories.student(pool, "Ben"), await factories.instructor(pool, "Anna")
    page, server = await open_page_of(open_page, "/lessons", ben, timed=True)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    refusals: asyncio.Queue[None] = asyncio.Queue()

    async def refuse(route: Route) -> None:
        await route.fulfill(status=503)
        refusals.put_nowait(None)

    await page.route("**/lessons", refuse)
    await book(pool, anna, anna.at("09:00"), ben.id)
    server.send(type="refresh")
    await page.clock.run_for(5_000)
    await asyncio.wait_for(refusals.get(), PATIENCE)
    await expect(page.locator("#live")).to_have_attribute("data-state", "catching up")
    await page.unroute("**/lessons", refuse)
    await page.clock.run_for(60_000)
    await expect(page.locator(".row")).to_contain_text("Piano with Anna")
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")


async def test_after_a_refresh_message_pages_read_at_random_moments(
    open_page: Open, pool: Pool
) -> None:
    page, server = await open_page_of(
        open_page, "about:blank", await factories.student(pool, "Ben"), timed=True
    )
    answers: asyncio.Queue[Request] = asyncio.Queue()

    def finished(request: Request) -> None:
        if request.url.endswith("/lessons"):
            answers.put_nowait(request)

    page.on("requestfinished", finished)
    await page.goto("/lessons")
    for _ in range(2):  # the page itself, and once more when connected
        await asyncio.wait_for(answers.get(), PATIENCE)
    await page.evaluate("Math.random = () => 0.8")
    await stop_clock(page)
    for _ in range(3):
        server.send(type="refresh")
    await expect(page.locator("#live")).to_have_attribute("data-state", "catching up")
    await page.clock.run_for(3_900)
    await server.expect_no_message()
    assert answers.empty()
    await page.clock.run_for(200)
    await asyncio.wait_for(answers.get(), PATIENCE)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    assert answers.empty()


async def test_after_bye_the_page_waits_as_long_as_the_server_said(
    open_page: Open, pool: Pool
) -> None:
    page, server, _, _ = await connected(open_page, pool, timed=True)
    server.send(type="bye", after_ms=8_000)
    await server.sockets[-1].close(code=1012)
    await page.clock.run_for(7_500)
    assert len(server.sockets) == 1
    await page.clock.run_for(5_000)
    await server.watch()


async def test_after_a_protocol_error_the_page_does_not_reconnect(
    open_page: Open, pool: Pool
) -> None:
    page, server, _, _ = await connected(open_page, pool, timed=True)
    await server.sockets[-1].close(code=4400)
    await page.clock.run_for(120_000)
    assert len(server.sockets) == 1
    await expect(page.locator("#live")).to_have_attribute("data-state", "offline")


async def test_the_wait_before_reconnecting_depends_on_the_close_code(
    open_page: Open, pool: Pool
) -> None:
    await factories.instructor(pool, "Anna")
    page = await open_page("/")
    delays = await page.evaluate(
        """async () => {
             const { delay } = await import("/static/live.js");
             const range = (code, failures) =>
               [0, 0.9999].map((random) => delay(code, failures, random));
             return { first: range(1006, 0), later: range(1011, 9), tooMany: range(4429, 0),
                      never: [1009, 4400, 4401, 4403].map((code) => delay(code, 0, 0.5)),
                      bye: delay(1012, 0, 0, 4000) };
           }"""
    )
    assert delays["first"][0] == 500
    assert delays["first"][1] <= 1_500
    assert delays["later"][0] == 500
    assert 25_000 < delays["later"][1] <= 30_000
    assert delays["tooMany"][0] >= 30_000
    assert delays["never"] == [None] * 4
    assert delays["bye"] >= 4_000


async def test_a_call_keeps_its_key_until_its_outcome_is_known(open_page: Open, pool: Pool) -> None:
    await factories.instructor(pool, "Anna")
    page = await open_page("/")
    keys = await page.evaluate(
        """async () => {
             const { attempt } = await import("/static/attempt.js");
             const [keys, statuses] = [[], [503, 409, 200]];
             globalThis.fetch = async (path, { headers }) => {
               keys.push(headers["idempotency-key"]);
               return Response.json({}, { status: statuses.shift() });
             };
             const send = attempt();
             for (let n = 0; n < 3; n += 1) await send("/api/holds");
             return keys;
           }"""
    )
    assert keys[0] == keys[1]
    assert keys[1] != keys[2]


async def test_the_wait_before_another_read_grows_with_failures(
    open_page: Open, pool: Pool
) -> None:
    await factories.instructor(pool, "Anna")
    page = await open_page("/")
    delays = await page.evaluate(
        """async () => {
             const { retryDelay } = await import("/static/refresh.js");
             return [1, 2, 3, 50].map((failures) =>
               [0, 0.9999].map((random) => retryDelay(failures, random)));
           }"""
    )
    for (shortest, longest), most in zip(delays, (2_000, 4_000, 8_000, 60_000), strict=True):
        assert shortest == most / 2
        assert most * 0.99 < longest < most
