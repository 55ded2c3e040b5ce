"""Sign-in and registration without scripts."""

import re

import httpx
import pytest

from app.db import Pool
from tests import factories
from tests.forms import Page
from tests.pages.visitor import visit


async def test_boolean_attributes_are_valid(client: httpx.AsyncClient) -> None:
    for path in ("/login", "/register", "/reset-password"):
        page = (await client.get(path)).text
        assert re.search(r' required=""', page), path
        assert not re.search(r'="(True|False|None)"', page), path
    email = re.search(r'<input\s+id="email".*?>', (await client.get("/login")).text, re.DOTALL)
    assert email
    assert ' autofocus=""' in email[0]


@pytest.mark.parametrize(
    "address",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"],
)
async def test_next_never_leads_to_another_site(
    client: httpx.AsyncClient, pool: Pool, address: str
) -> None:
    ben = await factories.student(pool, "Ben")
    page = Page(await client.get("/login", params={"next": address}))
    response = await page.form("/api/auth/login").send(
        client, email=ben.email, password=factories.PASSWORD
    )
    assert response.headers["location"] == "/"
    response = await client.get("/login", params={"next": address})
    assert response.headers["location"] == "/"


async def test_a_refused_password_keeps_its_hint(client: httpx.AsyncClient) -> None:
    page = await visit(client, "/register")
    response = await page.form("/api/auth/register").send(
        client, role="student", full_name="Ben", email="ben@example.com", password="short"
    )
    assert response.status_code == 422
    for text in ("needs at least 10 characters", "At least 10 characters, and not a common"):
        assert text in Page(response).text
    assert 'aria-describedby="password-error password-hint"' in response.text


async def test_a_refused_registration_keeps_everything_but_the_password(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    await factories.student(pool, "Ben")
    page = await visit(client, "/register?role=instructor")
    response = await page.form("/api/auth/register").send(
        client, full_name="Ben", email="ben@example.com", password="correct horse battery"
    )
    assert response.status_code == 409
    assert "correct horse battery" not in response.text
    page = Page(response)
    assert page.text.count("An account with this e-mail address already exists.") == 1
    assert page.links["Sign in instead"] == "/login?next="
    email = re.search(r'<input\s+id="email".*?>', response.text, re.DOTALL)
    assert email is not None
    assert 'aria-invalid="true"' in email[0]
    assert "autofocus" in email[0]
    form = page.form("/api/auth/register")
    assert {
        "role": "instructor",
        "full_name": "Ben",
        "email": "ben@example.com",
    }.items() <= form.fields.items()


async def test_a_refused_form_that_names_no_page_is_shown_again(client: httpx.AsyncClient) -> None:
    credentials = {"email": "ben@example.com", "password": "not the right one"}
    for path, status, title in (
        ("/api/auth/login", 401, "Sign in"),
        ("/api/auth/register", 422, "Create an account"),
        ("/api/auth/password-reset/confirm", 422, "Forgot your password?"),
    ):
        answer = await client.post(path, data=credentials)
        assert answer.status_code == status
        assert f"<h1>{title}</h1>" in answer.text
        assert 'value="ben@example.com"' in answer.text
        assert credentials["password"] not in answer.text
