"""`/admin/searches`: which queries visitors use, which have no results, and how often results are
clicked and booked."""

from starlette.responses import Response

from app import web
from app.accounts.session import SignedIn
from app.search import report
from app.web import Request


@web.may("view_system_analytics")
async def page(request: Request, _: SignedIn) -> Response:
    latest = await report.latest(request.state["pool"], now=request.state["now"]())
    return web.page(
        request, "admin_searches.html", report=latest, days=report.DAYS, min=report.MIN_VISITORS
    )
