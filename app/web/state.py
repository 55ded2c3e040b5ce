"""What every request carries: what main hands to all of them, and what is known of this one."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TypedDict
from uuid import UUID

import jinja2
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response

from app import refusal
from app.accounts.session import SignedIn
from app.db import Pool
from app.limits import Limiter
from app.settings import Settings


class State(TypedDict):
    """What main hands to every request."""

    settings: Settings
    pool: Pool
    wake_up: Callable[[], None]  # tells relay and worker that something was committed; a bare hint, never awaited
    sessions_ended: Callable[[UUID], None]  # tells the live path that sessions of this account are over; likewise
    now: Callable[[], datetime]
    templates: jinja2.Environment
    limiter: Limiter


class PerRequest(State, total=False):
    """Set while a form's refusal is shown on the page it came from."""

    refused: refusal.Refusal
    typed: Mapping[str, str]
    account: SignedIn | None


Request = StarletteRequest[PerRequest]
Handler = Callable[[Request], Awaitable[Response]]


def utc_now() -> datetime:
    return datetime.now(UTC)
