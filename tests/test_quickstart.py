"""docs/quickstart.md and docs/api.md: every block runs as printed, with the output on the page."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app import demo
from app.db import Pool
from tests.cluster import PATIENCE
from tests.processes import ROOT, Starter

PAGE = (ROOT / "docs" / "quickstart.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
async def site(pool: Pool, start: Starter) -> str:
    """The processes of `make run`, with its demo accounts."""
    await demo.seed(pool, now=datetime.now(UTC))
    start("relay")
    return start("serve").url


def run(language: str, block: str, site: str, folder: Path) -> str:
    """Runs a block; returns its output."""
    script = folder / f"block.{language}"
    script.write_text(block)
    shell = ["bash", "-euo", "pipefail"]
    program = shell if language == "bash" else [sys.executable]
    result = subprocess.run(
        [*program, str(script)],
        env=os.environ | {"SITE": site},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_every_block_is_run_or_is_an_output() -> None:
    assert [language for language, _ in BLOCKS] == ["bash", "python", "text"]


def test_the_blocks_run_as_printed(site: str, tmp_path: Path) -> None:
    """One after the other, as a reader runs them."""
    output = run(*BLOCKS[0], site, tmp_path)
    assert "Sarah Chen" in output
    assert '"state"' in output
    for _ in range(2):  # it leaves no changes
        output = run(*BLOCKS[1], site, tmp_path)
        assert re.sub(r"\d+$", "N", output, flags=re.MULTILINE) == re.sub(
            r"\d+$", "N", BLOCKS[2][1], flags=re.MULTILINE
        )
    page = (ROOT / "docs" / "api.md").read_text()
    (block,) = re.findall(r"^```bash\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert '"items"' in run("bash", block, site, tmp_path)
