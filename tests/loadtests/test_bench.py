"""The parts of the benchmarks, and a short run. The measurements are not checked, because test
machines are busy."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from loadtests.bench import accounts, booking, peers
from loadtests.bench.accounts import CLOSES, OPENS, Offer, Student
from loadtests.bench.booking import Lesson
from loadtests.bench.report import Result, table
from loadtests.bench.sockets import Socket, _first_frame, frame
from loadtests.table import columns, milliseconds, percentile
from tests.cluster import PATIENCE, temporary_folder
from tests.processes import ROOT


def test_a_percentile_is_one_of_the_values() -> None:
    assert [percentile([4, 1, 3, 2], q) for q in (1, 25, 50, 75, 99, 100)] == [1, 1, 2, 3, 4, 4]
    assert milliseconds(percentile([], 50)) == "–"
    assert [milliseconds(seconds) for seconds in (0.0012, 0.25, 1.5)] == [
        "1.2 ms",
        "250 ms",
        "1,500 ms",
    ]


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert columns([("a", "bb", "c"), ("aaa", "b", "c")], indent=" ") == [
        " a    bb  c",
        " aaa  b   c",
    ]


def test_the_table_marks_a_missed_aim() -> None:
    lines = table(
        [
            Result("speed", "1/s", "10/s", "0.1", "≥ 0.3", False),
            Result("more", "2", "", "", "", None),
        ]
    ).splitlines()
    assert lines[2].endswith("≥ 0.3  MISS")
    assert not lines[3].endswith(("ok", "MISS"))


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535])
def test_frames_of_every_length_are_read_completely(size: int) -> None:
    text = b"x" * size
    sent = frame(text)
    assert all(
        _first_frame(bytearray(sent[:n])) is None for n in (0, 1, len(sent) - 1) if n < len(sent)
    )
    assert _first_frame(bytearray(sent + b"next")) == (1, text, len(sent))


def test_a_frame_in_two_parts_is_received() -> None:
    with socket.socket() as client:
        screen = Socket(client)
        screen.handle(frame(b"wel") + frame(b"come")[:3], 1)
        screen.handle(frame(b"come")[3:], 2)
    assert screen.frames == [(1, b"wel"), (2, b"come")]


def test_lessons_of_the_benchmarks_are_within_the_instructors_hours() -> None:
    zone = ZoneInfo("America/New_York")
    for start in accounts.half_hours(0, 300):
        local = start.astimezone(zone)
        assert OPENS <= local.hour < CLOSES


@pytest.mark.parametrize("schedule", [booking.lessons, booking.lessons_with_one])
def test_no_student_has_two_lessons_at_once(schedule: Callable[..., Iterator[Lesson]]) -> None:
    students = [Student(UUID(int=n), UUID(int=n), "") for n in range(40)]
    offers = [Offer(UUID(int=n), UUID(int=n)) for n in range(40)]
    booked: set[tuple[UUID, datetime]] = set()
    for student, _, start in schedule(students, offers):
        assert start.tzinfo is UTC
        assert (student.id, start) not in booked
        booked.add((student.id, start))


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not tmp_path: root's Postgres runs as another user, which cannot access it."""
    folder = temporary_folder()
    yield folder
    shutil.rmtree(folder)


def test_the_benchmarks_run_and_skip_peers_that_cannot_be_installed(folder: Path) -> None:
    """The three fastest ones, with sockets, with bookings, and in one process. Without Node and
    without an index of packages, the comparison measures the product alone."""
    (folder / "pip.conf").write_text("[global]\nno-index = true\n")
    alone = os.environ | {"PATH": str(folder), "PIP_CONFIG_FILE": str(folder / "pip.conf")}
    options = ["--quick", "--only", "d,f,p,w", "--data", str(folder)]
    command = [sys.executable, "-m", "loadtests.bench", *options]
    result = subprocess.run(
        command,
        cwd=ROOT,
        env=alone,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "memory of the web process per idle socket" in result.stdout
    assert "3 of 3" in result.stdout
    assert "all middleware, POST /api/bookings" in result.stdout
    assert "InstaInstru: CPU of the serving process per write" in result.stdout
    skipped = [line for line in result.stderr.splitlines() if "skipped: " in line]
    assert len(skipped) == 3
    assert sum("could not be installed" in line for line in skipped) == 2
    assert skipped[2].endswith("There is no Node (node and npm) on this machine.")
    assert not any(peer.name in result.stdout for peer in peers.PEERS)
