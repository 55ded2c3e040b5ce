"""An instructor's own profile and services."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from app import refusal, wire
from app.catalog import service
from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.factories import Instructor
from tests.locks import until_lock_waits

GUITAR = {
    "catalog_service": "guitar",
    "description": "From the first chord",
    "hourly_rate_cents": 6500,
    "durations_minutes": [60, 30],
}


@pytest.fixture
async def anna(pool: Pool) -> Instructor:
    return await factories.instructor(pool, "Anna")


@pytest.fixture
async def as_anna(
    client: httpx.AsyncClient, pool: Pool, settings: Settings, anna: Instructor
) -> httpx.AsyncClient:
    """The client, signed in as Anna."""
    client.headers["Authorization"] = f"Bearer {await factories.token_of(pool, anna.id, settings)}"
    return client


async def test_a_student_becomes_an_instructor_too(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    client.headers["Authorization"] = f"Bearer {await factories.token_of(pool, ben.id, settings)}"
    answer = await client.post(
        "/api/instructors/me", json={"headline": "Guitar for everyone", "areas": ["Park Slope"]}
    )
    assert answer.status_code == 201
    assert answer.json() == {
        "id": str(ben.id),
        "name": "Ben",
        "headline": "Guitar for everyone",
        "bio": "",
        "years_experience": 0,
        "areas": ["park-slope"],
        "time_zone": "America/New_York",
        "min_advance_minutes": 120,
        "free_cancel_hours": 12,
        "services": [],
        "teaching_address": "",
        "travel_buffer_minutes": 0,
        "is_active": True,
    }
    assert (await client.get("/api/auth/me")).json()["roles"] == ["instructor", "student"]
    assert (await client.post("/api/instructors/me")).status_code == 201


async def test_an_invalid_profile_grants_no_role(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    client.headers["Authorization"] = f"Bearer {await factories.token_of(pool, ben.id, settings)}"
    answer = await client.post("/api/instructors/me", json={"areas": ["Atlantis"]})
    assert (answer.status_code, answer.json()["field"]) == (422, "areas.0")
    assert (await client.get("/api/auth/me")).json()["roles"] == ["student"]


async def test_omitted_fields_stay_unchanged(as_anna: httpx.AsyncClient) -> None:
    profile = {
        "headline": "Piano with patience",
        "bio": "Fifteen years at it.",
        "years_experience": 15,
        "areas": ["Upper West Side", "harlem", "harlem"],
        "min_advance_minutes": 60,
        "travel_buffer_minutes": 15,
        "free_cancel_hours": 24,
        "teaching_address": "40 Main Street, Brooklyn",
    }
    changed = (await as_anna.put("/api/instructors/me", json=profile)).json()
    expected = profile | {"areas": ["harlem", "upper-west-side"]}
    assert {name: changed[name] for name in profile} == expected
    again = (
        await as_anna.put(
            "/api/instructors/me", json={"bio": "", "headline": None, "areas": ["soho"]}
        )
    ).json()
    assert {name: again[name] for name in profile} == expected | {"bio": "", "areas": ["soho"]}
    assert (await as_anna.get("/api/instructors/me")).json() == again


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"headline": "x" * 201}, "headline"),
        ({"headline": 7}, "headline"),
        ({"years_experience": -1}, "years_experience"),
        ({"years_experience": 1e300}, "years_experience"),
        ({"areas": ["park-slope", "Atlantis"]}, "areas.1"),
        ({"areas": {"a": 1}}, "areas"),
        ({"areas": [7]}, "areas.0"),
        ({"teaching_address": "x" * 501}, "teaching_address"),
        ({"teaching_address": ["40 Main Street"]}, "teaching_address"),
        ({"min_advance_minutes": 43_201}, "min_advance_minutes"),
        ({"travel_buffer_minutes": 241}, "travel_buffer_minutes"),
        ({"free_cancel_hours": 0}, "free_cancel_hours"),
        ({"free_cancel_hours": "many"}, "free_cancel_hours"),
    ],
)
async def test_an_invalid_profile_is_refused(
    as_anna: httpx.AsyncClient, changes: dict[str, Any], field: str
) -> None:
    before = (await as_anna.get("/api/instructors/me")).json()
    answer = await as_anna.put("/api/instructors/me", json={"bio": "new"} | changes)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (
        422,
        "VALIDATION_ERROR",
        field,
    )
    assert (await as_anna.get("/api/instructors/me")).json() == before


async def test_a_changed_buffer_is_one_step_with_every_day_it_alters(
    as_anna: httpx.AsyncClient, pool: Pool, anna: Instructor
) -> None:
    ben = await factories.student(pool, "Ben")
    for day in (2, 5, 20):
        await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00", day=day))
    first, days = anna.day(-3), 60
    before = await pool.fetchrow("select * from board($1, $2, $3)", anna.id, first, days)
    assert before is not None
    await as_anna.put("/api/instructors/me", json={"travel_buffer_minutes": 45})
    after = await pool.fetchrow("select * from board($1, $2, $3)", anna.id, first, days)
    (change,) = await pool.fetch(
        "select * from outbox where instructor_id = $1 and version > $2 order by version",
        anna.id,
        before["version"],
    )
    assert after is not None
    assert after["version"] == change["version"] == before["version"] + 1
    assert set(change["days"]) == {anna.day(day).isoformat() for day in (2, 5, 20)}
    assert before["days"] | change["days"] == after["days"]
    assert before["days"] != after["days"]
    row = await pool.fetchrow("select * from calendar where instructor_id = $1", anna.id)
    assert row is not None
    assert row["availability_version"] == 0


async def test_a_changed_notice_is_a_step_that_alters_no_day(
    as_anna: httpx.AsyncClient, pool: Pool, anna: Instructor
) -> None:
    await as_anna.put("/api/instructors/me", json={"min_advance_minutes": 0})
    row = await pool.fetchrow(
        "select version, days, events from outbox where instructor_id = $1", anna.id
    )
    assert row is not None
    assert dict(row) == {"version": 1, "days": {}, "events": []}
    await as_anna.put(
        "/api/instructors/me",
        json={"min_advance_minutes": 0, "travel_buffer_minutes": 0, "bio": "the same otherwise"},
    )
    assert await pool.fetchval("select count(*) from outbox") == 1


async def test_an_instructor_stops_teaching_and_starts_again(
    as_anna: httpx.AsyncClient, anna: Instructor
) -> None:
    assert (await as_anna.delete("/api/instructors/me")).status_code == 204
    assert (await as_anna.get(f"/api/instructors/{anna.id}")).status_code == 404
    assert (await as_anna.get("/api/instructors")).json()["items"] == []
    assert (await as_anna.get("/api/instructors/me")).json()["is_active"] is False
    assert (await as_anna.post("/api/instructors/me", json={})).status_code == 201
    assert (await as_anna.get(f"/api/instructors/{anna.id}")).status_code == 200


async def test_stopping_and_starting_again_are_published(
    as_anna: httpx.AsyncClient, anna: Instructor, pool: Pool
) -> None:
    free = "select board_days($1, $2) -> $3 -> 'free' <> '[]'"
    day = anna.day()
    assert await pool.fetchval(free, anna.id, [day], day.isoformat())
    for _ in range(2):  # stopping twice is one change
        await as_anna.delete("/api/instructors/me")
    assert not await pool.fetchval(free, anna.id, [day], day.isoformat())
    await as_anna.post("/api/instructors/me", json={})
    assert await pool.fetchval(free, anna.id, [day], day.isoformat())
    assert [tuple(row) for row in await pool.fetch("select version, days, events from outbox")] == [
        (1, {}, []),
        (2, {}, []),
    ]


async def test_a_service_is_offered_changed_and_withdrawn(
    as_anna: httpx.AsyncClient, anna: Instructor
) -> None:
    answer = await as_anna.post("/api/instructors/me/services", json=GUITAR)
    assert answer.status_code == 201
    created = answer.json()
    assert created == GUITAR | {
        "id": created["id"],
        "name": "Guitar",
        "durations_minutes": [30, 60],
        "location_types": ["student", "instructor", "public"],
        "levels": [],
        "audiences": [],
    }
    changes = {
        "hourly_rate_cents": 7000,
        "location_types": ["instructor", "instructor"],
        "levels": ["beginner"],
    }
    changed = (
        await as_anna.patch(f"/api/instructors/me/services/{created['id']}", json=changes)
    ).json()
    assert changed == created | changes | {"location_types": ["instructor"]}
    own = (await as_anna.get("/api/instructors/me/services")).json()["items"]
    assert own == (await as_anna.get(f"/api/instructors/{anna.id}")).json()["services"]
    assert own[1] == changed
    page = (await as_anna.get("/api/instructors/me/services?limit=1")).json()
    rest = (
        await as_anna.get(f"/api/instructors/me/services?limit=1&cursor={page['next_cursor']}")
    ).json()
    assert page["items"] + rest["items"] == own
    assert (
        await as_anna.delete(f"/api/instructors/me/services/{created['id']}")
    ).status_code == 204
    assert (await as_anna.get("/api/instructors/me/services")).json()["items"] == own[:1]
    for answer in (
        await as_anna.delete(f"/api/instructors/me/services/{created['id']}"),
        await as_anna.patch(f"/api/instructors/me/services/{created['id']}", json={}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


async def test_a_withdrawal_is_reversed(
    as_anna: httpx.AsyncClient, pool: Pool, anna: Instructor
) -> None:
    path = f"/api/instructors/me/services/{anna.service_id}"
    before = (await as_anna.get("/api/instructors/me/services")).json()["items"]
    await as_anna.delete(path)
    assert (await as_anna.patch(path, json={"hourly_rate_cents": 8000})).status_code == 404
    answer = await as_anna.patch(path, json={"active": False})
    assert (answer.status_code, answer.json()["field"]) == (422, "active")
    for _ in range(2):
        assert (await as_anna.patch(path, json={"active": True})).json() == before[0]
    assert (await as_anna.get("/api/instructors/me/services")).json()["items"] == before
    ben = await factories.student(pool, "Ben")
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))

    await as_anna.delete(path)
    piano = GUITAR | {"catalog_service": "piano"}
    new = (await as_anna.post("/api/instructors/me/services", json=piano)).json()
    answer = await as_anna.patch(path, json={"active": True})
    assert (answer.status_code, answer.json()["field"]) == (422, "active")
    assert (await as_anna.get("/api/instructors/me/services")).json()["items"] == [new]
    carl = await factories.instructor(pool, "Carl")
    await service.withdraw(pool, carl.id, carl.service_id)
    answer = await as_anna.patch(
        f"/api/instructors/me/services/{carl.service_id}", json={"active": True}
    )
    assert answer.status_code == 404


async def test_withdrawn_services_that_nobody_booked_do_not_pile_up(
    as_anna: httpx.AsyncClient, pool: Pool, anna: Instructor
) -> None:
    for _ in range(3):
        created = (await as_anna.post("/api/instructors/me/services", json=GUITAR)).json()
        await as_anna.delete(f"/api/instructors/me/services/{created['id']}")
        assert [row.name for row in await service.withdrawn(pool, anna.id)] == ["Guitar"]
    assert await pool.fetchval("select count(*) from service") == 2


async def test_lessons_at_the_instructors_place_need_an_address(
    as_anna: httpx.AsyncClient, anna: Instructor
) -> None:
    services = "/api/instructors/me/services"
    answer = await as_anna.put("/api/instructors/me", json={"teaching_address": "  "})
    assert (answer.status_code, answer.json()["teaching_address"]) == (200, "")
    (piano,) = (await as_anna.get(services)).json()["items"]
    assert piano["location_types"] == ["student", "public"]
    guitar = (await as_anna.post(services, json=GUITAR)).json()
    assert guitar["location_types"] == ["student", "public"]
    drums = GUITAR | {"catalog_service": "drums", "location_types": ["public", "instructor"]}
    for answer in (
        await as_anna.post(services, json=drums),
        await as_anna.patch(f"{services}/{guitar['id']}", json={"location_types": ["instructor"]}),
    ):
        assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (
            422,
            "VALIDATION_ERROR",
            "location_types",
        )
    assert (await as_anna.get(services)).json()["items"] == [piano, guitar]

    await as_anna.put("/api/instructors/me", json={"teaching_address": " 40 Main Street "})
    assert (await as_anna.post(services, json=drums)).json()["location_types"] == [
        "public",
        "instructor",
    ]
    own = {"location_types": ["instructor"]}
    await as_anna.patch(f"{services}/{guitar['id']}", json=own)
    profile = (await as_anna.get("/api/instructors/me")).json()
    assert profile["teaching_address"] == "40 Main Street"
    answer = await as_anna.put("/api/instructors/me", json={"teaching_address": "", "bio": "new"})
    assert (answer.status_code, answer.json()["field"]) == (422, "teaching_address")
    assert (await as_anna.get("/api/instructors/me")).json() == profile

    await as_anna.delete(f"{services}/{guitar['id']}")
    assert (
        await as_anna.put("/api/instructors/me", json={"teaching_address": ""})
    ).status_code == 200
    answer = await as_anna.patch(f"{services}/{guitar['id']}", json={"active": True})
    assert (answer.status_code, answer.json()["field"]) == (422, "location_types")
    assert (
        await as_anna.patch(
            f"{services}/{guitar['id']}", json={"active": True, "location_types": ["public"]}
        )
    ).status_code == 200


async def test_only_students_who_booked_at_the_instructors_place_see_the_address(
    as_anna: httpx.AsyncClient, pool: Pool, settings: Settings, anna: Instructor
) -> None:
    address = "40 Main Street, Apartment 7"
    await as_anna.put("/api/instructors/me", json={"teaching_address": address})
    ben = await factories.student(pool, "Ben")
    headers = {"Authorization": f"Bearer {await factories.token_of(pool, ben.id, settings)}"}
    lessons = []
    for clock, location_type in (("10:00", "instructor"), ("12:00", "student")):
        body = {
            "service_id": str(anna.service_id),
            "start": anna.at(clock).isoformat(),
            "duration_minutes": 60,
            "location_type": location_type,
            "location": "12 Oak Street",
        }
        answer = await as_anna.post("/api/bookings", json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        lessons.append(answer.json())
    assert [lesson["location"] for lesson in lessons] == [address, "12 Oak Street"]
    answer = await as_anna.get(f"/api/bookings/{lessons[0]['id']}", headers=headers)
    assert answer.json() == lessons[0]
    cleo = await factories.student(pool, "Cleo")
    others = {"Authorization": f"Bearer {await factories.token_of(pool, cleo.id, settings)}"}
    for path in (f"/api/instructors/{anna.id}", "/api/instructors", f"/instructors/{anna.id}", "/"):
        assert address not in (await as_anna.get(path, headers=others)).text

    await as_anna.put("/api/instructors/me", json={"teaching_address": ""})
    answer = await as_anna.get(f"/api/bookings/{lessons[0]['id']}", headers=headers)
    assert answer.json() == lessons[0]


async def test_new_terms_apply_to_new_lessons_and_boards_and_booked_lessons_keep_theirs(
    as_anna: httpx.AsyncClient, pool: Pool, anna: Instructor
) -> None:
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    start = anna.at("10:00", day=3)
    booked = await factories.lesson(pool, ben.id, anna.service_id, start)
    await as_anna.put(
        "/api/instructors/me",
        json={"travel_buffer_minutes": 30, "min_advance_minutes": 2880, "free_cancel_hours": 48},
    )
    await as_anna.patch(
        f"/api/instructors/me/services/{anna.service_id}",
        json={"hourly_rate_cents": 9000, "location_types": ["public"]},
    )
    answer = await as_anna.get(f"/api/bookings/{booked.id}")
    assert (answer.json()["price_cents"], answer.json()["location_type"]) == (7000, "student")
    lesson = await pool.fetchrow("select * from booking where id = $1", booked.id)
    assert lesson is not None
    assert lesson["free_cancel_until"] == start - timedelta(hours=12)
    assert lesson["blocked"].upper == start + timedelta(hours=1)

    # The board keeps the new travel before the lesson free, and the booked travel after it.
    day = anna.day(3)
    row = await pool.fetchrow("select * from board($1, $2, 1)", anna.id, day)
    assert row is not None
    assert row["days"][str(day)]["free"] == [
        [wire.instant(anna.at("09:00", day=3)), wire.instant(anna.at("09:30", day=3))],
        [wire.instant(anna.at("11:00", day=3)), wire.instant(anna.at("17:00", day=3))],
    ]
    assert row["min_advance_minutes"] == 2880
    with pytest.raises(refusal.SlotTaken):
        await factories.lesson(pool, cleo.id, anna.service_id, anna.at("09:15", day=3), minutes=30)
    with pytest.raises(refusal.TooSoon):
        await factories.lesson(pool, cleo.id, anna.service_id, anna.at("10:00"))
    new = await factories.lesson(pool, cleo.id, anna.service_id, anna.at("10:00", day=4))
    assert (new.price_cents, new.location_type) == (9000, "public")
    assert new.free_cancel_until == new.starts_at - timedelta(hours=48)


async def test_a_service_with_lessons_is_deactivated_and_can_be_offered_again(
    as_anna: httpx.AsyncClient, pool: Pool, anna: Instructor
) -> None:
    ben = await factories.student(pool, "Ben")
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
    assert (
        await as_anna.delete(f"/api/instructors/me/services/{anna.service_id}")
    ).status_code == 204
    assert (
        await pool.fetchval("select is_active from service where id = $1", anna.service_id) is False
    )
    assert (await as_anna.get("/api/instructors/me/services")).json()["items"] == []
    assert (
        await as_anna.post(
            "/api/instructors/me/services", json=GUITAR | {"catalog_service": "piano"}
        )
    ).status_code == 201


async def test_a_booking_that_waits_while_its_service_is_withdrawn_is_not_found(
    pool: Pool, anna: Instructor
) -> None:
    ben = await factories.student(pool, "Ben")
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await service.withdraw(connection, anna.id, anna.service_id)
        waiting = asyncio.create_task(
            factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
        )
        await until_lock_waits(pool, 1)
        await transaction.commit()
    with pytest.raises(refusal.NotFound):
        await waiting
    assert await pool.fetchval("select count(*) from booking") == 0


async def test_a_service_that_is_being_booked_is_not_deleted(pool: Pool, anna: Instructor) -> None:
    ben = await factories.student(pool, "Ben")
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.fetchrow(
            "select refusal from reserve($1, $2, $3, 60, null, 'Here', '', now())",
            ben.id,
            anna.service_id,
            anna.at("10:00"),
        )
        waiting = asyncio.create_task(service.withdraw(pool, anna.id, anna.service_id))
        await until_lock_waits(pool, 1)
        await transaction.commit()
    await waiting
    assert (
        await pool.fetchval("select is_active from service where id = $1", anna.service_id) is False
    )


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"catalog_service": "piano"}, "catalog_service"),
        ({"catalog_service": "levitation"}, "catalog_service"),
        ({"catalog_service": None}, "catalog_service"),
        ({"hourly_rate_cents": 99}, "hourly_rate_cents"),
        ({"hourly_rate_cents": 100_001}, "hourly_rate_cents"),
        ({"hourly_rate_cents": 70.5}, "hourly_rate_cents"),
        ({"durations_minutes": []}, "durations_minutes"),
        ({"durations_minutes": [20]}, "durations_minutes"),
        ({"durations_minutes": [0]}, "durations_minutes"),
        ({"durations_minutes": [495]}, "durations_minutes"),
        ({"durations_minutes": [60, "long"]}, "durations_minutes.1"),
        ({"durations_minutes": 60}, "durations_minutes"),
        ({"durations_minutes": list(range(15, 480, 15))}, "durations_minutes"),
        ({"location_types": ["moon"]}, "location_types.0"),
        ({"location_types": []}, "location_types"),
        ({"levels": ["Beginner!"]}, "levels"),
        ({"description": "x" * 2001}, "description"),
    ],
)
async def test_an_invalid_service_is_refused(
    as_anna: httpx.AsyncClient, changes: dict[str, Any], field: str
) -> None:
    answer = await as_anna.post("/api/instructors/me/services", json=GUITAR | changes)
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (
        422,
        "VALIDATION_ERROR",
        field,
    )
    assert len((await as_anna.get("/api/instructors/me/services")).json()["items"]) == 1


async def test_the_subject_of_a_service_cannot_be_changed(
    as_anna: httpx.AsyncClient, anna: Instructor
) -> None:
    answer = await as_anna.patch(
        f"/api/instructors/me/services/{anna.service_id}", json={"catalog_service": "guitar"}
    )
    assert (answer.status_code, answer.json()["field"]) == (422, "catalog_service")


async def test_another_instructors_service_is_not_found(
    as_anna: httpx.AsyncClient, pool: Pool
) -> None:
    carl = await factories.instructor(pool, "Carl")
    for answer in (
        await as_anna.patch(
            f"/api/instructors/me/services/{carl.service_id}", json={"hourly_rate_cents": 100}
        ),
        await as_anna.delete(f"/api/instructors/me/services/{carl.service_id}"),
        await as_anna.delete("/api/instructors/me/services/none"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert await pool.fetchval(
        "select is_active and hourly_rate_cents = 7000 from service where id = $1", carl.service_id
    )


async def test_a_student_has_no_services(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    client.headers["Authorization"] = f"Bearer {await factories.token_of(pool, ben.id, settings)}"
    for answer in (
        await client.post("/api/instructors/me/services", content=b"{not json"),
        await client.put("/api/instructors/me", content=b"{not json"),
        await client.delete("/api/instructors/me"),
        await client.get("/api/instructors/me/services"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "NOT_ALLOWED")
