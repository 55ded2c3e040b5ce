"""The monitoring call of the API (docs/api.md)."""

from starlette.responses import Response

from app import monitoring, web
from app.accounts.session import SignedIn
from app.web import Call, Request


@web.may("view_monitoring")
async def system(request: Request, _: SignedIn) -> Response:
    state = request.state
    return web.json(await monitoring.read(state["pool"], state["monitor"], now=state["now"]()))


routes = [
    Call(
        "GET",
        "/api/admin/system",
        system,
        "Show the state of Postgres, Redis and the job queue",
        returns=monitoring.System,
    ),
]
