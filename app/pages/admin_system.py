"""`/admin/system`: Postgres, Redis and the job queue, with charts that system.js keeps current."""

from starlette.responses import Response

from app import monitoring, refusal, web
from app.accounts.session import SignedIn
from app.notifications import failure
from app.notifications.failure import Failure
from app.web import Request

FAILURES = 10


@web.may("view_monitoring")
async def page(request: Request, _: SignedIn) -> Response:
    state = request.state
    current = await monitoring.read(state["pool"], state["monitor"], now=state["now"]())
    failures: list[Failure] = []
    if current.database is not None:
        try:
            failures = await failure.list_of(state["pool"], limit=FAILURES)
        except refusal.Unavailable:
            failures = []
    return web.page(request, "admin_system.html", current=current, failures=failures)
