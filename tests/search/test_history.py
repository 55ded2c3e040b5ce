"""The search history of guests and accounts, and interactions with results."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app import refusal, write_behind
from app.db import Pool
from app.settings import Settings
from app.write_behind import WriteBehind
from tests import factories
from tests.cluster import PATIENCE
from tests.conftest import visiting
from tests.factories import PASSWORD


async def search(client: httpx.AsyncClient, q: str) -> str:
    search_id: str = (await client.get("/api/search", params={"q": q})).json()["search_id"]
    return search_id


async def history(client: httpx.AsyncClient) -> list[str]:
    return [item["query"] for item in await items(client)]


async def items(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await client.get("/api/search/history")).json()["items"]
    return rows


async def test_a_guest_has_the_ten_newest_searches_once_each(client: httpx.AsyncClient) -> None:
    for n in range(12):
        await search(client, f"piano {n}")
    await search(client, "  PIANO   5 ")
    assert await history(client) == [
        "PIANO 5",
        *(f"piano {n}" for n in (11, 10, 9, 8, 7, 6, 4, 3, 2)),
    ]
    await search(client, "")
    assert len(await history(client)) == 10


async def test_searches_are_removed_one_by_one_or_all(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    for q in ("piano", "guitar", "yoga"):
        await search(client, q)
    guitar = (await items(client))[1]
    async with visiting(settings) as other:
        await search(other, "chess")
        refused = await other.delete(f"/api/search/history/{guitar['id']}")
        assert (refused.status_code, refused.json()["code"]) == (404, "NOT_FOUND")
        assert (await client.delete(f"/api/search/history/{guitar['id']}")).status_code == 204
        assert await history(client) == ["yoga", "piano"]
        assert (await client.delete("/api/search/history")).status_code == 204
        assert await history(client) == []
        assert await history(other) == ["chess"]


async def test_a_removed_search_is_not_in_the_log_either(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    """Python folds ß to ss, Postgres does not."""
    await search(client, "Spanisch Straße")
    (removed,) = await items(client)
    assert (await client.delete(f"/api/search/history/{removed['id']}")).status_code == 204
    assert await pool.fetchval("select count(*) from search") == 0


async def test_every_search_renews_the_cookie_of_its_guest(client: httpx.AsyncClient) -> None:
    for words in ("piano", "yoga"):
        answer = await client.get("/api/search", params={"q": words})
        assert "Max-Age=2592000" in answer.headers["set-cookie"]
    assert await history(client) == ["yoga", "piano"]


async def test_a_guests_searches_move_to_the_account_at_sign_in_and_registration(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    ben = await factories.student(pool, "Ben")
    await search(client, "piano")
    await search(client, "yoga")
    credentials = {"email": ben.email, "password": PASSWORD}
    assert (await client.post("/api/auth/login", json=credentials)).status_code == 200
    assert await history(client) == ["yoga", "piano"]
    await search(client, "Piano")
    assert await history(client) == ["Piano", "yoga"]
    client.cookies.delete("session")
    assert await history(client) == []
    await search(client, "chess")
    await client.post(
        "/api/auth/register",
        json={
            "email": "dora@example.com",
            "password": "a long enough one",
            "full_name": "Dora",
            "role": "student",
        },
    )
    assert await history(client) == ["chess"]


async def test_an_interaction_is_recorded_for_the_visitors_own_search_only(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    anna = await factories.instructor(pool, "Anna")
    interaction = {
        "search_id": await search(client, "piano"),
        "instructor_id": str(anna.id),
        "kind": "clicked",
    }
    assert (await client.post("/api/search/interactions", json=interaction)).status_code == 202
    await history(client)  # waits for what is written behind
    rows = await pool.fetch(
        """select s.query, s.results, i.kind, i.instructor_id
           from search_interaction i join search s on s.id = i.search_id"""
    )
    assert [tuple(row) for row in rows] == [("piano", 1, "clicked", anna.id)]
    async with visiting(settings) as other:
        await search(other, "piano")
        refused = await other.post("/api/search/interactions", json=interaction)
        assert refused.status_code == 404
    unknown = interaction | {"search_id": str(uuid4())}
    assert (await client.post("/api/search/interactions", json=unknown)).status_code == 404
    wrong = interaction | {"kind": "bought"}
    assert (await client.post("/api/search/interactions", json=wrong)).status_code == 422


async def test_a_lesson_booked_from_a_result_is_recorded_once(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    client.headers["Sec-Fetch-Site"] = "same-origin"
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    carl, eve = await factories.instructor(pool, "Carl"), await factories.student(pool, "Eve")
    ids = {query: await search(client, query) for query in ("piano", "piano lessons", "carl")}
    for query, instructor in (("piano", anna), ("piano lessons", anna), ("carl", carl)):
        kind = "shown" if query == "carl" else "clicked"
        body = {"search_id": ids[query], "instructor_id": str(instructor.id), "kind": kind}
        assert (await client.post("/api/search/interactions", json=body)).status_code == 202
    credentials = {"email": ben.email, "password": PASSWORD}
    assert (await client.post("/api/auth/login", json=credentials)).status_code == 200

    def lesson(hour: str, instructor: factories.Instructor) -> dict[str, Any]:
        return {
            "service_id": str(instructor.service_id),
            "start": instructor.at(hour).isoformat(),
            "duration_minutes": 60,
            "location": "12 Main Street",
        }

    async def booked() -> list[tuple[str, Any]]:
        await history(client)  # waits for what is written behind
        rows = await pool.fetch(
            """select i.search_id, i.instructor_id from search_interaction i
               where i.kind = 'booked' and i.visitor_id = $1 and not i.is_guest""",
            ben.id,
        )
        return [(str(row[0]), row[1]) for row in rows]

    held = (await client.post("/api/holds", json=lesson("10:00", anna))).json()
    assert await booked() == []
    for _ in range(2):
        path, key = f"/api/bookings/{held['id']}/confirmation", {"Idempotency-Key": "one"}
        assert (await client.post(path, json={}, headers=key)).status_code == 200
    assert await booked() == [(ids["piano lessons"], anna.id)]
    # A result that was only seen is not what led to the booking.
    assert (await client.post("/api/bookings", json=lesson("12:00", carl))).status_code == 201
    assert await booked() == [(ids["piano lessons"], anna.id)]
    # Neither is the search of another visitor.
    client.cookies.clear()
    credentials = {"email": eve.email, "password": PASSWORD}
    assert (await client.post("/api/auth/login", json=credentials)).status_code == 200
    assert (await client.post("/api/bookings", json=lesson("14:00", anna))).status_code == 201
    assert await booked() == [(ids["piano lessons"], anna.id)]
    assert await pool.fetchval("select count(*) from search_interaction") == 4


async def test_a_search_succeeds_while_its_history_cannot_be_written(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("lock table search_history, search")
        answer = await client.get("/api/search?q=piano")
        assert answer.status_code == 200
        await transaction.rollback()
    assert await history(client) == ["piano"]


async def test_a_full_queue_drops_rows_and_a_failing_write_keeps_the_others(pool: Pool) -> None:
    written: list[int] = []
    attempts: list[int] = []

    async def write(_: Pool, rows: list[int]) -> None:
        attempts.append(len(rows))
        if len(attempts) == 1:
            raise refusal.Unavailable
        written.extend(rows)

    async def fail(_: Pool, rows: list[int]) -> None:
        raise ValueError(rows)

    writes = WriteBehind(pool, max_rows=3)
    writes.put(fail, 0)
    for n in range(4):
        writes.put(write, n)
    task = asyncio.create_task(writes.run())
    async with asyncio.timeout(PATIENCE):
        while len(written) < 2:
            await writes.flush()
    task.cancel()
    assert written == [0, 1]


async def test_a_read_waits_for_earlier_rows_only(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy site, the queue is never empty."""
    monkeypatch.setattr(write_behind, "FLUSH_SECONDS", 60)
    written: list[int] = []
    writes = WriteBehind(pool)

    async def write(_: Pool, rows: list[int]) -> None:
        await asyncio.sleep(0)
        written.extend(rows)
        writes.put(write, rows[-1] + 1)

    writes.put(write, 0)
    task = asyncio.create_task(writes.run())
    async with asyncio.timeout(PATIENCE):
        await writes.flush()
    task.cancel()
    assert written[0] == 0


async def test_rows_that_postgres_never_accepts_do_not_block_later_ones(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_behind, "_RETRY_SECONDS", 0)
    written: list[int] = []

    async def never(_: Pool, rows: list[int]) -> None:
        raise refusal.Unavailable

    async def write(_: Pool, rows: list[int]) -> None:
        written.extend(rows)

    writes = WriteBehind(pool)
    writes.put(never, 0)
    writes.put(write, 1)
    task = asyncio.create_task(writes.run())
    await writes.flush()
    task.cancel()
    assert written == [1]


@pytest.mark.parametrize("cookie", ["x", "x.y", "0" * 300])
async def test_a_forged_guest_cookie_is_ignored(client: httpx.AsyncClient, cookie: str) -> None:
    client.cookies.set("guest", cookie)
    answer = await client.get("/api/search/history")
    assert (answer.status_code, answer.json()["items"]) == (200, [])
