"""An instructor’s page without scripts: links and forms do everything, and keep typed text."""

from uuid import uuid4

import httpx
import pytest

from app import formatting, wire
from app.db import Pool
from tests import factories
from tests.forms import Page
from tests.pages.visitor import book, sign_in, visit


async def test_from_registering_to_a_cancelled_lesson(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna Diaz")
    page = await visit(client, "/")
    assert "Anna Diaz" in page.text
    page = await visit(client, page.links["Join"])
    response = await page.form("/api/auth/register").send(
        client, full_name="Ben Ode", email="ben.ode@example.com", password="correct horse battery"
    )
    assert (response.status_code, response.headers["location"]) == (303, "/")

    page = await visit(client, f"/instructors/{anna.id}?from={anna.day(7)}")
    board = page.form(f"/instructors/{anna.id}")
    assert wire.instant(anna.at("09:00", day=7)) in page.times
    page = Page(await board.send(client, start=wire.instant(anna.at("09:30", day=8))))
    assert "Free to cancel until" in page.text
    form = page.form("/api/holds")
    assert form.fields["start"] == wire.instant(anna.at("09:30", day=8))
    first, repeated = await form.send(client), await form.send(client)  # a double click
    assert first.status_code == 303
    assert first.headers["location"] == repeated.headers["location"]

    page = await visit(client, first.headers["location"])
    assert "This time is yours until" in page.text
    response = await page.form("/confirmation").send(
        client, location_type="public", location="The library", note="I can read music."
    )
    assert response.status_code == 303
    page = await visit(client, response.headers["location"])
    assert "You booked this lesson" in page.text
    assert "In a public place The library" in page.text
    assert "I can read music." in page.text
    assert "Free to cancel until" in page.text
    page = await visit(client, page.links["My lessons"])
    assert "Piano with Anna Diaz confirmed" in page.text
    response = await page.form("/cancellation").send(client, reason="A cold.")
    page = await visit(client, response.headers["location"])
    assert "Cancelled: Piano with Anna Diaz" in page.text
    page = await visit(client, page.links["Cancelled"])
    assert "A cold." in page.text


async def test_a_refused_hold_says_why_and_offers_the_nearest_times(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    await sign_in(client, ben)
    start = wire.instant(anna.at("10:00", day=1))
    page = await visit(client, f"/instructors/{anna.id}?minutes=60&start={start}")
    await book(pool, anna, cleo)
    response = await page.form("/api/holds").send(client)
    assert response.status_code == 409
    page = Page(response)
    assert "Someone else just booked that time" in page.text
    assert "isn’t free. Other times →" in page.text
    [other] = [address for text, address in page.links.items() if text.endswith("11:00 am")]
    page = await visit(client, other)
    response = await page.form("/api/holds").send(client)
    assert response.status_code == 303
    assert await pool.fetchval(
        "select lower(during) from booking where student_id = $1", ben.id
    ) == (anna.at("11:00"))


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"start": "2020-01-01T10:00:00Z"}, 409, "too soon"),
        ({"start": ""}, 422, "start"),
        ({"service_id": str(uuid4())}, 404, "couldn’t find"),
    ],
)
async def test_other_refusals_show_the_card_again(
    client: httpx.AsyncClient, pool: Pool, fields: dict[str, str], status: int, message: str
) -> None:
    anna = await factories.instructor(pool, "Anna")
    await sign_in(client, await factories.student(pool, "Ben"))
    page = await visit(
        client, f"/instructors/{anna.id}?minutes=60&start={wire.instant(anna.at('10:00'))}"
    )
    response = await page.form("/api/holds").send(client, **fields)
    assert response.status_code == status
    page = Page(response)
    assert message in page.text
    assert "Your lesson" in page.text


async def test_the_card_names_the_students_own_hold_and_lesson(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", durations=(60,))
    ben = await factories.student(pool, "Ben")
    await sign_in(client, ben)
    path = f"/instructors/{anna.id}?start="
    page = await visit(client, path + wire.instant(anna.at("10:00")))
    held = (await page.form("/api/holds").send(client)).headers["location"]

    page = await visit(client, path + wire.instant(anna.at("10:00")))
    assert "You’re holding this time until" in page.text
    assert page.links["Continue booking"] == held
    assert "held for you" in page.text
    assert "being booked" not in page.text
    # Another time of the same instructor replaces the hold, also one that overlaps it.
    page = await visit(client, path + wire.instant(anna.at("10:30")))
    assert "This replaces the time you’re holding" in page.text
    replaced, held = held, (await page.form("/api/holds").send(client)).headers["location"]
    page = await visit(client, replaced)
    assert "You chose another time" in page.text
    assert page.links["Continue there"] == held

    await (await visit(client, held)).form("/confirmation").send(client, location="12 Main St")
    page = await visit(client, path + wire.instant(anna.at("10:30")))
    assert "You booked this lesson." in page.text
    assert page.links["See your lesson"] == held
    assert "already have a lesson" not in page.text


async def test_a_time_that_is_not_free_is_explained_in_honest_words(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna Diaz")
    await sign_in(client, await factories.student(pool, "Ben"))
    far = anna.at("10:00", day=400)
    await book(pool, anna, await factories.student(pool, "Cleo"), day=2)
    for start, sentence in (
        (anna.at("20:00"), "Anna isn’t free then."),
        (anna.at("10:00", day=2), "Anna isn’t free then."),
        (anna.at("10:00", day=-1), "This time has passed."),
        (far, f"This time is too far ahead ({formatting.short_day(far.date())}, {far.year}). "),
    ):
        page = await visit(client, f"/instructors/{anna.id}?start={wire.instant(start)}")
        assert sentence in page.text
        assert "taken" not in page.text


async def test_a_guest_returns_to_the_same_selection_after_signing_in(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    query = f"service={anna.service_id}&minutes=30&from={anna.day(0)}"
    path = f"/instructors/{anna.id}?{query}&start={wire.instant(anna.at('10:00'))}"
    page = await visit(client, path)
    page = await visit(client, page.links["Sign in to book"])
    response = await page.form("/api/auth/login").send(
        client, email=ben.email, password="not the password"
    )
    assert response.status_code == 401
    page = Page(response)
    assert page.form("/api/auth/login").fields["email"] == ben.email
    response = await page.form("/api/auth/login").send(client, password=factories.PASSWORD)
    assert (response.status_code, response.headers["location"]) == (303, f"{path}#lesson")


async def test_invalid_values_in_the_address_are_ignored(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    for query in (
        "service=x&minutes=7&start=soon&from=never",
        "start=2026-11-24T14:00:00",
        "start=9999-12-31T23:59:59Z",
        "from=0001-01-01",
        "from=9999-12-31",
        "minutes=-1&start=2026-11-24T14:07:00%2B99:00",
    ):
        response = await client.get(f"/instructors/{anna.id}?{query}")
        assert response.status_code == 200, query


async def test_a_long_bio_and_many_services_are_folded(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    await pool.execute("update instructor set bio = $1", "I teach slowly and kindly. " * 60)
    slugs = await pool.fetch(
        "select slug from catalog_service where slug <> 'piano' order by slug limit 29"
    )
    services = [await factories.service_of(pool, anna.id, row["slug"]) for row in slugs]
    page = await visit(client, f"/instructors/{anna.id}")
    assert "24 more services" in page.text
    assert "More about Anna" in page.text
    assert page.text.count("I teach slowly and kindly.") == 60
    # A folded service can be chosen; then it is the first one.
    text = (await client.get(f"/instructors/{anna.id}?service={services[-1]}")).text
    assert text.index(f"service={services[-1]}") < text.index("<details")
    assert 'aria-current="true"' in text[: text.index("more services")]


async def test_a_week_without_free_times_says_so_once_and_leads_on(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", days=3)
    week = f"/instructors/{anna.id}?minutes=60&from="
    far = anna.at("10:00", day=70)  # after the days that the page loads
    await pool.execute(
        "insert into availability values ($1, tstzrange($2, $3))",
        anna.id,
        far,
        anna.at("11:00", day=70),
    )
    await pool.execute("select forget_next_start($1)", anna.id)
    page = await visit(client, f"{week}{anna.day(21)}")
    sentence = f"Nothing is free {formatting.days(anna.day(21), anna.day(27))}."
    assert sentence in page.text
    moment = f"{formatting.short_day(anna.day(70))}, 10:00 am"
    [link] = [path for text, path in page.links.items() if text == f"Next free: {moment}"]
    assert wire.instant(far) in (await visit(client, link.partition("#")[0])).times
    # In the week before, too, the day has its date: a weekday alone would be one of that week.
    page = await visit(client, f"{week}{anna.day(63)}")
    assert f"Next free: {moment}" in page.links
    # After the last free time, the link leads back to the soonest.
    page = await visit(client, f"{week}{anna.day(77)}")
    [link] = [path for text, path in page.links.items() if text.startswith("Next free: ")]
    assert (await visit(client, link.partition("#")[0])).times
    # A week that has a free time has no such sentence.
    assert (
        '<p class="nothing-free week" id="empty-week" hidden>'
        in (await client.get(f"{week}{anna.day(0)}")).text
    )


async def test_similar_instructors_share_the_subject_and_are_free_soon(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", rate_cents=7000)
    near = await factories.instructor(pool, "Nell Near", rate_cents=12000, hours=("15:00", "17:00"))
    await factories.instructor(pool, "Cora Cheap", rate_cents=3000)
    await factories.instructor(pool, "Bo Busy", days=0)
    await factories.instructor(pool, "Gil Guitar", service="guitar")
    former = await factories.instructor(pool, "Gone")
    await pool.execute("select set_teaching($1, false)", former.id)
    for each in (anna, near):
        await pool.execute("insert into instructor_area values ($1, 'harlem')", each.id)
    page = await visit(client, f"/instructors/{anna.id}")
    times = [text for text in page.links if text.startswith("Next free ")]
    similar = page.text.partition("Also free soon for Piano")[2]
    assert similar.index("Nell Near") < similar.index("Cora Cheap")
    assert not {"Bo Busy", "Gil Guitar", "Gone"} & set(page.links)
    assert len(times) == 2
