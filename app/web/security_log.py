"""The security log: one line per failed sign-in, refused permission, exceeded limit and change of
privileges, with the account's id and the keyed hash of the client's address. No e-mail address, no
plain IP address."""

from typing import Any
from uuid import UUID

import structlog
from starlette.requests import HTTPConnection

from app import limits, refusal
from app.keyed_hash import keyed_hash

log = structlog.get_logger("security")

_EVENTS: dict[type[refusal.Refusal], str] = {
    refusal.SignInFailed: "sign_in_failed",
    refusal.CodeRequired: "code_required",
    refusal.NotAllowed: "not_allowed",
    refusal.RateLimited: "rate_limited",
}


def record(
    connection: HTTPConnection[Any], event: str, account_id: UUID | None = None, **fields: object
) -> None:
    """Logs an event of this account; None if it is not known."""
    settings = connection.scope["state"]["settings"]
    log.warning(
        event,
        account=str(account_id) if account_id else None,
        address=keyed_hash(settings, limits.address(connection)),
        **fields,
    )


def record_refusal(connection: HTTPConnection[Any], error: refusal.Refusal) -> None:
    """Logs the refusals that matter for security. Of exceeded limits, one line a minute per client
    and handler: a flood must not flood the log."""
    event = next((name for kind, name in _EVENTS.items() if isinstance(error, kind)), None)
    if event is None:
        return
    account = connection.scope["state"].get("account")
    account_id = account.account_id if account else error.account_id
    endpoint = connection.scope.get("endpoint")
    handler = f"{endpoint.__module__}.{endpoint.__qualname__}" if endpoint else None
    limiter = connection.scope["state"]["limiter"]
    if isinstance(error, refusal.RateLimited) and not limiter.is_first(
        f"{limits.address(connection)} {account_id} {handler}"
    ):
        return
    record(connection, event, account_id, handler=handler)
