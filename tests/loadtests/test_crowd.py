"""Crowds end to end, with a real product and Locust: results and exit status."""

import asyncio
import re
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import orjson
import pytest
from pydantic import SecretStr

from app import demo
from app.db import Pool
from loadtests.scenarios import MAX_PEOPLE, problem
from tests.cluster import PATIENCE
from tests.processes import Running, Starter, completed

Send = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def send(database_url: str, tmp_path: Path) -> Send:
    """Runs a crowd from the command line."""

    def run(scenario: str, url: str, *options: str) -> "subprocess.CompletedProcess[str]":
        return completed(
            [scenario, "--url", url, "--accounts", str(tmp_path / "accounts.json"), *options],
            variables={"DATABASE_URL": database_url},
            program="loadtests",
            seconds=2 * PATIENCE,
        )

    return run


def test_crowds_pass_one_after_another_with_the_same_accounts(
    send: Send, server: Running, database_url: str, tmp_path: Path
) -> None:
    accounts, verdict = tmp_path / "accounts.json", tmp_path / "verdict.json"
    rush = send("rush", server.url, "--people", "12", "--seconds", "2", "--json", str(verdict))
    assert rush.returncode == 0, rush.stdout + rush.stderr
    assert "PASS: all checks passed." in rush.stdout
    assert orjson.loads(verdict.read_bytes())["passed"]
    bookings, keys = asyncio.run(bookings_and_idempotency_keys(database_url))
    assert keys == bookings > 0
    stored = orjson.loads(accounts.read_bytes())

    spread = send("spread", server.url, "--people", "10", "--seconds", "3")
    assert spread.returncode == 0, spread.stdout + spread.stderr
    assert orjson.loads(accounts.read_bytes()) == stored

    # In 5 s even the slowest student books.
    party = send("watch-party", server.url, "--people", "10", "--seconds", "5")
    assert party.returncode == 0, party.stdout + party.stderr
    assert re.search(r"screens whose board differs from the database +0 of 11\n", party.stdout)
    assert orjson.loads(accounts.read_bytes()) == stored


async def bookings_and_idempotency_keys(database_url: str) -> tuple[int, int]:
    connection = await asyncpg.connect(database_url)
    try:
        return (
            await connection.fetchval("select count(*) from booking"),
            await connection.fetchval("select count(*) from idempotency_key"),
        )
    finally:
        await connection.close()


def test_without_a_relay_the_verdict_is_a_failure(send: Send, start: Starter) -> None:
    """Screens are still correct in time, because the web process reconciles with the database."""
    sent = send("rush", start("serve").url, "--people", "5", "--seconds", "2", "--grace", "0.5")
    assert sent.returncode == 1, sent.stdout + sent.stderr
    failures = [
        line.split("  ")[2] for line in sent.stdout.splitlines() if line.startswith("  FAIL")
    ]
    assert failures == ["changes not published"]


def test_without_a_server_there_is_no_run(send: Send) -> None:
    sent = send("rush", "http://127.0.0.1:9", "--people", "2", "--seconds", "1")
    assert sent.returncode == 2
    assert "There was no run to check." in sent.stderr


def test_another_machine_needs_confirmation(send: Send) -> None:
    sent = send("rush", "http://lessons.example.com", "--people", "2", "--seconds", "1")
    assert sent.returncode == 2
    assert "lessons.example.com is not this machine." in sent.stderr


def test_load_is_limited_to_this_machine() -> None:
    home = "http://127.0.0.1:8000"
    assert problem(home, 100, 10, "") is None
    assert problem("http://localhost:8000", 100, 10, "") is None
    assert problem("http://[::1]:8000", 100, 10, "") is None
    assert problem("https://lessons.example.com", 100, 10, "") is not None
    assert problem("https://lessons.example.com", 100, 10, "other.example.com") is not None
    assert problem("https://lessons.example.com", 100, 10, "lessons.example.com") is None
    assert problem(home, MAX_PEOPLE + 1, 10, "") is not None
    assert problem(home, 1, 10, "") is not None
    assert problem(home, 10, 601, "") is not None
    assert problem(home, 10, 0, "") is not None


# ---- the small crowd of `make crowd`


def visit(database_url: str, *options: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    return completed(
        ["crowd", *options],
        variables={"DATABASE_URL": database_url} | settings,
        program="loadtests",
        seconds=2 * PATIENCE,
    )


async def counts(database_url: str) -> dict[str, int]:
    connection = await asyncpg.connect(database_url)
    try:
        tables = ("account", "booking", "notification", "dev_mail", "session")
        return {name: await connection.fetchval(f"select count(*) from {name}") for name in tables}
    finally:
        await connection.close()


@pytest.fixture
async def demo_accounts(pool: Pool) -> None:
    # All of them: the crowd's instructor is then far down the list of offers.
    await demo.seed(pool, now=datetime.now(UTC))


async def test_a_crowd_changes_the_open_board_under_limits_and_is_removed(
    demo_accounts: None, start: Starter, database_url: str, pool: Pool
) -> None:
    server = start("serve", rate_limits="on")
    start("worker")
    before = await counts(database_url)
    version = "select max(version) from calendar"
    first = await pool.fetchval(version)
    options = ("--url", server.url, "--people", "5", "--seconds", "6")
    sent = await asyncio.to_thread(visit, database_url, *options)
    assert sent.returncode == 0, sent.stdout + sent.stderr
    assert "1 got it, the others 4 SLOT_TAKEN." in sent.stdout
    assert re.search(r"In total, (\d+) lessons booked and \1 cancelled\.", sent.stdout), sent.stdout
    assert "5 accounts removed" in sent.stdout
    assert await pool.fetchval(version) > first + 1
    after = await counts(database_url)
    # The mails of the demo's own bookings may be written during the test.
    assert {**after, "dev_mail": 0} == {**before, "dev_mail": 0}
    crowd_mails = "select count(*) from dev_mail where body_text like '%Crowd%'"
    assert await pool.fetchval(crowd_mails) == 0


async def test_a_crowd_whose_server_stops_says_so_and_is_removed(
    demo_accounts: None, start: Starter, database_url: str
) -> None:
    server = start("serve")
    before = await counts(database_url)
    options = ("--url", server.url, "--people", "2", "--seconds", "60")
    visitors = asyncio.create_task(asyncio.to_thread(visit, database_url, *options))
    async with asyncio.timeout(PATIENCE):
        while (await counts(database_url))["booking"] == before["booking"]:
            await asyncio.sleep(0.05)
    server.stop()
    sent = await visitors
    assert sent.returncode == 2
    error, removed = sent.stderr.splitlines()
    assert error.startswith(f"{server.url}/api/bookings")
    assert "did not respond" in error
    assert removed == "2 of 2 accounts were removed."
    after = await counts(database_url)
    assert (after["account"], after["booking"]) == (before["account"], before["booking"])


def test_a_crowd_visits_only_int(database_url: str) -> None:
    stg = {"SITE_MODE": "stg", "SECRET_KEY": "k" * 40, "SMTP_URL": "smtp://127.0.0.1:9"}
    sent = visit(database_url, **stg)
    assert sent.returncode == 2
    assert sent.stderr == "A crowd visits only a site with SITE_MODE=int.\n"


async def test_a_crowd_does_not_visit_a_site_of_another_mode(
    start: Starter, database_url: str
) -> None:
    smtp = SecretStr("smtp://127.0.0.1:9")
    server = start("serve", site_mode="stg", smtp_url=smtp, rate_limits="on")
    sent = await asyncio.to_thread(visit, database_url, "--url", server.url)
    assert sent.returncode == 2
    assert "is not a site with SITE_MODE=int" in sent.stderr
    assert (await counts(database_url))["account"] == 0


def test_a_crowd_has_at_most_forty_students(database_url: str) -> None:
    assert "between 2 and 40" in visit(database_url, "--people", "41").stderr
