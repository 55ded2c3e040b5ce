"""docs/using-the-api.md: every block runs as printed."""

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import playwright
import pytest

from app import demo
from app.db import Pool
from tests.cluster import PATIENCE
from tests.processes import ROOT, Starter

PAGE = (ROOT / "docs" / "using-the-api.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
NODE = str(Path(playwright.__file__).parent / "driver" / "node")
PROGRAMS = {
    "bash": (["bash", "-euo", "pipefail"], "held until you confirm it"),
    "python": ([sys.executable], "NOT_FOUND"),
    "javascript": ([NODE], "7 days at version"),
}


async def test_every_block_runs_as_printed(
    pool: Pool, start: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [language for language, _ in BLOCKS] == list(PROGRAMS)
    await demo.seed(pool, now=datetime.now(UTC))
    monkeypatch.setenv("SITE", start("serve").url)
    for language, block in BLOCKS:
        program, output = PROGRAMS[language]
        script = tmp_path / ("block.mjs" if language == "javascript" else "block")
        script.write_text(block)
        run = subprocess.run(
            [*program, str(script)], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert run.returncode == 0, run.stdout + run.stderr
        assert output in run.stdout
