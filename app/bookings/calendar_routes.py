"""The calls for calendar programs: a lesson as a file, and an account's feed of its lessons."""

from collections.abc import Mapping

from starlette.responses import Response
from typing_extensions import TypedDict

from app import refusal, web
from app.accounts.session import SignedIn
from app.bookings import access, feed, ical
from app.web import Call, Request


@web.may("view_own_bookings", "view_incoming_bookings", "view_all_bookings")
async def calendar_file(request: Request, account: SignedIn) -> Response:
    lesson = await access.find(request, account)
    if lesson.state in {"held", "expired"}:
        raise refusal.WrongState(state=lesson.state)
    state = request.state
    content = ical.calendar_of(
        [lesson], viewer=account.account_id, site_url=state["settings"].site_url, now=state["now"]()
    )
    return _calendar(content, {"Content-Disposition": 'attachment; filename="lesson.ics"'})


def _calendar(content: str, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        content,
        headers={"Cache-Control": "no-store", **(headers or {})},
        media_type="text/calendar",
    )


@web.may("view_own_bookings", "view_incoming_bookings")
async def create_feed(request: Request, account: SignedIn) -> Response:
    state = request.state
    url = await feed.create(
        state["pool"], account.account_id, state["settings"], now=state["now"]()
    )
    return web.done(request, {"url": url}, redirect_to="/lessons#feed")


@web.may("view_own_bookings", "view_incoming_bookings")
async def revoke_feed(request: Request, account: SignedIn) -> Response:
    await feed.revoke(request.state["pool"], account.account_id)
    return web.done(request, None, status=204, redirect_to="/lessons#feed")


@web.public
async def show_feed(request: Request) -> Response:
    """Calendar programs do not sign in. Knowing the address is enough."""
    state = request.state
    token = request.path_params["token"]
    return _calendar(await feed.read(state["pool"], token, state["settings"], now=state["now"]()))


class FeedJson(TypedDict):
    """The address of the account's private calendar feed."""

    url: str


routes = [
    Call(
        "POST",
        "/api/bookings/feed",
        create_feed,
        "Create the calendar feed",
        form=True,
        returns=FeedJson,
    ),
    Call(
        "DELETE",
        "/api/bookings/feed",
        revoke_feed,
        "Revoke the calendar feed",
        form=True,
        status=204,
    ),
    Call(
        "GET",
        "/api/public/feeds/{token}.ics",
        show_feed,
        "Read a calendar feed",
        parameters={"token": str},
        refusals=(refusal.NotFound,),
        media_type="text/calendar",
        returns=str,
    ),
    Call(
        "GET",
        "/api/bookings/{id}/calendar.ics",
        calendar_file,
        "Download a lesson as a calendar file",
        refusals=(refusal.WrongState,),
        media_type="text/calendar",
        returns=str,
    ),
]
