"""The accounts that demo data contains. Everyone knows their password."""

from app.settings import Settings

PASSWORD = "TestPassword123!"  # noqa: S105 — public
EMAILS = (
    "sarah.chen@example.com",
    "michael.rodriguez@example.com",
    "john.smith@example.com",
    "emma.johnson@example.com",
    "admin@example.com",
)


def is_refused(email: str, settings: Settings) -> bool:
    """Whether it is a demo account on prod, for example in a database that was copied there."""
    return settings.site_mode == "prod" and email.lower() in EMAILS
