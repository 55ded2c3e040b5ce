"""The worker's frequent statements use their indexes."""

import pytest

from app.statements import CATALOG
from tests.notifications.statements import HOT
from tests.query_plans import QueryPlans, large_database, plans

__all__ = ["large_database", "plans"]


@pytest.mark.parametrize("name", HOT)
async def test_hot_statements_scan_no_table(plans: QueryPlans, name: str) -> None:
    sql, parameters = CATALOG[name]
    await plans.connection.execute(
        """update notification set sent_at = null where id > 11900;
           insert into booking_audit (booking_id, at, event, to_state)
             select id, now(), 'created', state from booking
             where not exists (select from booking_audit);
           analyze booking_audit"""
    )
    assert await plans.scans(sql, *(HOT[name][parameter] for parameter in parameters)) == []
    if name == "due_notifications":
        assert "Index Scan using notification_due" in "".join(plans.plans)
