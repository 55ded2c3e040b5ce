"""The board of an instructor's page: how tests look at it, and how they change it."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from playwright.async_api import Locator, Page, expect

from app import wire
from app.bookings import booking
from app.bookings.booking import Booking
from app.db import Pool
from app.web import utc_now
from tests.browser.conftest import Open
from tests.factories import Account, Instructor

NOTE = "I can read music.\nAnd I have a keyboard."


async def live_board(open_page: Open, instructor: Instructor, **options: Any) -> Page:
    """The instructor's page with lessons of 30 minutes, connected."""
    page = await open_page(f"/instructors/{instructor.id}?minutes=30", **options)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    return page


async def filled_form(
    open_page: Open, instructor: Instructor, student: Account, **options: Any
) -> Page:
    """The instructor's page with 11:00 selected and the form filled in."""
    page = await open_page(f"/instructors/{instructor.id}?minutes=30", student, **options)
    await time_button(page, instructor.at("11:00")).click()
    await page.get_by_label("In a public place").check()
    await page.get_by_label("Address or meeting point").fill("The library")
    await page.get_by_label("A note to Anna").fill(NOTE)
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


async def hold(pool: Pool, instructor: Instructor, start: datetime, student_id: UUID) -> None:
    """What a hold of tomorrow leaves in the database, as one step of the calendar."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "select from calendar where instructor_id = $1 for no key update", instructor.id
        )
        await connection.execute(
            """insert into booking (instructor_id, student_id, service_id, state, during, blocked,
                                    held_until, service_name, price_cents, location_type,
                                    hourly_rate_cents, free_cancel_hours, free_cancel_until,
                                    version, created_at)
               select $1, $2, $3, 'held', tstzrange($4, $5), tstzrange($4, $5),
                      now() + interval '1 hour', 'Piano', 3500, 'student', 7000, 12,
                      $4, version + 1, now()
               from calendar where instructor_id = $1""",
            instructor.id,
            student_id,
            instructor.service_id,
            start,
            start + timedelta(minutes=30),
        )
        await connection.execute(
            "select step($1, array[$2::date])", instructor.id, instructor.day()
        )
