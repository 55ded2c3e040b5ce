"""`GET /api/search` and the filters of `GET /api/instructors`: results match every criterion."""

import contextlib
import random
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from app import refusal
from app.availability import board, start_times
from app.db import Pool
from app.search import search
from app.search.parse import parse
from app.search.vocabulary import load_vocabulary
from tests import factories
from tests.factories import Instructor


async def names(client: httpx.AsyncClient, q: str, **filters: Any) -> list[str]:
    """The names of the instructors among the results."""
    return [
        item["instructor"]["name"] for item in (await search_json(client, q, **filters))["items"]
    ]


async def search_json(client: httpx.AsyncClient, q: str, **filters: Any) -> dict[str, Any]:
    response = await client.get("/api/search", params={"q": q, **filters})
    assert response.status_code == 200, response.text
    content: dict[str, Any] = response.json()
    return content


async def names_by_page(client: httpx.AsyncClient, q: str, limit: int) -> list[str]:
    page = await search_json(client, q, limit=limit)
    pages = [page]
    while page["next_cursor"]:
        page = await search_json(client, q, limit=limit, cursor=page["next_cursor"])
        pages.append(page)
    return [item["instructor"]["name"] for page in pages for item in page["items"]]


async def teaches_in(pool: Pool, instructor: Instructor, *areas: str) -> None:
    await pool.executemany(
        "insert into instructor_area values ($1, $2)", [(instructor.id, area) for area in areas]
    )


async def test_a_service_is_found_under_its_price_in_its_area(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", rate_cents=7000)
    carl = await factories.instructor(pool, "Carl", rate_cents=8000)
    dora = await factories.instructor(pool, "Dora", service="guitar", rate_cents=4000)
    await teaches_in(pool, anna, "park-slope")
    await teaches_in(pool, carl, "brooklyn")
    await teaches_in(pool, dora, "harlem")
    assert sorted(await names(client, "piano")) == ["Anna", "Carl"]
    assert sorted(await names(client, "paino under $80")) == ["Anna", "Carl"]
    assert await names(client, "piano under $79.99") == ["Anna"]
    assert await names(client, "piano over $70.01") == ["Carl"]
    assert sorted(await names(client, "piano in brooklyn")) == ["Anna", "Carl"]
    assert sorted(await names(client, "near park slope")) == ["Anna", "Carl"]
    assert await names(client, "piano in dumbo") == ["Carl"]
    assert await names(client, "in manhattan") == ["Dora"]
    assert sorted(await names(client, "music")) == ["Anna", "Carl", "Dora"]
    assert await names(client, "cheap piano") == ["Anna", "Carl"]
    assert await names(client, "piano", sort="price") == ["Anna", "Carl"]
    assert await names(client, "piano", sort="newest") == ["Carl", "Anna"]
    # An explicit filter wins over the words.
    assert await names(client, "piano", service="guitar") == ["Dora"]
    assert await names(client, "piano", category="languages") == []
    assert await names(client, "spanish", category="music", max_price=4000) == ["Dora"]
    assert await names(client, "under $10", min_price=7500) == ["Carl"]


async def test_a_service_without_levels_or_audiences_suits_everyone(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    await factories.instructor(pool, "Carl")
    await pool.execute(
        "update service set levels = '{advanced}', audiences = '{adults}' where id = $1",
        anna.service_id,
    )
    assert await names(client, "piano for beginners") == ["Carl"]
    assert sorted(await names(client, "advanced piano")) == ["Anna", "Carl"]
    assert await names(client, "piano for my 8 year old") == ["Carl"]
    assert sorted(await names(client, "piano for seniors")) == ["Anna", "Carl"]


async def test_services_for_an_audience_come_before_those_for_everyone(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    """Anna teaches everyone, and sooner than Carl, who teaches children."""
    for name, hour, audiences in (
        ("Anna", "10:00", []),
        ("Bela", "11:00", []),
        ("Carl", "14:00", ["kids"]),
        ("Emil", "15:00", ["adults", "kids"]),
        ("Dora", "10:00", ["adults"]),
    ):
        account = await factories.instructor(pool, name, hours=(hour, "20:00"))
        await pool.execute("delete from availability where lower(during) < $1", account.at("00:00"))
        await pool.execute(
            "update service set audiences = $2 where id = $1", account.service_id, audiences
        )
    day = account.day(3).isoformat()
    for query in ("piano for my 7 year old", f"kids piano {day}"):
        assert await names(client, query) == ["Carl", "Emil", "Anna", "Bela"]
        for limit in (1, 2, 3):
            assert await names_by_page(client, query, limit) == ["Carl", "Emil", "Anna", "Bela"]
    assert await names(client, "piano for adults") == ["Dora", "Emil", "Anna", "Bela"]
    assert await names(client, "piano for teens") == ["Anna", "Bela"]
    assert (await names(client, f"piano {day}"))[-1] == "Emil"
    # Of a whole category, and in another order, all are mixed.
    assert await names(client, "music for kids") == ["Anna", "Bela", "Carl", "Emil"]
    assert await names(client, "piano for kids", sort="newest") == ["Emil", "Carl", "Bela", "Anna"]


async def test_other_words_are_looked_up_in_names_and_texts(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Zoë Chen")
    await factories.instructor(pool, "Carl")
    await pool.execute("update instructor set bio = 'Improvised jazz' where id = $1", anna.id)
    assert await names(client, "zoe") == ["Zoë Chen"]
    assert await names(client, "piano with zoe improvisation") == ["Zoë Chen"]
    await pool.execute("update account set full_name = 'Yara Chen' where id = $1", anna.id)
    assert await names(client, "yara") == ["Yara Chen"]
    await pool.execute("update service set description = 'Chopin' where id = $1", anna.service_id)
    assert await names(client, "chopin") == ["Yara Chen"]


async def test_a_search_with_a_time_finds_only_instructors_who_are_free_for_a_whole_lesson(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", hours=("09:00", "18:30"), durations=(60,))
    carl = await factories.instructor(pool, "Carl", hours=("16:00", "20:00"), durations=(60,))
    ben = await factories.student(pool, "Ben")
    day = anna.day(3).isoformat()
    assert await names(client, f"piano {day} evening") == ["Anna", "Carl"]
    items = (await search_json(client, f"piano {day} evening"))["items"]
    assert {item["next_available"] for item in items} == {instant(anna.at("17:00", day=3))}
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("17:00", day=3))
    assert await names(client, f"piano {day} evening") == ["Carl"]
    assert await names(client, f"piano {day} after 6pm") == ["Carl"]
    await factories.lesson(pool, ben.id, carl.service_id, carl.at("18:00", day=3))
    (item,) = (await search_json(client, f"piano {day} evening"))["items"]
    assert item["next_available"] == instant(carl.at("17:00", day=3))
    (item,) = (await search_json(client, f"piano {day} after 5:30pm"))["items"]
    assert item["next_available"] == instant(carl.at("19:00", day=3))
    assert await names(client, f"piano {day} at 5:30pm") == []
    assert await names(client, f"piano {day} 6-7:30pm") == []
    assert await names(client, "piano", date=day, part_of_day="morning") == ["Anna"]
    assert await names(client, "piano before 10am") == ["Anna"]


async def free_only_on(pool: Pool, instructor: Instructor, *days: date) -> None:
    await pool.execute(
        """delete from availability where instructor_id = $1
           and (lower(during) at time zone 'America/New_York')::date <> all ($2::date[])""",
        instructor.id,
        days,
    )


async def test_a_search_for_several_days_leaves_out_the_days_between(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    for n in range(1, 8):
        anna = await factories.instructor(pool, f"Anna {n}")
        await free_only_on(pool, anna, anna.day(n))
    weekdays = [f"{anna.day(n):%a}".lower() for n in range(8)]
    query = f"piano {weekdays[2]} or {weekdays[4]}"
    assert await names(client, query) == ["Anna 2", "Anna 4"]
    understood = (await search_json(client, query))["understood"]
    assert (understood["date"], understood["last_date"]) == (str(anna.day(2)), str(anna.day(4)))
    assert await names(client, query, sort="newest") == ["Anna 4", "Anna 2"]
    assert await names(client, f"piano {anna.day(2)} to {anna.day(4)}") == [
        "Anna 2", "Anna 3", "Anna 4",
    ]  # fmt: skip
    # A day in a filter replaces them.
    assert await names(client, query, date=str(anna.day(3))) == ["Anna 3"]


async def test_a_long_range_of_days_is_searched_to_its_end(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    await free_only_on(pool, anna, anna.day(25))
    assert await names(client, "piano in the next two weeks") == []
    assert await names(client, "piano in the next four weeks") == ["Anna"]


async def test_places_outside_the_city_have_no_results_and_online_is_ignored(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    await pool.execute("update instructor set bio = 'From New Jersey' where id = $1", anna.id)
    content = await search_json(client, "piano in new jersey")
    assert (content["items"], content["understood"]["text"]) == ([], "new jersey")
    assert content["relaxed"]["dropped"] == ["text"]
    assert [item["instructor"]["name"] for item in content["relaxed"]["items"]] == ["Anna"]
    assert (await search_json(client, "guitar in new jersey"))["relaxed"]["dropped"] == [
        "service", "text",
    ]  # fmt: skip
    assert await names(client, "online piano lessons") == ["Anna"]


async def test_days_within_the_notice_and_blackout_days_are_not_free(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", notice_minutes=5 * 24 * 60)
    carl = await factories.instructor(pool, "Carl")
    day = anna.day(3)
    assert await names(client, f"piano {day}") == ["Carl"]
    assert await names(client, f"piano {anna.day(7)}") == ["Anna", "Carl"]
    await pool.execute("insert into blackout (instructor_id, day) values ($1, $2)", carl.id, day)
    assert await names(client, f"piano {day}") == []


async def test_a_search_without_results_says_what_to_drop(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", hours=("09:00", "12:00"), rate_cents=7000)
    await teaches_in(pool, anna, "park-slope")
    day = anna.day(3)
    content = await search_json(client, f"piano {day} evening in brooklyn under $80")
    assert content["items"] == []
    assert content["relaxed"]["dropped"] == ["part_of_day"]
    assert [item["instructor"]["name"] for item in content["relaxed"]["items"]] == ["Anna"]
    content = await search_json(client, f"piano {day} in queens under $50")
    assert content["relaxed"]["dropped"] == ["area", "max_price_cents"]
    content = await search_json(client, "guitar")
    assert content["relaxed"]["dropped"] == ["service"]
    assert content["relaxed"]["items"][0]["service"]["catalog_service"] == "piano"
    assert (await search_json(client, "piano"))["relaxed"] is None
    content = await search_json(client, "piano xylograph")
    assert content["relaxed"]["dropped"] == ["text"]


@pytest.mark.parametrize("sort", ["soonest", "price", "newest"])
@pytest.mark.parametrize("words", ["piano", "piano in the morning"])
async def test_pages_add_up_to_all_results_in_their_order(
    client: httpx.AsyncClient, pool: Pool, sort: str, words: str
) -> None:
    for n in range(7):
        await factories.instructor(
            pool,
            f"Carl {n}",
            rate_cents=5000 + 1000 * (n % 3),
            hours=(f"{8 + n % 3:02}:00", "17:00"),
            days=0 if n == 6 else 10,
        )
    whole = (await search_json(client, words, sort=sort))["items"]
    assert len(whole) == (7 if words == "piano" else 6)
    pages: list[Any] = []
    cursor = ""
    while cursor is not None:
        page = await search_json(client, words, sort=sort, limit=2, cursor=cursor)
        pages += page["items"]
        cursor = page["next_cursor"]
    assert pages == whole
    if sort == "soonest":
        starts = [item["next_available"] or "9" for item in whole]
        assert starts == sorted(starts)
    if sort == "price":
        prices = [item["hourly_rate_cents"] for item in whole]
        assert prices == sorted(prices)
    refused = await client.get("/api/search", params={"cursor": "WyJwcmljZSIsMSwieCJd"})
    assert refused.json()["field"] == "cursor"


async def test_every_result_with_a_time_can_be_booked(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(
        pool, "Anna", hours=("09:15", "12:00"), buffer_minutes=30, durations=(45,)
    )
    ben = await factories.student(pool, "Ben")
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:15"), minutes=45)
    (item,) = (await search_json(client, "piano tomorrow morning"))["items"]
    start = datetime.fromisoformat(item["next_available"])
    assert start == anna.at("10:30")
    await factories.lesson(pool, ben.id, anna.service_id, start, minutes=45)


async def test_suggestions_complete_what_is_typed(client: httpx.AsyncClient) -> None:
    async def suggested(q: str) -> list[tuple[str, str]]:
        response = await client.get("/api/search/suggestions", params={"q": q})
        return [(item["text"], item["kind"]) for item in response.json()["items"]]

    assert ("Piano", "service") in await suggested("pia")
    assert ("Piano", "service") in await suggested("paino")
    assert ("piano Brooklyn", "area") in await suggested("piano brook")
    assert ("piano for Sarah in Brooklyn", "area") in await suggested("paino for Sarah in brook")
    assert ("Music", "category") in await suggested("musi")
    assert await suggested("") == []
    assert await suggested("qqqqqq") == []
    refused = await client.get("/api/search/suggestions", params={"q": "x" * 201})
    assert (refused.status_code, refused.json()["field"]) == (422, "q")


def instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(("query", "limit"), [("piano", 2), ("piano tomorrow", 1), ("", 2)])
async def test_a_page_takes_one_or_two_statements(pool: Pool, query: str, limit: int) -> None:
    for n in range(30):
        await factories.instructor(pool, f"Carl {n}")
    vocabulary = await load_vocabulary(pool)
    now = datetime.now(UTC)
    criteria = parse(query, vocabulary, now=search.local_now(now))
    statements: list[str] = []
    async with pool.acquire() as connection:
        # The first search stores the next starts.
        await search.find(connection, criteria, vocabulary, now=now, limit=21)
        with connection.query_logger(lambda record: statements.append(record.query)):
            matches = await search.find(connection, criteria, vocabulary, now=now, limit=21)
            assert len(matches.items) == 21
        await connection.execute("select 1")
    assert len(statements) <= limit


@pytest.mark.parametrize("seed", range(3))
async def test_a_search_with_a_time_has_the_same_free_starts_as_the_boards(
    client: httpx.AsyncClient, pool: Pool, seed: int
) -> None:
    dice = random.Random(seed)
    instructors = []
    for n in range(10):
        opens = dice.randrange(8, 19)
        carl = await factories.instructor(
            pool,
            f"Carl {n}",
            hours=(f"{opens:02}:15", f"{dice.randrange(opens + 1, 23):02}:30"),
            buffer_minutes=dice.choice([0, 15, 45]),
            durations=(dice.choice([30, 45, 60, 90]),),
            time_zone=dice.choice(["America/New_York", "America/New_York", "Europe/Berlin"]),
        )
        instructors.append(carl)
        for number in range(3):
            ben = await factories.student(pool, f"Ben {n} {number}")
            start = carl.at(
                f"{dice.randrange(8, 22):02}:{dice.choice(['00', '15', '30', '45'])}", day=2
            )
            with contextlib.suppress(refusal.Refusal):
                minutes = await pool.fetchval(
                    "select durations_minutes[1] from service where id = $1", carl.service_id
                )
                await factories.lesson(pool, ben.id, carl.service_id, start, minutes=minutes)
    day = instructors[0].day(2)
    for first, last in ((6, 12), (12, 17), (17, 22), (10, 11), (18, 24)):
        expected = {}
        for carl in instructors:
            zone = ZoneInfo(carl.time_zone)
            begin = datetime(day.year, day.month, day.day, first % 24, tzinfo=zone)
            end = datetime(day.year, day.month, day.day, tzinfo=zone) + timedelta(hours=last)
            snapshot = await board.snapshot(pool, carl.id, day, 1)
            assert snapshot is not None
            free = start_times.spans(snapshot.days[day.isoformat()]["free"])
            inside = [(max(a, begin), min(b, end)) for a, b in free if a < end and begin < b]
            minutes = await pool.fetchval(
                "select durations_minutes[1] from service where id = $1", carl.service_id
            )
            starts = start_times.of_ranges(inside, minutes, carl.time_zone)
            if (first_start := next(starts, None)) is not None:
                expected[carl.name] = instant(first_start)
        items = (await search_json(client, f"piano {day} from {first}:00 to {last}:00"))["items"]
        assert {item["instructor"]["name"]: item["next_available"] for item in items} == expected
