"""What search engines read: descriptions, canonical addresses, structured data, the sitemap."""

import json
import re
from typing import Any

import httpx
import pytest

from app.db import Pool
from app.pages import sitemap
from app.settings import Settings
from tests import factories
from tests.pages.visitor import sign_in


def head(text: str) -> dict[str, str]:
    """The canonical address and the contents of meta elements by their name."""
    pairs = re.findall(r'<meta (?:name|property)="([^"]+)" content="([^"]*)">', text)
    canonical = re.findall(r'<link rel="canonical" href="([^"]+)">', text)
    return dict(pairs) | {"canonical": canonical[0] if canonical else ""}


def data(text: str) -> Any:
    [block] = re.findall(r'<script type="application/ld\+json">(.*?)</script>', text)
    return json.loads(block)


async def test_public_pages_describe_themselves(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    anna = await factories.instructor(pool, "Anna </script> Diaz")
    site = settings.site_url
    for path, canonical, words in (
        ("/", "/", "In-person lessons across New York"),
        ("/services", "/services", "all services"),
        (f"/instructors/{anna.id}?minutes=30", f"/instructors/{anna.id}", "Piano with Anna"),
        ("/search?service=piano", "/search?service=piano", "Piano lessons in New York"),
        ("/search?category=music", "/search?category=music", "Music lessons in New York"),
    ):
        text = (await client.get(path)).text
        described = head(text)
        assert described["canonical"] == described["og:url"] == site + canonical, path
        assert words in described["description"]
        assert described["description"] == described["og:description"]
        assert len(described["description"]) <= 160
        assert described["og:title"]
        assert "robots" not in described
        assert data(text)["@context"] == "https://schema.org"
    profile = data((await client.get(f"/instructors/{anna.id}")).text)
    assert profile["name"] == anna.name
    [offer] = profile["makesOffer"]
    assert offer["priceSpecification"]["price"] == "70.00"


async def test_pages_for_one_person_or_one_search_are_not_indexed(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    await factories.instructor(pool, "Anna")
    await sign_in(client, await factories.student(pool, "Ben"))
    for path in ("/lessons", "/nowhere", "/search?q=piano+under+$80", "/search?service=violin"):
        described = head((await client.get(path)).text)
        assert (described["robots"], described["canonical"]) == ("noindex", ""), path


async def test_the_sitemap_lists_every_public_page_in_parts(
    client: httpx.AsyncClient,
    pool: Pool,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sitemap, "PART_SIZE", 2)
    everyone = [await factories.instructor(pool, f"Anna {n}") for n in range(5)]
    await pool.execute("select set_teaching($1, false)", everyone[3].id)
    site = settings.site_url
    robots = await client.get("/robots.txt")
    assert f"Sitemap: {site}/sitemap.xml" in robots.text
    for path in ("/book/", "/search?refined="):
        assert f"Disallow: {path}\n" in robots.text
    index = await client.get("/sitemap.xml")
    assert index.headers["content-type"] == "application/xml"
    parts = re.findall("<loc>(.*?)</loc>", index.text)
    assert len(parts) == 1 + 3
    listed = [
        address
        for part in parts
        for address in re.findall("<loc>(.*?)</loc>", (await client.get(part)).text)
    ]
    assert {f"{site}/", f"{site}/services", f"{site}/search?service=piano"} <= {*listed}
    teaching = [each for each in everyone if each is not everyone[3]]
    assert [each for each in listed if "/instructors/" in each] == [
        f"{site}/instructors/{each.id}" for each in teaching
    ]
    monkeypatch.setattr(sitemap, "MAX_PARTS", 2)
    assert len(re.findall("<loc>", (await client.get("/sitemap.xml")).text)) == 1 + 2
    assert (await client.get("/sitemap/instructors.xml?after=x")).status_code == 404
