"""`backup` and `restore`, and the commands of "Backup and restore" in docs/operating.md, run on a
database in use."""

import asyncio
import dataclasses
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app import backup, db, demo
from app.backup import BackupError
from app.db import Pool
from app.embedded import data_directory
from app.settings import Settings, environment
from tests import factories
from tests.cluster import Cluster
from tests.conftest import connected
from tests.processes import ROOT, Running, command, fork

Operate = Callable[..., tuple[int | None, str]]

CONTENT = """
select (select count(*) from account) as accounts, (select count(*) from booking) as bookings,
       (select count(*) from availability) as ranges, (select max(version) from calendar) as version
"""


def run(*command: str | Path, **environment: str) -> str:
    result = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


async def test_a_dump_is_restored_migrated_and_begins_a_new_epoch(
    pool: Pool, database_url: str, postgres: Cluster, tmp_path: Path
) -> None:
    await demo.seed(pool, now=datetime.now(UTC), instructors=demo.FEATURED)
    before = await pool.fetchrow(CONTENT)
    epoch_seed = await pool.fetchval("select epoch_seed from site")
    programs = data_directory.binaries(None)
    dump = tmp_path / "instainstru.dump"
    await asyncio.to_thread(
        run, programs / "pg_dump", "--format", "custom", "--file", dump, database_url
    )

    name = f"restored_{uuid.uuid4().hex}"
    url = await postgres.empty(name)
    try:
        restore = (programs / "pg_restore", "--exit-on-error", "--no-owner", "--dbname", url, dump)
        await asyncio.to_thread(run, *restore)
        for name_of_command in ("migrate", "new-epoch"):
            operator = (sys.executable, "-m", "app", name_of_command)
            await asyncio.to_thread(run, *operator, DATABASE_URL=url)
        restored = await db.connect(url, size=1, name="test")
        try:
            assert await restored.fetchrow(CONTENT) == before
            assert await restored.fetchval("select epoch_seed from site") != epoch_seed
            assert await restored.fetchval("show timezone") == "UTC"
        finally:
            await db.close(restored)
    finally:
        await postgres.drop(name)


async def everything(pool: Pool) -> list[backup.Content]:
    """The contents without what a restore changes on purpose."""
    async with pool.acquire() as connection:
        contents = await backup._contents.all(connection)
    return [content for content in contents if content.name != "table site"]


@pytest.fixture
def operate(settings: Settings, tmp_path: Path) -> Iterator[Operate]:
    """Runs an operator command on the test's database; returns its status and its output."""
    started: list[Running] = []

    def run(*arguments: object, **variables: str) -> tuple[int | None, str]:
        changes = environment(settings) | {"AUDIT_LOG": str(tmp_path / "audit.jsonl")} | variables
        changes.pop("RATE_LIMITS")
        if "DATABASE_URL" in variables:
            changes.pop("MIGRATE_DATABASE_URL")
        running = fork("operate", command, [str(each) for each in arguments], variables=changes)
        started.append(running)
        return running.wait(), running.log

    yield run
    for each in started:
        each.close()


async def test_a_backup_is_verified_and_a_restore_brings_everything_back_in_a_new_epoch(
    pool: Pool, app_database_url: str, operate: Operate, tmp_path: Path
) -> None:
    await demo.seed(pool, now=datetime.now(UTC))
    before = await everything(pool)
    epoch_seed = await pool.fetchval("select epoch_seed from site")
    file = tmp_path / "a.dump"
    status, output = await asyncio.to_thread(operate, "backup", file)
    rows = await pool.fetchval("select sum(items) from code.contents() where name like 'table %'")
    assert (status, output) == (0, f"{file} contains {rows} rows, and was verified.\n")
    assert file.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in tmp_path.iterdir()} == {"a.dump"}
    assert not await pool.fetch("select from pg_database where datname like 'instainstru_backup%'")

    await pool.execute("delete from booking; update account set full_name = 'Nobody'")
    assert await everything(pool) != before
    status, output = await asyncio.to_thread(operate, "restore", file)
    assert (status, output) == (
        0,
        "The database is that of the backup. Every open screen reloads its boards.\n",
    )
    await pool.expire_connections()
    assert await everything(pool) == before
    assert await pool.fetchval("select epoch_seed from site") != epoch_seed
    async with connected(app_database_url) as app:
        assert await app.fetchval("select count(*) from account") > 0
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [(line["command"], line["outcome"]) for line in lines] == [
        ("restore", "started"),
        ("restore", "done"),
    ]


async def test_a_backup_that_differs_from_its_source_is_an_error(
    pool: Pool, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original changes between the dump and the comparison, as if the dump had lost it."""
    dump = backup._dump

    async def then_lose_a_row(address: str, file: Path) -> list[backup.Content]:
        original = await dump(address, file)
        return [
            dataclasses.replace(content, items=content.items + 1)
            if content.name == "table category"
            else content
            for content in original
        ]

    monkeypatch.setattr(backup, "_dump", then_lose_a_row)
    with pytest.raises(BackupError, match=r"differs from the database in table category\.$"):
        await backup.back_up(database_url, tmp_path / "a.dump", now=datetime.now(UTC))
    assert list(tmp_path.iterdir()) == []
    assert not await pool.fetch("select from pg_database where datname like 'instainstru_backup%'")


async def test_a_backup_into_a_folder_names_its_time_and_overwrites_nothing(
    database_url: str, tmp_path: Path
) -> None:
    now = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
    file, _ = await backup.back_up(database_url, tmp_path, now=now)
    assert file == tmp_path / "instainstru-20261122T083000Z.dump"
    with pytest.raises(BackupError, match=r"exists already\. Choose another file\.$"):
        await backup.back_up(database_url, file, now=now)


async def test_a_damaged_backup_changes_nothing(
    pool: Pool, operate: Operate, tmp_path: Path
) -> None:
    await factories.student(pool, "Ben")
    file = tmp_path / "a.dump"
    assert (await asyncio.to_thread(operate, "backup", file))[0] == 0
    before = await everything(pool)
    (tmp_path / "half").write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    (tmp_path / "text").write_text("dear diary")
    for damaged in ("half", "text", "missing"):
        status, output = await asyncio.to_thread(operate, "restore", tmp_path / damaged)
        assert status == 1
        assert output.startswith("pg_restore failed: ")
        assert await everything(pool) == before


async def test_on_prod_a_restore_needs_an_empty_database(
    pool: Pool, operate: Operate, postgres: Cluster, tmp_path: Path
) -> None:
    await factories.student(pool, "Ben")
    prod = {
        "SITE_MODE": "prod",
        "SITE_URL": "https://lessons.example.com",
        "SMTP_URL": "smtp://mail.example.com",
    }
    file = tmp_path / "a.dump"
    assert (await asyncio.to_thread(operate, "backup", file, **prod))[0] == 0
    status, output = await asyncio.to_thread(operate, "restore", file, **prod)
    assert (status, output) == (
        1,
        "`restore` does not run with SITE_MODE=prod. This cannot be overridden.\n",
    )
    assert await pool.fetchval("select count(*) from account") == 1

    name = f"restored_{uuid.uuid4().hex}"
    url = await postgres.empty(name)
    try:
        assert (await asyncio.to_thread(operate, "restore", file, DATABASE_URL=url, **prod))[0] == 0
        async with connected(url) as restored:
            assert await restored.fetchval("select count(*) from account") == 1
            assert await restored.fetchval("select mode from site") == "prod"
    finally:
        await postgres.drop(name)


def test_a_password_is_not_passed_as_an_argument_of_a_program() -> None:
    address = "postgresql://someone:hun%40ter2@db:5433/lessons?sslmode=require"
    assert (
        backup._without_password(address) == "postgresql://someone@db:5433/lessons?sslmode=require"
    )
    assert backup._without_password("postgresql://postgres@/x?host=/tmp") == (
        "postgresql://postgres@/x?host=/tmp"
    )
