"""The board of an instructor's page: how tests look at it, and how they change it."""

from datetime import datetime
from typing import Any
from uuid import UUID

from playwright.async_api import Locator, Page, Route, expect

from app import wire
from app.bookings import booking
from app.bookings import hold as holds
from app.bookings.booking import Booking
from app.db import Pool
from app.web import utc_now
from tests.browser.conftest import Open
from tests.factories import Account, Instructor


async def live_board(open_page: Open, instructor: Instructor, **options: Any) -> Page:
    """The instructor's page with lessons of 30 minutes, connected."""
    page = await open_page(f"/instructors/{instructor.id}?minutes=30", **options)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    return page


async def selected_time(
    open_page: Open, instructor: Instructor, student: Account, clock: str = "11:00", **options: Any
) -> Page:
    """The instructor's page with a time of tomorrow selected, for half an hour."""
    page = await open_page(f"/instructors/{instructor.id}?minutes=30", student, **options)
    await time_button(page, instructor.at(clock)).click()
    return page


def time_button(page: Page, start: datetime) -> Locator:
    return page.locator(f'.time[value="{wire.instant(start)}"]')


async def expect_not_free(page: Page, start: datetime) -> None:
    """The time is struck through, and removed three seconds later. A slow machine may see only one
    of them."""
    await expect(page.locator(".day")).to_have_count(7)
    free = page.locator('.time[data-state="free"]')
    await expect(free.and_(time_button(page, start))).to_have_count(0)


async def book(
    pool: Pool, instructor: Instructor, start: datetime, student_id: UUID, minutes: int = 30
) -> Booking:
    return await booking.reserve(
        pool,
        student_id,
        service_id=instructor.service_id,
        start=start,
        minutes=minutes,
        location_type=None,
        location="12 Main St",
        note="",
        now=utc_now(),
    )


async def hold(
    pool: Pool,
    instructor: Instructor,
    start: datetime,
    student_id: UUID,
    *,
    minutes: int = 30,
    seconds: int = 3600,
) -> Booking:
    return await holds.create(
        pool,
        student_id,
        service_id=instructor.service_id,
        start=start,
        minutes=minutes,
        location_type=None,
        location="",
        note="",
        seconds=seconds,
        now=utc_now(),
    )


async def lose_the_first_response(page: Page, url: str) -> list[str]:
    """The server handles the first request to this address, but its response is lost. Returns the
    idempotency keys of all requests, also of later ones."""
    keys: list[str] = []

    async def lose(route: Route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) == 1:
            await route.fetch()
            await route.abort()
        else:
            await route.continue_()

    await page.route(url, lose)
    return keys
