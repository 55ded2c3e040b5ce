"""The notification calls of the API (docs/api.md, "Notifications")."""

from pydantic import BaseModel, ConfigDict
from starlette.responses import Response
from starlette.routing import Route

from app import web
from app.accounts.session import SignedIn
from app.notifications import preference
from app.web import Request


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


@web.may("view_own_profile")
async def show(request: Request, account: SignedIn) -> Response:
    return await _preferences(request, account)


@web.may("edit_own_profile")
async def change(request: Request, account: SignedIn) -> Response:
    body = await web.read(request, Preferences)
    emails = {kind: channels.email for kind, channels in body if channels is not None}
    await preference.change(request.state["pool"], account.account_id, emails)
    return await _preferences(request, account)


async def _preferences(request: Request, account: SignedIn) -> Response:
    emails = await preference.preferences(request.state["pool"], account.account_id)
    return web.json({kind: {"email": email} for kind, email in emails.items()})


routes = [
    Route("/api/notifications/preferences", show, methods=["GET"]),
    Route("/api/notifications/preferences", change, methods=["PUT"]),
]
