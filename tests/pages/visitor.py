"""A visitor without scripts: opens pages, signs in, and has lessons."""

import httpx

from app.bookings import booking
from app.bookings.booking import Booking
from app.db import Pool
from app.web import utc_now
from tests import factories
from tests.factories import Account, Instructor
from tests.forms import Page


async def visit(client: httpx.AsyncClient, path: str) -> Page:
    return Page(await client.get(path, follow_redirects=True))


async def sign_in(client: httpx.AsyncClient, account: Account) -> None:
    page = await visit(client, "/login")
    response = await page.form("/api/auth/login").send(
        client, email=account.email, password=factories.PASSWORD
    )
    assert response.status_code == 303


async def book(
    pool: Pool, instructor: Instructor, student: Account, day: int = 1, clock: str = "10:00"
) -> Booking:
    """Books an hour."""
    return await booking.reserve(
        pool,
        student.id,
        service_id=instructor.service_id,
        start=instructor.at(clock, day=day),
        minutes=60,
        location_type=None,
        location="12 Main St",
        note="",
        now=utc_now(),
    )
