"""The frequent statements of the relay and the hub, with parameters for a test of their plans."""

from datetime import UTC, datetime
from typing import Any

from tests.query_plans import account_id

TODAY = datetime.now(UTC).date()
MANY = [account_id(number) for number in range(1, 301)]
HOT: dict[str, dict[str, Any]] = {
    "unpublished_changes": {
        "partitions": 64,
        "shards": 2,
        "shard": 1,
        "published": list(range(1, 51)),
        "limit": 500,
    },
    "remove_published": {"ids": list(range(1, 501))},
    "board_message": {"instructor": account_id(7), "first": TODAY, "days": 7},
    "missed_changes": {"instructors": MANY[:50], "versions": [3] * 50, "limit": 64},
    "versions_of": {"instructors": MANY},
    "booking_totals": {"students": [account_id(1000 + number) for number in range(300)]},
    "booking_totals_by_calendar": {"students": [account_id(1500)]},
    "oldest_unpublished": {},
    "roles_of_accounts": {"account_ids": MANY},
    "bookings_to_send": {"ids": MANY[:50]},
}
