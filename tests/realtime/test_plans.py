"""The frequent statements of the relay and the hub scan no large table with generic plans."""

import pytest

from app.statements import CATALOG
from tests.query_plans import QueryPlans, large_database, plans
from tests.realtime.statements import HOT

__all__ = ["large_database", "plans"]


@pytest.mark.parametrize("name", HOT)
async def test_the_live_path_scans_no_table(plans: QueryPlans, name: str) -> None:
    sql, parameters = CATALOG[name]
    assert await plans.scans(sql, *(HOT[name][parameter] for parameter in parameters)) == []


async def test_the_sum_of_a_students_bookings_is_read_from_an_index_alone(
    plans: QueryPlans,
) -> None:
    """It is asked for every student that is connected, every few seconds."""
    await plans.connection.execute("vacuum booking")
    sql, _ = CATALOG["booking_totals"]
    assert await plans.scans(sql, HOT["booking_totals"]["students"]) == []
    assert "Index Only Scan using booking_of_student" in "".join(plans.plans)
