"""The export of an account's data, retention on request, and the numbers of admins."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from app.db import Pool
from app.privacy import export, retention
from app.settings import Settings
from tests import factories
from tests.accounts.mails import deliver

NOW = datetime.now(UTC)


async def exported(client: httpx.AsyncClient, headers: dict[str, str]) -> dict[str, Any]:
    answer = await client.get("/api/privacy/export", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith('attachment; filename="instainstru-')
    assert answer.headers["cache-control"] == "no-store"
    document: dict[str, Any] = answer.json()
    return document


async def test_an_export_has_ones_own_words_and_only_the_name_of_the_other_person(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    lesson = await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00", day=3))
    await pool.execute(
        "update booking set note = 'I am left-handed', instructor_note = 'Talks a lot'"
    )
    await deliver(pool, settings)
    as_ben = {"Authorization": f"Bearer {await factories.token_of(pool, ben.id, settings)}"}
    as_anna = {"Authorization": f"Bearer {await factories.token_of(pool, anna.id, settings)}"}
    await client.get("/api/search?q=quiet+piano", headers=as_ben)

    document = await exported(client, as_ben)
    assert document.keys() == {"exported_at", "account", *export.SECTIONS}
    assert document["account"]["email"] == ben.email
    assert document["account"]["roles"] == ["student"]
    (booked,) = document["bookings_as_student"]
    assert (booked["id"], booked["instructor"]) == (str(lesson.id), "Anna")
    assert (booked["note"], booked["location"]) == ("I am left-handed", "12 Main St")
    assert "Talks a lot" not in str(document)
    assert anna.email not in str(document)
    assert [act["event"] for act in document["acts"]] == ["created"]
    assert [search["query"] for search in document["search_history"]] == ["quiet piano"]
    assert document["mails"][0]["subject"].startswith("Confirmed: Piano with Anna")

    document = await exported(client, as_anna)
    (lesson_json,) = document["bookings_as_instructor"]
    assert (lesson_json["student"], lesson_json["instructor_note"]) == ("Ben", "Talks a lot")
    assert lesson_json["location"] == ""  # the student's
    assert len(document["availability"]) == 28
    assert ben.email not in str(document)


async def test_an_export_of_any_size_is_read_in_one_snapshot(
    pool: Pool, client: httpx.AsyncClient, settings: Settings
) -> None:
    anna = await factories.instructor(pool, "Anna", days=0)
    await pool.execute(
        """insert into blackout (instructor_id, day, reason)
           select $1, current_date + n, repeat('closed ', 50) from generate_series(1, 6000) as n""",
        anna.id,
    )
    headers = {"Authorization": f"Bearer {await factories.token_of(pool, anna.id, settings)}"}
    document = await exported(client, headers)
    assert len(document["blackouts"]) == 6000


async def test_admins_run_retention_and_see_numbers_and_everybody_sees_the_rules(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ada, ben = await factories.admin(pool), await factories.student(pool, "Ben")
    as_ada = {"Authorization": f"Bearer {await factories.token_of(pool, ada.id, settings)}"}
    as_ben = {"Authorization": f"Bearer {await factories.token_of(pool, ben.id, settings)}"}
    rules = (await client.get("/api/privacy/retention", headers=as_ben)).json()
    days = {rule["name"]: rule["days"] for rule in rules["items"]}
    assert days.items() >= {
        "searches": 90, "guest_searches": 30, "changes": 7, "idempotency_keys": 1, "audit": 730,
    }.items()  # fmt: skip
    assert rules["last_finished_at"] is None

    insert = """insert into search (id, visitor_id, is_guest, query, results, searched_at)
                values (gen_random_uuid(), $1, $2, 'piano', 1, $3)"""
    for is_guest, age in ((False, 91), (False, 89), (True, 31), (True, 29)):
        await pool.execute(insert, ben.id, is_guest, NOW - timedelta(days=age))
    answer = await client.post("/api/privacy/retention/run", headers=as_ada)
    assert (answer.status_code, answer.json()["deleted"]["searches"]) == (200, 2)
    assert await pool.fetchval("select count(*) from search") == 2
    rules = (await client.get("/api/privacy/retention", headers=as_ben)).json()
    assert rules["last_finished_at"] is not None

    await pool.execute("analyze")
    numbers = (await client.get("/api/privacy/statistics", headers=as_ada)).json()
    assert (numbers["accounts"], numbers["erased_accounts"]) == (2, 0)
    assert numbers["roles"] == {"admin": 1, "student": 1}
    assert numbers["rows"]["session"] == 2
    assert "Ben" not in str(numbers)
    for method, path in (("POST", "retention/run"), ("GET", "statistics")):
        refused = await client.request(method, f"/api/privacy/{path}", headers=as_ben)
        assert refused.status_code == 403


async def test_notifications_are_stored_for_two_years(pool: Pool) -> None:
    ben = await factories.student(pool, "Ben")
    for number, age in enumerate((731, 729)):
        await pool.execute(
            """insert into notification (kind, recipient_id, sequence, due_at)
               values ('welcome', $1, $2, $3)""",
            ben.id, number, NOW - timedelta(days=age),
        )  # fmt: skip
    before = NOW - retention.NOTIFICATIONS_KEPT
    assert await retention.delete_notifications(pool, before=before) == 1


async def test_addresses_in_the_record_of_notifications_are_cleared_after_a_month(
    pool: Pool,
) -> None:
    ben = await factories.student(pool, "Ben")
    for number, (age, sent) in enumerate(((31, True), (29, True), (31, False))):
        await pool.execute(
            """insert into notification (kind, recipient_id, sequence, due_at, sent_at, address)
               values ('email_change', $1, $2, $3, $4, 'stranger@example.com')""",
            ben.id, number, NOW - timedelta(days=age), NOW if sent else None,
        )  # fmt: skip
    assert await retention.clear_addresses(pool, before=NOW - retention.ADDRESSES_KEPT) == 1
    cleared = "select sequence from notification where address is null"
    assert [row["sequence"] for row in await pool.fetch(cleared)] == [0]
