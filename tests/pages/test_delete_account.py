"""`/account/delete` and `/goodbye`, without JavaScript."""

import httpx

from app.db import Pool
from tests import factories
from tests.factories import PASSWORD
from tests.forms import Page
from tests.pages.visitor import book, sign_in, visit


async def test_the_page_lists_what_is_cancelled_asks_for_the_password_and_says_goodbye(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    await book(pool, anna, ben, day=3)
    await sign_in(client, ben)
    page = await visit(client, "/account")
    assert page.links["Download your data"] == "/api/privacy/export"
    page = await visit(client, page.links["Delete your account"])
    assert "Piano with Anna" in page.text
    assert "it says “Former student”" in page.text

    answer = await page.form("/api/privacy/erasure").send(client, password="wrong")
    assert answer.status_code == 422
    page = Page(answer)
    assert "That isn’t your password. Try again." in page.text

    answer = await page.form("/api/privacy/erasure").send(client, password=PASSWORD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/goodbye")
    page = await visit(client, "/goodbye")
    assert "Your account is deleted" in page.text
    assert "Sign in" in page.links  # and no longer "Sign out"
    answer = await client.get("/account")
    assert answer.headers["location"].startswith("/login")


async def test_an_instructor_reads_what_disappears(client: httpx.AsyncClient, pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    await book(pool, anna, ben, day=3)
    await sign_in(client, anna)
    page = await visit(client, "/account/delete")
    assert "These lessons that you teach. Your students will be told." in page.text
    assert "it says “Former instructor”" in page.text
    assert "Piano with Ben" in page.text
    assert "Your page and your times disappear." in page.text
