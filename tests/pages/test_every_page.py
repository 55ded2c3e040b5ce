"""What holds for every page: refusals, caching, no inline code."""

import re

import httpx

from app.db import Pool
from tests import factories
from tests.forms import Page
from tests.pages.visitor import book, sign_in, visit


async def test_a_student_who_opens_the_page_for_instructors_can_start_teaching(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    await sign_in(client, await factories.student(pool, "Ben"))
    for path in ("/teach/profile", "/teach/calendar", "/teach"):
        response = await client.get(path)
        assert response.status_code == 403
        page = Page(response)
        assert "This page is for instructors." in page.text
    assert "403 · NOT_ALLOWED" in page.text
    response = await page.form("/api/instructors/me").send(client)
    assert (response.status_code, response.headers["location"]) == (303, "/teach")
    assert "Get ready for your first booking" in (await visit(client, "/teach")).text


async def test_an_unknown_address_is_explained_and_its_code_is_in_small_print(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    response = await client.get("/nowhere")
    assert "Page not found" in Page(response).text
    assert '<p class="tiny">404 · NOT_FOUND</p>' in response.text
    assert "Join" in Page(response).links
    anna = await factories.instructor(pool, "Anna")
    await sign_in(client, anna)
    assert "Join" not in Page(await client.get("/nowhere")).links
    refused = Page(await client.get("/lessons"))
    assert refused.links["Your teaching page"] == "/teach"


async def test_pages_have_no_inline_scripts_or_styles_and_are_not_cached(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    lesson = await book(pool, anna, ben)
    await sign_in(client, ben)
    instructor, booked = f"/instructors/{anna.id}", f"/book/{lesson.id}"
    for path in ("/", instructor, booked, "/lessons", "/services", "/search?q=piano"):
        response = await client.get(path)
        assert response.status_code == 200
        assert not re.search(r" style=| on[a-z]+=|<style|<script>", response.text)
        assert response.headers["cache-control"] == "no-store"
