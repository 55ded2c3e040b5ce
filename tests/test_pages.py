"""The pages without scripts: everything can be done with links and forms, and what was typed is never lost."""

import re
from datetime import UTC, date, datetime, time, timedelta
from uuid import uuid4

import httpx
import pytest

from app import formatting, wire
from app.availability import start_times
from app.bookings import booking
from app.db import Pool
from app.web import utc_now
from tests import factories
from tests.factories import Account, Instructor
from tests.forms import Page


async def look(client: httpx.AsyncClient, path: str) -> Page:
    response = await client.get(path, follow_redirects=True)
    return Page(response)


async def sign_in(client: httpx.AsyncClient, who: Account) -> None:
    page = await look(client, "/login")
    response = await page.form("/api/auth/login").send(
        client, email=who.email, password=factories.PASSWORD
    )
    assert response.status_code == 303


async def booked(
    pool: Pool, teacher: Instructor, who: Account, day: int = 1, clock: str = "10:00"
) -> booking.Booking:
    return await booking.reserve(
        pool, who.id, service_id=teacher.service_id, start=teacher.at(clock, day=day), minutes=60,
        location_type=None, location="", note="", now=utc_now(),
    )  # fmt: skip


async def test_from_registering_to_a_cancelled_lesson(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna Diaz")
    page = await look(client, "/")
    assert "Anna Diaz" in page.text
    page = await look(client, page.links["Join"])
    response = await page.form("/api/auth/register").send(
        client, full_name="Ben Ode", email="ben.ode@example.com", password="correct horse battery"
    )
    assert (response.status_code, response.headers["location"]) == (303, "/")

    page = await look(client, f"/instructors/{anna.id}?from={anna.day(7)}")
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

    page = await look(client, response.headers["location"])
    assert "Piano with Anna Diaz confirmed" in page.text
    assert "In a public place: The library" in page.text
    assert "I can read music." in page.text
    assert "Free to cancel until" in page.text
    response = await page.form("/cancellation").send(client, reason="A cold.")
    assert response.headers["location"] == "/lessons?scope=cancelled"
    page = await look(client, response.headers["location"])
    assert "cancelled" in page.text
    assert "A cold." in page.text


async def test_a_refused_booking_keeps_what_was_typed_and_offers_others(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    await sign_in(client, ben)
    start = wire.instant(anna.at("10:00", day=1))
    page = await look(client, f"/instructors/{anna.id}?minutes=60&start={start}")
    await booked(pool, anna, cleo)
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
    assert "start" not in form.fields  # one of the others is to be chosen
    assert "Choose another time" in page.text
    response = await form.send(client, start=wire.instant(anna.at("11:00")))
    assert response.status_code == 303
    note = await pool.fetchval("select note from booking where student_id = $1", ben.id)
    assert note.splitlines() == ["Two", "lines"]


@pytest.mark.parametrize(
    ("typed", "status", "says"),
    [
        ({"location": "x" * 501}, 422, "500 characters"),
        ({"start": "2020-01-01T10:00:00Z"}, 409, "too soon"),
        ({"start": ""}, 422, "start"),
        ({"service_id": str(uuid4())}, 404, "couldn’t find"),
    ],
)
async def test_other_refusals_keep_the_page_too(
    client: httpx.AsyncClient, pool: Pool, typed: dict[str, str], status: int, says: str
) -> None:
    anna = await factories.instructor(pool, "Anna")
    await sign_in(client, await factories.student(pool, "Ben"))
    page = await look(
        client, f"/instructors/{anna.id}?minutes=60&start={wire.instant(anna.at('10:00'))}"
    )
    response = await page.form("/api/bookings").send(client, **({"note": "Keep me"} | typed))
    assert response.status_code == status
    page = Page(response)
    assert says in page.text
    assert page.form("/api/bookings").fields["note"] == "Keep me"


async def test_a_guest_comes_back_to_exactly_this_choice(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    path = f"/instructors/{anna.id}?service={anna.service_id}&minutes=30&from={anna.day(0)}&start={wire.instant(anna.at('10:00'))}"
    page = await look(client, path)
    page = await look(client, page.links["Sign in to book"])
    response = await page.form("/api/auth/login").send(
        client, email=ben.email, password="not the password"
    )
    assert response.status_code == 401
    page = Page(response)
    assert page.form("/api/auth/login").fields["email"] == ben.email
    response = await page.form("/api/auth/login").send(client, password=factories.PASSWORD)
    assert (response.status_code, response.headers["location"]) == (303, path)


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"],
)
async def test_next_leads_nowhere_else(
    client: httpx.AsyncClient, pool: Pool, elsewhere: str
) -> None:
    ben = await factories.student(pool, "Ben")
    page = Page(await client.get("/login", params={"next": elsewhere}))
    response = await page.form("/api/auth/login").send(
        client, email=ben.email, password=factories.PASSWORD
    )
    assert response.headers["location"] == "/"
    response = await client.get("/login", params={"next": elsewhere})
    assert response.headers["location"] == "/"


async def test_registering_keeps_what_was_typed_but_not_the_password(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    await factories.student(pool, "Ben")
    page = await look(client, "/register?role=instructor")
    response = await page.form("/api/auth/register").send(
        client, full_name="Ben", email="ben@example.com", password="correct horse battery"
    )
    assert response.status_code == 409
    assert "correct horse battery" not in response.text
    page = Page(response)
    assert page.text.count("An account with this e-mail address already exists.") == 1
    assert page.links["Sign in instead"] == "/login?next="
    email = re.search(r'<input\s+id="email".*?>', response.text, re.DOTALL)
    assert email is not None
    assert 'aria-invalid="true"' in email[0]
    assert "autofocus" in email[0]
    form = page.form("/api/auth/register")
    assert {
        "role": "instructor",
        "full_name": "Ben",
        "email": "ben@example.com",
    }.items() <= form.fields.items()


async def test_pages_of_ones_own_ask_to_sign_in_and_foreign_ids_are_not_found(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, cora = await factories.instructor(pool, "Anna"), await factories.instructor(pool, "Cora")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    for path in ("/lessons?scope=past", "/teach"):
        response = await client.get(path)
        assert response.status_code == 303
        assert response.headers["location"].startswith("/login?next=%2F")
    lesson = await booked(pool, anna, cleo)
    await sign_in(client, ben)
    assert (await client.get("/teach")).status_code == 403
    page = await look(client, "/lessons")
    assert "You have no upcoming lessons." in page.text
    response = await client.post(
        f"/api/bookings/{lesson.id}/cancellation",
        data={"_page": "/lessons"},
        headers={"sec-fetch-site": "same-origin"},
    )
    assert response.status_code == 404
    assert "My lessons" in response.text  # said on the page the form stood on
    for unknown in (uuid4(), "nobody", ben.id):
        assert (await client.get(f"/instructors/{unknown}")).status_code == 404
    assert (await client.get(f"/instructors/{cora.id}")).status_code == 200


async def test_a_student_who_opens_the_instructors_page_may_start_teaching(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    await sign_in(client, await factories.student(pool, "Ben"))
    response = await client.get("/teach")
    assert response.status_code == 403
    page = Page(response)
    assert "This page is for instructors." in page.text
    assert "403 · NOT_ALLOWED" in page.text
    response = await page.form("/api/instructors/me").send(client)
    assert (response.status_code, response.headers["location"]) == (303, "/teach")
    assert "You don’t offer any lessons yet" in (await look(client, "/teach")).text


async def test_an_unknown_address_is_explained_with_the_code_in_small_print(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    response = await client.get("/nowhere")
    assert "Page not found" in Page(response).text
    assert '<p class="tiny">404 · NOT_FOUND</p>' in response.text


async def test_days_near_by_are_called_today_and_tomorrow(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    await booked(pool, anna, ben, day=1)
    page = await look(client, f"/instructors/{anna.id}?minutes=60")
    assert re.search(r"\bToday \d+ .*Tomorrow \d+", page.text)
    await sign_in(client, ben)
    assert "Tomorrow 10–11 am" in (await look(client, "/lessons")).text


def test_initials_come_in_varied_hues_the_same_for_a_name() -> None:
    assert {formatting.hue(f"Anna {letter}") for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"} == set(
        range(formatting.HUES)
    )
    assert formatting.hue("Anna Diaz") == formatting.hue("Anna Diaz")


async def test_what_makes_no_sense_in_an_address_is_left_out(
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


async def test_the_instructors_day_shows_who_comes_and_hides_who_is_still_booking(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    await booked(pool, anna, ben)
    held = await booked(pool, anna, cleo, clock="14:00")
    await pool.execute(
        "update booking set state = 'held', held_until = now() + interval '1 minute' where id = $1",
        held.id,
    )
    await sign_in(client, anna)
    page = await look(client, "/teach")
    assert "Ben" in page.text
    assert "Cleo" not in page.text
    assert "Someone being booked" in page.text
    response = await page.form("/cancellation").send(client, reason="I am ill.")
    assert response.headers["location"] == "/teach"
    page = await look(client, "/teach")
    assert "Ben" not in page.text


async def test_searching_finds_by_what_is_taught_its_category_and_the_name(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    await factories.instructor(pool, "Anna Diaz", service="piano")
    await factories.instructor(pool, "Cora Lind", service="spanish")
    for query, found in (
        ("q=piano", {"Anna Diaz"}),
        ("q=MUSIC", {"Anna Diaz"}),
        ("q=lind", {"Cora Lind"}),
        ("q=anna+piano", {"Anna Diaz"}),
        ("q=100%25", set()),
        ("category=languages", {"Cora Lind"}),
        ("service=piano", {"Anna Diaz"}),
        ("", {"Anna Diaz", "Cora Lind"}),
    ):
        page = await look(client, f"/?{query}")
        assert {name for name in ("Anna Diaz", "Cora Lind") if name in page.links} == found, query
    page = await look(client, "/")
    assert "Violin" in (await look(client, page.links["All services"].partition("#")[0])).links


async def test_a_signed_in_student_sees_the_next_two_lessons(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    for day in (3, 1, 2):
        await booked(pool, anna, ben, day=day)
    await sign_in(client, ben)
    page = await look(client, "/")
    assert "Your next lessons" in page.text
    assert page.text.count("Piano with") == 2


async def test_pages_carry_no_inline_script_or_style(client: httpx.AsyncClient, pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    await booked(pool, anna, ben)
    await sign_in(client, ben)
    for path in ("/", f"/instructors/{anna.id}", "/lessons", "/?show=services"):
        response = await client.get(path)
        assert response.status_code == 200
        assert not re.search(r" style=| on[a-z]+=|<style|<script>", response.text)
        assert response.headers["cache-control"] == "no-store"


def test_starts_stand_on_the_half_hours_and_where_a_range_begins() -> None:
    day = date(2026, 11, 24)
    zone = "America/New_York"
    begin = wire_at(day, "14:05")
    limits = start_times.Limits(begin - timedelta(days=1), begin + timedelta(days=1))
    found = start_times.of_day([(begin, wire_at(day, "16:20"))], [], 60, zone=zone, limits=limits)
    assert [wire.instant(start)[11:16] for start in found] == ["14:15", "14:30", "15:00"]
    held = [(wire_at(day, "16:00"), wire_at(day, "17:00"))]
    free = [
        (wire_at(day, "14:00"), wire_at(day, "16:00")),
        (wire_at(day, "17:00"), wire_at(day, "18:00")),
    ]
    states = start_times.of_day(free, held, 60, zone=zone, limits=limits)
    assert {wire.instant(start)[11:16]: state for start, state in states.items()} == {
        "14:00": "free", "14:30": "free", "15:00": "free", "15:30": "held", "16:00": "held", "16:30": "held", "17:00": "free",
    }  # fmt: skip


def wire_at(day: date, clock: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), UTC)
