"""The commands of "Backup and restore" in docs/operating.md, run on a database in use."""

import asyncio
import os
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

from app import db, demo
from app.db import Pool
from app.embedded import data_directory
from tests.cluster import Cluster
from tests.processes import ROOT

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
    await demo.seed(pool, now=datetime.now(UTC))
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
        for command in ("migrate", "new-epoch"):
            operator = (sys.executable, "-m", "app", command)
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
