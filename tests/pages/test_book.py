"""`/book/{id}` without scripts: a hold, how it is lost, and the moment after it became a lesson."""

import re
from datetime import timedelta
from uuid import UUID

import httpx

from app import formatting, wire
from app.bookings import booking, cancellation, hold
from app.bookings.booking import Booking, LocationType
from app.db import Pool
from app.web import utc_now
from tests import factories
from tests.factories import ADDRESS, Account, Instructor
from tests.forms import Form, Page
from tests.pages.visitor import book, sign_in, visit


async def hold_time(
    pool: Pool,
    instructor: Instructor,
    student: Account,
    clock: str = "10:00",
    *,
    seconds: int = 300,
    location: str = "",
) -> Booking:
    """Holds an hour of tomorrow."""
    return await hold.create(
        pool,
        student.id,
        service_id=instructor.service_id,
        start=instructor.at(clock),
        minutes=60,
        location_type=None,
        location=location,
        note="",
        seconds=seconds,
        now=utc_now(),
    )


async def expire(pool: Pool, booking_id: UUID) -> None:
    await pool.execute(
        "update booking set held_until = now() - interval '1 second' where id = $1", booking_id
    )


async def test_only_the_holder_sees_a_hold(client: httpx.AsyncClient, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    held = await hold_time(pool, anna, ben)
    response = await client.get(f"/book/{held.id}")
    assert (response.status_code, response.headers["location"]) == (
        303,
        f"/login?next=%2Fbook%2F{held.id}",
    )
    await sign_in(client, cleo)
    assert (await client.get(f"/book/{held.id}")).status_code == 404
    assert (await client.get("/book/none")).status_code == 404
    client.cookies.clear()
    await sign_in(client, anna)
    assert (await client.get(f"/book/{held.id}")).status_code in {403, 404}


async def test_a_hold_says_everything_before_it_is_booked(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna Diaz")
    ben = await factories.student(pool, "Ben")
    held = await hold_time(pool, anna, ben)
    await sign_in(client, ben)
    page = await visit(client, f"/book/{held.id}")
    assert held.held_until is not None
    deadline = formatting.clock(held.held_until, anna.time_zone)
    for text in (
        f"This time is yours until {deadline}.",
        "Piano, 60 min",
        "10–11 am",
        "Anna Diaz",
        "$70",
        "Nothing is charged now. You pay Anna at the lesson.",
        "Free to cancel",
        "it counts as late",
    ):
        assert text in page.text, text
    assert ADDRESS not in page.text
    # Nothing typed is lost when the address is missing.
    response = await page.form("/confirmation").send(client, note="Two\nlines")
    assert response.status_code == 422
    page = Page(response)
    assert "Enter the address of the lesson." in page.text
    form = page.form("/confirmation")
    assert form.fields["note"] == "Two\nlines"
    assert form.fields["_idempotency_key"]


async def test_the_address_is_remembered_for_the_next_lesson(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, cora = await factories.instructor(pool, "Anna"), await factories.instructor(pool, "Cora")
    ben = await factories.student(pool, "Ben")
    await sign_in(client, ben)
    first = await hold_time(pool, anna, ben)
    form = (await visit(client, f"/book/{first.id}")).form("/confirmation")
    assert form.fields["location"] == ""
    await form.send(client, location="350 5th Ave")
    second = await hold_time(pool, cora, ben, "12:00")
    form = (await visit(client, f"/book/{second.id}")).form("/confirmation")
    assert form.fields["location"] == "350 5th Ave"
    assert (await form.send(client)).status_code == 303


async def test_a_card_and_the_board_preselect_the_same_place(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    await sign_in(client, ben)

    async def places(clock: str) -> set[str]:
        """The place of a hold from each of them."""
        start = wire.instant(anna.at(clock))
        page = f"/instructors/{anna.id}?minutes=60&start={start}"
        forms = [
            (await visit(client, path)).form("/api/holds")
            for path in ("/", "/search?q=piano", page)
        ]
        selected = set()
        for form in forms:
            held = await form.send(client, start=start)
            details = (await visit(client, held.headers["location"])).form("/confirmation")
            selected.add(details.fields["location_type"])
        return selected

    async def book_at(clock: str, location_type: LocationType, location: str) -> None:
        held = await hold_time(pool, anna, ben, clock)
        await hold.confirm(
            pool,
            ben.id,
            held.id,
            location_type=location_type,
            location=location,
            note="",
            now=utc_now(),
        )

    assert await places("10:00") == {"instructor"}  # nothing has to be typed there
    await book_at("11:00", "student", "350 5th Ave")
    assert await places("10:00") == {"student"}
    await book_at("12:00", "instructor", "")
    assert await places("10:00") == {"instructor"}
    await pool.execute("update service set location_types = '{public,student}'")
    assert await places("10:00") == {"student"}
    await pool.execute("update service set location_types = '{public}'")
    assert await places("10:00") == {"public"}


async def test_the_instructors_address_is_shown_once_the_lesson_is_booked(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    held = await hold_time(pool, anna, ben)
    await sign_in(client, ben)
    page = await visit(client, f"/book/{held.id}")
    assert "You get Anna’s address once the lesson is booked." in page.text
    response = await page.form("/confirmation").send(client, location_type="instructor")
    page = await visit(client, response.headers["location"])
    assert f"At Anna’s place {ADDRESS}" in page.text
    assert page.links["Directions"].startswith("https://www.google.com/maps/dir/?api=1")


async def test_after_booking_the_page_says_so_whatever_is_sent_again(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    held = await hold_time(pool, anna, ben)
    await sign_in(client, ben)
    page = await visit(client, f"/book/{held.id}")
    form = page.form("/confirmation")
    booked = await form.send(client, location="12 Main St")
    repeated = await form.send(client, location="12 Main St")  # a double click
    assert booked.status_code == repeated.status_code == 303
    assert booked.headers["location"] == f"/book/{held.id}"
    other_tab = form.fields | {"_idempotency_key": "another", "location": "1 Pine St"}
    for late in (
        await Form(form.action, "post", other_tab).send(client),
        await form.send(client, location="Another place"),  # Back, and another address
        await page.form("/api/holds/").send(client),
        await page.form("/extension").send(client),
        await client.get(f"/book/{held.id}"),
    ):
        text = Page(late).text
        assert "You booked this lesson" in text
        assert "12 Main St" in text
        for error in ("already booked", "Idempotency", "only held", "state"):
            assert error not in text
    assert await pool.fetchval("select count(*) from booking") == 1


async def test_a_new_lesson_can_be_undone_for_five_minutes(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    lesson = await book(pool, anna, ben)
    await sign_in(client, ben)
    # The time is the lesson's, with the student's own beside it.
    await pool.execute("update account set time_zone = 'Asia/Tokyo' where id = $1", ben.id)
    page = await visit(client, f"/book/{lesson.id}")
    clock = r"\d+:\d\d [ap]m"
    until = rf"Undo it for free until {clock}(?: E[DS]T)? \((?:\w+ )?{clock} your time\)\."
    assert re.search(until, page.text)
    assert page.links["Add to calendar"] == f"/api/bookings/{lesson.id}/calendar.ics"
    response = await page.form("/cancellation").send(client)
    assert response.headers["location"] == f"/book/{lesson.id}"
    page = await visit(client, f"/book/{lesson.id}")
    assert "You undid this booking There is nothing to pay" in page.text
    assert "ancelled" not in page.text
    assert page.links["Book again"] == f"/lessons/{lesson.id}/again"

    lesson = await book(pool, anna, ben, clock="14:00")
    await pool.execute("update booking_audit set at = now() - interval '5 minutes'")
    page = await visit(client, f"/book/{lesson.id}")
    assert "You booked this lesson" in page.text
    assert "Undo" not in page.text
    # A cancellation after that, or for a reason, is none that corrects a mistake.
    other = await book(pool, anna, ben, clock="16:00")
    await cancellation.cancel(pool, ben.id, lesson.id, reason="", now=utc_now())
    await cancellation.cancel(pool, ben.id, other.id, reason="A cold.", now=utc_now())
    for each in (lesson, other):
        page = await visit(client, f"/book/{each.id}")
        assert "You cancelled this lesson You cancelled in time, at no charge." in page.text


async def test_a_hold_that_a_booking_replaced_leads_to_the_lesson(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    ada = await factories.admin(pool, "Ada")
    await sign_in(client, ben)
    for day, actor in ((1, None), (2, ada.id)):
        held = await hold.create(
            pool,
            ben.id,
            service_id=anna.service_id,
            start=anna.at("10:00", day=day),
            minutes=60,
            location_type=None,
            location="",
            note="",
            seconds=300,
            now=utc_now(),
        )
        lesson = await booking.reserve(
            pool,
            ben.id,
            service_id=anna.service_id,
            start=held.starts_at,
            minutes=60,
            location_type=None,
            location="12 Main St",
            note="",
            now=utc_now(),
            actor_id=actor,
            override=[] if actor else None,
        )
        page = await visit(client, f"/book/{held.id}")
        assert "You booked this lesson" in page.text
        assert "ran out" not in page.text
        assert "gave up" not in page.text
        assert page.links["See your lesson"] == f"/book/{lesson.id}"
        title = "We booked this lesson for you" if actor else "You booked this lesson"
        assert title in (await visit(client, f"/book/{lesson.id}")).text


async def test_a_hold_is_extended_once_and_given_up(client: httpx.AsyncClient, pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    held = await hold_time(pool, anna, ben, seconds=30)
    await sign_in(client, ben)
    page = await visit(client, f"/book/{held.id}")
    assert "Keep this time for another 5 minutes" in page.text
    extension = Form(f"/api/holds/{held.id}/extension", "post", page.form("/confirmation").fields)
    typed = {"location_type": "public", "location": "The library", "note": "I bring my own guitar."}
    assert (await extension.send(client, **typed)).status_code == 303
    until = await pool.fetchval("select held_until from booking")
    assert until > utc_now() + timedelta(minutes=4)
    page = await visit(client, f"/book/{held.id}")
    assert typed.items() <= page.form("/confirmation").fields.items()
    assert "another 5 minutes" not in page.text
    response = await page.form("/api/holds/").send(client)
    assert response.headers["location"] == f"/book/{held.id}"
    page = await visit(client, f"/book/{held.id}")
    assert "You gave up this time" in page.text
    assert "It is free again." in page.text


async def test_a_note_that_was_emptied_stays_empty(client: httpx.AsyncClient, pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    held = await hold_time(pool, anna, ben)
    await pool.execute("update booking set note = 'Typed before'")
    await sign_in(client, ben)
    form = (await visit(client, f"/book/{held.id}")).form("/confirmation")
    assert form.fields["note"] == "Typed before"
    response = await form.send(client, location="", note="")
    assert response.status_code == 422  # no address
    assert Page(response).form("/confirmation").fields.get("note", "") == ""
    response = await form.send(client, location="12 Oak Street", note="")
    assert response.status_code == 303
    assert await pool.fetchval("select note from booking") == ""


async def test_a_lost_hold_keeps_what_was_typed_for_another_time(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    held = await hold_time(pool, anna, ben)
    await sign_in(client, ben)
    form = (await visit(client, f"/book/{held.id}")).form("/confirmation")
    await expire(pool, held.id)
    typed = {"location_type": "public", "location": "The library", "note": "Hello"}
    response = await form.send(client, **typed)
    assert response.status_code == 409
    page = Page(response)
    assert "We held this time for you until" in page.text
    assert "It is still free." in page.text
    assert page.times[0] == wire.instant(anna.at("10:00"))

    await book(pool, anna, cleo)  # takes the expired hold over
    response = await form.send(client, **typed)
    page = Page(response)
    assert "This time has just been taken." in page.text
    assert len(page.times) == 5
    assert wire.instant(anna.at("10:00")) not in page.times
    form = page.form("/confirmation")
    assert typed.items() <= form.fields.items()

    # A time that is gone in the meantime is refused with others, and one of these is held.
    await book(pool, anna, cleo, clock="11:00")
    start = wire.instant(anna.at("11:00"))
    response = await Form("/api/holds", "post", form.fields).send(client, start=start)
    assert response.status_code == 409
    page = Page(response)
    assert "Someone else just booked that time." in page.text
    assert start not in page.times
    form = page.form("/confirmation")
    assert typed.items() <= form.fields.items()
    response = await Form("/api/holds", "post", form.fields).send(client, start=page.times[0])
    page = await visit(client, response.headers["location"])
    form = page.form("/confirmation")
    assert typed.items() <= form.fields.items()
    assert (await form.send(client)).status_code == 303


async def test_a_hold_of_a_withdrawn_service_offers_nothing_and_breaks_nothing(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben = await factories.student(pool, "Ben")
    held = await hold_time(pool, anna, ben)
    await pool.execute("update service set is_active = false")
    await sign_in(client, ben)
    page = await visit(client, f"/book/{held.id}")
    assert "This time is yours until" in page.text
    await expire(pool, held.id)
    page = await visit(client, f"/book/{held.id}")
    assert "Anna no longer offers this lesson." in page.text
    assert page.times == []
