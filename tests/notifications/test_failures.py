"""Administrators see the mails that could not be sent, and try them again."""

from base64 import urlsafe_b64encode

import httpx
import pytest
from pydantic import SecretStr

from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.notifications.ledger import book, couple, deliver_due, dev_mails, make_all_due
from tests.notifications.mailbox import Mailbox

URL = "/api/admin/notifications"


@pytest.fixture
def by_smtp(settings: Settings, box: Mailbox) -> Settings:
    return settings.model_copy(update={"smtp_url": SecretStr(box.url)})


async def test_an_administrator_sees_failures_and_tries_them_again(
    client: httpx.AsyncClient, pool: Pool, settings: Settings, by_smtp: Settings, box: Mailbox
) -> None:
    anna, ben = await couple(pool)
    ada = await factories.admin(pool)
    client.headers["Authorization"] = f"Bearer {await factories.token_of(pool, ada.id, settings)}"
    assert (await client.get(URL)).json() == {"items": [], "next_cursor": None}
    box.refused[ben.email] = "550 no such mailbox"
    await book(pool, anna, ben)
    await deliver_due(pool, by_smtp)
    (failure,) = (await client.get(URL)).json()["items"]
    assert failure["recipient"] == {"name": "Ben", "email": ben.email}
    assert (failure["kind"], failure["attempts"]) == ("booking_confirmed", 1)
    assert "550" in failure["error"]
    assert failure["given_up_at"]
    assert not failure["retry_at"]
    page = await client.get("/admin/notifications")
    assert "Given up" in page.text
    assert ben.email in page.text
    box.refused.clear()
    assert (await client.post(f"{URL}/{failure['id']}/retry")).status_code == 204
    await deliver_due(pool, by_smtp)
    assert len(box.to(ben.email)) == 1
    assert (await client.get(URL)).json()["items"] == []
    assert "No mail has failed." in (await client.get("/admin/notifications")).text
    assert (await client.post(f"{URL}/{failure['id']}/retry")).status_code == 404


async def test_one_that_will_be_tried_again_says_when(
    client: httpx.AsyncClient, pool: Pool, settings: Settings, by_smtp: Settings, box: Mailbox
) -> None:
    ada = await factories.admin(pool)
    client.headers["Authorization"] = f"Bearer {await factories.token_of(pool, ada.id, settings)}"
    await book(pool, *await couple(pool))
    await box.stop()
    await deliver_due(pool, by_smtp)
    page = (await client.get(URL, params={"limit": 1})).json()
    assert page["items"][0]["retry_at"]
    assert not page["items"][0]["given_up_at"]
    rest = await client.get(URL, params={"limit": 1, "cursor": page["next_cursor"]})
    assert rest.json()["items"][0]["id"] < page["items"][0]["id"]
    assert rest.json()["next_cursor"] is None
    assert "Next try" in (await client.get("/admin/notifications")).text
    await make_all_due(pool)
    await deliver_due(pool, settings)
    assert len(await dev_mails(pool)) == 2


@pytest.mark.parametrize("role", ["student", "instructor"])
async def test_students_and_instructors_see_no_failed_mail(
    client: httpx.AsyncClient, pool: Pool, settings: Settings, role: str
) -> None:
    account = await (factories.student if role == "student" else factories.instructor)(pool)
    token = await factories.token_of(pool, account.id, settings)
    client.headers["Authorization"] = f"Bearer {token}"
    assert (await client.get(URL)).status_code == 403
    assert (await client.post(f"{URL}/1/retry")).status_code == 403
    assert (await client.get("/admin/notifications")).status_code == 403


async def test_numbers_that_are_not_ids_are_refused(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ada = await factories.admin(pool)
    client.headers["Authorization"] = f"Bearer {await factories.token_of(pool, ada.id, settings)}"
    for number in (-(10**30), 10**30, 0):
        assert (await client.post(f"{URL}/{number}/retry")).status_code == 404
    for cursor in ("[1e30]", "[-1e30]", "[99999999999999999999999]", "[true]"):
        encoded = urlsafe_b64encode(cursor.encode()).decode()
        answer = await client.get(URL, params={"cursor": encoded})
        assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_ERROR")
