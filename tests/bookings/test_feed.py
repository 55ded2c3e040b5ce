"""Lessons as calendar files: one to download, and a private feed to subscribe to. They are parsed
independently of the library that writes them."""

from datetime import datetime

import httpx
import pytest

from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.bookings.browser import Browser, browser
from tests.factories import Instructor
from tests.notifications.ics import parse


async def feed_of(person: Browser) -> str:
    answer = await person.post("/api/bookings/feed")
    assert answer.status_code == 200
    url: str = answer.json()["url"]
    return url


def events(text: str) -> list[str]:
    """Each event of a calendar, as a calendar of its own."""
    head, *rest = text.split("BEGIN:VEVENT\r\n")
    parts = [part.partition("END:VEVENT\r\n")[0] for part in rest]
    return [f"{head}BEGIN:VEVENT\r\n{part}END:VEVENT\r\nEND:VCALENDAR\r\n" for part in parts]


async def test_a_lesson_is_downloaded_as_a_calendar_file(
    ben: Browser, as_anna: Browser, anna: Instructor
) -> None:
    lesson = (await ben.book(anna, "10:00")).json()
    path = f"/api/bookings/{lesson['id']}/calendar.ics"
    answer = await ben.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="lesson.ics"'
    calendar, event = parse(answer.text)
    assert calendar["METHOD"] == "PUBLISH"
    assert event["UID"].startswith(f"{lesson['id']}@")
    assert event.properties["DTSTART"].instant == datetime.fromisoformat(lesson["start"])
    assert (event["SUMMARY"], event["LOCATION"], event["STATUS"], event["SEQUENCE"]) == (
        "Piano with Anna",
        "12 Main St",
        "CONFIRMED",
        "0",
    )
    assert "ATTENDEE" not in event.properties
    _, annas = parse((await as_anna.get(path)).text)
    assert (annas["SUMMARY"], annas["UID"]) == ("Piano with Ben", event["UID"])
    await ben.post(f"/api/bookings/{lesson['id']}/cancellation", {})
    _, cancelled = parse((await ben.get(path)).text)
    assert (cancelled["STATUS"], cancelled["SEQUENCE"]) == ("CANCELLED", "1")


async def test_without_an_address_the_place_is_named_as_on_the_pages(
    ben: Browser, as_anna: Browser, anna: Instructor, pool: Pool
) -> None:
    lesson = (await ben.book(anna, "10:00")).json()
    path = f"/api/bookings/{lesson['id']}/calendar.ics"
    await pool.execute("update booking set location = '', location_type = 'instructor'")
    assert parse((await ben.get(path)).text)[1]["LOCATION"] == "At Anna’s place"
    assert parse((await as_anna.get(path)).text)[1]["LOCATION"] == "At your place"


async def test_a_hold_has_no_calendar_file(ben: Browser, carl: Browser, anna: Instructor) -> None:
    lesson = (await ben.hold(anna, "10:00")).json()
    path = f"/api/bookings/{lesson['id']}/calendar.ics"
    answer = await ben.get(path)
    assert (answer.status_code, answer.json()["code"]) == (409, "WRONG_STATE")
    assert (await carl.get(path)).status_code == 404


async def test_a_feed_shows_its_accounts_lessons_without_signing_in(
    ben: Browser, carl: Browser, as_anna: Browser, anna: Instructor, client: httpx.AsyncClient
) -> None:
    mine = (await ben.book(anna, "10:00")).json()
    other = (await carl.book(anna, "12:00")).json()
    dropped = (await ben.book(anna, "14:00")).json()
    await ben.post(f"/api/bookings/{dropped['id']}/cancellation", {})
    await ben.hold(anna, "15:00")
    url = await feed_of(ben)
    answer = await client.get(url)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/calendar; charset=utf-8"
    (only,) = events(answer.text)
    assert parse(only)[1]["UID"].startswith(mine["id"])
    annas = events((await client.get(await feed_of(as_anna))).text)
    assert [parse(each)[1]["UID"].partition("@")[0] for each in annas] == [
        mine["id"],
        other["id"],
    ]


async def test_a_feed_is_private_and_revocable(
    ben: Browser, carl: Browser, client: httpx.AsyncClient, pool: Pool
) -> None:
    url = await feed_of(ben)
    assert await feed_of(ben) == url
    assert await feed_of(carl) != url
    feed_id = str(await pool.fetchval(
        "select id from calendar_feed where account_id = $1", ben.account.id))  # fmt: skip
    assert feed_id not in url
    for token in (feed_id, url.rpartition("/")[2][:-5], "x", "x" * 300, "%00", "é"):
        answer = await client.get(f"/api/public/feeds/{token}.ics")
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert (await client.post("/api/bookings/feed")).status_code == 401
    assert (await ben.send("DELETE", "/api/bookings/feed")).status_code == 204
    assert (await ben.send("DELETE", "/api/bookings/feed")).status_code == 204
    assert (await client.get(url)).status_code == 404
    assert (await client.get(await feed_of(carl))).status_code == 200
    renewed = await feed_of(ben)
    assert renewed != url
    assert (await client.get(renewed)).status_code == 200


@pytest.mark.parametrize("name", ['Anna "Ann" Ash; Esq,', "Anna\r\nSUMMARY:Injected"])
async def test_names_cannot_inject_properties(
    client: httpx.AsyncClient, pool: Pool, settings: Settings, name: str
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await browser(client, pool, settings, await factories.student(pool, "Ben"))
    await ben.book(anna, "10:00")
    await pool.execute("update account set full_name = $1 where id = $2", name, anna.id)
    (only,) = events((await client.get(await feed_of(ben))).text)
    summary = parse(only)[1]["SUMMARY"]
    assert summary.replace("\n", " ").replace("\r", "") == f"Piano with {name}".replace("\r\n", " ")
