"""The Makefile: the message without venv, and the tests that need a browser."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pip
import pytest

from tests.cluster import PATIENCE
from tests.processes import ROOT


def make(*arguments: str, folder: Path = ROOT, path: str = "") -> subprocess.CompletedProcess[str]:
    """Runs make, with `path` before PATH."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environment["PATH"] = f"{path}:{environment['PATH']}" if path else environment["PATH"]
    return subprocess.run(
        ["make", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh checkout whose lock file is empty, so that setting it up installs nothing."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements.lock").touch()
    return tmp_path


def without_ensurepip(folder: Path) -> Path:
    """Debian's python3 before `apt install python3-venv`, which creates a venv without pip."""
    python = folder / "python-without-venv"
    python.write_text(
        "#!/bin/sh\n"
        f'case "$*" in\n*venv*) {sys.executable} -m venv --without-pip .venv; exit 1;;\nesac\n'
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    return python


def with_ensurepip(folder: Path) -> Path:
    """The same afterwards. It links pip, which takes seconds to install."""
    python = folder / "python-with-venv"
    link_pip = f"ln -s {Path(pip.__file__).parent} .venv/lib/*/site-packages/"
    python.write_text(
        "#!/bin/sh\n"
        f'case "$*" in\n*venv*) {sys.executable} "$@" --without-pip && {link_pip}; exit;;\nesac\n'
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    return python


def test_a_python_without_venv_is_reported_in_one_sentence_until_it_is_installed(
    checkout: Path,
) -> None:
    python = without_ensurepip(checkout)
    for _ in range(2):
        failed = make("setup", f"PYTHON={python}", folder=checkout)
        assert failed.returncode != 0
        (sentence,) = failed.stdout.splitlines()
        assert sentence.endswith("apt install python3-venv).")
    # pip refuses an empty lock file, but it is there.
    make("setup", f"PYTHON={with_ensurepip(checkout)}", folder=checkout)
    python = checkout / ".venv" / "bin" / "python"
    assert subprocess.run([python, "-m", "pip", "--version"], check=False).returncode == 0


@pytest.mark.parametrize("is_slow", [True, False])
def test_a_python_without_optimizations_gives_way_to_the_systems_own(
    checkout: Path, is_slow: bool
) -> None:
    """This python3 says of itself whether it is slow, and is complete otherwise."""
    python = checkout / "python3"
    python.write_text(
        f'#!/bin/sh\ncase "$2" in *CONFIG_ARGS*) exit {int(not is_slow)};; esac\n'
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    commands = make("--dry-run", "setup", folder=checkout, path=str(checkout)).stdout
    system = subprocess.run(
        ["/usr/bin/python3", "-c", "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))"],
        check=False,
        capture_output=True,
    )
    is_preferred = is_slow and system.returncode == 0
    assert ("  /usr/bin/python3 -m venv" in commands) == is_preferred
    assert ("  python3 -m venv" in commands) != is_preferred


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
def test_chromium_is_required_only_for_browser_tests(arguments: str, installs: bool) -> None:
    plan = make("--dry-run", "test", f"ARGS={arguments}")
    assert plan.returncode == 0, plan.stderr
    assert ("tests/browser/install" in plan.stdout) is installs


def test_a_missing_curl_is_named_where_it_cannot_be_installed(tmp_path: Path) -> None:
    user = tmp_path / "id"
    user.write_text("#!/bin/sh\necho 1000\n")
    user.chmod(0o755)
    output = make("curl", f"PATH={tmp_path}").stdout
    assert output == "curl is missing, so the tests of the docs will fail: install it.\n"


def install_browser(
    folder: Path, *programs: str, user: int = 1000
) -> subprocess.CompletedProcess[str]:
    """Runs tests/browser/install on a machine with only these programs."""
    (folder / "venv" / "bin").mkdir(parents=True)
    for program in ("id", *programs):
        (folder / program).write_text(
            f'#!/bin/sh\necho "${{0##*/}} $*" >>{folder}/calls\necho {user}\n'
        )
        (folder / program).chmod(0o755)
    return subprocess.run(
        ["/bin/sh", str(ROOT / "tests" / "browser" / "install")],
        env={"PATH": str(folder), "HOME": str(folder), "VENV": str(folder / "venv")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_installed_chromium_is_enough(tmp_path: Path) -> None:
    assert install_browser(tmp_path, "chromium", "venv/bin/playwright").returncode == 0


@pytest.mark.parametrize("programs", [(), ("chromium",), ("venv/bin/playwright",)])
def test_without_chromium_or_its_driver_one_sentence_says_what_to_install(
    tmp_path: Path, programs: tuple[str, ...]
) -> None:
    result = install_browser(tmp_path, *programs)
    assert result.returncode == 1
    (sentence,) = result.stderr.splitlines()
    assert "sudo apt install chromium libatomic1" in sentence


@pytest.mark.parametrize(
    ("programs", "calls"),
    [
        # The shell is installed beside a whole browser.
        (("chromium", "apt-cache"), ["apt-get install -y -qq chromium-headless-shell"]),
        (("apt-cache",), ["apt-get update -qq", "apt-get install -y -qq chromium-headless-shell"]),
        # The distribution has no shell.
        (("chromium",), []),
        ((), ["apt-get update -qq", "apt-get install -y -qq chromium"]),
        (("chromium-headless-shell", "apt-cache"), []),
    ],
)
def test_as_root_a_headless_shell_is_installed_where_the_distribution_has_it(
    tmp_path: Path, programs: tuple[str, ...], calls: list[str]
) -> None:
    install_browser(tmp_path, "apt-get", "venv/bin/playwright", *programs, user=0)
    lines = (tmp_path / "calls").read_text().replace(" --no-install-recommends", "").splitlines()
    assert [line for line in lines if line.startswith("apt-get")] == calls


def test_a_data_folder_may_have_spaces_in_its_name() -> None:
    assert "--data 'my data'" in make("--dry-run", "run", "DATA=my data").stdout
