"""The board that other sites embed, on a page of another origin with a strict policy."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest_asyncio
from playwright.async_api import Page, expect

from app import wire
from app.db import Pool
from tests import factories
from tests.browser.axe import violations
from tests.browser.board import book, hold
from tests.browser.conftest import Open
from tests.cluster import PATIENCE
from tests.processes import ROOT, Running

EXAMPLE = (ROOT / "docs" / "embedding-example.html").read_text()
EXAMPLE_SITE = "https://instainstru.example"
EXAMPLE_ID = "01980000-0000-7000-8000-000000000000"


@pytest_asyncio.fixture(loop_scope="session")
async def pages() -> AsyncIterator[dict[str, str]]:
    """The pages of another site, by path; `origin` is its address."""
    texts: dict[str, str] = {}

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        text = texts.get(head.split(b" ")[1].decode())
        body = (text or "").encode()
        writer.write(
            b"HTTP/1.1 %d OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
            b"Cross-Origin-Embedder-Policy: require-corp\r\nContent-Length: %d\r\n\r\n"
            % (404 if text is None else 200, len(body))
        )
        writer.write(body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    texts["origin"] = f"http://localhost:{server.sockets[0].getsockname()[1]}"
    yield texts
    server.close()


def example(server: Running, instructor: str, attributes: str = "") -> str:
    """The example of the documentation, for this server and instructor."""
    assert EXAMPLE_SITE in EXAMPLE
    assert EXAMPLE_ID in EXAMPLE
    page = EXAMPLE.replace(EXAMPLE_SITE.replace("https", "wss"), server.url.replace("http", "ws"))
    page = page.replace(EXAMPLE_SITE, server.url).replace(EXAMPLE_ID, instructor)
    return page.replace('duration="60"', attributes or 'duration="60"')


async def embedded(open_page: Open, pages: dict[str, str], text: str, **options: object) -> Page:
    pages["/"] = text
    return await open_page(f"{pages['origin']}/", **options)


async def test_a_change_arrives_and_a_click_opens_the_page_at_that_time(
    open_page: Open, pool: Pool, server: Running, pages: dict[str, str]
) -> None:
    anna = await factories.instructor(pool, "Anna Diaz", durations=(30, 60))
    ben = await factories.student(pool, "Ben Ode")
    page = await embedded(open_page, pages, example(server, str(anna.id)))
    board = page.locator("instainstru-board")
    await expect(board).to_have_attribute("data-state", "live")
    await expect(board).to_contain_text("Anna Diaz")
    await expect(board).to_contain_text("Piano · 60 min · $70")
    tomorrow = board.locator(f'[data-day="{anna.day()}"]')
    times = tomorrow.locator("a.time")
    await expect(times).to_have_count(8)
    assert await times.all_inner_texts() == [
        "9:00 am", "9:30 am", "10:00 am", "10:30 am", "11:00 am", "11:30 am", "12:00 pm",
        "12:30 pm",
    ]  # fmt: skip
    assert await violations(page) == []

    # By keyboard: the other times of the day, and a time that is taken while it has the focus.
    await tomorrow.get_by_role("button").focus()
    await page.keyboard.press("Enter")
    await expect(times).to_have_count(15)
    assert await focused(page) == "1:00 pm"
    await tomorrow.get_by_role("link", name="9:00 am").focus()
    await book(pool, anna, anna.at("09:00"), ben.id)
    await expect(tomorrow.get_by_text("9:00 am")).to_have_count(0)
    assert await focused(page) == "9:30 am"
    await expect(board.get_by_role("log")).to_contain_text("was just taken")
    await hold(pool, anna, anna.at("12:00"), ben.id, minutes=60)
    held = tomorrow.locator("span.time", has_text="12:00 pm")
    await expect(held).to_contain_text("being booked")

    async with page.context.expect_page() as opened:
        await tomorrow.get_by_role("link", name="10:00 am").click()
    instructor_page = await opened.value
    await expect(instructor_page).to_have_url(re.compile(f"^{server.url}/instructors/{anna.id}"))
    selected_time = instructor_page.locator(f'.time[value="{wire.instant(anna.at("10:00"))}"]')
    await expect(selected_time).to_have_attribute("aria-pressed", "true")
    await expect(instructor_page.locator("#when")).to_contain_text("10:00 am")
    await expect(instructor_page.locator("#to-lesson, #lesson").first).to_contain_text("$70")


async def focused(page: Page) -> str:
    script = "document.querySelector('instainstru-board').shadowRoot.activeElement?.textContent"
    return str(await page.evaluate(script))


async def test_without_a_socket_the_board_shows_the_public_availability(
    open_page: Open, pool: Pool, server: Running, pages: dict[str, str]
) -> None:
    anna = await factories.instructor(pool, "Anna", hours=("22:00", "24:00"))
    text = example(server, str(anna.id), 'duration="30"')
    # The policy forbids the socket.
    text = text.replace(server.url.replace("http", "ws"), "")
    page = await open_page("about:blank")
    pages["/"] = text
    await page.route_web_socket("**/live/public", lambda socket: socket.close(code=1011))
    await page.goto(f"{pages['origin']}/")
    board = page.locator("instainstru-board")
    await expect(board).to_have_attribute("data-state", "polling")
    await expect(board.locator(".state")).to_contain_text("As of")
    times = board.locator(f'[data-day="{anna.day()}"] a.time')
    assert await times.all_inner_texts() == ["10:00 pm", "10:30 pm", "11:00 pm", "11:30 pm"]
    start = wire.instant(anna.at("22:00")).replace(":", "%3A")
    assert start in str(await times.first.get_attribute("href"))


async def test_the_element_explains_an_empty_or_missing_board(
    open_page: Open, pool: Pool, server: Running, pages: dict[str, str]
) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    page = await embedded(open_page, pages, example(server, str(anna.id)))
    board = page.locator("instainstru-board")
    await expect(board).to_contain_text("Nothing free in the next 7 days.")
    await pool.execute(
        """insert into availability (instructor_id, during)
           values ($1, tstzrange($2::timestamptz, $2::timestamptz + interval '2 hours'))""",
        anna.id,
        anna.at("09:00", day=9),
    )
    await board.evaluate("(board) => board.setAttribute('duration', '30')")
    await page.reload()
    link = board.get_by_role("link", name=re.compile("Next: .*9:00 am"))
    await expect(link).to_have_attribute("href", re.compile(str(anna.id)))
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    await page.reload()
    await board.evaluate("(board) => board.after(board.cloneNode())")
    for nth in range(2):
        await expect(board.nth(nth)).to_have_attribute("data-state", "live")
    await board.first.evaluate("(board) => board.remove()")
    await expect(board).to_have_attribute("data-state", "live")
    assert len(sockets) == 1  # shared
    await board.evaluate(f"(board) => board.setAttribute('instructor', '{EXAMPLE_ID}')")
    await expect(board).to_contain_text("We couldn’t find this instructor")
    await board.evaluate(f"(board) => board.setAttribute('instructor', '{anna.id}')")
    await expect(board).to_have_attribute("data-state", "live")
    await pool.execute("select set_teaching($1, false)", anna.id)
    await expect(board).to_contain_text("Nothing free in the next 7 days.")


async def test_any_site_may_load_the_modules(server: Running) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client:
        paths = {"/embed.js"}
        checked: set[str] = set()
        while paths := paths - checked:
            path = paths.pop()
            module = await client.get(path, headers={"Origin": "https://school.example"})
            assert module.headers["access-control-allow-origin"] == "*", path
            assert module.headers["cross-origin-resource-policy"] == "cross-origin", path
            assert module.headers["content-type"].startswith("text/javascript"), path
            names = re.findall(r'(?:from|import) "(?:\./|/static/)([\w.?]+)"', module.text)
            paths |= {f"/static/{name}" for name in names}
            checked.add(path)
        assert {Path(path).name.partition("?")[0] for path in checked} == {
            "embed.js", "live.js", "formatting.js", "start_times.js",
        }  # fmt: skip
        cached = await client.get("/embed.js")
        assert cached.headers["cache-control"] == "public, max-age=300"
