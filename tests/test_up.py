"""`python -m app up`: from an empty folder to the first page, the death of every child, every way
to stop, and every reason not to start."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from structlog.testing import capture_logs

from app.__main__ import main
from app.embedded import data_directory
from app.embedded.postgres import MAJOR
from app.embedded.process import Program
from app.embedded.supervisor import Child
from app.embedded.up import RELAY_SECONDS, STORES_SECONDS, WORKERS_SECONDS
from app.settings import Settings, environment
from tests.cluster import PATIENCE, temporary_folder, until
from tests.conftest import RedisServer
from tests.processes import ROOT, command, completed, fork, free_port


class Up:
    """A running `up` on its own port: a fork, whose children are real `python -m app` commands."""

    def __init__(
        self, data: Path, *arguments: str, port: int | None = None, **settings: str
    ) -> None:
        self.data = data
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        variables = {name.upper(): value for name, value in settings.items()}
        self.process = fork(
            "up",
            command,
            ["up", "--port", str(self.port), "--data", str(data), *arguments],
            variables={"LOG_FORMAT": "json"} | variables,
        )

    @property
    def output(self) -> str:
        return self.process.log

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.splitlines() if line.startswith("{")]

    def ready(self) -> "Up":
        until(
            lambda: "is ready at" in self.output or self.process.status is not None,
            "up to be ready",
        )
        assert self.process.status is None, self.output
        return self

    def pid_of(self, child: str) -> int:
        return [
            int(line["pid"])
            for line in self.log
            if line["event"] == "child_started" and line["child"] == child
        ][-1]

    def process_of(self, child: str) -> psutil.Process:
        """Its process; waits for one that is being restarted."""
        until(lambda: self._is_running(child), f"{child} to run")
        return psutil.Process(self.pid_of(child))

    def _is_running(self, child: str) -> bool:
        try:
            return psutil.Process(self.pid_of(child)).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def exits_of(self, child: str) -> int:
        return sum(line["event"] == "child_exited" and line["child"] == child for line in self.log)

    def family(self) -> list[psutil.Process]:
        """All its descendants, including Postgres's processes."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def answers(self, path: str = "/health/ready") -> bool:
        try:
            return httpx.get(self.url + path, timeout=PATIENCE, verify=False).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Sends the signal and waits until it ended."""
        self.process.signal(number)
        assert self.process.wait() is not None

    def fails(self) -> tuple[int | None, list[str]]:
        """Waits until it ends; returns its exit status and its output without log lines."""
        status = self.process.wait()
        return status, [line for line in self.output.splitlines() if not line.startswith("{")]

    def close(self) -> None:
        self.process.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that Postgres's user can reach, unlike pytest's temporary folders."""
    path = temporary_folder()
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def first() -> Iterator[Up]:
    """An `up` that began with an empty folder."""
    path = temporary_folder()
    first = Up(path)
    try:
        yield first.ready()
    finally:
        first.close()
        shutil.rmtree(path)


@pytest.fixture(scope="module")
def earlier_folder(first: Up) -> Path:
    """A folder as a first `up` left it."""
    if first.process.status is None:
        first.stop()
    return first.data


def copy(earlier_folder: Path, folder: Path) -> Path:
    subprocess.run(["cp", "-a", f"{earlier_folder}/.", str(folder)], check=True)
    return folder


@pytest.fixture
def used_folder(folder: Path, earlier_folder: Path) -> Path:
    """The test's folder with data in it, which starts faster than an empty one."""
    return copy(earlier_folder, folder)


@pytest.fixture(scope="module")
def running(earlier_folder: Path) -> Iterator[Up]:
    """An `up` with two web processes on all addresses, shared by tests that leave it running."""
    path = temporary_folder()
    options = ("--workers", "2", "--host", "0.0.0.0")
    running = Up(copy(earlier_folder, path), *options, site_mode="int")
    try:
        yield running.ready()
    finally:
        running.close()
        shutil.rmtree(path)


@pytest.fixture
def up(folder: Path) -> Iterator[Callable[..., Up]]:
    """Starts `up` in the test's folder, and stops it after the test."""
    started: list[Up] = []

    def start(*arguments: str, **settings: Any) -> Up:
        started.append(Up(settings.pop("data", folder), *arguments, **settings))
        return started[-1]

    yield start
    for each in started:
        each.close()


def ended(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=0)[1]


def test_up_starts_from_an_empty_folder_and_leaves_no_process_after_ctrl_c(first: Up) -> None:
    assert first.process.status is None, "stopped by an earlier attempt of this test"
    until(lambda: first.answers("/"), "the first page")
    for email in ("sarah.chen", "michael.rodriguez", "john.smith", "emma.johnson"):
        assert f"{email}@example.com" in first.output
    assert "TestPassword123!" in first.output
    assert "SITE_MODE=int" in first.output
    assert "this machine's network can reach the site" not in first.output
    names = {process.name() for process in first.family()}
    assert "postgres" in names
    assert names & {"redis-server", "valkey-server"}
    installed = Path(first.process_of("postgres").cmdline()[0]).parent.parent
    for child in ("web", "worker"):  # they use Postgres's rules of time zones
        zones = Path(first.process_of(child).environ()["PYTHONTZPATH"])
        assert zones == installed / "share" / "timezone"
        assert (zones / "America" / "New_York").is_file()
    stops_without_warnings(first, signal.SIGINT)
    assert first.process.status == 0
    with socket.socket() as visitor:
        assert visitor.connect_ex(("127.0.0.1", first.port)) != 0


def test_demo_accounts_on_a_site_that_others_can_reach_are_warned_of(running: Up) -> None:
    # Everyone knows their passwords.
    assert "this machine's network can reach the site" in running.output


def test_two_web_processes_share_the_port(running: Up) -> None:
    assert {line["child"] for line in running.log if line["event"] == "child_started"} >= {
        "web 1",
        "web 2",
    }
    os.kill(running.pid_of("web 1"), signal.SIGKILL)
    assert all(
        httpx.get(f"{running.url}/health/live", timeout=PATIENCE).status_code == 200
        for _ in range(5)
    )
    until(lambda: running.exits_of("web 1") == 1, "the exit of web 1 to be logged")


@pytest.mark.skipif(os.geteuid() != 0, reason="Only root has privileges to drop.")
def test_root_drops_its_privileges_for_every_child_that_can_do_without(running: Up) -> None:
    user = data_directory.postgres_user(running.data / "postgres")
    assert user is not None
    keeps_privileges = any(line["event"] == "privileges_kept" for line in running.log)
    assert keeps_privileges is not data_directory.can_run_product(user)
    for child in ("postgres", "redis"):
        assert set(psutil.Process(running.pid_of(child)).uids()) == {user.uid}
    for child in ("web 1", "web 2", "relay", "worker"):
        process = running.process_of(child)
        assert set(process.uids()) == ({0} if keeps_privileges else {user.uid})
        assert "MIGRATE_DATABASE_URL" not in {n for n, v in process.environ().items() if v}


@pytest.mark.skipif(sys.platform != "linux", reason="SCHED_BATCH is Linux's")
def test_connections_to_postgres_do_not_interrupt_web_processes(running: Up) -> None:
    backends = running.process_of("postgres").children()
    assert backends
    assert {os.sched_getscheduler(backend.pid) for backend in backends} == {os.SCHED_BATCH}
    web = running.process_of("web 2").pid
    assert os.sched_getscheduler(web) == os.SCHED_OTHER


def test_a_folder_in_use_is_reported(running: Up, up: Callable[..., Up]) -> None:
    status, output = up(data=running.data).fails()
    assert status == 2
    (sentence,) = output
    assert sentence == (
        f"{running.data} is in use by another `up` (process {running.process.pid}). "
        "Stop it, or choose another folder with --data."
    )
    assert running.answers("/")


def test_a_killed_child_is_logged_and_restarted(running: Up) -> None:
    for child in ("redis", "relay", "worker", "web 2", "postgres"):
        pid = running.pid_of(child)
        os.kill(pid, signal.SIGKILL)
        until(
            lambda child=child: running.exits_of(child) == 1,  # type: ignore[misc]
            f"the log to report {child}",
        )
        until(
            lambda child=child, pid=pid: running.pid_of(child) != pid,  # type: ignore[misc]
            f"{child} to be restarted",
        )
        until(running.answers, f"the site to answer after {child} was killed")
    assert all(
        "SIGKILL" in line["reason"]
        for line in running.log
        if line["event"] == "child_exited" and line["child"] == "web 2"
    )


async def test_a_child_that_keeps_dying_is_restarted_less_and_less_often() -> None:
    with capture_logs() as lines:
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            child = Child(Program("false", ["false"]))
            child.start(group)
            while child.exits < 3:
                await asyncio.sleep(0.02)
            await child.stop(PATIENCE)
    waits = [line["restart_seconds"] for line in lines if line["event"] == "child_exited"]
    assert waits[:3] == [0.4, 0.8, 1.6]


def test_children_are_given_less_than_ten_seconds_to_stop() -> None:
    assert WORKERS_SECONDS + RELAY_SECONDS + STORES_SECONDS < 10


def stops_without_warnings(running: Up, number: signal.Signals) -> None:
    family = running.family()
    before = len(running.log)
    running.stop(number)
    assert ended(family)
    lines = running.log[before:]
    warnings = {line["event"] for line in lines if line["level"] not in {"info", "debug"}}
    # On a busy machine a child may not stop in time, and others warn that they miss it.
    assert "child_killed" in warnings or warnings <= {"slow_statement"}


def test_a_stop_during_the_start_leaves_no_process(up: Callable[..., Up]) -> None:
    running = up()
    until(lambda: any(line["event"] == "child_started" for line in running.log), "the first child")
    family = running.family()
    running.stop()
    assert ended(family)


def test_a_killed_up_leaves_no_process_and_its_successor_has_its_data_and_sessions(
    up: Callable[..., Up], folder: Path, running: Up
) -> None:
    """Beside another `up`. The name of its folder contains a space."""
    folder.chmod(0o755)
    data = folder / "my data"
    first = up("--no-demo", data=data).ready()
    assert (data / "running.json").exists()
    registration = {
        "email": "ben@example.com",
        "password": "a long enough password",
        "full_name": "Ben",
        "role": "student",
    }
    token = httpx.post(
        f"{first.url}/api/auth/register", json=registration, timeout=PATIENCE
    ).json()["token"]
    result = completed(["admin", "ben@example.com", "--data", str(data)], variables={})
    assert result.stdout == "ben@example.com is an admin.\n", result.stderr
    family = first.family()
    match = re.search(r"Redis: unix://(\S+)/redis.sock", first.output)
    assert match
    sockets = Path(match[1])
    first.process.signal(signal.SIGKILL)
    until(lambda: ended(family), "its children to end")
    assert running.answers("/")

    second = up(data=data, port=first.port).ready()
    assert not sockets.exists()
    me = httpx.get(
        f"{second.url}/api/auth/me", headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE
    )
    assert me.json()["email"] == "ben@example.com"
    assert "admin" in me.json()["roles"]
    assert "sarah.chen" not in second.output  # only an empty database gets demo accounts
    assert (data / "secret_key").stat().st_mode & 0o777 == 0o600
    kills_children_that_do_not_stop(second)


def kills_children_that_do_not_stop(running: Up) -> None:
    family = running.family()
    for child in ("web", "relay", "redis"):
        os.kill(running.pid_of(child), signal.SIGSTOP)
    running.stop()
    assert ended(family)


def test_configured_databases_are_used_until_the_terminal_is_closed(
    up: Callable[..., Up], settings: Settings, redis_server: RedisServer
) -> None:
    running = up("--no-demo", **environment(settings) | {"LOG_LEVEL": "info"}).ready()
    started = {line["child"] for line in running.log if line["event"] == "child_started"}
    assert started == {"relay", "worker", "web"}
    assert not (running.data / "postgres").exists()
    stops_without_warnings(running, signal.SIGHUP)
    assert redis_server.embedded.answers()


# ---- Reasons not to start: each is one sentence.


def test_a_port_in_use_is_reported(up: Callable[..., Up]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert up(port=port).fails() == (
            2,
            [f"Cannot listen on 127.0.0.1 port {port}: it is in use. Choose another with --port."],
        )


def test_data_of_another_postgres_version_is_reported(up: Callable[..., Up], folder: Path) -> None:
    (folder / "postgres").mkdir()
    (folder / "postgres" / "PG_VERSION").write_text("17\n")
    status, (sentence,) = up().fails()
    assert status == 2
    assert sentence.startswith(
        f"{folder}/postgres was created by PostgreSQL 17, and this is PostgreSQL {MAJOR}."
    )


def test_other_files_in_the_data_directory_are_reported(
    up: Callable[..., Up], folder: Path
) -> None:
    (folder / "postgres").mkdir()
    (folder / "postgres" / "letters.txt").write_text("dear diary")
    status, (sentence,) = up().fails()
    assert status == 2
    assert "is not a PostgreSQL data directory" in sentence


@pytest.mark.parametrize(
    "data", ["/proc/no-such-place", "/dev/null/data", str(ROOT / "pyproject.toml")]
)
def test_a_folder_that_cannot_be_written_is_reported(up: Callable[..., Up], data: str) -> None:
    status, (sentence,) = up(data=Path(data)).fails()
    assert status == 2
    assert re.fullmatch(
        rf"Cannot keep the data in {re.escape(data)}: .+\. Choose another folder with --data\.",
        sentence,
    )


def test_an_unknown_host_is_reported(up: Callable[..., Up]) -> None:
    status, (sentence,) = up("--host", "no.such.host.invalid").fails()
    assert status == 2
    assert sentence == (
        "There is no address 'no.such.host.invalid' to listen on. "
        "Use --host 127.0.0.1, or 0.0.0.0 for all."
    )


def test_a_database_that_does_not_answer_is_reported(up: Callable[..., Up]) -> None:
    status, (sentence,) = up(database_url=f"postgresql://someone@127.0.0.1:{free_port()}/x").fails()
    assert status == 1
    assert sentence.startswith("No Postgres answers at DATABASE_URL")


def test_an_invalid_setting_is_reported(up: Callable[..., Up]) -> None:
    assert up(hold_seconds="0").fails() == (2, ["HOLD_SECONDS must be greater than or equal to 1."])


def test_demo_accounts_are_refused_on_prod(up: Callable[..., Up], folder: Path) -> None:
    prod = {
        "site_mode": "prod",
        "site_url": "https://lessons.example.com",
        "smtp_url": "smtp://mail.example.com",
    }
    running = up("--demo", secret_key="k" * 40, **prod)
    assert running.fails() == (
        1,
        ["`seed` does not run with SITE_MODE=prod. This cannot be overridden."],
    )
    assert json.loads((folder / "audit.jsonl").read_text())["outcome"] == "refused"


def test_damaged_data_is_reported_with_the_output_of_postgres(
    up: Callable[..., Up], used_folder: Path
) -> None:
    (used_folder / "postgres" / "global" / "pg_control").write_bytes(b"no")
    status, (sentence,) = up().fails()
    assert status == 2
    assert sentence.startswith(f"Postgres does not start on {used_folder}/postgres: ")
    assert "pg_control" in sentence


@pytest.mark.parametrize("port", ["99999", "-1", "x", "80000000000"])
def test_an_invalid_port_is_reported(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--port", port]) == 2
    sentence = f"There is no port {port}. Choose one from 1 to 65535 with --port.\n"
    assert capsys.readouterr() == ("", sentence)


@pytest.mark.parametrize("workers", ["x", "0", "65", "1.5"])
def test_an_invalid_number_of_workers_is_reported(
    workers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["up", "--workers", workers]) == 2
    sentence = f"--workers takes a number from 1 to 64, not {workers!r}.\n"
    assert capsys.readouterr() == ("", sentence)


def test_a_site_that_others_can_reach_needs_a_chosen_mode(
    up: Callable[..., Up], settings: Settings
) -> None:
    sentence = (
        "Other machines can reach this address, so choose the kind of site first: "
        "SITE_MODE=prod, stg, or int for trials in a network that you trust."
    )
    assert up("--host", "0.0.0.0").fails() == (2, [sentence])
    serve = ["serve", "--host", "0.0.0.0", "--port", str(free_port())]
    running = fork("serve", command, serve, variables=environment(settings))
    assert (running.wait(), running.log.splitlines()) == (2, [sentence])
    running.close()


def test_an_address_of_another_machine_is_reported(up: Callable[..., Up]) -> None:
    status, output = up("--host", "192.0.2.1").fails()
    assert status == 2
    (sentence,) = output
    assert sentence == (
        "This machine does not have the address 192.0.2.1. "
        "Use --host 127.0.0.1, or 0.0.0.0 for all."
    )


@pytest.mark.parametrize("command", ["serve", "relay", "worker"])
def test_a_single_process_reports_an_unreachable_database_like_up(command: str) -> None:
    port = free_port()
    settings = {
        "DATABASE_URL": f"postgresql://someone@127.0.0.1:{port}/x",
        "REDIS_URL": f"redis://127.0.0.1:{port}",
        "SECRET_KEY": "k" * 40,
    }
    result = completed([command], variables=settings)
    assert result.returncode == 1
    (sentence,) = result.stderr.splitlines()
    assert sentence.startswith("No Postgres answers at DATABASE_URL")
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("command", "missing"),
    [("serve", "DATABASE_URL"), ("relay", "DATABASE_URL"), ("worker", "DATABASE_URL")],
)
def test_a_single_process_reports_missing_settings(command: str, missing: str) -> None:
    result = completed([command], variables={})
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert missing in result.stderr
