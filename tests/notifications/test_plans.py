"""What the worker asks all day uses its indexes."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.notifications.message import KINDS
from app.statements import CATALOG
from tests.test_plans import Watched, watched

__all__ = ["watched"]

HOT: dict[str, dict[str, Any]] = {
    "due_notifications": {"now": datetime.now(UTC), "kinds": KINDS, "limit": 200},
    "take_notification": {"id": 7, "now": datetime.now(UTC), "kinds": KINDS},
    "dev_mails": {"limit": 100},
}


@pytest.mark.parametrize("name", HOT)
async def test_hot_statements_scan_no_table(watched: Watched, name: str) -> None:
    sql, parameters = CATALOG[name]
    await watched.connection.execute(
        """update notification set sent_at = null where id > 11900;
           insert into booking_audit (booking_id, at, event, to_state) select id, now(), 'created', state from booking;
           analyze booking_audit"""
    )
    assert await watched.scans(sql, *(HOT[name][parameter] for parameter in parameters)) == []
    if name == "due_notifications":
        assert "Index Scan using notification_due" in "".join(watched.plans)
