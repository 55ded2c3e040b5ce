"""The table of results: measured value, floor, ratio and aim."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.table import columns


@dataclass(frozen=True)
class Result:
    """One row. `floor` was measured in the same run; `ok` is None without an aim."""

    name: str
    measured: str
    floor: str
    ratio: str
    aim: str
    ok: bool | None


def say(line: str) -> None:
    """Progress goes to stderr, so that stdout is the table alone."""
    print(f"· {line}", file=sys.stderr, flush=True)


_VERDICT = {True: "ok", False: "MISS", None: ""}


def table(results: Sequence[Result]) -> str:
    heading = ("", "measured", "floor", "ratio", "aim", "")
    lines = columns(
        [heading, *((r.name, r.measured, r.floor, r.ratio, r.aim, _VERDICT[r.ok]) for r in results)]
    )
    return "\n".join([lines[0], "─" * max(map(len, lines)), *lines[1:]])
