"""Registration, sign-in and sessions."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest

from app.accounts import session
from app.db import Pool
from app.settings import Settings
from tests import factories

BEN = {
    "email": "ben@example.com",
    "password": "a-long-enough-one",
    "full_name": "Ben Ode",
    "role": "student",
}
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_student_registers_and_is_signed_in(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/auth/register", json=BEN)
    assert answer.status_code == 201
    account = answer.json()["account"]
    assert account | {"id": ""} == {
        "id": "",
        "email": "ben@example.com",
        "full_name": "Ben Ode",
        "time_zone": "America/New_York",
        "clock": "12",
        "email_verified": False,
        "roles": ["student"],
        "permissions": account["permissions"],
    }
    assert {"create_bookings", "view_own_profile"} <= set(account["permissions"])
    assert "manage_availability" not in account["permissions"]
    me = await client.get("/api/auth/me", headers=bearer(answer.json()["token"]))
    assert me.json() == account


async def test_an_instructor_gets_an_active_profile_and_an_empty_calendar(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = BEN | {
        "email": "Anna@Example.com",
        "role": "instructor",
        "time_zone": "America/Los_Angeles",
    }
    account = (await client.post("/api/auth/register", json=anna)).json()["account"]
    assert account["email"] == "Anna@example.com"
    assert account["roles"] == ["instructor"]
    row = await pool.fetchrow("select * from calendar where instructor_id = $1", account["id"])
    assert row is not None
    assert {**row, "instructor_id": None} == {
        "instructor_id": None,
        "version": 0,
        "availability_version": 0,
        "is_active": True,
        "time_zone": "America/Los_Angeles",
        "min_advance_minutes": 120,
        "travel_buffer_minutes": 0,
        "free_cancel_hours": 12,
    }


async def test_the_cookie_is_http_only_and_its_value_is_the_token(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post("/api/auth/register", json=BEN)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"session={answer.json()['token']};")
    assert {part.strip() for part in cookie.split(";")[1:]} == {
        "HttpOnly",
        "Max-Age=604800",
        "Path=/",
        "SameSite=Lax",
    }
    assert (await client.get("/api/auth/me")).status_code == 200


async def test_over_tls_the_cookie_is_secure(client: httpx.AsyncClient) -> None:
    answer = await client.post("https://127.0.0.1/api/auth/register", json=BEN)
    assert "Secure" in answer.headers["set-cookie"]


async def test_an_address_is_taken_whatever_its_case(client: httpx.AsyncClient) -> None:
    await client.post("/api/auth/register", json=BEN)
    answer = await client.post(
        "/api/auth/register", json=BEN | {"email": "BEN@EXAMPLE.COM"}, headers=SAME_ORIGIN
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "EMAIL_TAKEN")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"email": "ben"}, "email"),
        ({"email": "ben@example..com"}, "email"),
        ({"email": 7}, "email"),
        ({"email": None}, "email"),
        ({"password": "short"}, "password"),
        ({"password": "qwertyuiop"}, "password"),
        ({"password": "PASSWORD123"}, "password"),
        ({"password": "aaaaaaaaaaaaa"}, "password"),
        ({"password": "ben@example.com"}, "password"),
        ({"password": "InstaInstru!"}, "password"),
        ({"password": "instainstru2026"}, "password"),
        ({"password": "BenOde-2026"}, "password"),
        ({"password": "ben@example.com1"}, "password"),
        ({"password": "x1y2" * 60}, "password"),
        ({"full_name": ""}, "full_name"),
        ({"full_name": "   "}, "full_name"),
        ({"full_name": "x" * 201}, "full_name"),
        ({"full_name": "Win $500 at https://evil.example"}, "full_name"),
        ({"full_name": "WWW.evil.example"}, "full_name"),
        ({"full_name": "Visit evil.pizza now"}, "full_name"),
        ({"full_name": "t.co/abc"}, "full_name"),
        ({"role": "admin"}, "role"),
        ({"role": ["student"]}, "role"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "EST5EDT4,M3.2.0,M11.1.0"}, "time_zone"),
        ({"time_zone": "../etc/passwd"}, "time_zone"),
        ({"time_zone": "america/new_york"}, "time_zone"),
        ({"time_zone": "Factory"}, "time_zone"),
        ({"full_name": "Ben\x00"}, None),
    ],
)
async def test_a_validation_error_names_the_field(
    client: httpx.AsyncClient, changed: dict[str, Any], field: str | None
) -> None:
    answer = await client.post("/api/auth/register", json=BEN | changed)
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_ERROR")
    assert answer.json().get("field") == field


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("  ", "Enter your name."), ("x" * 201, "A name has at most 200 characters.")],
)
async def test_an_invalid_name_is_refused_in_a_sentence(
    client: httpx.AsyncClient, name: str, sentence: str
) -> None:
    answer = await client.post("/api/auth/register", json=BEN | {"full_name": name})
    assert answer.json()["detail"] == sentence


async def test_a_zone_means_the_same_to_python_and_to_postgres(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    summer = datetime(2027, 7, 1, 12, tzinfo=UTC)
    for name in ("CET", "EET", "MET", "WET", "EST", "Etc/GMT+5", "America/New_York"):
        body = BEN | {"email": f"{uuid4()}@example.com", "time_zone": name}
        zone = (await client.post("/api/auth/register", json=body)).json()["account"]["time_zone"]
        local = await pool.fetchval("select $1::timestamptz at time zone $2", summer, zone)
        assert local == summer.astimezone(ZoneInfo(name)).replace(tzinfo=None), name
        client.cookies.clear()


async def test_a_validation_error_comes_before_a_taken_address(client: httpx.AsyncClient) -> None:
    await client.post("/api/auth/register", json=BEN)
    client.cookies.clear()
    answer = await client.post("/api/auth/register", json=BEN | {"time_zone": "Mars/Olympus"})
    assert (answer.status_code, answer.json()["field"]) == (422, "time_zone")


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"7", b"null", b'"text"', b"\xff\xfe", b"{" * 100_000, b""]
)
async def test_a_body_that_is_not_an_object_is_a_validation_error(
    client: httpx.AsyncClient, body: bytes
) -> None:
    for path in ("/api/auth/register", "/api/auth/login"):
        answer = await client.post(path, content=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_ERROR")


async def test_signing_in_does_not_reveal_whether_an_account_exists(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    await factories.student(pool, "Ben")
    wrong = await client.post(
        "/api/auth/login", json={"email": "ben@example.com", "password": "not the right one"}
    )
    nobody = await client.post(
        "/api/auth/login", json={"email": "nobody@example.com", "password": "not the right one"}
    )
    nonsense = await client.post("/api/auth/login", json={"email": "no address", "password": ""})
    assert wrong.status_code == nobody.status_code == nonsense.status_code == 401
    assert wrong.json() == nobody.json() == nonsense.json()
    assert "set-cookie" not in wrong.headers


async def test_signing_in_updates_an_outdated_hash(
    client: httpx.AsyncClient, pool: Pool, strong_hashes: None
) -> None:
    ben = await factories.student(pool, "Ben")
    answer = await client.post(
        "/api/auth/login", json={"email": "Ben@EXAMPLE.com", "password": factories.PASSWORD}
    )
    assert answer.status_code == 200
    assert answer.json()["account"]["id"] == str(ben.id)
    fresh = await pool.fetchval("select password_hash from account where id = $1", ben.id)
    assert fresh.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    again = await client.post(
        "/api/auth/login",
        json={"email": "ben@example.com", "password": factories.PASSWORD},
        headers=SAME_ORIGIN,
    )
    assert again.status_code == 200


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "é",
        "a.b.c",
        "x" * 5000,
        "kMkwBAHlS2yPTIoVe6fjug.NevF-HTB9uUThfhv5bZmZTsxBG0go7GMXNSObhtaSLo",
    ],
)
async def test_a_forged_token_is_rejected(client: httpx.AsyncClient, token: str) -> None:
    for header, value in ((b"Authorization", f"Bearer {token}"), (b"Cookie", f"session={token}")):
        answer = await client.get("/api/auth/me", headers={header: value.encode()})
        assert (answer.status_code, answer.json()["code"]) == (401, "NOT_SIGNED_IN")


async def test_a_token_signed_with_another_key_is_rejected(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    other = settings.model_copy(
        update={"secret_key": type(settings.secret_key)("another key, long enough to be one")}
    )
    assert (
        await client.get(
            "/api/auth/me", headers=bearer(await factories.token_of(pool, ben.id, other))
        )
    ).status_code == 401


async def test_an_expired_session_is_rejected(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    long_ago = datetime.now(UTC) - session.LIFE - timedelta(seconds=1)
    token = await session.open(pool, ben.id, settings, now=long_ago)
    assert (await client.get("/api/auth/me", headers=bearer(token))).status_code == 401


async def test_a_session_in_use_is_renewed_at_most_once_a_day_and_the_cookie_with_it(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    token = await session.open(pool, ben.id, settings, now=datetime.now(UTC) - timedelta(days=2))
    client.cookies.set("session", token)
    first = await client.get("/api/auth/me")
    assert first.headers["set-cookie"].startswith(f"session={token};")
    assert "Max-Age=604800" in first.headers["set-cookie"]
    assert "set-cookie" not in (await client.get("/api/auth/me")).headers
    expires_at = await pool.fetchval("select expires_at from session")
    assert expires_at > datetime.now(UTC) + session.LIFE - timedelta(minutes=1)


async def test_signing_out_ends_this_session_only(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    phone, laptop = [await factories.token_of(pool, ben.id, settings) for _ in range(2)]
    answer = await client.post("/api/auth/logout", headers=bearer(phone))
    assert answer.status_code == 204
    assert 'session=""' in answer.headers["set-cookie"]
    assert (await client.get("/api/auth/me", headers=bearer(phone))).status_code == 401
    assert (await client.post("/api/auth/logout", headers=bearer(phone))).status_code == 401
    assert (await client.get("/api/auth/me", headers=bearer(laptop))).status_code == 200


async def test_signing_out_everywhere_ends_all_of_them(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben, emma = await factories.student(pool, "Ben"), await factories.student(pool, "Emma")
    phone, laptop = [await factories.token_of(pool, ben.id, settings) for _ in range(2)]
    hers = await factories.token_of(pool, emma.id, settings)
    assert (
        await client.post("/api/auth/logout-everywhere", headers=bearer(phone))
    ).status_code == 204
    assert (await client.get("/api/auth/me", headers=bearer(laptop))).status_code == 401
    assert (await client.get("/api/auth/me", headers=bearer(hers))).status_code == 200


async def test_devices_are_listed_and_signed_out_one_by_one(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben, emma = await factories.student(pool, "Ben"), await factories.student(pool, "Emma")
    phone, laptop = [bearer(await factories.token_of(pool, ben.id, settings)) for _ in range(2)]
    hers = bearer(await factories.token_of(pool, emma.id, settings))
    first = (await client.get("/api/auth/sessions?limit=1", headers=phone)).json()
    second = (
        await client.get(f"/api/auth/sessions?limit=1&cursor={first['next_cursor']}", headers=phone)
    ).json()
    assert second["next_cursor"] is None
    assert [row["current"] for row in first["items"] + second["items"]] == [False, True]
    laptop_id = first["items"][0]["id"]
    assert (await client.delete(f"/api/auth/sessions/{laptop_id}", headers=hers)).status_code == 404
    assert (
        await client.delete(f"/api/auth/sessions/{laptop_id}", headers=phone)
    ).status_code == 204
    assert (
        await client.delete(f"/api/auth/sessions/{laptop_id}", headers=phone)
    ).status_code == 404
    assert (await client.delete("/api/auth/sessions/none", headers=phone)).status_code == 404
    assert (await client.get("/api/auth/me", headers=laptop)).status_code == 401


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=x",
        "cursor=x",
        "cursor=WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzE0OjAwIiwieCJd",
    ],
)
async def test_an_invalid_page_is_a_validation_error(
    client: httpx.AsyncClient, pool: Pool, settings: Settings, query: str
) -> None:
    ben = await factories.student(pool, "Ben")
    answer = await client.get(
        f"/api/auth/sessions?{query}",
        headers=bearer(await factories.token_of(pool, ben.id, settings)),
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_ERROR")


async def test_expired_and_revoked_sessions_are_distinguished(
    pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    now = datetime.now(UTC)
    ids = []
    for _ in range(3):
        account = await session.authenticate(
            pool, await factories.token_of(pool, ben.id, settings), settings, now=now
        )
        assert account is not None
        ids.append(account.session_id)
    living, revoked, deleted = ids
    await session.revoke(pool, revoked)
    await pool.execute("delete from session where id = $1", deleted)
    assert await session.ended(pool, ids, now=now) == {revoked: "revoked", deleted: "revoked"}
    assert (await session.ended(pool, ids, now=now + timedelta(days=8)))[living] == "expired"
