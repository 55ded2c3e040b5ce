"""Web processes behind PgBouncer, whose transactions share a few connections to Postgres."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import SecretStr

from app import db
from app.db import Pool
from app.embedded import data_directory, process
from app.embedded.postgres import APP_ROLE
from app.embedded.process import Program, SystemUser
from app.settings import Settings
from tests import factories
from tests.cluster import PATIENCE, until
from tests.conftest import visiting
from tests.health import wait_until_ready
from tests.processes import Starter

PROGRAM = (
    os.environ.get("PGBOUNCER")
    or shutil.which("pgbouncer")
    or shutil.which("pgbouncer", path="/usr/sbin")
)
# The first version that keeps prepared statements across transactions.
PREPARES = (1, 21)

SETTINGS = """
[databases]
* = host={postgres} port=5432
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {folder}
pool_mode = {mode}
default_pool_size = {size}
auth_type = trust
auth_file = {folder}/users
{further}
"""


def version() -> tuple[int, ...]:
    assert PROGRAM
    result = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
    match = re.search(r"PgBouncer (\d+)\.(\d+)", result.stdout)
    assert match, result.stdout
    return int(match[1]), int(match[2])


@pytest.fixture(params=["transaction", "session"])
def pooled(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Settings]:
    """The settings of a process that connects to its database through PgBouncer."""
    if PROGRAM is None:
        pytest.skip("There is no pgbouncer (on Debian and Ubuntu: apt install pgbouncer).")
    if request.param == "transaction" and version() < PREPARES:
        installed = ".".join(map(str, version()))
        pytest.skip(f"Transaction pooling needs PgBouncer 1.21, and this is {installed}.")
    folder = data_directory.socket_folder()
    direct = urlsplit(settings.database_url.get_secret_value())
    postgres = Path(direct.query.partition("host=")[2].partition("&")[0])
    owner = postgres.stat()
    user = SystemUser(str(owner.st_uid), owner.st_uid, owner.st_gid) if os.geteuid() == 0 else None
    (folder / "users").write_text(f'"{APP_ROLE}" ""\n')
    further = "max_prepared_statements = 200" if version() >= PREPARES else ""
    (folder / "settings.ini").write_text(
        SETTINGS.format(
            postgres=postgres,
            folder=folder,
            mode=request.param,
            # With transaction pooling, fewer than the connections of the process are enough.
            size=3 if request.param == "transaction" else 50,
            further=further,
        )
    )
    if user:
        data_directory.grant_access(folder, user)
        folder.chmod(0o770)
    with (folder / "log").open("wb") as log:
        running = process.start(
            Program("pgbouncer", [PROGRAM, str(folder / "settings.ini")], user=user),
            log.fileno(),
        )
    try:
        until(lambda: listens(folder / ".s.PGSQL.6432"), "PgBouncer to listen")
        url = f"postgresql://{APP_ROLE}@{direct.path}?host={folder}&port=6432"
        yield settings.model_copy(update={"database_url": SecretStr(url)})
        assert running.poll() is None, (folder / "log").read_text()
    finally:
        process.stop(running, signal.SIGINT, 10)
        shutil.rmtree(folder)


def listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


async def signed_in(client: httpx.AsyncClient, email: str) -> dict[str, str]:
    answer = await client.post(
        "/api/auth/login", json={"email": email, "password": factories.PASSWORD}
    )
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['token']}"}


async def free_starts(client: httpx.AsyncClient, anna: factories.Instructor) -> Any:
    answer = await client.get(f"/api/public/instructors/{anna.id}/availability")
    assert answer.status_code == 200, answer.text
    return answer.json()["days"][str(anna.day())]


async def test_students_sign_in_book_and_cancel_through_pgbouncer(
    pooled: Settings, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    students = [await factories.student(pool, f"Student {number}") for number in range(8)]
    async with visiting(pooled) as client:
        await wait_until_ready(client, 200)
        before = await free_starts(client, anna)

        async def book_and_cancel(number: int) -> list[int]:
            headers = await signed_in(client, students[number].email)
            statuses = []
            # More than five times, so that each connection uses generic plans.
            for turn in range(8):
                body = {
                    "service_id": str(anna.service_id),
                    "start": anna.at(f"{9 + number:02}:00").isoformat(),
                    "duration_minutes": 60,
                    "location": "12 Main Street",
                }
                key = {"Idempotency-Key": f"{number}-{turn}"}
                booked = await client.post("/api/bookings", json=body, headers=headers | key)
                assert booked.status_code == 201, booked.text
                again = await client.post("/api/bookings", json=body, headers=headers | key)
                assert again.json() == booked.json()
                page = await client.get("/lessons", headers=headers)
                path = f"/api/bookings/{booked.json()['id']}/cancellation"
                cancelled = await client.post(path, json={}, headers=headers)
                statuses += [page.status_code, cancelled.status_code]
            return statuses

        statuses = await asyncio.gather(*(book_and_cancel(number) for number in range(8)))
        assert {status for turns in statuses for status in turns} == {200}
        assert await free_starts(client, anna) == before
    assert await pool.fetchval("select count(*) from booking where state = 'cancelled'") == 64
    assert (
        await pool.fetchval("select version from calendar where instructor_id = $1", anna.id) == 128
    )


async def test_a_session_through_pgbouncer_has_the_settings_of_its_role(pooled: Settings) -> None:
    pooled_connections = await db.connect(
        pooled.database_url.get_secret_value(), size=2, name="test"
    )
    names = ("search_path", "TimeZone", "jit", "lock_timeout", "statement_timeout")
    values = [
        await pooled_connections.fetchval("select current_setting($1)", name) for name in names
    ]
    assert values == ["public, code", "UTC", "off", "2s", "8s"]
    await db.close(pooled_connections)


async def test_the_relay_publishes_changes_of_a_web_process_behind_pgbouncer(
    pooled: Settings, pool: Pool, settings: Settings, start: Starter
) -> None:
    """The relay uses a session lock, so it connects to Postgres directly."""
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    assert settings.database_url != pooled.database_url
    web = start("serve", database_url=pooled.database_url)
    start("relay")
    token = await factories.token_of(pool, ben.id, settings)
    async with httpx.AsyncClient(
        base_url=web.url, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE
    ) as client:
        body = {
            "service_id": str(anna.service_id),
            "start": anna.at("10:00").isoformat(),
            "duration_minutes": 60,
            "location": "12 Main Street",
        }
        assert (await client.post("/api/bookings", json=body)).status_code == 201
    async with asyncio.timeout(PATIENCE):
        while await pool.fetchval("select count(*) from outbox_unpublished"):
            await asyncio.sleep(0.05)
