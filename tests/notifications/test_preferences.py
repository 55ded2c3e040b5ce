"""The notification preferences of the API, and the mails they turn off."""

import httpx
import pytest

from app.accounts import address
from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.notifications.ledger import book, couple, deliver_due, dev_mails, now, rows

URL = "/api/notifications/preferences"
ALL_ON = {
    kind: {"email": True}
    for kind in ("booking_confirmed", "booking_cancelled", "booking_rescheduled", "reminder")
}


async def test_a_kind_can_be_turned_off_and_on(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    anna, ben = await couple(pool)
    client.headers["Authorization"] = f"Bearer {await factories.token_of(pool, ben.id, settings)}"
    assert (await client.get(URL)).json() == ALL_ON
    off = {"booking_confirmed": {"email": False}}
    answer = await client.put(URL, json=off)
    assert (answer.status_code, answer.json()) == (200, ALL_ON | off)
    await book(pool, anna, ben)
    await deliver_due(pool, settings)
    assert [email for email, _ in await dev_mails(pool)] == [anna.email]
    assert [row["dropped_reason"] for row in await rows(pool) if row["email"] == ben.email] == [
        "turned_off"
    ]
    assert (await client.put(URL, json=ALL_ON)).json() == ALL_ON
    await book(pool, anna, ben, "12:00")
    await deliver_due(pool, settings)
    assert len(await dev_mails(pool)) == 3


@pytest.mark.parametrize(
    "body",
    [
        {"welcome": {"email": False}},
        {"reminder": {"sms": True}},
        {"reminder": {"email": "often"}},
        {"reminder": False},
        [],
    ],
)
async def test_other_kinds_and_values_are_invalid(
    client: httpx.AsyncClient, pool: Pool, settings: Settings, body: object
) -> None:
    ben = await factories.student(pool)
    client.headers["Authorization"] = f"Bearer {await factories.token_of(pool, ben.id, settings)}"
    answer = await client.put(URL, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_ERROR")
    assert (await client.get(URL)).json() == ALL_ON


async def test_they_need_a_session(client: httpx.AsyncClient) -> None:
    assert (await client.get(URL)).status_code == 401
    assert (await client.put(URL, json={})).status_code == 401


@pytest.mark.parametrize(
    ("role", "link"), [("student", "Find an instructor"), ("instructor", "Set up your page")]
)
async def test_a_new_account_is_welcomed_once(
    client: httpx.AsyncClient, pool: Pool, settings: Settings, role: str, link: str
) -> None:
    registration = {
        "email": "eve@example.com",
        "password": "a-long-enough-one",
        "full_name": "Eve Elm",
        "role": role,
    }
    assert (await client.post("/api/auth/register", json=registration)).status_code == 201
    assert await address.verify(pool, ["EVE@example.com"], now=now()) == 1
    await deliver_due(pool, settings)
    assert await dev_mails(pool) == [("eve@example.com", "Welcome to InstaInstru")]
    text = await pool.fetchval("select body_text from dev_mail")
    assert "Hello Eve Elm" in text
    assert link in text
