"""`/admin`: the start page for admins."""

from datetime import timedelta

from starlette.responses import Response

from app import web
from app.accounts.session import SignedIn
from app.bookings import staff
from app.notifications import failure
from app.web import Request

MAX_FAILURES = 100


@web.may("view_accounts", "view_all_bookings", "view_monitoring", "view_system_analytics")
async def page(request: Request, account: SignedIn) -> Response:
    pool, now = request.state["pool"], request.state["now"]()
    failures = None
    if "view_monitoring" in account.permissions:
        failures = len(await failure.list_of(pool, limit=MAX_FAILURES))
    lessons = None
    if "view_all_bookings" in account.permissions:
        lessons = await staff.lessons_between(pool, now, now + timedelta(days=1))
    return web.page(
        request, "admin.html", lessons=lessons, failures=failures, max_failures=MAX_FAILURES
    )
