"""The demo's accounts, of which the documentation names some. Their password is public."""

from app.settings import Settings

PASSWORD = "TestPassword123!"  # noqa: S105 — public
# Of every account of the demo. Nobody has mail there (RFC 2606).
DOMAIN = "example.com"
EMAILS = (
    "sarah.chen@example.com",
    "michael.rodriguez@example.com",
    "john.smith@example.com",
    "emma.johnson@example.com",
    "admin@example.com",
)


def is_refused(email: str, settings: Settings) -> bool:
    """Whether this is a demo account on prod, for example in a copied database."""
    return settings.site_mode == "prod" and email.lower().endswith(f"@{DOMAIN}")
