"""Erasing an account: what remains of it, and what the other people notice."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest
from structlog.testing import capture_logs

from app import refusal
from app.accounts import session
from app.bookings import booking, hold
from app.db import Pool
from app.privacy import erasure
from app.settings import Settings
from tests import factories
from tests.accounts.mails import deliver
from tests.conftest import patient_pool
from tests.factories import PASSWORD, Account

NOW = datetime.now(UTC)


async def headers_of(pool: Pool, account: Account, settings: Settings) -> dict[str, str]:
    return {"Authorization": f"Bearer {await factories.token_of(pool, account.id, settings)}"}


async def erase(
    client: httpx.AsyncClient, pool: Pool, account: Account, settings: Settings
) -> httpx.Response:
    headers = await headers_of(pool, account, settings)
    return await client.post("/api/privacy/erasure", json={"password": PASSWORD}, headers=headers)


async def state_of(pool: Pool, booking_id: UUID) -> str:
    state: str = await pool.fetchval("select state from booking where id = $1", booking_id)
    return state


async def test_a_wrong_password_erases_nothing(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    headers = await headers_of(pool, ben, settings)
    answer = await client.post("/api/privacy/erasure", json={"password": "no"}, headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (422, "password")
    assert (await client.get("/api/auth/me", headers=headers)).json()["email"] == ben.email


async def test_an_erased_account_is_signed_out_for_good_and_its_address_is_free(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    headers = await headers_of(pool, ben, settings)
    assert (await erase(client, pool, ben, settings)).status_code == 204
    assert (await client.get("/api/auth/me", headers=headers)).status_code == 401
    credentials = {"email": ben.email, "password": PASSWORD}
    assert (await client.post("/api/auth/login", json=credentials)).status_code == 401
    anonymous = f"{ben.id}@erased.invalid"
    credentials = {"email": anonymous, "password": PASSWORD}
    assert (await client.post("/api/auth/login", json=credentials)).status_code == 401
    await client.post("/api/auth/password-reset/request", json={"email": anonymous})
    await deliver(pool, settings)
    assert await pool.fetchval("select count(*) from dev_mail") == 0
    again = {"email": ben.email, "password": PASSWORD, "full_name": "Ben", "role": "student"}
    assert (await client.post("/api/auth/register", json=again)).status_code == 201


async def test_a_session_opened_during_the_erasure_cannot_be_used(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    await erase(client, pool, ben, settings)
    token = await session.open(pool, ben.id, settings, now=NOW)
    headers = {"Authorization": f"Bearer {token}"}
    assert (await client.get("/api/auth/me", headers=headers)).status_code == 401
    await erasure.complete_all(pool, now=lambda: NOW)
    assert await pool.fetchval("select count(*) from session") == 0


async def test_a_students_lessons_are_cancelled_and_holds_end_before_their_data_is_deleted(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    lesson = await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00", day=3))
    held = await hold.create(
        pool, ben.id, service_id=anna.service_id, start=anna.at("12:00", day=3), minutes=60,
        location_type="public", location="Prospect Park", note="Ben’s allergic to cats",
        seconds=300, now=NOW,
    )  # fmt: skip
    await deliver(pool, settings)
    assert (await erase(client, pool, ben, settings)).status_code == 204
    assert await state_of(pool, lesson.id) == "cancelled"
    assert await state_of(pool, held.id) == "expired"
    await deliver(pool, settings)
    mails = await pool.fetch("select recipient, subject, body_text from dev_mail")
    assert [mail["recipient"] for mail in mails] == [anna.email]
    assert mails[0]["subject"].startswith("Cancelled: Piano with Ben, ")
    assert "The account was deleted." in mails[0]["body_text"]

    headers = await headers_of(pool, anna, settings)
    assert "@erased.invalid" not in (await client.get("/teach", headers=headers)).text
    lesson_json = (await client.get(f"/api/bookings/{lesson.id}", headers=headers)).json()
    assert lesson_json["student"]["name"] == "Former student"
    assert (lesson_json["location"], lesson_json["note"], lesson_json["instructor_note"]) == (
        "",
        "",
        "",
    )
    assert lesson_json["price_cents"] == 7000
    # The time is free again.
    carl = await factories.student(pool, "Carl")
    await factories.lesson(pool, carl.id, anna.service_id, anna.at("10:00", day=3))


async def test_an_erased_instructor_disappears_everywhere(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    past = await factories.lesson(
        pool, ben.id, anna.service_id, anna.at("09:00", day=1), now=NOW - timedelta(days=3)
    )
    await pool.execute(
        """update booking set during = tstzrange(lower(during) - interval '9 days',
             upper(during) - interval '9 days'), blocked = tstzrange(
             lower(blocked) - interval '9 days', upper(blocked) - interval '9 days'),
             state = 'completed', location_type = 'instructor', location = $2 where id = $1""",
        past.id, factories.ADDRESS,
    )  # fmt: skip
    lesson = await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00", day=3))
    paths = [f"/api/public/instructors/{anna.id}/availability", f"/api/instructors/{anna.id}"]
    assert [(await client.get(path)).status_code for path in paths] == [200, 200]
    assert (await client.get("/api/search?q=piano")).json()["items"]
    before = await pool.fetchval("select version from calendar")

    assert (await erase(client, pool, anna, settings)).status_code == 204
    assert [(await client.get(path)).status_code for path in paths] == [404, 404]
    assert (await client.get("/api/search?q=piano")).json()["items"] == []
    assert (await client.get("/api/instructors")).json()["items"] == []
    for page in ("/", "/search?q=piano", "/sitemap/instructors.xml"):
        assert str(anna.id) not in (await client.get(page)).text, page
    assert await pool.fetchval("select version from calendar") >= before + 2
    assert await state_of(pool, lesson.id) == "cancelled"
    with pytest.raises(refusal.NotFound):
        await factories.lesson(pool, ben.id, anna.service_id, anna.at("11:00", day=3))

    headers = await headers_of(pool, ben, settings)
    lesson_json = (await client.get(f"/api/bookings/{past.id}", headers=headers)).json()
    assert (lesson_json["instructor"]["name"], lesson_json["location"]) == ("Former instructor", "")
    for page in (f"/book/{past.id}", f"/book/{lesson.id}", "/lessons?scope=past", "/lessons"):
        answer = await client.get(page, headers=headers)
        assert answer.status_code == 200, page
        assert "Anna" not in answer.text, page


async def test_an_admin_can_erase_an_account_and_repeat_it(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ada, ben = await factories.admin(pool), await factories.student(pool, "Ben")
    headers = await headers_of(pool, ada, settings)
    path = f"/api/privacy/accounts/{ben.id}/erasure"
    with capture_logs() as lines:
        assert (await client.post(path, headers=headers)).status_code == 204
    (line,) = [line for line in lines if line["event"] == "account_erased"]
    assert (line["account"], line["actor"]) == (str(ben.id), str(ada.id))
    assert (await client.post(path, headers=headers)).status_code == 204
    unknown = f"/api/privacy/accounts/{UUID(int=1)}/erasure"
    assert (await client.post(unknown, headers=headers)).status_code == 404
    assert await pool.fetchval("select full_name from account where id = $1", ben.id) == (
        "Former student"
    )
    carl = await factories.student(pool, "Carl")
    headers = await headers_of(pool, carl, settings)
    assert (await client.post(path, headers=headers)).status_code == 403


async def test_nothing_brings_an_erased_account_back(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    await erase(client, pool, ben, settings)
    for change in ("email = 'ben@example.com'", "full_name = 'Ben'", "password_hash = 'x'"):
        with pytest.raises(Exception, match="account_erased_is_anonymous"):
            await pool.execute(f"update account set {change} where id = $1", ben.id)


async def test_an_interrupted_erasure_is_continued_and_the_account_is_anonymous_at_once(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    lesson = await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00", day=3))
    await erasure.erase(pool, ben.id, now=NOW)  # and then the process dies
    assert await pool.fetchval("select erased_at from account where id = $1", ben.id) is None
    assert (await client.post(
        "/api/auth/login", json={"email": ben.email, "password": PASSWORD}
    )).status_code == 401  # fmt: skip
    assert await state_of(pool, lesson.id) == "confirmed"
    await erasure.complete_all(pool, now=lambda: NOW)
    assert await state_of(pool, lesson.id) == "cancelled"
    assert await pool.fetchval("select erased_at from account where id = $1", ben.id)


async def test_an_erasure_that_runs_out_of_time_is_finished_by_the_next_call(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    for hour in (10, 11, 12):
        await factories.lesson(pool, ben.id, anna.service_id, anna.at(f"{hour}:00", day=3))
    await erasure.erase(pool, ben.id, now=NOW)
    progress = await erasure.complete(pool, ben.id, now=lambda: NOW, seconds=-1)
    assert not progress.finished
    progress = await erasure.complete(pool, ben.id, now=lambda: NOW)
    assert progress.finished
    assert progress.calendars == {ben.id, anna.id}


async def test_a_mail_that_is_being_sent_only_delays_the_end_of_an_erasure(
    pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00", day=3))
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "select from notification where recipient_id = $1 for no key update", ben.id
        )
        await erasure.erase(pool, ben.id, now=NOW)
        assert not (await erasure.complete(pool, ben.id, now=lambda: NOW)).finished
    await erasure.complete_all(pool, now=lambda: NOW)
    assert await pool.fetchval("select erased_at from account where id = $1", ben.id)
    unsent = "select dropped_reason from notification where recipient_id = $1"
    assert {row["dropped_reason"] for row in await pool.fetch(unsent, ben.id)} == {"account_erased"}


async def test_a_repeated_call_of_the_other_person_gets_its_answer_without_the_name(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    headers = await headers_of(pool, ben, settings) | {"Idempotency-Key": "a key"}
    body = {
        "service_id": str(anna.service_id), "start": anna.at("10:00", day=3).isoformat(),
        "duration_minutes": 60, "location_type": "public", "location": "Prospect Park",
        "note": "Dear Anna",
    }  # fmt: skip
    first = await client.post("/api/bookings", json=body, headers=headers)
    assert first.json()["instructor"]["name"] == "Anna"
    await erase(client, pool, anna, settings)
    again = await client.post("/api/bookings", json=body, headers=headers)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    assert "Anna" not in again.text
    assert again.json()["location"] == "Prospect Park"


@pytest.fixture
async def crowd(database_url: str, patience: None) -> AsyncIterator[Pool]:
    async with patient_pool(database_url) as pool:
        yield pool


async def test_accounts_are_erased_while_everybody_books(pool: Pool, crowd: Pool) -> None:
    """Afterwards no erased account has a lesson ahead, and nobody's lessons overlap."""
    instructors = [await factories.instructor(pool, f"Anna {n}") for n in range(4)]
    students = [await factories.student(pool, f"Ben {n}") for n in range(8)]
    picks = random.Random(7)
    erased: list[Account] = [students[0], students[1], instructors[0], instructors[1]]
    booked = 0
    refused: Counter[type[refusal.Refusal]] = Counter()

    async def book(student: Account) -> None:
        nonlocal booked
        for _ in range(25):
            instructor = picks.choice(instructors)
            start = instructor.at(f"{picks.randrange(9, 17):02}:00", day=picks.randrange(2, 5))
            try:
                await factories.lesson(crowd, student.id, instructor.service_id, start)
                booked += 1
            except refusal.Refusal as error:
                refused[type(error)] += 1

    async def delete(account: Account, delay: float) -> None:
        await asyncio.sleep(delay)
        await erasure.erase(crowd, account.id, now=NOW)
        await erasure.complete(crowd, account.id, now=lambda: NOW)

    await asyncio.gather(
        *(book(student) for student in students),
        *(delete(account, 0.05 * n) for n, account in enumerate(erased)),
    )
    assert booked > 20
    assert refusal.Unavailable not in refused
    ahead = """select count(*) from booking where state in ('held', 'confirmed')
               and (student_id = any($1) or instructor_id = any($1))"""
    ids = [account.id for account in erased]
    assert await pool.fetchval(ahead, ids) == 0
    assert await pool.fetchval(
        "select count(*) from account where id = any($1) and erased_at is not null", ids
    ) == len(erased)
    for student in students[:2]:
        with pytest.raises(refusal.NotSignedIn):
            await factories.lesson(
                pool, student.id, instructors[3].service_id, instructors[3].at("09:00", day=20)
            )
    gaps = """select count(*) from calendar c where c.version <> (
                select count(*) from outbox o where o.instructor_id = c.instructor_id)"""
    assert await pool.fetchval(gaps) == 0


async def test_staff_cannot_book_for_an_erased_account(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    ada = await factories.admin(pool)
    await erasure.erase(pool, ben.id, now=NOW)
    for actor_id, refused in ((ada.id, refusal.NotFound), (ben.id, refusal.NotSignedIn)):
        with pytest.raises(refused):
            await booking.reserve(
                pool, ben.id, service_id=anna.service_id, start=anna.at("10:00", day=3),
                minutes=60, location_type=None, location="12 Main St", note="", now=NOW,
                actor_id=actor_id,
            )  # fmt: skip


async def test_an_instructor_sees_no_address_of_an_erased_student(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00", day=1))
    await pool.execute(
        """update booking set during = now, blocked = now
           from (select tstzrange(now() - interval '5 min', now() + interval '25 min') as now)"""
    )
    headers = await headers_of(pool, anna, settings)
    assert ben.email in (await client.get("/teach", headers=headers)).text
    await erase(client, pool, ben, settings)
    page = (await client.get("/teach", headers=headers)).text
    assert "Former student" in page
    assert "@" not in page.replace(anna.email, "")


async def test_the_only_admin_stays_even_if_two_leave_at_the_same_time(pool: Pool) -> None:
    ada, abe = await factories.admin(pool, "Ada"), await factories.admin(pool, "Abe")
    results = await asyncio.gather(
        *(erasure.erase(pool, admin.id, now=NOW) for admin in (ada, abe)), return_exceptions=True
    )
    assert [type(result) for result in results if result] == [refusal.NotAllowed]
    assert await pool.fetchval("select count(*) from account_role where role = 'admin'") == 1


async def test_the_other_people_read_the_name_in_their_mail_and_nowhere_else(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    anna = await factories.instructor(pool, "Anna")
    ben, carl = await factories.student(pool, "Ben"), await factories.student(pool, "Carl")
    for student, at in ((ben, "10:00"), (carl, "12:00")):
        await booking.reserve(
            pool, student.id, service_id=anna.service_id, start=anna.at(at), minutes=60,
            location_type=None, location="12 Main St", note="", now=NOW,
        )  # fmt: skip
    await deliver(pool, settings)
    await pool.execute("delete from dev_mail")
    former_name = "select former_name from account where id = $1"
    for account in (ben, anna):
        assert (await erase(client, pool, account, settings)).status_code == 204
        assert await pool.fetchval(former_name, account.id) == account.name
    await deliver(pool, settings)
    rows = await pool.fetch("select recipient, subject, body_text from dev_mail")
    mails = {row["recipient"]: row for row in rows}
    # Anna was gone before she could be told of Ben.
    assert set(mails) == {carl.email}
    assert mails[carl.email]["subject"].startswith("Cancelled: Piano with Anna, ")
    assert "Anna cancelled this lesson." in mails[carl.email]["body_text"]
    page = await client.get("/lessons", headers=await headers_of(pool, carl, settings))
    assert "Anna" not in page.text
    await erasure.complete_all(pool, now=lambda: datetime.now(UTC))
    assert await pool.fetchval(former_name, anna.id) is None
    assert await pool.fetchval(former_name, ben.id) is None


async def test_a_mail_that_cannot_be_sent_keeps_the_name_for_an_hour_only(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    await booking.reserve(
        pool, ben.id, service_id=anna.service_id, start=anna.at("10:00"), minutes=60,
        location_type=None, location="12 Main St", note="", now=NOW,
    )  # fmt: skip
    await erase(client, pool, ben, settings)
    former_name = "select former_name from account where id = $1"
    minutes = {0: "Ben", 59: "Ben", 61: None}
    for after, name in minutes.items():
        at = itertools.repeat(datetime.now(UTC) + timedelta(minutes=after))
        await erasure.complete_all(pool, now=at.__next__)
        assert await pool.fetchval(former_name, ben.id) == name
    await deliver(pool, settings)
    assert await pool.fetchval(
        "select count(*) from dev_mail where subject like '%Former student%'"
    )
    emma = await factories.student(pool, "Emma")
    await erase(client, pool, emma, settings)
    assert await pool.fetchval(former_name, emma.id) is None  # nobody is to be told
