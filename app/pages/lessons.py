"""`/lessons`: the student's own lessons, by scope."""

from typing import get_args

from starlette.responses import Response

from app import web
from app.accounts.session import SignedIn
from app.bookings import booking
from app.bookings.booking import Scope
from app.web import Request

LIMIT = 100

SCOPES: tuple[Scope, ...] = get_args(Scope)


@web.may("view_own_bookings")
async def page(request: Request, account: SignedIn) -> Response:
    requested = request.query_params.get("scope")
    scope = next((scope for scope in SCOPES if scope == requested), SCOPES[0])
    lessons = await booking.list_of(
        request.state["pool"],
        account.account_id,
        role="student",
        scope=scope,
        now=request.state["now"](),
        limit=LIMIT,
    )
    return web.page(
        request,
        "lessons.html",
        scope=scope,
        scopes=SCOPES,
        lessons=lessons,
        zone=account.time_zone,
    )
