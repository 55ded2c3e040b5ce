"""`python -m app up`, for real: from nothing to the first page, every child killed, every way to stop, every reason not to start."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from app import embedded
from app.settings import Settings, environment
from tests.cluster import until
from tests.conftest import RedisServer
from tests.processes import ROOT, free_port

pytestmark = pytest.mark.timeout(180)


class Up:
    """An `up` on a port and in a folder of its own."""

    def __init__(
        self, data: Path, *arguments: str, port: int | None = None, **settings: str
    ) -> None:
        self.data = data
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._output = tempfile.NamedTemporaryFile(prefix="up-", suffix=".log")  # noqa: SIM115 — closed by close
        command = [
            sys.executable,
            "-m",
            "app",
            "up",
            "--port",
            str(self.port),
            "--data",
            str(data),
            *arguments,
        ]
        chosen = {"LOG_FORMAT": "json"} | {name.upper(): value for name, value in settings.items()}
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | chosen,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    @property
    def output(self) -> str:
        return Path(self._output.name).read_text()

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.splitlines() if line.startswith("{")]

    def ready(self, seconds: float = 60) -> "Up":
        until(
            lambda: "is ready at" in self.output or self.process.poll() is not None,
            "up to be ready",
            seconds,
        )
        assert self.process.poll() is None, self.output
        return self

    def pid_of(self, child: str) -> int:
        return [
            int(line["pid"])
            for line in self.log
            if line["event"] == "child started" and line["child"] == child
        ][-1]

    def deaths_of(self, child: str) -> int:
        return sum(line["event"] == "child died" and line["child"] == child for line in self.log)

    def family(self) -> list[psutil.Process]:
        """Everything it runs, Postgres's own processes included."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def answers(self, path: str = "/health/ready") -> bool:
        try:
            return httpx.get(self.url + path, timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """How long it took to end."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(30)
        return time.monotonic() - began

    def fails(self, seconds: float = 30) -> tuple[int, list[str]]:
        """Its exit status and what it said, apart from the log, when it does not start."""
        status = self.process.wait(seconds)
        return status, [line for line in self.output.splitlines() if not line.startswith("{")]

    def close(self) -> None:
        if self.process.poll() is None:
            self.stop()
        self._output.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder Postgres's account can be let into (pytest's own are below one that it cannot)."""
    made = Path(tempfile.mkdtemp(prefix="instainstru-up-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def up(folder: Path) -> Iterator[Callable[..., Up]]:
    """Starts `up` in the test's folder, and stops it."""
    started: list[Up] = []

    def start(*arguments: str, **settings: Any) -> Up:
        started.append(Up(settings.pop("data", folder), *arguments, **settings))
        return started[-1]

    yield start
    for each in started:
        each.close()


def gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=0)[1]


def test_from_nothing_to_the_first_page_and_to_nothing_again(
    up: Callable[..., Up], folder: Path
) -> None:
    running = up()
    until(lambda: running.answers("/"), "the first page", 15)
    running.ready()
    for email in ("sarah.chen", "michael.rodriguez", "john.smith", "emma.johnson"):
        assert f"{email}@example.com" in running.output
    assert "TestPassword123!" in running.output
    family = running.family()
    names = {process.name() for process in family}
    assert "postgres" in names
    assert names & {"redis-server", "valkey-server"}
    assert running.stop() < 10
    assert running.process.returncode == 0
    assert gone(family)
    with socket.socket() as anybody:
        assert anybody.connect_ex(("127.0.0.1", running.port)) != 0


def test_whoever_is_killed_is_named_and_comes_back(up: Callable[..., Up]) -> None:
    running = up().ready()
    for child in ("redis", "relay", "worker", "web", "postgres"):
        before = running.pid_of(child)
        os.kill(before, signal.SIGKILL)
        until(lambda child=child: running.deaths_of(child) == 1, f"the log to name {child}", 20)  # type: ignore[misc]
        until(
            lambda child=child, before=before: running.pid_of(child) != before,  # type: ignore[misc]
            f"{child} to be started again",
            20,
        )
        until(running.answers, f"the site to answer after {child} was killed", 20)
    died = [line["child"] for line in running.log if line["event"] == "child died"]
    assert all(
        "SIGKILL" in line["how"]
        for line in running.log
        if line["event"] == "child died" and line["child"] == "web"
    )
    assert set(died) >= {"redis", "relay", "worker", "web", "postgres"}
    assert running.stop() < 10


def test_a_child_that_cannot_run_is_tried_less_and_less_often(up: Callable[..., Up]) -> None:
    running = up().ready()
    for _ in range(3):
        deaths = running.deaths_of("relay")
        os.kill(running.pid_of("relay"), signal.SIGKILL)
        until(
            lambda deaths=deaths: running.deaths_of("relay") > deaths,  # type: ignore[misc]
            "the relay to be missed",
            20,
        )
        started = running.pid_of("relay")
        until(
            lambda started=started: running.pid_of("relay") != started,  # type: ignore[misc]
            "the relay to be started again",
            20,
        )
    waits = [
        line["again_in"]
        for line in running.log
        if line["event"] == "child died" and line["child"] == "relay"
    ]
    assert waits == sorted(waits)
    assert waits[-1] >= 2 * waits[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_closed_terminal_stop_it_too(
    up: Callable[..., Up], number: signal.Signals
) -> None:
    running = up().ready()
    family = running.family()
    assert running.stop(number) < 10
    assert gone(family)


def test_a_child_that_will_not_stop_is_killed_in_time(up: Callable[..., Up]) -> None:
    running = up().ready()
    family = running.family()
    for child in ("web", "relay", "redis"):
        os.kill(running.pid_of(child), signal.SIGSTOP)
    assert running.stop() < 10
    assert gone(family)


def test_stopped_while_it_starts_it_leaves_nothing_either(up: Callable[..., Up]) -> None:
    running = up()
    until(
        lambda: any(line["event"] == "child started" for line in running.log), "the first child", 20
    )
    family = running.family()
    assert running.stop() < 10
    assert gone(family)


def test_when_up_itself_is_killed_nothing_lingers_and_the_next_one_starts(
    up: Callable[..., Up],
) -> None:
    running = up().ready()
    family = running.family()
    sockets = Path(re.search(r"Redis: unix://(\S+)/redis.sock", running.output)[1])  # type: ignore[index]
    running.process.kill()
    until(lambda: gone(family), "everything to end with it", 15)
    assert up(port=running.port).ready().answers("/")
    assert not sockets.exists()


def test_what_is_written_outlives_a_restart_and_so_do_sessions(
    up: Callable[..., Up], folder: Path
) -> None:
    first = up("--no-demo").ready()
    person = {
        "email": "ben@example.com",
        "password": "a long enough password",
        "full_name": "Ben",
        "role": "student",
    }
    token = httpx.post(f"{first.url}/api/auth/register", json=person).json()["token"]
    admin = [sys.executable, "-m", "app", "admin", "ben@example.com", "--data", str(folder)]
    said = subprocess.run(admin, capture_output=True, text=True, cwd=ROOT, timeout=30, check=False)
    assert said.stdout == "ben@example.com is an admin.\n", said.stderr
    first.stop()
    second = up().ready()
    who = httpx.get(f"{second.url}/api/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert who.json()["email"] == "ben@example.com"
    assert "admin" in who.json()["roles"]
    assert "sarah.chen" not in second.output  # demo people come into an empty database only
    assert (folder / "secret_key").stat().st_mode & 0o777 == 0o600


def test_two_web_processes_share_the_port(up: Callable[..., Up]) -> None:
    running = up("--workers", "2").ready()
    assert {line["child"] for line in running.log if line["event"] == "child started"} >= {
        "web 1",
        "web 2",
    }
    os.kill(running.pid_of("web 1"), signal.SIGKILL)
    assert all(
        httpx.get(f"{running.url}/health/live", timeout=15).status_code == 200 for _ in range(5)
    )
    until(lambda: running.deaths_of("web 1") == 1, "web 1 to be missed")
    assert running.stop() < 10


def test_two_with_different_folders_and_ports_do_not_disturb_each_other(
    up: Callable[..., Up], folder: Path
) -> None:
    (folder / "one").mkdir()
    (folder / "two").mkdir()
    folder.chmod(0o755)
    one, two = up(data=folder / "one").ready(), up(data=folder / "two").ready()
    one.stop()
    assert two.answers("/")


def test_databases_that_are_given_are_used(
    up: Callable[..., Up], settings: Settings, redis_server: RedisServer
) -> None:
    running = up(**environment(settings) | {"LOG_LEVEL": "info"}).ready()
    started = {line["child"] for line in running.log if line["event"] == "child started"}
    assert started == {"relay", "worker", "web"}
    assert not (running.data / "postgres").exists()
    running.stop()
    assert redis_server.embedded.answers()


# ---- reasons not to start, each one sentence


def test_a_port_in_use(up: Callable[..., Up]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert up(port=port).fails() == (
            2,
            [f"Cannot listen on 127.0.0.1 port {port}: it is in use. Choose another with --port."],
        )


def test_a_folder_in_use(up: Callable[..., Up], folder: Path) -> None:
    first = up().ready()
    status, said = up().fails()
    assert status == 2
    assert said == [
        f"{folder} is in use by another `up` (process {first.process.pid}). Stop it, or choose another folder with --data."
    ]
    assert first.answers("/")


def test_data_of_another_postgres(up: Callable[..., Up], folder: Path) -> None:
    (folder / "postgres").mkdir()
    (folder / "postgres" / "PG_VERSION").write_text("17\n")
    status, (said,) = up().fails()
    assert status == 2
    assert said.startswith(
        f"{folder}/postgres was made by PostgreSQL 17, and this is PostgreSQL {embedded.MAJOR}."
    )


def test_something_else_where_the_data_should_be(up: Callable[..., Up], folder: Path) -> None:
    (folder / "postgres").mkdir()
    (folder / "postgres" / "letters.txt").write_text("dear diary")
    status, (said,) = up().fails()
    assert status == 2
    assert "is not a PostgreSQL data folder" in said


@pytest.mark.parametrize(
    "data", ["/proc/no-such-place", "/dev/null/data", str(ROOT / "pyproject.toml")]
)
def test_a_folder_that_cannot_be_written(up: Callable[..., Up], data: str) -> None:
    status, (said,) = up(data=Path(data)).fails()
    assert status == 2
    assert re.fullmatch(
        rf"Cannot keep the data in {re.escape(data)}: .+\. Choose another folder with --data\.",
        said,
    )


def test_an_address_that_is_none(up: Callable[..., Up]) -> None:
    status, (said,) = up("--host", "no.such.host.invalid").fails()
    assert status == 2
    assert (
        said
        == "There is no address 'no.such.host.invalid' to listen on. Say --host 127.0.0.1, or 0.0.0.0 for all."
    )


def test_a_database_that_does_not_answer(up: Callable[..., Up]) -> None:
    status, (said,) = up(database_url=f"postgresql://someone@127.0.0.1:{free_port()}/x").fails()
    assert status == 1
    assert said.startswith("No Postgres answers at DATABASE_URL")


def test_a_setting_that_is_wrong(up: Callable[..., Up]) -> None:
    assert up(hold_seconds="0").fails() == (2, ["HOLD_SECONDS must be greater than or equal to 1."])


def test_demo_people_are_not_brought_to_prod(up: Callable[..., Up], folder: Path) -> None:
    prod = {
        "site_mode": "prod",
        "site_url": "https://lessons.example.com",
        "smtp_url": "smtp://mail.example.com",
    }
    running = up("--demo", secret_key="k" * 40, **prod)
    assert running.fails() == (
        1,
        ["`seed` does not run with SITE_MODE=prod. There is no way around this."],
    )
    assert json.loads((folder / "audit.jsonl").read_text())["outcome"] == "refused"


def test_data_that_postgres_cannot_read_is_named_with_its_last_words(
    up: Callable[..., Up], folder: Path
) -> None:
    first = up("--no-demo").ready()
    first.stop()
    (folder / "postgres" / "global" / "pg_control").write_bytes(b"no")
    status, (said,) = up().fails()
    assert status == 2
    assert said.startswith(f"Postgres does not start on {folder}/postgres: ")
    assert "pg_control" in said


@pytest.mark.parametrize("port", ["99999", "-1", "x", "80000000000"])
def test_a_port_that_is_none(up: Callable[..., Up], port: str) -> None:
    assert up("--port", port).fails() == (
        2,
        [f"There is no port {port}. Choose one from 1 to 65535 with --port."],
    )


@pytest.mark.parametrize("workers", ["x", "0", "65", "1.5"])
def test_a_number_of_workers_that_is_none(up: Callable[..., Up], workers: str) -> None:
    status, said = up("--workers", workers).fails()
    assert status == 2
    assert said == [f"--workers takes a number from 1 to 64, not {workers!r}."]


def test_an_address_of_another_machine(up: Callable[..., Up]) -> None:
    status, said = up("--host", "192.0.2.1").fails()
    assert status == 2
    assert said == [
        "This machine does not have the address 192.0.2.1. Say --host 127.0.0.1, or 0.0.0.0 for all."
    ]


def test_a_directory_with_a_space_in_its_name_is_used(up: Callable[..., Up], folder: Path) -> None:
    folder.chmod(0o755)
    running = up("--no-demo", data=folder / "my data").ready()
    assert (folder / "my data" / "running.json").exists()
    assert running.stop() < 10


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_demo_accounts_on_the_network_are_warned_about(
    up: Callable[..., Up], host: str, warned: bool
) -> None:
    running = up("--host", host).ready()
    assert ("this machine's network can reach the site" in running.output) is warned
    running.stop(signal.SIGINT)
    # A normal end has nothing to warn about.
    assert [line for line in running.log if line["level"] not in {"info", "debug"}] == []


@pytest.mark.parametrize("command", ["serve", "relay", "worker"])
def test_a_process_without_a_database_says_the_sentence_of_up(command: str) -> None:
    port = free_port()
    settings = {
        "DATABASE_URL": f"postgresql://someone@127.0.0.1:{port}/x",
        "REDIS_URL": f"redis://127.0.0.1:{port}",
        "SECRET_KEY": "k" * 40,
    }
    ended = subprocess.run(
        [sys.executable, "-m", "app", command],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    (sentence,) = ended.stderr.splitlines()
    assert sentence.startswith("No Postgres answers at DATABASE_URL")
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("command", "missing"),
    [("serve", "DATABASE_URL"), ("relay", "DATABASE_URL"), ("worker", "DATABASE_URL")],
)
def test_a_process_by_itself_says_what_it_needs(command: str, missing: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "app", command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=30,
        check=False,
    )
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
    assert missing in ran.stderr
