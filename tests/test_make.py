"""The Makefile: what a machine without venv is told, and which tests ask for a browser."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh checkout whose lock file is empty, so that setting it up installs nothing."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements.lock").touch()
    return tmp_path


def without_ensurepip(folder: Path) -> Path:
    """Debian's python3 before `apt install python3-venv`: it leaves a venv without pip behind."""
    python = folder / "python-without-venv"
    python.write_text(
        "#!/bin/sh\n"
        f'case "$*" in\n*venv*) {sys.executable} -m venv --without-pip .venv; exit 1;;\nesac\n'
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    return python


def test_a_python_without_venv_is_one_sentence_each_time_and_works_once_it_is_installed(
    checkout: Path,
) -> None:
    python = without_ensurepip(checkout)
    for _ in range(2):
        failed = make("setup", f"PYTHON={python}", folder=checkout)
        assert failed.returncode != 0
        (sentence,) = failed.stdout.splitlines()
        assert sentence.endswith("apt install python3-venv).")
    # Installing an empty lock file is an error of pip's; what counts is that pip is there.
    make("setup", f"PYTHON={sys.executable}", folder=checkout)
    pip = subprocess.run([checkout / ".venv" / "bin" / "pip", "--version"], check=False)
    assert pip.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "installs"),
    [
        ("", True),
        ("tests/", True),
        ("tests/browser/test_board.py", True),
        ("tests/bookings tests/browser", True),
        ("-x", True),
        ("tests/bookings", False),
        ("-x tests/test_make.py", False),
    ],
)
def test_chromium_is_asked_for_only_when_browser_tests_run(arguments: str, installs: bool) -> None:
    plan = make("--dry-run", "test", f"ARGS={arguments}")
    assert plan.returncode == 0, plan.stderr
    assert ("tests/browser/install" in plan.stdout) is installs


def test_without_chromium_the_browser_tests_end_with_one_sentence(tmp_path: Path) -> None:
    """A machine without Chromium, whose user may not install one."""
    for name in ("id", "uname"):
        (tmp_path / name).write_text("#!/bin/sh\necho 1000\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}", "HOME": str(tmp_path), "VENV": str(tmp_path / "venv")}
    shell = shutil.which("sh")
    assert shell is not None
    ended = subprocess.run(
        [shell, str(ROOT / "tests" / "browser" / "install")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    (sentence,) = ended.stderr.splitlines()
    assert "sudo apt install chromium libatomic1" in sentence
