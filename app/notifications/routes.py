"""The notification calls of the API (docs/api.md, "Notifications")."""

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator
from starlette.responses import Response
from starlette.routing import Route

from app import refusal, web, wire
from app.accounts.session import SignedIn
from app.notifications import failure, preference
from app.web import Request

PAGE = "/admin/notifications"


class Channels(BaseModel):
    model_config = ConfigDict(extra="forbid")

    email: bool


class Preferences(BaseModel):
    """Kinds that are left out stay unchanged."""

    model_config = ConfigDict(extra="forbid")

    booking_confirmed: Channels | None = None
    booking_cancelled: Channels | None = None
    booking_rescheduled: Channels | None = None
    reminder: Channels | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _of_checkbox(cls, value: Any) -> Any:
        """In a form, a kind is `true` or `false`."""
        return {"email": value} if value in ("true", "false") else value


@web.may("view_own_profile")
async def show(request: Request, account: SignedIn) -> Response:
    return await _preferences(request, account)


@web.may("edit_own_profile")
async def change(request: Request, account: SignedIn) -> Response:
    body = await web.read(request, Preferences)
    emails = {kind: channels.email for kind, channels in body if channels is not None}
    await preference.change(request.state["pool"], account.account_id, emails)
    if web.is_form(request):
        return web.done(request, None, redirect_to="/account?done=notifications#notifications")
    return await _preferences(request, account)


async def _preferences(request: Request, account: SignedIn) -> Response:
    emails = await preference.preferences(request.state["pool"], account.account_id)
    return web.json({kind: {"email": email} for kind, email in emails.items()})


@web.may("view_monitoring")
async def failures(request: Request, _: SignedIn) -> Response:
    query = web.query(request, wire.Paging)
    position = query.position(wire.row_id)
    rows = await failure.list_of(
        request.state["pool"], before=position[0] if position else None, limit=query.limit + 1
    )
    return web.json(wire.listing(rows, query, failure.as_json, lambda row: (row.id,)))


@web.may("manage_accounts")
async def retry(request: Request, _: SignedIn) -> Response:
    try:
        notification_id = wire.row_id(int(request.path_params["id"]))
    except ValueError:
        raise refusal.NotFound from None
    await failure.retry(request.state["pool"], notification_id, now=request.state["now"]())
    request.state["wake_up"]()
    return web.done(request, None, status=204, redirect_to=PAGE)


routes = [
    Route("/api/notifications/preferences", show, methods=["GET"]),
    Route("/api/notifications/preferences", change, methods=["PUT"]),
    Route("/api/admin/notifications", failures, methods=["GET"]),
    Route("/api/admin/notifications/{id}/retry", retry, methods=["POST"]),
]
