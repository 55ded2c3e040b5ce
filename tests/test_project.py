"""CI, the pre-commit hooks, and the versions and commands in documents."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import LONG
from tests.processes import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))


@pytest.fixture(scope="module")
def ci() -> dict[str, Any]:
    workflow: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    return workflow


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_ci_tests_the_oldest_python_and_that_of_the_image(
    ci: dict[str, Any],
) -> None:
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    image = re.search(r"FROM python:(3\.\d+)", (ROOT / "Dockerfile").read_text())
    assert image is not None
    versions = ci["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert versions == [oldest.removeprefix(">="), image[1]]
    assert "make lint" in commands(ci["jobs"]["lint"])
    assert "make test" in commands(ci["jobs"]["tests"])


def test_ci_checks_the_compose_file_and_audits_both_lock_files(ci: dict[str, Any]) -> None:
    assert "docker compose config --quiet" in commands(ci["jobs"]["compose"])
    audit = ci["jobs"]["audit"]
    assert any(command.startswith("pip-audit") for command in commands(audit))
    for lock in audit["strategy"]["matrix"]["lock"]:
        assert (ROOT / lock).is_file()


def test_ci_has_only_read_access(ci: dict[str, Any]) -> None:
    assert ci["permissions"] == {"contents": "read"}


def test_the_hooks_run_the_checks_of_make_lint() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    lint = MAKEFILE.partition("\nlint:")[2].partition("\n\n")[0]
    for hook in hooks:
        program = Path(hook["entry"].split()[0]).name
        assert f"$(VENV)/bin/{program}" in lint
    assert len(hooks) == lint.count("$(VENV)/bin/")


@pytest.mark.parametrize(
    "document",
    ["README.md", "CONTRIBUTING.md", *(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/*.md"))],
)
def test_commands_in_documents_exist_and_work_without_an_activated_venv(
    document: str,
) -> None:
    text = (ROOT / document).read_text()
    blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    assert set(re.findall(r"^make ([a-z]+)", blocks, re.MULTILINE)) <= TARGETS
    for line in blocks.splitlines():
        assert not re.match(r"(python3? -m|locust|playwright|pytest|pip) ", line), line


def test_links_between_documents_have_a_target() -> None:
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_files_and_names_in_documents_exist() -> None:
    reference = re.compile(r"`((?:[\w.-]+/)+[\w-]+\.(?:py|sql|js))(?:: ([\w.]+))?`")
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")):
        for file, name in reference.findall(path.read_text()):
            assert (ROOT / file).exists(), f"{path.name}: {file}"
            word = name.rpartition(".")[2]
            assert re.search(rf"\b{word}\b", (ROOT / file).read_text()), f"{path.name}: {name}"


def test_each_line_of_the_security_page_names_a_test_that_exists() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    _, _, claims = page.partition("## OWASP Top 10")
    lines = [line for line in claims.splitlines() if line.startswith("| ")]
    lines = [line for line in lines if not line.endswith("proven by |")]
    names = {name for line in lines for name in re.findall(r"`(test_\w+)`", line)}
    assert [line for line in lines if "`test_" not in line] == []
    assert len(names) > 70
    tests = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    assert names - tests == set()
    sections = re.findall(r"^### (A\d\d) ", claims, re.MULTILINE)
    assert sections == [f"A{number:02}" for number in range(1, 11)]


def test_the_test_files_that_start_first_exist() -> None:
    assert [path for path in LONG if not (ROOT / "tests" / path).is_file()] == []
