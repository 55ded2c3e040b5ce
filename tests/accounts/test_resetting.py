"""Resetting and changing a password, changing the e-mail address, and the profile."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app import refusal
from app.accounts import credentials, session, token
from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.accounts.mails import confirm_on_page, deliver, dev_mails, newest, token_in_mail
from tests.accounts.test_signing_in import BEN, SAME_ORIGIN, bearer
from tests.cluster import PATIENCE
from tests.conftest import patient_pool, visiting
from tests.factories import Account
from tests.forms import Page
from tests.locks import until_lock_waits
from tests.pages.visitor import visit

RESET = "Set a new password"
NEW = "four words of mine"
URL = "/api/auth/password-reset"


async def signed_in(client: httpx.AsyncClient, email: str, password: str) -> int:
    answer = await client.post(
        "/api/auth/login", json={"email": email, "password": password}, headers=SAME_ORIGIN
    )
    client.cookies.clear()
    return answer.status_code


async def ben_with_sessions(
    pool: Pool, settings: Settings, count: int = 2
) -> tuple[Account, list[dict[str, str]]]:
    ben = await factories.student(pool, "Ben")
    tokens = [await factories.token_of(pool, ben.id, settings) for _ in range(count)]
    return ben, [bearer(each) for each in tokens]


# ---- a forgotten password


async def test_a_link_sets_a_new_password_once_and_signs_everybody_out(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben, (phone, _) = await ben_with_sessions(pool, settings)
    sent = await client.post(f"{URL}/request", json={"email": "BEN@example.com"})
    nobody = await client.post(f"{URL}/request", json={"email": "nobody@example.com"})
    nonsense = await client.post(f"{URL}/request", json={"email": "no address"})
    for answer in (sent, nobody, nonsense):
        assert (answer.status_code, answer.content) == (202, b"")
    assert sent.headers == nobody.headers == nonsense.headers
    text = await token_in_mail(pool, settings, ben.email, RESET)
    assert await dev_mails(pool) == [(ben.email, RESET)]
    assert (await client.post(f"{URL}/verify", json={"token": text})).status_code == 204
    weak = await client.post(f"{URL}/confirm", json={"token": text, "password": "password123"})
    assert (weak.status_code, weak.json()["field"]) == (422, "password")
    own = await client.post(f"{URL}/confirm", json={"token": text, "password": "ben@example.com"})
    assert (own.status_code, own.json()["field"]) == (422, "password")
    done = await client.post(f"{URL}/confirm", json={"token": text, "password": NEW})
    assert done.status_code == 204
    assert (await client.get("/api/auth/me", headers=phone)).status_code == 401
    assert await signed_in(client, ben.email, factories.PASSWORD) == 401
    assert await signed_in(client, ben.email, NEW) == 200
    for call in ("verify", "confirm"):
        again = await client.post(f"{URL}/{call}", json={"token": text, "password": "other words"})
        assert (again.status_code, again.json()["code"]) == (422, "VALIDATION_ERROR")
        assert again.json()["field"] == "token"
    await deliver(pool, settings)
    assert (ben.email, "Your password was changed") in await dev_mails(pool)


async def test_a_link_expires_after_an_hour_and_is_good_for_nothing_else(
    pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    clock = [datetime.now(UTC)]
    async with visiting(settings, now=lambda: clock[0]) as client:
        await client.post(f"{URL}/request", json={"email": ben.email})
        text = await token_in_mail(pool, settings, ben.email, RESET)
        confirm = "/api/auth/verification/confirm"
        assert (await client.post(confirm, json={"token": text})).status_code == 422
        page = Page(await client.get("/reset-password", params={"token": text}))
        form = page.form("password-reset/confirm")
        refused = await form.send(client, password="password123")
        assert refused.status_code == 422
        page = Page(refused)
        assert "too easy to guess" in page.text
        assert page.form("password-reset/confirm").fields["token"] == text
        clock[0] += timedelta(hours=1, minutes=1)
        page = Page(await client.get("/reset-password", params={"token": text}))
        assert "This link has expired" in page.text
        sent = await page.form("password-reset/request").send(client, email=ben.email)
        assert sent.headers["location"] == "/reset-password?sent=yes"
        assert "Check your inbox" in (await visit(client, "/reset-password?sent=yes")).text
        assert "Your password is changed" in (await visit(client, "/reset-password?done=1")).text
        assert "Forgot your password?" in (await visit(client, "/login")).links


async def test_an_account_gets_five_such_mails_an_hour_and_the_answer_stays_the_same(
    pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    async with visiting(settings.model_copy(update={"rate_limits": "on"})) as client:
        for email in ("ben@example.com", "BEN@example.com") * 4:
            answer = await client.post(f"{URL}/request", json={"email": email})
            assert (answer.status_code, answer.content) == (202, b"")
    await deliver(pool, settings)
    assert await dev_mails(pool) == [(ben.email, RESET)] * 5


async def test_an_address_that_is_not_confirmed_gets_the_link_after_its_confirmation(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    await client.post("/api/auth/register", json=BEN)
    await client.post(f"{URL}/request", json={"email": BEN["email"]}, headers=SAME_ORIGIN)
    text = await token_in_mail(pool, settings, BEN["email"], "Confirm your e-mail address")
    assert {subject for _, subject in await dev_mails(pool)} == {"Confirm your e-mail address"}
    await confirm_on_page(client, text)
    assert await token_in_mail(pool, settings, BEN["email"], RESET)


async def test_the_request_is_answered_before_the_account_is_looked_up(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    """Neither the response nor its duration depends on the account: here nobody can read one."""
    await factories.student(pool, "Ben")
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("lock table account in access exclusive mode")
        sent = asyncio.Event()

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b'{"email": "ben@example.com"}'}

        async def send(message: object) -> None:
            sent.set()

        scope = {
            "type": "http", "method": "POST", "path": f"{URL}/request", "query_string": b"",
            "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
            "client": ("203.0.113.1", 1),
            "scheme": "http", "server": ("127.0.0.1", 80), "http_version": "1.1",
            "root_path": "", "raw_path": b"",
        }  # fmt: skip
        transport = client._transport
        assert isinstance(transport, httpx.ASGITransport)
        application: Any = transport.app
        request = asyncio.create_task(application(scope, receive, send))
        await asyncio.wait_for(sent.wait(), PATIENCE)
        assert not request.done()
        await transaction.rollback()
        await request


# ---- a new password


async def test_a_changed_password_ends_the_other_sessions(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben, (phone, laptop) = await ben_with_sessions(pool, settings)
    body = {"password": "not the right one", "new_password": NEW}
    wrong = await client.put("/api/auth/password", json=body, headers=laptop)
    assert (wrong.status_code, wrong.json()["field"]) == (422, "password")
    body = {"password": factories.PASSWORD, "new_password": "qwertyuiop"}
    weak = await client.put("/api/auth/password", json=body, headers=laptop)
    assert (weak.status_code, weak.json()["field"]) == (422, "new_password")
    assert (await client.get("/api/auth/me", headers=phone)).status_code == 200
    body = {"password": factories.PASSWORD, "new_password": NEW}
    assert (await client.put("/api/auth/password", json=body, headers=laptop)).status_code == 204
    assert (await client.get("/api/auth/me", headers=phone)).status_code == 401
    assert (await client.get("/api/auth/me", headers=laptop)).status_code == 200
    assert await signed_in(client, ben.email, NEW) == 200


async def test_a_password_that_is_changed_twice_at_once_is_changed_once(
    client: httpx.AsyncClient, pool: Pool, database_url: str, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    now = datetime.now(UTC)
    tokens = [await factories.token_of(pool, ben.id, settings) for _ in range(2)]
    phone, laptop = [await session.authenticate(pool, token, settings, now=now) for token in tokens]
    assert phone
    assert laptop

    async def change(account: session.SignedIn) -> None:
        await credentials.change(
            patient,
            account,
            plain_password=factories.PASSWORD,
            new_password=f"{NEW} {account.session_id}",
            now=now,
        )

    async with patient_pool(database_url) as patient, asyncio.timeout(PATIENCE):
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("select from account where id = $1 for update", ben.id)
            tasks = [asyncio.create_task(change(account)) for account in (phone, laptop)]
            await until_lock_waits(pool, 2)  # both have checked the password
        results = await asyncio.gather(*tasks, return_exceptions=True)
    (refused,) = [result for result in results if result is not None]
    assert isinstance(refused, refusal.ValidationError)
    assert refused.detail == "Your password was changed just now. Enter the new one."
    winner = (phone, laptop)[results.index(None)]
    assert await signed_in(client, ben.email, f"{NEW} {winner.session_id}") == 200


async def test_guessing_the_password_of_an_open_session_is_limited(
    pool: Pool, settings: Settings
) -> None:
    _, (phone,) = await ben_with_sessions(pool, settings, 1)
    async with visiting(settings.model_copy(update={"rate_limits": "on"})) as client:
        body = {"password": "a guess at it", "email": "eve@example.com"}
        answers = [
            await client.post(
                "/api/auth/email", json=body | {"email": f"eve{n}@example.com"}, headers=phone
            )
            for n in range(11)
        ]
    assert [answer.status_code for answer in answers] == [422] * 10 + [429]


# ---- a new address


async def test_a_new_address_takes_effect_once_confirmed_and_the_old_one_gets_a_mail(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben, (phone,) = await ben_with_sessions(pool, settings, 1)
    await factories.student(pool, "Emma")
    body = {"email": "ben@new.example", "password": factories.PASSWORD}
    wrong = await client.post("/api/auth/email", json=body | {"password": "x"}, headers=phone)
    assert (wrong.status_code, wrong.json()["field"]) == (422, "password")
    refused = await client.post(
        "/api/auth/email", json=body | {"email": "emma@example.com"}, headers=phone
    )
    assert (refused.status_code, refused.json()["code"]) == (409, "EMAIL_TAKEN")
    assert (await client.post("/api/auth/email", json=body, headers=phone)).status_code == 202
    subject = "Confirm your new e-mail address"
    text = await token_in_mail(pool, settings, "ben@new.example", subject)
    assert "Ben" not in await newest(pool, "ben@new.example", subject)
    assert (await client.get("/api/auth/me", headers=phone)).json()["email"] == ben.email
    done = await client.post("/api/auth/email/confirm", json={"token": text})
    assert (done.status_code, done.json()) == (200, {"email": "ben@new.example"})
    me = (await client.get("/api/auth/me", headers=phone)).json()
    assert (me["email"], me["email_verified"]) == ("ben@new.example", True)
    await deliver(pool, settings)
    assert (ben.email, "Your e-mail address was changed") in await dev_mails(pool)
    assert (await client.post("/api/auth/email/confirm", json={"token": text})).status_code == 200
    # Back to the old one: the first link is used up.
    await pool.execute("update account set email = $1 where id = $2", "ben@third.example", ben.id)
    refused = await client.post("/api/auth/email/confirm", json={"token": text})
    assert (refused.status_code, refused.json()["field"]) == (422, "token")


async def test_wrong_passwords_use_up_no_mails_of_a_stranger(
    pool: Pool, settings: Settings
) -> None:
    _, (phone,) = await ben_with_sessions(pool, settings, 1)
    async with visiting(settings.model_copy(update={"rate_limits": "on"})) as client:
        body = {"email": "eve@example.com", "password": "a guess at it"}
        for _ in range(10):
            answer = await client.post("/api/auth/email", json=body, headers=phone)
            assert answer.status_code == 422
        registration = {"password": "a long enough one", "full_name": "Eve", "role": "student"}
        answer = await client.post("/api/auth/register", json=body | registration)
        assert answer.status_code == 201
    await token_in_mail(pool, settings, "eve@example.com", "Confirm your e-mail address")


async def test_an_address_that_somebody_takes_meanwhile_stays_theirs(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    _, (phone,) = await ben_with_sessions(pool, settings, 1)
    body = {"email": "emma@example.com", "password": factories.PASSWORD}
    await client.post("/api/auth/email", json=body, headers=phone)
    text = await token_in_mail(
        pool, settings, "emma@example.com", "Confirm your new e-mail address"
    )
    await factories.student(pool, "Emma")
    refused = await client.post("/api/auth/email/confirm", json={"token": text})
    assert (refused.status_code, refused.json()["code"]) == (409, "EMAIL_TAKEN")
    page = Page(await client.get("/verify-email", params={"token": text}))
    assert (page.status, "This address is taken" in page.text) == (409, True)
    assert page.links["Your account"] == "/account#email"


async def test_a_new_password_ends_the_links_that_the_old_one_could_ask_for(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    """Somebody who knew Ben's password asked for a new address. Ben resets the password: his
    account stays his."""
    ben, (stolen,) = await ben_with_sessions(pool, settings, 1)
    body = {"email": "eve@example.com", "password": factories.PASSWORD}
    await client.post("/api/auth/email", json=body, headers=stolen)
    change = await token_in_mail(pool, settings, body["email"], "Confirm your new e-mail address")
    await client.post(f"{URL}/request", json={"email": ben.email})
    reset = await token_in_mail(pool, settings, ben.email, RESET)
    done = await client.post(f"{URL}/confirm", json={"token": reset, "password": NEW})
    assert done.status_code == 204
    refused = await client.post("/api/auth/email/confirm", json={"token": change})
    assert (refused.status_code, refused.json()["field"]) == (422, "token")


async def test_a_new_address_ends_the_links_that_were_sent_to_the_old_one(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben, (phone,) = await ben_with_sessions(pool, settings, 1)
    await client.post(f"{URL}/request", json={"email": ben.email})
    reset = await token_in_mail(pool, settings, ben.email, RESET)
    body = {"email": "ben@new.example", "password": factories.PASSWORD}
    await client.post("/api/auth/email", json=body, headers=phone)
    change = await token_in_mail(pool, settings, body["email"], "Confirm your new e-mail address")
    assert "Your address is confirmed" in (await confirm_on_page(client, change)).text
    refused = await client.post(f"{URL}/confirm", json={"token": reset, "password": NEW})
    assert (refused.status_code, refused.json()["field"]) == (422, "token")


async def test_a_mistyped_address_is_replaced_without_mail_to_it(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    answer = await client.post("/api/auth/register", json=BEN)
    headers = bearer(answer.json()["token"])
    await deliver(pool, settings)
    await pool.execute("delete from dev_mail")
    body = {"email": "ben@right.example", "password": BEN["password"]}
    assert (await client.post("/api/auth/email", json=body, headers=headers)).status_code == 202
    text = await token_in_mail(
        pool, settings, "ben@right.example", "Confirm your new e-mail address"
    )
    await confirm_on_page(client, text)
    await deliver(pool, settings)
    assert {email for email, _ in await dev_mails(pool)} == {"ben@right.example"}
    assert "Welcome to InstaInstru" in {subject for _, subject in await dev_mails(pool)}
    old = token.issue(
        settings,
        "verification",
        answer.json()["account"]["id"],
        email=BEN["email"],
        bound_to=BEN["email"],
        now=datetime.now(UTC),
    )
    refused = await client.post("/api/auth/verification/confirm", json={"token": old})
    assert refused.status_code in {403, 422}


# ---- the profile


async def test_the_profile_is_changed_in_part(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    _, (phone,) = await ben_with_sessions(pool, settings, 1)
    changed = await client.patch("/api/auth/me", json={"clock": "24"}, headers=phone)
    assert changed.status_code == 200
    assert (changed.json()["clock"], changed.json()["full_name"]) == ("24", "Ben")
    body = {"full_name": "Benjamin Ode", "time_zone": "Europe/Paris"}
    changed = await client.patch("/api/auth/me", json=body, headers=phone)
    assert changed.json() == (await client.get("/api/auth/me", headers=phone)).json()
    assert {**body, "clock": "24"}.items() <= changed.json().items()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"clock": "13"}, "clock"),
        ({"clock": 24}, "clock"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"full_name": ""}, "full_name"),
        ({"full_name": "  "}, "full_name"),
        ({"full_name": "www.evil.example"}, "full_name"),
    ],
)
async def test_an_invalid_profile_names_the_field(
    client: httpx.AsyncClient, pool: Pool, settings: Settings, body: dict[str, str], field: str
) -> None:
    _, (phone,) = await ben_with_sessions(pool, settings, 1)
    refused = await client.patch("/api/auth/me", json=body, headers=phone)
    assert (refused.status_code, refused.json()["field"]) == (422, field)
