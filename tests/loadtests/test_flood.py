"""The flood: its limits are those of the product, its verdict can fail, and a short run passes."""

from typing import Any

import pytest

from app import limits
from loadtests import flood_verdict
from tests.cluster import PATIENCE
from tests.processes import completed

RUN: dict[str, Any] = {
    "statuses": {
        **{kind: {"422": limit, "429": 50} for kind, limit in flood_verdict.LIMITS.items()},
        "honest": {"200": 100},
    },
    "waits": ["59", "1"],
    "seconds": [0.1],
}


def test_the_limits_are_those_of_the_product() -> None:
    for name, limit in flood_verdict.LIMITS.items():
        rate_class = limits.CLASSES[name]
        assert limit == (rate_class.of_account or rate_class.of_address).amount


def test_a_good_run_passes() -> None:
    assert all(check.passed for check in flood_verdict.judge(RUN))


@pytest.mark.parametrize(
    ("change", "failing"),
    [
        ({"search": {"422": 121, "429": 5}}, "flood of search"),
        ({"search": {"422": 90}}, "flood of search"),
        ({"honest": {"200": 99, "429": 1}}, "honest visitors are served"),
        ({"honest": {}}, "honest visitors are served"),
        ({"lessons": {"422": 99, "429": 5, "500": 1}}, "no server errors"),
    ],
)
def test_the_verdict_fails_when_a_limit_does_not_hold_or_hits_the_wrong_people(
    change: dict[str, Any], failing: str
) -> None:
    run = RUN | {"statuses": RUN["statuses"] | change}
    assert [check.name for check in flood_verdict.judge(run) if not check.passed] == [failing]


def test_while_redis_answers_late_a_process_counts_anew() -> None:
    run = RUN | {"statuses": RUN["statuses"] | {"lessons": {"422": 200, "429": 5}}}
    assert all(check.passed for check in flood_verdict.judge(run, redis_was_late=True))
    run["statuses"]["lessons"]["422"] = 201
    failed = [each for each in flood_verdict.judge(run, redis_was_late=True) if not each.passed]
    assert [each.value for each in failed] == [
        "201 answered, 5 refused (limit 200, as Redis answered late)"
    ]


def test_a_refusal_without_retry_after_fails() -> None:
    checks = flood_verdict.judge(RUN | {"waits": ["59", ""]})
    assert [each.name for each in checks if not each.passed] == ["refusals say when to try again"]


def test_limits_hold_under_a_flood_and_honest_visitors_are_served(
    in_memory: dict[str, str],
) -> None:
    options = ["--people", "4", "--seconds", "50", "--refusals", "50"]
    ran = completed(
        ["flood", *options], variables=in_memory, program="loadtests", seconds=2 * PATIENCE
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
