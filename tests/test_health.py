"""Health checks while Redis, Postgres and the relay stop and return, and the metrics."""

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from app import db
from app.settings import Settings
from realtime import lifespan, relay
from realtime.subscriber import Subscriber
from tests import factories
from tests.cluster import TEMPLATE, Server
from tests.conftest import RedisServer, visiting
from tests.forms import Page
from tests.health import wait_until_ready


@pytest_asyncio.fixture
async def relaying(settings: Settings) -> AsyncIterator[None]:
    """A relay, in the test's loop."""
    task = asyncio.create_task(relay.main(settings))
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_live_needs_no_database(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_ready_with_postgres_redis_and_relay(
    client: httpx.AsyncClient, relaying: None
) -> None:
    assert await wait_until_ready(client, 200, status="ok") == {
        "status": "ok",
        "postgres": "ok",
        "live": "connected",
    }


async def test_without_redis_it_is_ready_but_degraded(
    client: httpx.AsyncClient, relaying: None, redis_server: RedisServer
) -> None:
    await wait_until_ready(client, 200, status="ok")
    redis_server.kill()
    assert await wait_until_ready(client, 200, status="degraded") == {
        "status": "degraded",
        "postgres": "ok",
        "live": "degraded",
    }
    redis_server.start()
    await wait_until_ready(client, 200, status="ok")


async def reconcile_age(client: httpx.AsyncClient) -> float:
    """The value of the metric."""
    lines = (await client.get("/metrics")).text.splitlines()
    [age] = [line.split()[1] for line in lines if line.startswith("live_reconcile_age_seconds ")]
    return float(age)


async def test_the_age_of_the_last_successful_reconcile_is_a_metric_and_decides_readiness(
    client: httpx.AsyncClient, pool: db.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifespan, "RECONCILE_AGE_SECONDS", 4.0)
    await wait_until_ready(client, 200)
    clock = asyncio.get_running_loop().time
    # Postgres answers everything else, but every reconcile fails.
    await pool.execute("alter table calendar rename column version to version_elsewhere")
    await asyncio.sleep(0.2)  # a reconcile that had begun is over
    broken_at = clock()
    while clock() - broken_at < 3:
        before = clock() - broken_at
        assert await reconcile_age(client) >= before
        await asyncio.sleep(0.5)
    assert (await wait_until_ready(client, 503))["reason"] == "postgres"
    assert await reconcile_age(client) > 4
    await pool.execute("alter table calendar rename column version_elsewhere to version")
    await wait_until_ready(client, 200)
    assert await reconcile_age(client) < clock() - broken_at


async def test_without_postgres_it_is_not_ready(
    settings: Settings, postgres_server: Server
) -> None:
    database_url = SecretStr(postgres_server.cluster.database(TEMPLATE))
    async with visiting(settings.model_copy(update={"database_url": database_url})) as client:
        await wait_until_ready(client, 200)
        postgres_server.kill()
        answer = await client.get("/health/ready")
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        assert answer.json() == {
            "detail": "Postgres does not answer.",
            "code": "UNAVAILABLE",
            "reason": "postgres",
        }
        assert (await client.get("/health/live")).status_code == 200
        postgres_server.start()
        await wait_until_ready(client, 200)


async def test_without_postgres_a_page_can_be_loaded_again(
    settings: Settings, postgres_server: Server
) -> None:
    database_url = SecretStr(postgres_server.cluster.database(TEMPLATE))
    async with visiting(settings.model_copy(update={"database_url": database_url})) as client:
        postgres_server.kill()
        answer = await client.get("/search?q=piano")
        assert answer.status_code == 503
        page = Page(answer)
        assert "This page can’t be loaded right now." in page.text
        assert "whether it went through" not in page.text
        assert page.links["Try again"] == "/search?q=piano"
        # A form may have changed something.
        form = {"email": "ben@example.com", "password": "long enough", "_page": "/login"}
        answer = await client.post("/api/auth/login", data=form)
        assert answer.status_code == 503
        assert "whether it went through" in Page(answer).text


@pytest.fixture
def small_disk(postgres_server: Server) -> Iterator[Path]:
    """A disk of 64 MB that the test's own Postgres may use."""
    disk = Path(tempfile.mkdtemp(prefix="instainstru-disk-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode != 0:
        disk.rmdir()
        pytest.skip(
            f"A full disk needs a mount, which needs root: {mounted.stderr.decode().strip()}"
        )
    try:
        if user := postgres_server.embedded.user:
            os.chown(disk, user.uid, user.gid)
        disk.chmod(0o700)
        yield disk
    finally:
        postgres_server.stop()
        subprocess.run(["umount", str(disk)], check=True)
        disk.rmdir()


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(bytes(4096)):
            pass
    assert shutil.disk_usage(disk).free == 0


async def test_a_full_disk_is_reported_until_there_is_space_again(
    settings: Settings, postgres_server: Server, small_disk: Path
) -> None:
    url = await postgres_server.cluster.clone_onto("small", small_disk)
    async with visiting(settings.model_copy(update={"database_url": SecretStr(url)})) as client:
        pool = await db.connect(url, size=1, name="test")
        anna = await factories.instructor(pool, "Anna")
        client.headers["Authorization"] = (
            f"Bearer {await factories.token_of(pool, anna.id, settings)}"
        )
        await db.close(pool)

        async def write_bio() -> int:
            bio = secrets.token_hex(2500)
            return (await client.put("/api/instructors/me", json={"bio": bio})).status_code

        assert await write_bio() == 200
        await wait_until_ready(client, 200, postgres="ok")
        fill(small_disk)
        statuses = [await write_bio() for _ in range(20)]
        assert set(statuses) <= {200, 503}
        assert 503 in statuses
        read = await client.get(f"/api/instructors/{anna.id}")
        assert read.status_code == 200
        await wait_until_ready(client, 200, status="degraded", postgres="disk_full")
        (small_disk / "filler").unlink()
        await wait_until_ready(client, 200, postgres="ok")
        assert await write_bio() == 200


async def test_metrics_are_open_in_int(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert "live_sockets" in answer.text


async def test_metrics_name_the_process_that_answered(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")
    assert f'web_process{{host="{socket.gethostname()}",pid="{os.getpid()}"}} 1.0' in answer.text


@pytest.mark.parametrize(
    ("key", "header", "status"),
    [("k" * 20, "k" * 20, 200), ("k" * 20, "wrong", 403), ("", "", 403), ("k", "ü", 403)],
)
async def test_metrics_need_the_key_outside_int(
    settings: Settings, key: str, header: str, status: int
) -> None:
    outside = {
        "site_mode": "prod",
        "monitoring_api_key": SecretStr(key),
        "smtp_url": SecretStr("smtp://127.0.0.1:9"),
    }
    async with visiting(settings.model_copy(update=outside)) as client:
        answer = await client.get("/metrics", headers={b"X-Monitoring-API-Key": header.encode()})
    assert answer.status_code == status


async def test_a_process_that_alone_receives_no_changes_is_not_ready(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Subscriber, "status", "disconnected")
    await wait_until_ready(client, 503, reason="live")
