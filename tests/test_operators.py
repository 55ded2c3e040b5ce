"""The operators' commands, as they are typed; and who may destroy or invent data, which every attempt is written down about."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.db import Pool
from app.settings import Settings, environment
from tests import factories
from tests.cluster import Cluster
from tests.processes import ROOT, free_port

STG = {"SITE_MODE": "stg", "SMTP_URL": "smtp://mail.example.com"}
PROD = STG | {"SITE_MODE": "prod", "SITE_URL": "https://lessons.example.com"}

Operate = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def audit_log(tmp_path: Path) -> Path:
    return tmp_path / "audit" / "log.jsonl"


@pytest.fixture
def operate(settings: Settings, audit_log: Path) -> Operate:
    """`python -m app …` for the test's database; variables that are None are taken away."""

    def run(*arguments: str, stdin: int = subprocess.DEVNULL, **variables: str | None) -> "subprocess.CompletedProcess[str]":
        chosen = environment(settings) | {"AUDIT_LOG": str(audit_log)} | variables
        # Rate limits are off in tests, and may only be in int.
        given = os.environ | {name: value for name, value in chosen.items() if value is not None and name != "RATE_LIMITS"}
        command = [sys.executable, "-m", "app", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=given, stdin=stdin, capture_output=True, text=True, timeout=60, check=False
        )

    return run


def audited(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


async def accounts(pool: Pool) -> int:
    count: int = await pool.fetchval("select count(*) from account")
    return count


async def test_seed_brings_the_demo_people_into_an_empty_database_only(operate: Operate, pool: Pool) -> None:
    assert operate("seed").returncode == 0
    there = await accounts(pool)
    assert there >= 5
    again = operate("seed")
    assert again.returncode == 1
    assert again.stdout == "The database is not empty, so nothing was changed. `reset` empties it.\n"
    assert await accounts(pool) == there


async def test_reset_leaves_a_new_and_empty_database_with_another_epoch(
    operate: Operate, pool: Pool, database_url: str
) -> None:
    await factories.student(pool, "Ben")
    before = await pool.fetchval("select epoch_seed from site")
    assert operate("reset").stdout == "The database is new and empty. `seed` brings demo people.\n"
    await pool.expire_connections()
    assert await accounts(pool) == 0
    assert await pool.fetchval("select epoch_seed from site") != before


async def test_reset_also_mends_a_database_that_is_half_made(operate: Operate, pool: Pool) -> None:
    await pool.execute("drop table migration")
    assert operate("reset").returncode == 0
    await pool.expire_connections()
    assert await accounts(pool) == 0


async def test_admin_makes_an_admin_of_somebody_who_is_there(operate: Operate, pool: Pool) -> None:
    ben = await factories.student(pool, "Ben")
    assert operate("admin", "BEN@example.com").returncode == 0
    assert operate("admin", "BEN@example.com").returncode == 0
    roles = await pool.fetch("select role from account_role where account_id = $1 order by role", ben.id)
    assert [row["role"] for row in roles] == ["admin", "student"]
    missing = operate("admin", "nobody@example.com")
    assert missing.returncode == 1
    assert missing.stdout == "There is no account with the address nobody@example.com. Register it first.\n"


async def test_new_epoch_changes_the_epoch(operate: Operate, pool: Pool) -> None:
    before = await pool.fetchval("select epoch_seed from site")
    assert operate("new-epoch").returncode == 0
    assert await pool.fetchval("select epoch_seed from site") != before


async def test_migrate_says_what_it_did(operate: Operate, postgres: Cluster) -> None:
    url = await postgres.empty("unmigrated")
    try:
        assert operate("admin", "a@example.com", DATABASE_URL=url).stderr == (
            "The database is not of this version's shape. Run `python -m app migrate` first.\n"
        )
        assert operate("migrate", DATABASE_URL=url).stdout.startswith("Applied 0001_people.sql, ")
        assert operate("migrate", DATABASE_URL=url).stdout == "The database is up to date.\n"
    finally:
        await postgres.drop("unmigrated")


@pytest.mark.parametrize("command", ["reset", "seed"])
async def test_on_prod_nothing_is_destroyed_or_invented_whatever_is_said(
    operate: Operate, pool: Pool, audit_log: Path, command: str
) -> None:
    for arguments in ([command], [command, "--yes-stg"]):
        refused = operate(*arguments, **PROD)
        assert refused.returncode == 1
        assert refused.stderr == f"`{command}` does not run with SITE_MODE=prod. There is no way around this.\n"
    assert await accounts(pool) == 0
    assert [(line["command"], line["site_mode"], line["outcome"]) for line in audited(audit_log)] == [
        (command, "prod", "refused")
    ] * 2


async def test_prod_is_prod_even_when_the_rest_of_the_settings_is_wrong(operate: Operate, audit_log: Path) -> None:
    refused = operate("reset", **PROD | {"SECRET_KEY": None})
    assert refused.returncode == 2
    assert refused.stderr == "SITE_MODE=prod needs a SECRET_KEY of at least 32 characters.\n"
    (line,) = audited(audit_log)
    assert (line["command"], line["site_mode"], line["outcome"]) == ("reset", "prod", "refused")


async def test_on_stg_without_a_terminal_it_takes_the_flag(operate: Operate, pool: Pool, audit_log: Path) -> None:
    refused = operate("seed", **STG)
    assert refused.returncode == 1
    assert "Say --yes-stg to go ahead." in refused.stderr
    assert await accounts(pool) == 0
    assert operate("seed", "--yes-stg", **STG).returncode == 0
    assert await accounts(pool) > 0
    assert [line["outcome"] for line in audited(audit_log)] == ["refused", "begun", "done"]


@pytest.mark.parametrize(("typed", "outcomes"), [(b"stg\n", ["begun", "done"]), (b"yes\n", ["refused"])])
async def test_on_stg_it_asks_on_a_terminal(operate: Operate, audit_log: Path, typed: bytes, outcomes: list[str]) -> None:
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed)
        asked = operate("seed", stdin=theirs, **STG)
    finally:
        os.close(ours)
        os.close(theirs)
    assert "Type stg to go ahead" in asked.stdout
    assert [line["outcome"] for line in audited(audit_log)] == outcomes


async def test_the_audit_log_says_who_and_where_but_no_secret(operate: Operate, settings: Settings, audit_log: Path) -> None:
    address = f"postgresql://someone:hunter2@127.0.0.1:{free_port()}/lessons"
    failed = operate("reset", DATABASE_URL=address)
    assert failed.returncode == 1
    assert failed.stderr.startswith("No Postgres answers at DATABASE_URL: ")
    begun, ended = audited(audit_log)
    assert (begun["database"], begun["outcome"], ended["outcome"]) == ("127.0.0.1/lessons", "begun", "failed")
    assert {"at", "by", "host"} <= set(begun)
    assert "hunter2" not in audit_log.read_text() + failed.stderr
    assert audit_log.stat().st_mode & 0o777 == 0o600


async def test_without_a_database_they_say_what_to_do(operate: Operate, tmp_path: Path) -> None:
    lost = operate("admin", "a@example.com", "--data", str(tmp_path), DATABASE_URL=None)
    assert lost.returncode == 2
    assert lost.stderr == f"Set DATABASE_URL, or have `python -m app up` running in {tmp_path}.\n"
