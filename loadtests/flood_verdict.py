"""The verdict on a flood: limits hold, and honest visitors beside it are not hit."""

from dataclasses import dataclass
from typing import Any

# The limits that a flood exceeds within a run (docs/limits.md).
LIMITS = {"sign-in": 120, "search": 120, "lessons": 100, "bookings": 120}
MAX_SECONDS = 55  # within one window of a minute


@dataclass(frozen=True)
class Check:
    name: str
    value: str
    passed: bool


def judge(run: dict[str, Any], *, redis_was_late: bool = False) -> list[Check]:
    """The verdict on a run, in the format of flood.py's results. `redis_was_late`: the machine was
    overloaded, and the web process counted by itself for a while. It started at 0 then, so it may
    have allowed up to twice the limit."""
    statuses: dict[str, dict[str, int]] = run["statuses"]
    checks = []
    for kind, usual_limit in LIMITS.items():
        limit = 2 * usual_limit if redis_was_late else usual_limit
        counts = statuses.get(kind, {})
        refused = counts.get("429", 0)
        allowed = sum(counts.values()) - refused
        cause = ", as Redis answered late" if redis_was_late else ""
        value = f"{allowed} answered, {refused} refused (limit {limit}{cause})"
        checks.append(Check(f"flood of {kind}", value, 0 < allowed <= limit and refused > 0))
    errors = sum(
        count
        for counts in statuses.values()
        for status, count in counts.items()
        if status.startswith("5") or status == "0"
    )
    checks.append(Check("no server errors", f"{errors} errors", errors == 0))
    waits = [int(wait) if wait.isdigit() else 0 for wait in run["waits"]]
    valid = sum(1 <= wait <= 3600 for wait in waits)
    value = f"{valid} of {len(waits)} refusals"
    checks.append(Check("refusals say when to try again", value, valid == len(waits)))
    honest = statuses.get("honest", {})
    total = sum(honest.values())
    served = sum(count for status, count in honest.items() if status in {"200", "201"})
    value = f"{served} of {total} requests"
    checks.append(Check("honest visitors are served", value, 0 < served == total))
    return checks


def text(checks: list[Check]) -> str:
    return "\n".join(
        f"{'ok  ' if check.passed else 'FAIL'}  {check.name}: {check.value}" for check in checks
    )
