"""The search page without scripts: chips, the form, results, nearest results, pages."""

import re

import httpx
import pytest

from app import formatting
from app.db import Pool
from app.search import search
from app.web import utc_now
from tests import factories
from tests.forms import Page
from tests.pages.visitor import sign_in, visit
from tests.statement_counts import executed


def chips(page: Page) -> dict[str, str]:
    """The address without each criterion."""
    return {
        text.removesuffix(" × (remove)"): path
        for text, path in page.links.items()
        if text.endswith("(remove)")
    }


def names_on(page: Page, *names: str) -> list[str]:
    return [name for name in names if name in page.links]


async def test_the_query_is_shown_as_chips_each_of_which_can_be_removed(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna Diaz", rate_cents=7000)
    dear = await factories.instructor(pool, "Dora Dear", rate_cents=9000)
    await factories.instructor(pool, "Gil Guitar", service="guitar")
    for each in (anna, dear):
        await pool.execute("insert into instructor_area values ($1, 'park-slope')", each.id)
    page = await visit(client, "/search?q=piano+lessons+under+$80+in+brooklyn")
    assert [*chips(page)] == ["Piano", "In Brooklyn", "Up to $80"]
    assert "Piano lessons in Brooklyn" in page.text
    names = ("Anna Diaz", "Dora Dear", "Gil Guitar")
    assert names_on(page, *names) == ["Anna Diaz"]
    page = await visit(client, chips(page)["Up to $80"])
    assert [*chips(page)] == ["Piano", "In Brooklyn"]
    assert names_on(page, *names) == ["Anna Diaz", "Dora Dear"]
    assert page.form("/search").fields["q"] == "Piano in Brooklyn"
    page = await visit(client, chips(page)["In Brooklyn"])
    page = await visit(client, chips(page)["Piano"])
    assert chips(page) == {}
    assert names_on(page, *names) == [*names]


async def test_many_services_are_in_the_heading_after_the_place(client: httpx.AsyncClient) -> None:
    query = "piano, violin, cello or flute in brooklyn"
    heading = re.search("<h1>(.*)</h1>", (await client.get("/search", params={"q": query})).text)
    assert heading
    assert re.fullmatch(r"Lessons in Brooklyn: .+, .+ or \d+ others", heading[1])


async def test_a_word_of_many_services_names_them(client: httpx.AsyncClient) -> None:
    page = await visit(client, "/search?q=coding+for+my+8+year+old")
    assert [*chips(page)] == ["Coding", "For kids"]
    page = await visit(client, chips(page)["For kids"])
    assert [*chips(page)] == ["Coding"]
    assert "Coding lessons in New York" in page.text
    assert "others" not in page.text


async def test_places_have_their_article_and_preposition(client: httpx.AsyncClient) -> None:
    for query, title in (
        ("piano in bronx or queens", "Piano lessons in the Bronx or Queens"),
        ("saxophone upper west side", "Saxophone lessons on the Upper West Side"),
        ("yoga in east village", "Yoga lessons in the East Village"),
        ("yoga staten island", "Yoga lessons on Staten Island"),
    ):
        page = Page(await client.get("/search", params={"q": query}))
        assert title in page.text
        # The page's own phrase is understood in the same way.
        [service, place] = chips(page)
        again = Page(await client.get("/search", params={"q": f"{service} {place}"}))
        assert title in again.text


async def test_every_criterion_survives_the_removal_of_another(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    query = "beginner piano in brooklyn $40 to $80 for kids tomorrow after 6pm 30 min"
    page = await visit(client, f"/search?q={query}")
    everything = [*chips(page)]
    assert {"Piano", "In Brooklyn", "$40 to $80", "Tomorrow", "Beginner", "For kids"} <= {
        *everything
    }
    for text, path in chips(page).items():
        others = [*chips(await visit(client, path))]
        assert others == [each for each in everything if each != text]


async def test_the_form_shows_and_corrects_what_was_understood(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    await factories.instructor(pool, "Anna Diaz", rate_cents=7000)
    await factories.instructor(pool, "Vera Violin", service="violin", rate_cents=5000)
    page = await visit(client, "/search?q=piano+under+$60")
    assert "No lesson fits all of this: Piano · up to $60." in page.text
    form = [form for form in page.forms if form.action == "/search"][1]
    assert form.fields["max_price"] == "$60"
    text = (await client.get("/search?q=piano+in+harlem")).text
    assert re.findall('<option value="([a-z-]+)" selected>', text) == ["piano", "harlem", "soonest"]
    corrected = Page(await form.send(client, service="piano", max_price="$75"))
    assert [*chips(corrected)] == ["Piano", "Up to $75"]
    assert names_on(corrected, "Anna Diaz", "Vera Violin") == ["Anna Diaz"]
    for wrong in ("max_price=much", "date=soon", "service=x", "from_time=99:99", "minutes=0"):
        assert (await client.get(f"/search?refined=1&{wrong}")).status_code == 200


async def test_a_word_of_several_services_is_corrected_in_the_form(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    await factories.instructor(pool, "Pia Python", service="python")
    await factories.instructor(pool, "Jan Java", service="java")
    await factories.instructor(pool, "Anna Diaz")
    names = ("Pia Python", "Jan Java", "Anna Diaz")
    response = await client.get("/search?q=coding+in+queens+or+bronx")
    form = [form for form in Page(response).forms if form.action == "/search"][1]
    # The fields show what the words were understood as.
    services, areas, _ = re.findall('<option value="([a-z,-]+)" selected>', response.text)
    assert {"python", "java"} < {*services.split(",")}
    assert areas == "bronx,queens"
    broad = Page(await form.send(client, area="", service=services))
    assert sorted(names_on(broad, *names)) == ["Jan Java", "Pia Python"]
    one = Page(await form.send(client, area="", service="python"))
    assert names_on(one, *names) == ["Pia Python"]
    every = Page(await form.send(client, area="", service=""))
    assert sorted(names_on(every, *names)) == ["Anna Diaz", "Jan Java", "Pia Python"]


async def test_nobody_is_said_to_offer_only_what_nobody_offers(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    await factories.instructor(pool, "Sol", service="spanish", days=0)
    # Another service is chosen in the form of a category, and somebody who has no time teaches.
    page = await visit(client, "/search?q=music")
    form = [form for form in page.forms if form.action == "/search"][1]
    page = Page(await form.send(client, service="spanish"))
    assert names_on(page, "Sol") == ["Sol"]
    assert [*chips(page)] == ["Spanish"]
    page = await visit(client, "/search?q=spanish+tomorrow")
    assert "Nobody" not in page.text
    assert names_on(page, "Sol") == ["Sol"]
    page = await visit(client, "/search?q=music")
    assert "Nobody here offers Music right now." in page.text
    answer = (await client.get("/api/search?service=spanish&category=music")).json()
    assert (answer["items"], answer["relaxed"]["dropped"]) == ([], ["category"])


async def test_the_page_says_what_search_cannot_do(client: httpx.AsyncClient, pool: Pool) -> None:
    await factories.instructor(pool, "Anna Diaz")
    page = await visit(client, "/search?q=piano+in+new+jersey")
    assert [*chips(page)] == ["Piano", "In New Jersey"]
    assert "Lessons here are in New York City only." in page.text
    assert "Nearest, without “in New Jersey”" in page.text
    assert names_on(page, "Anna Diaz") == ["Anna Diaz"]
    without = await visit(client, chips(page)["Piano"])
    assert [*chips(without)] == ["In New Jersey"]
    page = await visit(client, "/search?q=piano+via+zoom")
    assert "Lessons here are in person; there are none online." in page.text
    assert names_on(page, "Anna Diaz") == ["Anna Diaz"]
    page = await visit(client, "/search?q=piano+but+not+on+mondays")
    assert "We can’t search for “but not on mondays”, so it is left out." in page.text
    page = await visit(client, "/search?q=piano+1/2/2030")
    assert "Lessons can be booked up to 90 days ahead." in page.text
    assert "so it is left out" not in (await visit(client, "/search?q=piano")).text


async def test_several_days_are_one_chip(client: httpx.AsyncClient, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna Diaz")
    words = "+or+".join(f"{anna.day(n):%a}".lower() for n in (2, 4, 6))  # none is tomorrow
    page = await visit(client, f"/search?q=piano+{words}+under+$80")
    [days] = [text for text in chips(page) if " or " in text]
    assert re.fullmatch(r"\w+, \w+ \d+ or \w+, \w+ \d+ or \w+, \w+ \d+", days)
    page = await visit(client, chips(page)["Up to $80"])
    assert days in chips(page)
    # Another last day in the form replaces them.
    form = [form for form in page.forms if form.action == "/search"][1]
    assert form.fields["days"].count(",") == 2
    assert f"Only {days}" in page.text
    page = Page(await form.send(client, last_date=""))
    assert days not in chips(page)
    # Without the check mark, the days between count, too.
    page = Page(await form.send(client, days=""))
    [days] = [text for text in chips(page) if " – " in text]


async def test_the_number_of_results_is_shown_and_a_single_one_needs_no_sort(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    await factories.instructor(pool, "Anna 00")
    page = await visit(client, "/search?q=piano")
    assert re.search(r"\b1 result\b", page.text)
    assert "Newest" not in page.links
    for n in range(1, 13):
        await factories.instructor(pool, f"Anna {n:02}")
    page = await visit(client, "/search?q=piano")
    assert "More than 12 results" in page.text
    assert "Newest" in page.links
    page = await visit(client, page.links["More results"])
    assert "The last results" in page.text


async def test_a_page_whose_reading_ended_says_that_there_may_be_more(
    client: httpx.AsyncClient, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(40):
        await factories.instructor(pool, f"Anna {n:02}", hours=("09:00", "10:00"))
    ending = "There may be more."
    assert ending not in (await visit(client, "/search?q=piano+tomorrow")).text
    monkeypatch.setattr(search, "MAX_CANDIDATES", 10)
    page = await visit(client, "/search?q=piano+tomorrow")
    assert ending not in page.text
    page = await visit(client, page.links["More results"])
    assert ending in page.text


async def test_an_invalid_price_is_ignored_and_explained_at_its_field(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    await factories.instructor(pool, "Anna Diaz")
    page = await visit(client, "/search?q=piano+under+$90")
    form = [form for form in page.forms if form.action == "/search"][1]
    response = await form.send(client, service="piano", max_price="abc", min_price="$20")
    page = Page(response)
    assert [*chips(page)] == ["Piano", "From $20"]
    assert page.text.count("Enter dollars, such as 60 or 62.50.") == 1
    field = re.search(r'<input\s+id="filter-max_price".*?>', response.text, re.DOTALL)
    assert field
    for part in ('value="abc"', 'aria-invalid="true"', "autofocus", "filter-max_price-error"):
        assert part in field[0]
    assert '<details class="fold filters" open>' in response.text
    for price in ("1e999999", "1e9", "nan", "-5", "٣", "$", "."):
        answer = await client.get("/search", params={"refined": "1", "max_price": price})
        assert answer.status_code == 200
        assert names_on(Page(answer), "Anna Diaz") == ["Anna Diaz"]
        assert chips(Page(answer)) == {}


async def test_prices_in_the_wrong_order_are_swapped(client: httpx.AsyncClient) -> None:
    page = await visit(client, "/search?refined=1&service=piano&min_price=90&max_price=20")
    assert [*chips(page)] == ["Piano", "$20 to $90"]


async def test_a_result_opens_with_the_length_whose_price_it_shows(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    await factories.instructor(pool, "Anna Diaz", rate_cents=8000, durations=(30, 60))
    for path in ("/", "/search?q=piano"):
        page = await visit(client, path)
        assert "Piano · $40 for 30 min · $80 an hour" in page.text
        assert "Piano, 30 min" in (await visit(client, page.links["Anna Diaz"])).text


async def test_with_a_day_and_time_all_times_lie_in_them_and_hold_at_once(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna Diaz", hours=("09:00", "21:00"))
    await factories.instructor(pool, "Mona Morning", hours=("09:00", "12:00"))
    ben = await factories.student(pool, "Ben")
    path = "/search?q=piano+tomorrow+evening"
    page = await visit(client, path)
    assert names_on(page, "Anna Diaz", "Mona Morning") == ["Anna Diaz"]
    # A guest's times lead to the instructor's page at that time.
    [first, *_] = [link for text, link in page.links.items() if text.startswith("Tomorrow 5:00")]
    assert first.startswith(f"/instructors/{anna.id}?")
    assert first.endswith("#lesson")
    await sign_in(client, ben)
    page = await visit(client, path)
    evening = [formatting.instant_of(start) for start in page.times]
    assert evening == [anna.at(clock) for clock in ("17:00", "18:00", "19:00")]
    # Pressing a time holds it, and confirming books it: nothing has to be typed.
    response = await page.form("/api/holds").send(client, start=page.times[1])
    assert response.status_code == 303
    held = await visit(client, response.headers["location"])
    response = await held.form("/confirmation").send(client)
    assert response.status_code == 303
    booked = await pool.fetch("select state, lower(during) as start from booking")
    assert [tuple(row) for row in booked] == [("confirmed", anna.at("18:00"))]
    # A time that has been taken since is explained on the instructor's page.
    client.cookies.clear()
    await sign_in(client, await factories.student(pool, "Cleo"))
    response = await page.form("/api/holds").send(client, start=page.times[1])
    assert response.status_code == 409
    assert "Someone else just booked that time" in Page(response).text


async def test_nothing_that_fits_says_what_was_dropped_for_the_nearest_results(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    await factories.instructor(pool, "Anna Diaz", rate_cents=9000)
    await factories.instructor(pool, "Gil Guitar", service="guitar", rate_cents=3000)
    page = await visit(client, "/search?q=piano+under+$40")
    assert "No lesson fits all of this: Piano · up to $40." in page.text
    assert "Nearest, without “up to $40”" in page.text
    assert names_on(page, "Anna Diaz", "Gil Guitar") == ["Anna Diaz"]
    assert "Nobody" not in page.text
    page = await visit(client, "/search?q=under+$20")
    assert "No lesson fits this: up to $20." in page.text
    page = await visit(client, "/search?q=harp")
    assert "Nobody here offers Harp right now." in page.text
    assert names_on(page, "Anna Diaz", "Gil Guitar") == ["Anna Diaz", "Gil Guitar"]


async def test_results_are_sorted_and_paged(client: httpx.AsyncClient, pool: Pool) -> None:
    for n in range(15):
        await factories.instructor(pool, f"Anna {n:02}", rate_cents=5000 + 100 * n)
    names: list[str] = []
    path = "/search?q=piano&sort=price"
    for _ in range(2):
        page = await visit(client, path)
        names += [name for name in page.links if name.startswith("Anna ")]
        path = page.links.get("More results", "")
    assert names == [f"Anna {n:02}" for n in range(15)]
    assert path == ""
    page = await visit(client, page.links["← First results"])
    assert "Anna 00" in page.links
    newest = await visit(client, page.links["Newest"])
    assert next(name for name in newest.links if name.startswith("Anna ")) == "Anna 14"
    assert (await client.get("/search?cursor=nonsense")).status_code == 200


async def test_recent_searches_are_on_the_start_page_and_can_be_removed(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    await factories.instructor(pool, "Anna Diaz")
    await sign_in(client, await factories.student(pool, "Ben"))
    for query in ("piano", "spanish", "Piano"):
        await visit(client, f"/search?q={query}")
    page = await visit(client, "/")
    assert page.links["Piano"] == "/search?q=Piano"
    assert page.links["spanish"] == "/search?q=spanish"
    assert "piano" not in page.links
    response = await page.form("/api/search/history/").send(client)
    assert (response.status_code, response.headers["location"]) == (303, "/#recent")
    page = await visit(client, "/")
    assert "Recent searches" in page.text
    assert len({"Piano", "spanish"} & {*page.links}) == 1
    response = await page.form("/api/search/history/").send(client)
    assert response.headers["location"] == "/#q"
    assert "Recent searches" not in (await visit(client, "/")).text


async def test_a_statement_is_not_repeated_per_row(client: httpx.AsyncClient, pool: Pool) -> None:
    """Twelve times as many rows take at most a second round of the ranking."""
    anna = await factories.instructor(pool, "Anna 00")
    ben = await factories.student(pool, "Ben")
    await sign_in(client, ben)
    paths = ("/", "/services", "/search?q=piano", "/search?q=piano+tomorrow", "/search?q=harp",
             "/search?q=piano+mon+or+wed", f"/instructors/{anna.id}", "/lessons", "/account",
             "/api/bookings", "/api/instructors", "/api/search?q=piano",
             "/api/search/history")  # fmt: skip

    async def counts() -> list[int]:
        numbers = []
        for path in paths:
            await client.get(path)  # computes next starts
            visits = []
            for _ in range(3):  # background work may add to some of them
                before = executed(is_of_pages)
                assert (await client.get(path)).status_code == 200
                visits.append(executed(is_of_pages) - before)
            numbers.append(min(visits))
        return numbers

    few = await counts()
    for n in range(1, 12):
        each = await factories.instructor(pool, f"Anna {n:02}")
        start = each.at("09:00", day=n)
        await factories.lesson(pool, ben.id, each.service_id, start, now=utc_now())
    many = await counts()
    assert all(more <= less + 2 for more, less in zip(many, few, strict=True)), (few, many)
    assert 5 < max(many) <= 12


def is_of_pages(sql: str) -> bool:
    """Whether it is not a statement of live boards, nor of what is recorded after the response."""
    return not re.search("outbox|epoch|search_history", sql)
