"""/account without scripts."""

from datetime import UTC, datetime

import httpx
import pyotp

from app.accounts import second_factor, time_zones
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


def test_each_time_zone_is_offered_once_with_its_offset_and_the_usual_ones_first() -> None:
    now = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
    groups = time_zones.choices("America/New_York", now)
    assert next(iter(groups)) == "United States"
    assert groups["United States"][0] == ("America/New_York", "New York, Eastern (UTC−5)")
    buenos_aires = ("America/Argentina/Buenos_Aires", "Buenos Aires, Argentina (UTC−3)")
    assert buenos_aires in groups["America"]
    assert ("Asia/Kolkata", "Kolkata (UTC+5:30)") in groups["Asia"]
    assert ("Europe/London", "London (UTC)") in groups["Europe"]
    assert groups["Others"] == [("UTC", "UTC")]
    pairs = [pair for group in groups.values() for pair in group]
    zones, labels = {zone for zone, _ in pairs}, {label for _, label in pairs}
    assert len(pairs) == len(zones) == len(labels) > 300
    former = {"Asia/Calcutta", "Asia/Istanbul", "Europe/Kiev", "Australia/LHI", "America/Knox_IN"}
    assert not former & zones
    assert {"Europe/Istanbul", "Europe/Kyiv", "Australia/Lord_Howe"} < zones
    summer = time_zones.choices("Europe/Berlin", now.replace(month=7))
    assert summer["United States"][0][1] == "New York, Eastern (UTC−4)"


def test_a_stored_time_zone_is_offered_under_its_own_name() -> None:
    now = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
    eastern = ("US/Eastern", "US/Eastern (UTC−5)")
    assert time_zones.choices("US/Eastern", now)["Others"] == [eastern, ("UTC", "UTC")]
    calcutta = ("Asia/Calcutta", "Calcutta (UTC+5:30)")
    assert calcutta in time_zones.choices("Asia/Calcutta", now)["Asia"]


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
