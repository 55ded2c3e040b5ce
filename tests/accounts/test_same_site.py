"""Cross-site requests change nothing; forms of our own pages work."""

import httpx
import pytest

from app.db import Pool
from app.settings import Settings
from tests import factories

BEN = {
    "email": "ben@example.com",
    "password": "a-long-enough-one",
    "full_name": "Ben Ode",
    "role": "student",
}


@pytest.fixture
async def cookie(pool: Pool, settings: Settings) -> dict[str, str]:
    ben = await factories.student(pool, "Ben")
    return {"Cookie": f"session={await factories.token_of(pool, ben.id, settings)}"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 204),
        ({"Sec-Fetch-Site": "none"}, 204),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8000"}, 403),
        ({"Origin": "http://127.0.0.1:8000"}, 204),
        ({"Origin": "http://127.0.0.1:8001"}, 403),
        ({"Origin": "https://127.0.0.1:8000"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:8000.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({}, 403),
        ({"Authorization": "Basic YTpi"}, 403),
    ],
)
async def test_a_change_by_cookie_must_come_from_this_site(
    client: httpx.AsyncClient, cookie: dict[str, str], headers: dict[str, str], status: int
) -> None:
    answer = await client.post("/api/auth/logout", headers=cookie | headers)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["code"] == "NOT_ALLOWED"
        assert (await client.get("/api/auth/me", headers=cookie)).status_code == 200


async def test_a_bearer_token_works_from_any_site_and_overrides_the_cookie(
    client: httpx.AsyncClient, cookie: dict[str, str], pool: Pool, settings: Settings
) -> None:
    emma = await factories.student(pool, "Emma")
    hers = {"Authorization": f"Bearer {await factories.token_of(pool, emma.id, settings)}"}
    me = await client.get("/api/auth/me", headers=cookie | hers)
    assert me.json()["email"] == "emma@example.com"
    answer = await client.post(
        "/api/auth/logout", headers=cookie | hers | {"Origin": "https://evil.example"}
    )
    assert answer.status_code == 204
    assert (await client.get("/api/auth/me", headers=cookie)).status_code == 200
    assert (
        await client.get("/api/auth/me", headers=cookie | {"Authorization": "Bearer nonsense"})
    ).status_code == 401


async def test_another_site_cannot_sign_anyone_in(client: httpx.AsyncClient, pool: Pool) -> None:
    await factories.student(pool, "Ben")
    form = {"email": "ben@example.com", "password": factories.PASSWORD}
    answer = await client.post(
        "/api/auth/login", data=form, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("next_page", "location"),
    [
        ("/lessons?scope=past", "/lessons?scope=past"),
        ("", "/"),
        ("https://evil.example", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
    ],
)
async def test_a_form_redirects_within_this_site_only(
    client: httpx.AsyncClient, pool: Pool, next_page: str, location: str
) -> None:
    await factories.student(pool, "Ben")
    form = {"email": "ben@example.com", "password": factories.PASSWORD, "next": next_page}
    answer = await client.post(
        "/api/auth/login", data=form, headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert (answer.status_code, answer.headers["location"]) == (303, location)
    assert answer.headers["set-cookie"].startswith("session=")
    out = await client.post(
        "/api/auth/logout", data={"next": "/"}, headers={"Sec-Fetch-Site": "same-origin"}
    )
    assert (out.status_code, out.headers["location"]) == (303, "/")
    assert (await client.get("/api/auth/me")).status_code == 401


async def test_an_instructor_who_registers_by_form_lands_on_the_teaching_page(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post("/api/auth/register", data=BEN | {"role": "instructor"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/teach")


async def test_a_refused_form_is_shown_again_with_its_values_except_the_password(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    await factories.student(pool, "Ben")
    same_origin = {"Sec-Fetch-Site": "same-origin"}
    form = {
        "email": "ben@example.com",
        "password": "not the right one",
        "next": "/lessons",
        "_page": "/login?next=/lessons",
    }
    answer = await client.post("/api/auth/login", data=form, headers=same_origin)
    assert answer.status_code == 401
    assert "e-mail address or password is wrong" in answer.text
    assert 'value="ben@example.com"' in answer.text
    assert "not the right one" not in answer.text
    assert 'value="/lessons"' in answer.text
    registration = BEN | {"_page": "/register"}
    answer = await client.post("/api/auth/register", data=registration, headers=same_origin)
    assert answer.status_code == 409
    assert "already exists" in answer.text
    assert 'value="Ben Ode"' in answer.text
    assert BEN["password"] not in answer.text
