"""What relay and hub ask every moment scans no large table, also once the plan is generic."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.statements import CATALOG
from tests.test_plans import Watched, person, watched

__all__ = ["watched"]

TODAY = datetime.now(UTC).date()
MANY = [person(number) for number in range(1, 301)]
HOT: dict[str, dict[str, Any]] = {
    "unpublished_changes": {"partitions": 64, "shards": 2, "shard": 1, "limit": 500},
    "remove_published": {"ids": list(range(1, 501))},
    "board_message": {"instructor": person(7), "first": TODAY, "days": 7},
    "missed_changes": {"instructors": MANY[:50], "versions": [3] * 50, "limit": 64},
    "versions_of": {"instructors": MANY},
    "booking_totals": {"students": [person(1000 + number) for number in range(300)]},
    "booking_totals_by_calendar": {"students": [person(1500)]},
    "oldest_unpublished": {},
    "bookings_to_tell": {"ids": MANY[:50]},
}


@pytest.mark.parametrize("name", HOT)
async def test_it_scans_no_table(watched: Watched, name: str) -> None:
    sql, parameters = CATALOG[name]
    assert await watched.scans(sql, *(HOT[name][parameter] for parameter in parameters)) == []


async def test_the_sum_of_a_students_bookings_is_read_from_an_index_alone(watched: Watched) -> None:
    """It is asked for every student that is connected, every few seconds."""
    await watched.connection.execute("vacuum booking")
    sql, _ = CATALOG["booking_totals"]
    assert await watched.scans(sql, HOT["booking_totals"]["students"]) == []
    assert "Index Only Scan using booking_of_student" in "".join(watched.plans)
