"""The start page: search, and the student’s next lessons."""

import httpx

from app.db import Pool
from tests import factories
from tests.pages.visitor import book, sign_in, visit


async def test_a_search_matches_services_categories_and_names(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    await factories.instructor(pool, "Anna Diaz", service="piano")
    await factories.instructor(pool, "Cora Lind", service="spanish")
    for query, expected in (
        ("q=piano", {"Anna Diaz"}),
        ("q=MUSIC", {"Anna Diaz"}),
        ("q=lind", {"Cora Lind"}),
        ("q=anna+piano", {"Anna Diaz"}),
        ("q=100%25", set()),
        ("category=languages", {"Cora Lind"}),
        ("service=piano", {"Anna Diaz"}),
        ("", {"Anna Diaz", "Cora Lind"}),
    ):
        page = await visit(client, f"/?{query}")
        assert {name for name in ("Anna Diaz", "Cora Lind") if name in page.links} == expected, (
            query
        )
    page = await visit(client, "/")
    assert "Violin" in (await visit(client, page.links["All services"].partition("#")[0])).links


async def test_a_signed_in_student_sees_the_next_two_lessons(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    for day in (3, 1, 2):
        await book(pool, anna, ben, day=day)
    await sign_in(client, ben)
    page = await visit(client, "/")
    assert "Your next lessons" in page.text
    assert page.text.count("Piano with") == 2
