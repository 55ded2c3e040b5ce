"""What people type is data: never a part of a statement, of markup or of a script."""

import re

import httpx
import pytest

from app.db import Pool
from app.settings import Settings
from tests import factories

SQL = "O'Neil'); drop table booking cascade; --"
MARKUP = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\" onclick='alert(1)"


@pytest.fixture
async def sarah(pool: Pool) -> factories.Instructor:
    """An instructor with both in every text that others see."""
    sarah = await factories.instructor(pool, "Sarah")
    await pool.execute("update account set full_name = $1", f"{MARKUP} {SQL}")
    await pool.execute("update instructor set headline = $1, bio = $1", f"{MARKUP} {SQL}")
    await pool.execute("update service set description = $1", f"{MARKUP} {SQL}")
    return sarah


async def test_markup_is_shown_as_text_on_every_page(
    client: httpx.AsyncClient, pool: Pool, settings: Settings, sarah: factories.Instructor
) -> None:
    ben = await factories.student(pool, "Ben")
    await factories.lesson(pool, ben.id, sarah.service_id, sarah.at("10:00"))
    own = {"Authorization": f"Bearer {await factories.token_of(pool, sarah.id, settings)}"}
    pages = ("/", f"/instructors/{sarah.id}", "/search?q=piano", "/teach", "/teach/calendar")
    for path in pages:
        page = await client.get(path, headers=own)
        assert page.status_code == 200, path
        for payload in ("<script>alert", "<img src=x", "onclick='alert"):
            assert payload not in page.text, path
    profile = await client.get(f"/instructors/{sarah.id}")
    assert "&lt;img src=x onerror=alert(1)&gt;" in profile.text
    # JSON in a page cannot end its element.
    for content in re.findall(r'<script type="application/[^>]*>(.*?)</script>', profile.text):
        assert "<" not in content


@pytest.mark.parametrize("text", [SQL, MARKUP, "%27%20or%201=1", "' or '1'='1", "\\'; select 1"])
async def test_sql_in_a_value_is_a_value(
    client: httpx.AsyncClient, pool: Pool, sarah: factories.Instructor, text: str
) -> None:
    for path in ("/api/search", "/api/search/suggestions", "/api/instructors", "/search"):
        answer = await client.get(path, params={"q": text, "area": text, "service": text})
        assert answer.status_code < 500, path
    credentials = {"email": text, "password": text}
    assert (await client.post("/api/auth/login", json=credentials)).status_code in {401, 422}
    assert await pool.fetchval("select to_regclass('booking') is not null")
    assert await pool.fetchval("select count(*) from account") == 1
