"""/account without scripts."""

from datetime import UTC, datetime

import httpx
import pyotp

from app.accounts import account as accounts
from app.accounts import second_factor
from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.forms import Page
from tests.pages.visitor import book, sign_in, visit


async def test_each_form_saves_and_returns_or_shows_what_was_typed(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben Ode")
    await book(pool, anna, ben, clock="15:30")
    await sign_in(client, ben)
    assert "3:30–4:30 pm" in (await visit(client, "/lessons")).text
    page = await visit(client, "/account")
    saved = await page.form("/api/auth/me").send(client, full_name="Benjamin", clock="24")
    assert (saved.status_code, saved.headers["location"]) == (303, "/account?done=profile")
    page = await visit(client, "/account?done=profile")
    assert "Your profile is saved." in page.text
    assert page.form("/api/auth/me").fields["full_name"] == "Benjamin"
    lessons = await client.get("/lessons")
    assert 'data-clock="24"' in lessons.text
    assert "15:30–16:30" in lessons.text
    assert " pm" not in Page(lessons).text

    refused = await page.form("/api/auth/me").send(client, full_name="www.evil.example", clock="12")
    assert refused.status_code == 422
    page = Page(refused)
    assert page.text.count("A name can’t contain the address of a web page.") == 1
    profile = page.form("/api/auth/me").fields
    assert (profile["full_name"], profile["clock"]) == ("www.evil.example", "12")

    form = page.form("/api/notifications/preferences")
    assert form.fields["reminder"] == "true"
    saved = await form.send(client, reminder="false")
    assert saved.headers["location"] == "/account?done=notifications#notifications"
    off = await pool.fetch("select kind::text from notification_preference where not email")
    assert [row["kind"] for row in off] == ["reminder"]

    refused = await page.form("/api/auth/email").send(
        client, email="ben@new.example", password="not the right one"
    )
    assert refused.status_code == 422
    page = Page(refused)
    assert page.form("/api/auth/email").fields["email"] == "ben@new.example"
    assert page.text.count("That isn’t your password. Try again.") == 1
    sent = await page.form("/api/auth/email").send(
        client, email="ben@new.example", password=factories.PASSWORD
    )
    assert sent.headers["location"] == "/account?done=email#email"

    refused = await page.form("/api/auth/password").send(
        client, password=factories.PASSWORD, new_password="short"
    )
    assert refused.status_code == 422
    assert "needs at least 10 characters" in Page(refused).text
    assert "short" not in refused.text
    saved = await page.form("/api/auth/password").send(
        client, password=factories.PASSWORD, new_password="four words of mine"
    )
    assert saved.headers["location"] == "/account?done=password#password"


def test_time_zones_are_grouped_with_the_usual_ones_first() -> None:
    groups = accounts.zones("America/New_York")
    assert next(iter(groups)) == "United States"
    assert groups["United States"][0] == ("America/New_York", "New York (Eastern)")
    assert ("America/Argentina/Buenos_Aires", "Argentina / Buenos Aires") in groups["America"]
    values = [value for pairs in groups.values() for value, _ in pairs]
    assert len(values) == len({*values}) > 400
    assert accounts.zones("US/Eastern")["Others"] == [
        ("US/Eastern", "US / Eastern"), ("UTC", "UTC"),
    ]  # fmt: skip


async def test_the_second_factor_is_set_up_and_turned_off(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    await sign_in(client, ben)
    page = await visit(client, "/account")
    started = await page.form("/api/auth/totp").send(client)
    assert (started.status_code, started.headers["location"]) == (303, "/account#second-factor")
    response = await client.get("/account")
    assert '<svg xmlns="http://www.w3.org/2000/svg"' in response.text or "<svg " in response.text
    assert " style=" not in response.text
    page = Page(response)
    totp = await second_factor.totp_of(pool, ben.id)
    secret = totp and totp.plain(ben.id, settings)
    assert secret
    assert secret in page.text.replace(" ", "")
    refused = await page.form("/api/auth/totp/confirm").send(client, code="000000")
    assert refused.status_code == 422
    assert "That code isn’t right." in Page(refused).text
    code = pyotp.TOTP(secret).at(datetime.now(UTC))
    saved = await page.form("/api/auth/totp/confirm").send(client, code=code)
    assert saved.headers["location"] == "/account?done=factor-on#second-factor"
    page = await visit(client, "/account")
    assert secret not in page.text.replace(" ", "")
    (form,) = (form for form in page.forms if form.action == "/api/auth/totp")
    assert form.fields["_method"] == "DELETE"
    saved = await form.send(client, password=factories.PASSWORD)
    assert saved.headers["location"] == "/account?done=factor-off#second-factor"


async def test_other_devices_are_signed_out_one_by_one_or_all(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    ben = await factories.student(pool, "Ben")
    await sign_in(client, ben)
    client.cookies.clear()
    await sign_in(client, ben)
    page = await visit(client, "/account")
    (one,) = [form for form in page.forms if form.action.startswith("/api/auth/sessions/")]
    done = await one.send(client)
    assert (done.status_code, done.headers["location"]) == (303, "/account?done=session#sessions")
    assert await pool.fetchval("select count(*) from session where revoked_at is null") == 1
    done = await page.form("/api/auth/logout-everywhere").send(client)
    assert (done.status_code, done.headers["location"]) == (303, "/login")
    assert await pool.fetchval("select count(*) from session where revoked_at is null") == 0
    assert (await client.get("/account")).headers["location"] == "/login?next=%2Faccount"
