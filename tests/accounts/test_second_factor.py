"""The second factor: codes of an app (TOTP), and recovery codes."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pyotp
import pytest
from structlog.testing import capture_logs

from app.accounts import second_factor
from app.accounts.session import ADMIN_PERMISSIONS
from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.accounts.test_signing_in import bearer
from tests.conftest import visiting
from tests.factories import Account
from tests.forms import Page
from tests.notifications.ledger import deliver_due, dev_mails
from tests.pages.visitor import visit

URL = "/api/auth/totp"


class Clock:
    """The time of the application, which a test moves."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def limited(settings: Settings, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    """The application with rate limits and a clock of its own."""
    on = settings.model_copy(update={"rate_limits": "on"})
    async with visiting(on, now=clock) as client:
        yield client


async def turn_on(
    client: httpx.AsyncClient, pool: Pool, settings: Settings, account: Account, clock: Clock
) -> pyotp.TOTP:
    """Turns the second factor on with a code, and lets a minute pass."""
    headers = bearer(await factories.token_of(pool, account.id, settings))
    started = (await client.post(URL, headers=headers)).json()
    app = pyotp.parse_uri(started["uri"])
    assert isinstance(app, pyotp.TOTP)
    assert (app.issuer, app.name, app.secret) == ("InstaInstru", account.email, started["secret"])
    code = {"code": app.at(clock.now)}
    assert (await client.post(f"{URL}/confirm", json=code, headers=headers)).status_code == 204
    clock.now += timedelta(minutes=1)
    return app


async def sign_in(client: httpx.AsyncClient, account: Account, **more: str) -> httpx.Response:
    body = {"email": account.email, "password": factories.PASSWORD} | more
    client.cookies.clear()
    return await client.post("/api/auth/login", json=body)


async def test_signing_in_requires_a_code_that_works_once(
    limited: httpx.AsyncClient, pool: Pool, settings: Settings, clock: Clock
) -> None:
    anna = await factories.instructor(pool, "Anna")
    app = await turn_on(limited, pool, settings, anna, clock)
    for more in ({}, {"code": "000000"}, {"code": ""}, {"code": "٣٣٣٣٣٣"}):
        refused = await sign_in(limited, anna, **more)
        assert (refused.status_code, refused.json()["code"]) == (401, "CODE_REQUIRED")
        assert "set-cookie" not in refused.headers
    wrong = await sign_in(limited, anna, password="not the right one", code=app.at(clock.now))
    assert (wrong.status_code, wrong.json()["code"]) == (401, "NOT_SIGNED_IN")
    code = app.at(clock.now)
    assert (await sign_in(limited, anna, code=f"{code[:3]} {code[3:]}")).status_code == 200
    again = await sign_in(limited, anna, code=code)
    assert (again.status_code, again.json()["code"]) == (401, "CODE_REQUIRED")
    earlier = await sign_in(limited, anna, code=app.at(clock.now - timedelta(seconds=30)))
    assert earlier.status_code == 401
    clock.now += timedelta(seconds=30)
    assert (await sign_in(limited, anna, code=app.at(clock.now))).status_code == 200
    clock.now += timedelta(minutes=5)
    late = await sign_in(limited, anna, code=app.at(clock.now - timedelta(minutes=2)))
    assert late.status_code == 401


async def test_guessing_codes_is_limited_from_all_addresses_together(
    limited: httpx.AsyncClient, pool: Pool, settings: Settings, clock: Clock
) -> None:
    ben = await factories.student(pool, "Ben")
    app = await turn_on(limited, pool, settings, ben, clock)
    transport = limited._transport
    assert isinstance(transport, httpx.ASGITransport)
    statuses = []
    for n in range(12):
        transport.client = (f"203.0.{n}.1", 1)
        statuses.append((await sign_in(limited, ben, code="000000")).status_code)
    assert statuses == [401] * 10 + [429] * 2
    assert (await sign_in(limited, ben, code=app.at(clock.now))).status_code == 429


async def test_the_form_asks_for_the_code_without_asking_for_the_password_again(
    limited: httpx.AsyncClient, pool: Pool, settings: Settings, clock: Clock
) -> None:
    ben = await factories.student(pool, "Ben")
    app = await turn_on(limited, pool, settings, ben, clock)
    page = await visit(limited, "/login?next=/lessons")
    answer = await page.form("/api/auth/login").send(
        limited, email=ben.email, password=factories.PASSWORD
    )
    assert answer.status_code == 401
    assert factories.PASSWORD not in answer.text
    assert '<div class="notice bad"' not in answer.text  # asking for the code is no error
    form = Page(answer).form("/api/auth/login")
    assert {"email": ben.email, "code": "", "next": "/lessons"}.items() <= form.fields.items()
    assert "password" not in form.fields
    answer = await form.send(limited, code="000000")
    assert answer.status_code == 401
    assert "That code isn’t right." in Page(answer).text
    assert '<div class="notice bad"' in answer.text
    form = Page(answer).form("/api/auth/login")
    stolen = form.fields["second_step"]
    other = await factories.student(pool, "Emma")
    refused = await limited.post(
        "/api/auth/login", json={"email": other.email, "second_step": stolen}
    )
    assert (refused.status_code, refused.json()["code"]) == (401, "NOT_SIGNED_IN")
    answer = await form.send(limited, code=app.at(clock.now))
    assert (answer.status_code, answer.headers["location"]) == (303, "/lessons")
    clock.now += timedelta(minutes=11)
    limited.cookies.clear()
    refused = await form.send(limited, code=app.at(clock.now))
    assert refused.status_code == 401
    assert "Enter your password again." in Page(refused).text


async def test_turning_the_second_factor_off_requires_the_password(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    headers = bearer(await factories.token_of(pool, ben.id, settings))

    async def delete(password: str) -> int:
        answer = await client.request("DELETE", URL, json={"password": password}, headers=headers)
        return answer.status_code

    assert await delete(factories.PASSWORD) == 404
    early = await client.post(f"{URL}/confirm", json={"code": "000000"}, headers=headers)
    assert (early.status_code, early.json()["code"]) == (409, "WRONG_STATE")
    first = (await client.post(URL, headers=headers)).json()["secret"]
    secret = (await client.post(URL, headers=headers)).json()["secret"]
    assert first != secret
    assert (await sign_in(client, ben)).status_code == 200  # not confirmed yet
    client.cookies.clear()
    wrong = await client.post(f"{URL}/confirm", json={"code": "000000"}, headers=headers)
    assert (wrong.status_code, wrong.json()["field"]) == (422, "code")
    code = {"code": pyotp.TOTP(secret).now()}
    assert (await client.post(f"{URL}/confirm", json=code, headers=headers)).status_code == 204
    again = await client.post(URL, headers=headers)
    assert (again.status_code, again.json()["code"]) == (409, "WRONG_STATE")
    assert (await sign_in(client, ben)).status_code == 401
    assert await delete("not the right one") == 422
    assert await delete(factories.PASSWORD) == 204
    assert (await sign_in(client, ben)).status_code == 200


async def test_on_prod_an_admin_without_a_second_factor_is_sent_to_set_one_up(
    pool: Pool, settings: Settings, client: httpx.AsyncClient
) -> None:
    ada, ben = await factories.admin(pool), await factories.student(pool, "Ben")
    # On prod, nobody at example.com can sign in.
    await pool.execute("update account set email = replace(email::text, '.com', '.org')")
    ada = replace(ada, email="ada@example.org")
    audience = await pool.fetch("select name from permission where audience = 'admin'")
    assert {row["name"] for row in audience} == ADMIN_PERMISSIONS
    headers = bearer(await factories.token_of(pool, ada.id, settings))
    page = "/admin/notifications"
    assert (await client.get(page, headers=headers)).status_code == 200
    prod = settings.model_copy(update={"site_mode": "prod"})
    clock = Clock()
    async with visiting(prod, now=clock) as production:
        redirect = await production.get(page, headers=headers)
        assert redirect.status_code == 303
        assert redirect.headers["location"] == "/account?done=factor-needed#second-factor"
        account = Page(await production.get("/account?done=factor-needed", headers=headers))
        assert "Admins need a second factor on this site." in account.text
        refused = await production.get("/api/admin/notifications", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "NOT_ALLOWED")
        me = (await production.get("/api/auth/me", headers=headers)).json()
        assert not ADMIN_PERMISSIONS & set(me["permissions"])
        await turn_on(production, pool, prod, ada, clock)
        assert (await production.get(page, headers=headers)).status_code == 200
        bens_headers = bearer(await factories.token_of(pool, ben.id, prod))
        assert (await production.get("/lessons", headers=bens_headers)).status_code == 200
        assert (await production.get(page, headers=bens_headers)).status_code == 403


# ---- recovery codes

CODES = f"{URL}/recovery-codes"


async def recovery_codes(
    client: httpx.AsyncClient, pool: Pool, settings: Settings, account: Account
) -> list[str]:
    headers = bearer(await factories.token_of(pool, account.id, settings))
    answer = await client.post(CODES, json={"password": factories.PASSWORD}, headers=headers)
    assert answer.status_code == 200
    codes: list[str] = answer.json()["codes"]
    assert len(set(codes)) == 10
    return codes


async def test_a_recovery_code_signs_in_once_and_the_account_gets_a_mail(
    limited: httpx.AsyncClient, pool: Pool, settings: Settings, clock: Clock
) -> None:
    ben = await factories.student(pool, "Ben")
    headers = bearer(await factories.token_of(pool, ben.id, settings))
    body = {"password": factories.PASSWORD}
    early = await limited.post(CODES, json=body, headers=headers)
    assert (early.status_code, early.json()["code"]) == (409, "WRONG_STATE")
    app = await turn_on(limited, pool, settings, ben, clock)
    wrong = await limited.post(CODES, json={"password": "not the right one"}, headers=headers)
    assert (wrong.status_code, wrong.json()["field"]) == (422, "password")
    codes = await recovery_codes(limited, pool, settings, ben)
    stored = await pool.fetch("select r::text as row from recovery_code r")
    assert len(stored) == 10
    assert not any(codes[0] in row["row"] for row in stored)

    with capture_logs() as lines:
        assert (await sign_in(limited, ben, code=codes[0])).status_code == 200
    assert [line["account"] for line in lines if line["event"] == "recovery_code_used"] == [
        str(ben.id)
    ]
    again = await sign_in(limited, ben, code=codes[0])
    assert (again.status_code, again.json()["code"]) == (401, "CODE_REQUIRED")
    await deliver_due(pool, settings, at=clock)
    assert (ben.email, "A recovery code was used") in await dev_mails(pool)
    spaced = codes[1].replace("-", " ").upper()
    assert (await sign_in(limited, ben, code=spaced)).status_code == 200
    assert (await sign_in(limited, ben, code=app.at(clock.now))).status_code == 200
    anna = await factories.instructor(pool, "Anna")
    await turn_on(limited, pool, settings, anna, clock)
    assert (await sign_in(limited, anna, code=codes[2])).status_code == 401

    renewed = await recovery_codes(limited, pool, settings, ben)
    assert (await sign_in(limited, ben, code=codes[2])).status_code == 401
    assert (await sign_in(limited, ben, code=renewed[0])).status_code == 200
    off = await limited.request("DELETE", URL, json=body, headers=headers)
    assert off.status_code == 204
    assert await pool.fetchval("select count(*) from recovery_code") == 0


async def test_simultaneous_sign_ins_with_a_recovery_code_succeed_once(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben, clock = await factories.student(pool, "Ben"), Clock()
    await turn_on(client, pool, settings, ben, clock)
    code = (await recovery_codes(client, pool, settings, ben))[0]
    answers = await asyncio.gather(*(sign_in(client, ben, code=code) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]


async def test_guessed_recovery_codes_count_like_codes_of_the_app(
    limited: httpx.AsyncClient, pool: Pool, settings: Settings, clock: Clock
) -> None:
    ben = await factories.student(pool, "Ben")
    await turn_on(limited, pool, settings, ben, clock)
    code = (await recovery_codes(limited, pool, settings, ben))[0]
    guesses = ["aaaa-bbbb-cccc-dddd", "000000"] * 5
    statuses = [(await sign_in(limited, ben, code=guess)).status_code for guess in guesses]
    assert statuses == [401] * 10
    assert (await sign_in(limited, ben, code=code)).status_code == 429


async def test_the_page_shows_new_codes_once_and_how_many_are_left(
    limited: httpx.AsyncClient, pool: Pool, settings: Settings, clock: Clock
) -> None:
    ben = await factories.student(pool, "Ben")
    token = await factories.token_of(pool, ben.id, settings)
    limited.cookies.set("session", token)
    await (await visit(limited, "/account")).form(URL).send(limited)
    pending = await visit(limited, "/account")
    secret = re.search(r"Key: ((?:\w{4} ?){8})", pending.text)
    assert secret
    code = pyotp.TOTP(secret[1].replace(" ", "")).at(clock.now)
    answer = await pending.form("/totp/confirm").send(limited, code=code)
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    page_with_codes = await visit(limited, answer.headers["location"])
    codes = re.findall(r"\b(?:\w{4}-){3}\w{4}\b", page_with_codes.text)
    assert len(codes) == 10
    assert codes[0] not in cookie
    again = await visit(limited, "/account")
    assert codes[0] not in again.text
    assert "10 of 10 recovery codes are left" in again.text
    clock.now += timedelta(minutes=1)

    # In a browser that has lost its session, without the app.
    limited.cookies.clear()
    page = await visit(limited, "/login?next=/account")
    answer = await page.form("/api/auth/login").send(
        limited, email=ben.email, password=factories.PASSWORD
    )
    first, second = (each for each in Page(answer).forms if each.action == "/api/auth/login")
    assert set(second.fields) == set(first.fields)
    answer = await second.send(limited, code="aaaa-bbbb-cccc-dddd")
    assert answer.status_code == 401
    assert "That code isn’t right." in Page(answer).text
    _, second = (each for each in Page(answer).forms if each.action == "/api/auth/login")
    answer = await second.send(limited, code=codes[0])
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    page = await visit(limited, "/account")
    assert "9 of 10 recovery codes are left" in page.text
    refused = await page.form(CODES).send(limited, password="not the right one")
    assert refused.status_code == 422
    answer = await page.form(CODES).send(limited, password=factories.PASSWORD)
    assert answer.status_code == 303
    page_with_codes = await visit(limited, answer.headers["location"])
    assert "The earlier ones don’t work anymore." in page_with_codes.text
    assert codes[1] not in page_with_codes.text
    await pool.execute("delete from recovery_code")
    assert "You have no recovery codes." in (await visit(limited, "/account")).text


# ---- at rest


async def test_the_secret_is_stored_encrypted_for_its_account_and_with_this_key(
    limited: httpx.AsyncClient, pool: Pool, settings: Settings, clock: Clock
) -> None:
    ben, anna = await factories.student(pool, "Ben"), await factories.instructor(pool, "Anna")
    app = await turn_on(limited, pool, settings, ben, clock)
    stored = await pool.fetchval("select secret from totp where account_id = $1", ben.id)
    assert stored.startswith("v1.")
    assert app.secret not in stored
    codes = await recovery_codes(limited, pool, settings, ben)
    # Written to another row, it is of no use.
    await pool.execute("insert into totp values ($1, $2, now())", anna.id, stored)
    assert (await sign_in(limited, anna, code=app.at(clock.now))).status_code == 401
    # Another SECRET_KEY cannot read it; the factor stays on, and a recovery code still signs in.
    key = type(settings.secret_key)("another key, long enough to be one")
    async with visiting(settings.model_copy(update={"secret_key": key}), now=clock) as other:
        for code in ("", app.at(clock.now)):
            refused = await sign_in(other, ben, code=code)
            assert (refused.status_code, refused.json()["code"]) == (401, "CODE_REQUIRED")
        assert (await sign_in(other, ben, code=codes[0])).status_code == 200
    assert (await sign_in(limited, ben, code=app.at(clock.now))).status_code == 200


async def test_secrets_of_earlier_releases_work_and_are_encrypted_by_the_worker(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    app = pyotp.TOTP(pyotp.random_base32())
    await pool.execute("insert into totp values ($1, $2, now())", ben.id, app.secret)
    now = datetime.now(UTC)
    assert (await sign_in(client, ben, code=app.at(now - timedelta(seconds=30)))).status_code == 200
    for _ in range(2):
        await second_factor.encrypt_stored(pool, settings)
        totp = await second_factor.totp_of(pool, ben.id)
        assert totp
        assert totp.secret.startswith("v1.")
        assert totp.plain(ben.id, settings) == app.secret
    assert (await sign_in(client, ben, code=app.at(now))).status_code == 200
