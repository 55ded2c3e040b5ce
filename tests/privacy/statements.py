"""The statements of export and erasure, with parameters for a test of their plans."""

from datetime import UTC, datetime
from typing import Any

from app.privacy import erasure, export
from tests.query_plans import account_id

NOW = datetime.now(UTC)
ACCOUNT = {"account_id": account_id(7)}
# Reads the trail of all bookings, for admins only.
UNPLANNED = {"export_staff_acts"}
HOT: dict[str, dict[str, Any]] = {
    "export_account": ACCOUNT,
    **{
        section.name: ACCOUNT
        for section in export.SECTIONS.values()
        if section.name not in UNPLANNED
    },
    "begin_erasure": ACCOUNT | {"password_hash": None, "now": NOW},
    "repeat_erasure": ACCOUNT,
    "unfinished_lessons": ACCOUNT | {"now": NOW, "limit": 100},
    "erase_texts": ACCOUNT | {"reason": erasure.REASON, "limit": 100},
    "erase_mail": ACCOUNT | {"now": NOW},
    "erase_answers": ACCOUNT,
    "finish_erasure": ACCOUNT | {"now": NOW},
    "forget_former_name": ACCOUNT | {"before": NOW},
    "accounts_to_erase": {"since": NOW},
    "name_of_erased": ACCOUNT,
}
