"""The operator commands as run in a shell, the protection against data loss, and the audit log."""

import asyncio
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from app import maintenance
from app.db import Pool
from app.settings import Settings, environment
from tests import factories
from tests.cluster import PATIENCE, Cluster
from tests.conftest import visiting
from tests.processes import ROOT, Running, command, completed, fork, free_port

STG = {"SITE_MODE": "stg", "SMTP_URL": "smtp://mail.example.com"}
KEY = {"SECRET_KEY": "k" * 40}
PROD = STG | {"SITE_MODE": "prod", "SITE_URL": "https://lessons.example.com"}

Attempt = Callable[..., tuple[int | None, str]]
Operate = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def audit_log(tmp_path: Path) -> Path:
    return tmp_path / "audit" / "log.jsonl"


@pytest.fixture
def operate(settings: Settings, audit_log: Path) -> Operate:
    """Runs `python -m app …` on the test's database; variables that are None are removed."""

    def run(
        *arguments: str, stdin: int = subprocess.DEVNULL, **variables: str | None
    ) -> "subprocess.CompletedProcess[str]":
        changes = environment(settings) | {"AUDIT_LOG": str(audit_log)} | variables
        # RATE_LIMITS=off, as in tests, is refused outside int.
        changes.pop("RATE_LIMITS", None)
        if "DATABASE_URL" in variables:  # then everything uses it
            changes.pop("MIGRATE_DATABASE_URL")
        variables_set = {name: value for name, value in changes.items() if value is not None}
        if stdin == subprocess.DEVNULL:
            return completed(arguments, variables=variables_set)
        return subprocess.run(
            [sys.executable, "-m", "app", *arguments],
            cwd=ROOT,
            env=os.environ | variables_set,
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    return run


def audited(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


async def accounts(pool: Pool) -> int:
    count: int = await pool.fetchval("select count(*) from account")
    return count


async def test_seed_inserts_demo_accounts_only_into_an_empty_database(
    operate: Operate, pool: Pool
) -> None:
    assert operate("seed").returncode == 0
    count = await accounts(pool)
    assert count >= 5
    again = operate("seed")
    assert again.returncode == 1
    assert (
        again.stdout == "The database is not empty, so nothing was changed. `reset` empties it.\n"
    )
    assert await accounts(pool) == count


async def test_reset_empties_the_database_and_changes_the_epoch(
    operate: Operate, pool: Pool, database_url: str
) -> None:
    await factories.student(pool, "Ben")
    before = await pool.fetchval("select epoch_seed from site")
    assert operate("reset").stdout == "The database is empty. `seed` creates demo accounts.\n"
    await pool.expire_connections()
    assert await accounts(pool) == 0
    assert await pool.fetchval("select epoch_seed from site") != before


async def test_reset_repairs_a_partly_created_database(operate: Operate, pool: Pool) -> None:
    await pool.execute("drop table migration")
    assert operate("reset").returncode == 0
    await pool.expire_connections()
    assert await accounts(pool) == 0


async def test_admin_gives_an_existing_account_the_role(operate: Operate, pool: Pool) -> None:
    ben = await factories.student(pool, "Ben")
    await pool.execute("insert into removed_role values ($1, 'admin')", ben.id)
    assert operate("admin", "BEN@example.com").returncode == 0
    assert operate("admin", "BEN@example.com").returncode == 0
    assert await pool.fetchval("select count(*) from removed_role") == 0
    roles = await pool.fetch(
        "select role from account_role where account_id = $1 order by role", ben.id
    )
    assert [row["role"] for row in roles] == ["admin", "student"]
    missing = operate("admin", "nobody@example.com")
    assert missing.returncode == 1
    assert (
        missing.stdout
        == "There is no account with the address nobody@example.com. Register it first.\n"
    )


async def test_verify_confirms_addresses_and_second_factor_off_forgets_a_lost_app(
    operate: Operate, pool: Pool
) -> None:
    ben, emma = await factories.student(pool, "Ben"), await factories.student(pool, "Emma")
    await pool.execute("update account set verified_at = null")
    verified = "select email::text from account where verified_at is not null order by 1"
    partly = operate("verify", "BEN@example.com", "nobody@example.com")
    assert partly.returncode == 1
    assert partly.stdout == "1 of 2 addresses belong to an account and are confirmed.\n"
    assert [row[0] for row in await pool.fetch(verified)] == [ben.email]
    assert operate("verify", emma.email).stdout == "emma@example.com is confirmed.\n"
    assert len(await pool.fetch(verified)) == 2
    await pool.execute("insert into totp values ($1, 'secret', now())", ben.id)
    off = operate("second-factor-off", "BEN@example.com")
    assert (off.returncode, "second_factor_off" in off.stderr) == (0, True)
    assert str(ben.id) in off.stderr
    assert await pool.fetchval("select count(*) from totp") == 0
    assert operate("second-factor-off", "BEN@example.com").returncode == 1


async def test_new_epoch_changes_the_epoch(operate: Operate, pool: Pool) -> None:
    before = await pool.fetchval("select epoch_seed from site")
    assert operate("new-epoch").returncode == 0
    assert await pool.fetchval("select epoch_seed from site") != before


async def test_migrate_reports_the_applied_migrations(operate: Operate, postgres: Cluster) -> None:
    url = await postgres.empty("unmigrated")
    try:
        assert operate("admin", "a@example.com", DATABASE_URL=url).stderr == (
            "The database does not have the schema of this version. "
            "Run `python -m app migrate` first.\n"
        )
        assert operate("migrate", DATABASE_URL=url).stdout.startswith("Applied 0001_people.sql, ")
        assert operate("migrate", DATABASE_URL=url).stdout == "The database is up to date.\n"
    finally:
        await postgres.drop("unmigrated")


@pytest.mark.parametrize("command", ["reset", "seed"])
async def test_reset_and_seed_are_always_refused_on_prod(
    operate: Operate, pool: Pool, audit_log: Path, command: str
) -> None:
    for arguments in ([command], [command, "--yes-stg"]):
        refused = operate(*arguments, **PROD)
        assert refused.returncode == 1
        assert (
            refused.stderr
            == f"`{command}` does not run with SITE_MODE=prod. This cannot be overridden.\n"
        )
    assert await accounts(pool) == 0
    assert [
        (line["command"], line["site_mode"], line["outcome"]) for line in audited(audit_log)
    ] == [(command, "prod", "refused")] * 2


async def test_prod_is_protected_even_with_invalid_settings(
    operate: Operate, audit_log: Path
) -> None:
    refused = operate("reset", **PROD | {"SECRET_KEY": None})
    assert refused.returncode == 2
    assert refused.stderr == "SITE_MODE=prod needs a SECRET_KEY of at least 32 characters.\n"
    (line,) = audited(audit_log)
    assert (line["command"], line["site_mode"], line["outcome"]) == ("reset", "prod", "refused")


async def test_on_stg_without_a_terminal_the_flag_is_required(
    operate: Operate, pool: Pool, audit_log: Path
) -> None:
    refused = operate("seed", **STG)
    assert refused.returncode == 1
    assert "Use --yes-stg to skip the confirmation." in refused.stderr
    assert await accounts(pool) == 0
    assert operate("seed", "--yes-stg", **STG).returncode == 0
    assert await accounts(pool) > 0
    assert [line["outcome"] for line in audited(audit_log)] == ["refused", "started", "done"]


@pytest.mark.parametrize(
    ("typed", "outcomes"),
    [
        (b"stg\n", ["started", "done"]),
        (b"yes\n", ["refused"]),
        (b"\x04", ["refused"]),  # Ctrl-D ends the input
    ],
)
async def test_on_stg_a_terminal_is_asked_for_confirmation(
    operate: Operate, audit_log: Path, typed: bytes, outcomes: list[str]
) -> None:
    controller, terminal = pty.openpty()
    try:
        os.write(controller, typed)
        result = operate("seed", stdin=terminal, **STG)
    finally:
        os.close(controller)
        os.close(terminal)
    assert "Type stg to confirm" in result.stdout
    assert [line["outcome"] for line in audited(audit_log)] == outcomes


async def test_a_pipe_is_not_a_terminal(operate: Operate, pool: Pool, audit_log: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"stg\nstg\n")
    os.close(writer)
    refused = operate("seed", stdin=reader, **STG)
    os.close(reader)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "needs a terminal for confirmation, and there is none" in refused.stderr
    assert await accounts(pool) == 0
    assert [line["outcome"] for line in audited(audit_log)] == ["refused"]


@pytest.fixture
def attempt(settings: Settings, audit_log: Path) -> Iterator[Attempt]:
    """Like `operate`, but cheaper, and without the settings of the test's databases."""
    started: list[Running] = []

    def run(*arguments: str, **variables: str) -> tuple[int | None, str]:
        running = fork(
            "operate",
            command,
            list(arguments),
            variables={"AUDIT_LOG": str(audit_log)} | variables,
        )
        started.append(running)
        return running.wait(), running.log

    yield run
    for each in started:
        each.close()


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"SITE_MODE": "PROD"}, "SITE_MODE must be 'int', 'stg' or 'prod'."),
        ({"SITE_MODE": " int"}, "SITE_MODE must be 'int', 'stg' or 'prod'."),
        ({"SITE_MODE": "int,prod"}, "SITE_MODE must be 'int', 'stg' or 'prod'."),
        (
            {"SITE_MODE": "prod", "site_mode": "int"},
            "SITE_MODE is set in two spellings. Keep only one.",
        ),
        (
            {"Site_Mode": "int", "SITE_MODE": "prod"},
            "SITE_MODE is set in two spellings. Keep only one.",
        ),
    ],
)
async def test_a_mode_in_another_spelling_permits_nothing(
    attempt: Attempt,
    database_url: str,
    audit_log: Path,
    variables: dict[str, str],
    sentence: str,
) -> None:
    status, output = await asyncio.to_thread(
        attempt, "seed", DATABASE_URL=database_url, **variables
    )
    assert (status, output) == (2, f"{sentence}\n")
    assert [line["outcome"] for line in audited(audit_log)] == ["refused"]


def spellings(url: str) -> list[str]:
    """Other addresses of the same database."""
    parts = urlsplit(url)
    name = parts.path[1:]
    sockets = parse_qs(parts.query)["host"][0]
    return [
        url,
        url.replace("postgresql://", "postgres://"),
        url.replace(name, "".join(f"%{ord(letter):02x}" for letter in name)),
        f"postgresql:///{name}?host={sockets}&user=postgres",
        f"postgresql://?host={quote(sockets, safe='')}&dbname={name}&user=postgres",
        f"postgresql://postgres@/{name}?host={sockets}/../{Path(sockets).name}&port=5432",
    ]


async def test_the_database_of_a_prod_site_is_protected_from_any_shell_and_by_any_address(
    attempt: Attempt, pool: Pool, database_url: str, audit_log: Path, tmp_path: Path
) -> None:
    """A shell that lacks SITE_MODE=prod, or in which it was emptied."""
    await factories.student(pool, "Ben")
    await maintenance.raise_site_mode(pool, "prod")
    attempts: list[tuple[tuple[str, ...], dict[str, str]]] = [
        (("reset", "--yes-stg"), {"DATABASE_URL": address}) for address in spellings(database_url)
    ]
    attempts.append((("reset",), {"MIGRATE_DATABASE_URL": database_url}))
    attempts.append((("seed",), {"DATABASE_URL": database_url, "SITE_MODE": ""}))
    attempts.append((("reset", "--yes-stg"), {"DATABASE_URL": database_url} | STG | KEY))
    # The folder of an `up`, by a symbolic link.
    folder = tmp_path / "var"
    folder.mkdir()
    (folder / "running.json").write_text(json.dumps({"database_url": database_url}))
    (tmp_path / "trial").symlink_to(folder)
    attempts.append((("reset", "--data", str(tmp_path / "trial")), {}))
    for arguments, variables in attempts:
        status, output = await asyncio.to_thread(attempt, *arguments, **variables)
        assert (status, "it is the database of a prod site" in output) == (1, True), output
    assert await accounts(pool) == 1
    assert [line["outcome"] for line in audited(audit_log)] == ["refused"] * len(attempts)


async def test_a_database_remembers_the_strictest_mode_that_it_was_served_in(
    settings: Settings, pool: Pool
) -> None:
    for mode, remembered in (("int", "int"), ("stg", "stg"), ("prod", "prod"), ("stg", "prod")):
        changes = {"site_mode": mode, "site_url": PROD["SITE_URL"]}
        async with visiting(settings.model_copy(update=changes)):
            assert await pool.fetchval("select mode from site") == remembered


@pytest.mark.parametrize("log", ["/dev/null", "/dev/full"])
async def test_without_an_audit_log_nothing_is_destroyed(
    attempt: Attempt, pool: Pool, database_url: str, log: str
) -> None:
    status, output = await asyncio.to_thread(
        attempt, "seed", DATABASE_URL=database_url, AUDIT_LOG=log
    )
    assert status == 1
    assert log in output
    assert await accounts(pool) == 0


async def test_reset_refuses_two_different_databases(
    attempt: Attempt, pool: Pool, database_url: str, postgres: Cluster
) -> None:
    """For example one from the environment, and the other from .env."""
    await factories.student(pool, "Ben")
    status, output = await asyncio.to_thread(
        attempt,
        "reset",
        DATABASE_URL=postgres.database("postgres"),
        MIGRATE_DATABASE_URL=database_url,
    )
    assert (status, "name different databases" in output) == (1, True)
    assert await accounts(pool) == 1


async def test_the_audit_log_names_user_and_host_but_no_secret(
    operate: Operate, settings: Settings, audit_log: Path
) -> None:
    address = f"postgresql://someone:hunter2@127.0.0.1:{free_port()}/lessons"
    failed = operate("reset", DATABASE_URL=address)
    assert failed.returncode == 1
    assert failed.stderr.startswith("No Postgres answers at DATABASE_URL: ")
    start, end = audited(audit_log)
    assert (start["database"], start["outcome"], end["outcome"]) == (
        "127.0.0.1/lessons",
        "started",
        "failed",
    )
    assert {"at", "by", "host"} <= set(start)
    assert "hunter2" not in audit_log.read_text() + failed.stderr
    assert audit_log.stat().st_mode & 0o777 == 0o600


async def test_without_a_database_commands_say_what_to_do(operate: Operate, tmp_path: Path) -> None:
    lost = operate("admin", "a@example.com", "--data", str(tmp_path), DATABASE_URL=None)
    assert lost.returncode == 2
    assert lost.stderr == f"Set DATABASE_URL, or have `python -m app up` running in {tmp_path}.\n"
