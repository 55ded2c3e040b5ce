"""An instructor’s page without scripts: links and forms do everything, and keep typed text."""

from uuid import uuid4

import httpx
import pytest

from app import wire
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
    form = page.form("/api/bookings")
    assert form.fields["start"] == wire.instant(anna.at("09:30", day=8))
    response = await form.send(
        client, location_type="public", location="The library", note="I can read music."
    )
    assert response.status_code == 303

    page = await visit(client, response.headers["location"])
    assert "Piano with Anna Diaz confirmed" in page.text
    assert "In a public place: The library" in page.text
    assert "I can read music." in page.text
    assert "Free to cancel until" in page.text
    response = await page.form("/cancellation").send(client, reason="A cold.")
    page = await visit(client, response.headers["location"])
    assert "Cancelled: Piano with Anna Diaz" in page.text
    page = await visit(client, page.links["Cancelled"])
    assert "A cold." in page.text


async def test_a_refused_booking_keeps_the_typed_text_and_offers_alternatives(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    await sign_in(client, ben)
    start = wire.instant(anna.at("10:00", day=1))
    page = await visit(client, f"/instructors/{anna.id}?minutes=60&start={start}")
    await book(pool, anna, cleo)
    response = await page.form("/api/bookings").send(
        client, location_type="public", location="<Library>", note="Two\nlines"
    )
    assert response.status_code == 409
    page = Page(response)
    assert "Someone else just booked that time" in page.text
    form = page.form("/api/bookings")
    assert {
        "location_type": "public",
        "location": "<Library>",
        "note": "Two\nlines",
    }.items() <= form.fields.items()
    assert "start" not in form.fields  # the student selects one of the alternatives
    assert "Choose another time" in page.text
    assert "isn’t free. Other times →" in page.text
    response = await form.send(client, start=wire.instant(anna.at("11:00")))
    assert response.status_code == 303
    note = await pool.fetchval("select note from booking where student_id = $1", ben.id)
    assert note.splitlines() == ["Two", "lines"]


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"location": "x" * 501}, 422, "500 characters"),
        ({}, 422, "Enter the address of the lesson."),
        ({"location": "Here", "start": "2020-01-01T10:00:00Z"}, 409, "too soon"),
        ({"start": ""}, 422, "start"),
        ({"service_id": str(uuid4())}, 404, "couldn’t find"),
    ],
)
async def test_other_refusals_show_the_form_again(
    client: httpx.AsyncClient, pool: Pool, fields: dict[str, str], status: int, message: str
) -> None:
    anna = await factories.instructor(pool, "Anna")
    await sign_in(client, await factories.student(pool, "Ben"))
    page = await visit(
        client, f"/instructors/{anna.id}?minutes=60&start={wire.instant(anna.at('10:00'))}"
    )
    response = await page.form("/api/bookings").send(client, **({"note": "Keep me"} | fields))
    assert response.status_code == status
    page = Page(response)
    assert message in page.text
    assert page.form("/api/bookings").fields["note"] == "Keep me"


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
    assert (response.status_code, response.headers["location"]) == (303, path)


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
