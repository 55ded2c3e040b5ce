"""The state of requests: what the application shares with all of them, and what belongs to one."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol, TypedDict
from uuid import UUID

import jinja2
from starlette.requests import HTTPConnection
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response

from app import refusal
from app.accounts.session import SignedIn
from app.availability.board_cache import BoardCache
from app.availability.public_cache import PublicCache
from app.db import Pool
from app.limits import Limiter
from app.monitoring import Monitor
from app.settings import Settings
from app.write_behind import WriteBehind


class WakeUp(Protocol):
    """Tells the relay and the worker that something was committed, and this process which
    calendars. A hint to the others: it returns at once."""

    def __call__(self, *calendars: UUID) -> None: ...


class State(TypedDict):
    """What the application shares with every request."""

    settings: Settings
    pool: Pool
    public_cache: PublicCache
    boards: BoardCache
    wake_up: WakeUp
    # Tells the live path that sessions of this account have ended. Returns at once, too.
    sessions_ended: Callable[[UUID], None]
    # Tells the other domains that this visitor is now signed in to an account. Returns at once.
    signed_in: Callable[[HTTPConnection[Any], UUID], None]
    # Tells the other domains that this account has booked with this instructor. Returns at once.
    booked: Callable[[UUID, UUID], None]
    write_behind: WriteBehind
    now: Callable[[], datetime]
    templates: jinja2.Environment
    limiter: Limiter
    monitor: Monitor


class PerRequest(State, total=False):
    """`account` is set by app.web.auth; `refusal` and `form_fields` (as entered) while a form's
    page is rendered again."""

    refusal: refusal.Refusal
    form_fields: Mapping[str, str]
    account: SignedIn | None


Request = StarletteRequest[PerRequest]
Handler = Callable[[Request], Awaitable[Response]]


def utc_now() -> datetime:
    return datetime.now(UTC)
