"""`/account/delete`: what deleting an account does, and its form; `/goodbye` afterwards. The call
is in app/privacy/routes.py."""

from http import HTTPStatus

from starlette.responses import RedirectResponse, Response

from app import web
from app.accounts.session import SignedIn
from app.bookings import booking
from app.bookings.booking import Booking, Role
from app.privacy import erasure
from app.web import Request

# Lessons on the page, of each role.
MAX_LESSONS = 20


@web.may("delete_own_account")
async def page(request: Request, account: SignedIn) -> Response:
    as_student = await _ahead(request, account, "student")
    as_instructor = await _ahead(request, account, "instructor")
    return web.page(
        request,
        "delete_account.html",
        as_student=as_student,
        as_instructor=as_instructor,
        max_lessons=MAX_LESSONS,
        is_instructor="instructor" in account.roles,
        later_name=await erasure.name_of_erased(request.state["pool"], account.account_id),
    )


async def _ahead(request: Request, account: SignedIn, role: Role) -> list[Booking]:
    """The lessons that will be cancelled; at most one more than the page lists."""
    now = request.state["now"]()
    lessons = await booking.list_of(
        request.state["pool"],
        account.account_id,
        role=role,
        scope="upcoming",
        now=now,
        limit=MAX_LESSONS + 1,
    )
    return [lesson for lesson in lessons if lesson.starts_at > now]


@web.visitor
async def goodbye(request: Request, account: SignedIn | None) -> Response:
    if account is not None:
        return RedirectResponse("/account", HTTPStatus.SEE_OTHER)
    return web.page(request, "goodbye.html")
