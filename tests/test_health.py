"""What monitoring sees, and who may see it."""

import httpx
import pytest

from app.main import build
from app.settings import Settings


async def test_alive_and_ready(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/live")).json() == {"status": "ok"}
    assert (await client.get("/health/ready")).status_code == 200


async def test_metrics_are_open_in_int(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert "process_resident_memory_bytes" in answer.text


@pytest.mark.parametrize(
    ("key", "given", "status"), [("k" * 20, "k" * 20, 200), ("k" * 20, "wrong", 403), ("", "", 403), ("k", "ü", 403)]
)
async def test_metrics_need_the_key_outside_int(settings: Settings, key: str, given: str, status: int) -> None:
    outside = settings.model_copy(update={"site_mode": "prod", "monitoring_api_key": type(settings.monitoring_api_key)(key)})
    application = build(outside)

    async def with_state(scope: dict[str, object], receive: object, send: object) -> None:
        await application(scope | {"state": {"settings": outside}}, receive, send)  # type: ignore[arg-type]

    async with httpx.AsyncClient(transport=httpx.ASGITransport(with_state), base_url="http://test") as browser:  # type: ignore[arg-type]
        answer = await browser.get("/metrics", headers={"X-Monitoring-API-Key": given.encode()})
    assert answer.status_code == status
