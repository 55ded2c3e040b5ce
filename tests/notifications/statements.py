"""The frequent statements of the worker, with parameters for a test of their plans."""

from datetime import UTC, datetime
from typing import Any

from app.notifications.message import KINDS
from tests.query_plans import account_id

HOT: dict[str, dict[str, Any]] = {
    "due_notifications": {"now": datetime.now(UTC), "kinds": KINDS, "limit": 200},
    "lock_notification": {"id": 7, "now": datetime.now(UTC), "kinds": KINDS},
    "failed_notifications": {"before": 9_000_000, "limit": 21},
    "retry_notification": {"id": 7, "now": datetime.now(UTC)},
    "withhold_notification": {"id": 7, "now": datetime.now(UTC)},
    "postpone_notification": {"id": 7, "due_at": datetime.now(UTC)},
    "preferences_of": {"account_id": account_id(7)},
    "set_preferences": {
        "account_id": account_id(7),
        "kinds": ["reminder"],
        "emails": [False],
    },
    "insert_reminders": {"now": datetime.now(UTC), "limit": 500},
    "dev_mails": {"limit": 100},
    "notification_numbers": {"now": datetime.now(UTC)},
}
