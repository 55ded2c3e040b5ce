"""`/admin/notifications`: mails that could not be sent, with a button to try each again."""

from starlette.responses import Response

from app import web
from app.accounts.session import SignedIn
from app.notifications import failure
from app.web import Request

LIMIT = 100


@web.may("view_monitoring")
async def page(request: Request, _: SignedIn) -> Response:
    failures = await failure.list_of(request.state["pool"], limit=LIMIT)
    return web.page(request, "admin_notifications.html", failures=failures, limit=LIMIT)
