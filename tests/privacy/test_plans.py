"""Retention reads each table by its primary key, one batch at a time, whatever its size. Export and
erasure read the rows of one account."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.statements import CATALOG
from tests.privacy.statements import HOT
from tests.query_plans import QueryPlans, large_database, plans

__all__ = ["large_database", "plans"]

BEFORE = datetime.now(UTC) - timedelta(days=7)
FIRST, LAST = UUID(int=0), UUID(int=(1 << 128) - 1)
BATCHES: dict[str, dict[str, Any]] = {
    "delete_old_changes": {"after": FIRST, "before": BEFORE},
    "delete_old_keys": {"account_id": FIRST, "key": "", "before": BEFORE},
    "delete_old_sessions": {"after": FIRST, "before": BEFORE},
    "delete_old_dev_mails": {"after": 0, "before": BEFORE},
    "clear_old_addresses": {"after": 0, "before": BEFORE},
    "delete_old_notifications": {"after": 0, "before": BEFORE},
    "delete_old_audit": {"booking_id": FIRST, "id": 0, "before": BEFORE, "first_newer": LAST},
}
FILL = """
insert into idempotency_key (account_id, key, fingerprint, answer, created_at)
select id, n::text, '', '{}', now() from account, generate_series(1, 5) as n;
insert into booking_audit (booking_id, at, event, to_state)
select id, now(), 'created', state from booking;
insert into dev_mail (sender, recipient, subject, body_text, body_html)
select '', '', '', '', '' from generate_series(1, 20000);
analyze;
"""


@pytest.mark.parametrize("name", BATCHES)
async def test_a_batch_scans_no_table(plans: QueryPlans, name: str) -> None:
    sql, parameters = CATALOG[name]
    if not await plans.connection.fetchval("select exists (select from dev_mail)"):
        await plans.connection.execute(FILL)
    assert await plans.scans(sql, *(BATCHES[name][parameter] for parameter in parameters)) == []
    assert "Seq Scan on dev_mail" not in "".join(plans.plans)


@pytest.mark.parametrize("name", HOT)
async def test_export_and_erasure_scan_no_table(plans: QueryPlans, name: str) -> None:
    sql, parameters = CATALOG[name]
    if not await plans.connection.fetchval("select exists (select from dev_mail)"):
        await plans.connection.execute(FILL)
    assert await plans.scans(sql, *(HOT[name][parameter] for parameter in parameters)) == []
    assert "Seq Scan on dev_mail" not in "".join(plans.plans)
