"""The shared catalog, the list of instructors, and public profiles."""

from typing import Any

import httpx
import pytest

from app.db import Pool
from app.settings import Settings
from tests import factories


async def all_items(client: httpx.AsyncClient, path: str, limit: int) -> list[Any]:
    items: list[Any] = []
    cursor = ""
    while True:
        page = (await client.get(path, params={"limit": limit, "cursor": cursor})).json()
        assert len(page["items"]) <= limit
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = page["next_cursor"]


async def test_the_catalog_has_common_services(client: httpx.AsyncClient) -> None:
    categories = (await client.get("/api/catalog/categories")).json()["items"]
    assert categories[0] == {"slug": "music", "name": "Music"}
    services = await all_items(client, "/api/catalog/services", 100)
    assert {"slug": "piano", "name": "Piano", "category": "music"} in services
    assert {"piano", "guitar", "spanish", "yoga"} <= {service["slug"] for service in services}
    assert {service["category"] for service in services} == {
        category["slug"] for category in categories
    }
    areas = (await client.get("/api/catalog/areas")).json()["items"]
    assert {"slug": "park-slope", "name": "Park Slope", "borough": "Brooklyn"} in areas


async def test_services_are_filtered_by_category(client: httpx.AsyncClient) -> None:
    items = (await client.get("/api/catalog/services?category=languages")).json()["items"]
    assert {item["category"] for item in items} == {"languages"}
    assert (await client.get("/api/catalog/services?category=nothing")).json() == {
        "items": [],
        "next_cursor": None,
    }


async def test_the_pages_of_a_list_add_up_to_all_items(client: httpx.AsyncClient) -> None:
    whole = await all_items(client, "/api/catalog/services", 100)
    assert await all_items(client, "/api/catalog/services", 7) == whole


@pytest.mark.parametrize(
    "query",
    ["limit=101", "limit=0", "cursor=!", "cursor=WyJ4Il0=", "cursor=Wy01XQ==", "cursor=WzEsMl0="],
)
async def test_an_invalid_page_is_a_validation_error(client: httpx.AsyncClient, query: str) -> None:
    for path in (
        "/api/catalog/services",
        "/api/catalog/categories",
        "/api/catalog/areas",
        "/api/instructors",
    ):
        answer = await client.get(f"{path}?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_ERROR")


async def test_instructors_are_listed_with_their_next_bookable_start(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", hours=("00:00", "24:00"), rate_cents=7000)
    await pool.execute(
        "insert into instructor_area values ($1, 'park-slope'), ($1, 'astoria')", anna.id
    )
    (item,) = (await client.get("/api/instructors")).json()["items"]
    next_available = item.pop("next_available")
    assert item == {
        "instructor": {"id": str(anna.id), "name": "Anna"},
        "service": {"id": str(anna.service_id), "name": "Piano", "catalog_service": "piano"},
        "hourly_rate_cents": 7000,
        "areas": ["astoria", "park-slope"],
    }
    ben = await factories.student(pool, "Ben")
    row = await pool.fetchrow(
        "select refusal from reserve($1, $2, $3::text::timestamptz, 30, null, 'Here', '', now())",
        ben.id,
        anna.service_id,
        next_available,
    )
    assert row is not None
    assert row["refusal"] is None


async def test_an_instructor_without_free_time_has_no_next_start(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    await factories.instructor(pool, "Anna", days=0)
    (item,) = (await client.get("/api/instructors")).json()["items"]
    assert item["next_available"] is None


async def test_filters_combine(client: httpx.AsyncClient, pool: Pool) -> None:
    anna = await factories.instructor(
        pool, "Anna", service="piano", rate_cents=7000, durations=(60,)
    )
    carl = await factories.instructor(pool, "Carl", service="guitar", rate_cents=5000)
    dora = await factories.instructor(pool, "Dora", service="spanish", rate_cents=4000)
    await pool.execute(
        "insert into instructor_area values ($1, 'park-slope'), ($2, 'park-slope')",
        anna.id,
        dora.id,
    )
    former = await factories.instructor(pool, "Gina")
    await pool.execute("update calendar set is_active = false where instructor_id = $1", former.id)

    async def names_with(**filters: Any) -> list[str]:
        answer = await client.get("/api/instructors", params=filters)
        assert answer.status_code == 200, answer.text
        return [item["instructor"]["name"] for item in answer.json()["items"]]

    assert await names_with() == ["Dora", "Carl", "Anna"]
    assert await names_with(service="piano") == ["Anna"]
    assert await names_with(service="pian") == []
    assert await names_with(category="music") == ["Carl", "Anna"]
    assert await names_with(area="park-slope") == ["Dora", "Anna"]
    assert await names_with(area="park-slope", category="music") == ["Anna"]
    assert await names_with(max_price=5000) == ["Dora", "Carl"]
    assert await names_with(min_price=4001, max_price=5000) == ["Carl"]
    assert await names_with(duration_minutes=30) == ["Dora", "Carl"]
    assert await names_with(service="", area="", q="") == ["Dora", "Carl", "Anna"]
    names = [item["instructor"]["name"] for item in await all_items(client, "/api/instructors", 1)]
    assert names == ["Dora", "Carl", "Anna"]
    assert carl.name in names


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("max_price=-1", "max_price"),
        ("max_price=ten", "max_price"),
        ("duration_minutes=0", "duration_minutes"),
        (f"q={'x' * 201}", "q"),
        ("date=tomorrow", "date"),
        ("part_of_day=night", "part_of_day"),
        ("sort=luck", "sort"),
        ("min_price=99999999999999999999", "min_price"),
        ("service=%00", None),
    ],
)
async def test_an_invalid_filter_is_reported_with_its_field(
    client: httpx.AsyncClient, query: str, field: str | None
) -> None:
    answer = await client.get(f"/api/instructors?{query}")
    assert (answer.status_code, answer.json()["code"], answer.json().get("field")) == (
        422,
        "VALIDATION_ERROR",
        field,
    )


async def test_a_public_profile_contains_no_private_fields(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna", buffer_minutes=30)
    answer = await client.get(f"/api/instructors/{anna.id}")
    assert answer.json() == {
        "id": str(anna.id),
        "name": "Anna",
        "headline": "Anna teaches piano",
        "bio": "",
        "years_experience": 0,
        "areas": [],
        "time_zone": "America/New_York",
        "min_advance_minutes": 120,
        "free_cancel_hours": 12,
        "services": [
            {
                "id": str(anna.service_id),
                "name": "Piano",
                "catalog_service": "piano",
                "description": "",
                "hourly_rate_cents": 7000,
                "durations_minutes": [30, 60],
                "location_types": ["student", "instructor", "public"],
                "levels": [],
                "audiences": [],
            }
        ],
    }


async def test_other_sites_may_read_a_public_profile_and_not_the_own_one(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    anna = await factories.instructor(pool, "Anna")
    origin = {"Origin": "https://example.org"}
    for instructor_id, status in ((str(anna.id), 200), ("anna", 404)):
        answer = await client.get(f"/api/instructors/{instructor_id}", headers=origin)
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == "*"
    answer = await client.options(f"/api/instructors/{anna.id}", headers=origin)
    assert answer.headers["access-control-allow-methods"] == "GET"
    token = f"Bearer {await factories.token_of(pool, anna.id, settings)}"
    answer = await client.get("/api/instructors/me", headers=origin | {"Authorization": token})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


async def test_a_student_has_no_instructor_profile(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    for invalid_id in (str(ben.id), "01980000-0000-7000-8000-000000000000", "anna", "%00"):
        answer = await client.get(f"/api/instructors/{invalid_id}")
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    headers = {"Authorization": f"Bearer {await factories.token_of(pool, ben.id, settings)}"}
    answer = await client.get("/api/instructors/me", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "NOT_ALLOWED")
