"""What the benchmarks found, as one table: measured, floor, ratio, aim."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """One line. `floor` was measured in the same run; `ok` is None where there is no aim."""

    what: str
    measured: str
    floor: str
    ratio: str
    aim: str
    ok: bool | None


def percentile(values: Sequence[float], q: float) -> float:
    """The smallest value that at least q percent of the values do not exceed."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * q / 100) - 1)]


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"


def say(line: str) -> None:
    """Progress goes to stderr, so that stdout is the table alone."""
    print(f"· {line}", file=sys.stderr, flush=True)


_VERDICT = {True: "ok", False: "MISS", None: ""}


def table(results: Sequence[Result]) -> str:
    rows = [("", "measured", "floor", "ratio", "aim", "")] + [
        (r.what, r.measured, r.floor, r.ratio, r.aim, _VERDICT[r.ok]) for r in results
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "─" * max(map(len, lines)), *lines[1:]])
