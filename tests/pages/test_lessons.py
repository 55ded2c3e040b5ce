"""The lists of lessons, for students and instructors."""

import re
from uuid import uuid4

import httpx

from app.db import Pool
from tests import factories
from tests.pages.visitor import book, sign_in, visit


async def test_private_pages_need_a_session_and_other_accounts_lessons_are_not_found(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, cora = await factories.instructor(pool, "Anna"), await factories.instructor(pool, "Cora")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    for path in ("/lessons?scope=past", "/teach"):
        response = await client.get(path)
        assert response.status_code == 303
        assert response.headers["location"].startswith("/login?next=%2F")
    lesson = await book(pool, anna, cleo)
    await sign_in(client, ben)
    assert (await client.get("/teach")).status_code == 403
    page = await visit(client, "/lessons")
    assert "You have no upcoming lessons." in page.text
    response = await client.post(
        f"/api/bookings/{lesson.id}/cancellation",
        data={"_page": "/lessons"},
        headers={"sec-fetch-site": "same-origin"},
    )
    assert response.status_code == 404
    assert "My lessons" in response.text  # the page of the form shows the refusal
    for unknown in (uuid4(), "nobody", ben.id):
        assert (await client.get(f"/instructors/{unknown}")).status_code == 404
    assert (await client.get(f"/instructors/{cora.id}")).status_code == 200


async def test_the_next_two_days_are_called_today_and_tomorrow(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    await book(pool, anna, ben, day=1)
    page = await visit(client, f"/instructors/{anna.id}?minutes=60")
    assert re.search(r"\bToday \d+ .*Tomorrow \d+", page.text)
    await sign_in(client, ben)
    assert "Tomorrow 10–11 am" in (await visit(client, "/lessons")).text


async def test_the_instructor_sees_booked_students_but_not_who_holds_a_time(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    await book(pool, anna, ben)
    held = await book(pool, anna, cleo, clock="14:00")
    await pool.execute(
        "update booking set state = 'held', held_until = now() + interval '1 minute' where id = $1",
        held.id,
    )
    await sign_in(client, anna)
    page = await visit(client, "/teach")
    assert "Ben" in page.text
    assert "Cleo" not in page.text
    assert "Someone being booked" in page.text
    response = await page.form("/cancellation").send(client, reason="I am ill.")
    assert response.headers["location"] == "/teach"
    page = await visit(client, "/teach")
    assert "Ben" not in page.text
