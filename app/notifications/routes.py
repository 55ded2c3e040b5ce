"""The notification calls of the API (docs/api.md, "Notifications")."""

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator
from starlette.responses import Response
from typing_extensions import TypedDict

from app import refusal, web, wire
from app.accounts.session import SignedIn
from app.notifications import failure, preference
from app.notifications.failure import FailedMailJson
from app.web import Call, Request

PAGE = "/admin/notifications"


class ChannelsChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    email: wire.Flag


class PreferencesChange(BaseModel):
    """Kinds that are left out stay unchanged."""

    model_config = ConfigDict(extra="forbid")

    booking_confirmed: ChannelsChange | None = None
    booking_cancelled: ChannelsChange | None = None
    booking_rescheduled: ChannelsChange | None = None
    reminder: ChannelsChange | None = None

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
    body = await web.read(request, PreferencesChange)
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


class ChannelsJson(TypedDict):
    email: bool


class PreferencesJson(TypedDict):
    """The kinds of mail that can be turned off."""

    booking_confirmed: ChannelsJson
    booking_cancelled: ChannelsJson
    booking_rescheduled: ChannelsJson
    reminder: ChannelsJson


routes = [
    Call(
        "GET",
        "/api/notifications/preferences",
        show,
        "Show which mail the account gets",
        returns=PreferencesJson,
    ),
    Call(
        "PUT",
        "/api/notifications/preferences",
        change,
        "Turn kinds of mail on or off",
        description="Kinds that are left out stay unchanged.",
        body=PreferencesChange,
        form=True,
        returns=PreferencesJson,
    ),
    Call(
        "GET",
        "/api/admin/notifications",
        failures,
        "List mails that could not be sent",
        query=wire.Paging,
        returns=wire.Listing[FailedMailJson],
    ),
    Call(
        "POST",
        "/api/admin/notifications/{id}/retry",
        retry,
        "Send a mail again",
        form=True,
        status=204,
        parameters={"id": int},
        refusals=(refusal.NotFound,),
    ),
]
