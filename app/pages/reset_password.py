"""`/reset-password`: requesting the mail, and setting a password through its link."""

from starlette.responses import Response

from app import limits, refusal, web
from app.accounts import credentials
from app.accounts.session import SignedIn
from app.accounts.token import TokenExpired
from app.web import Request


@web.visitor
async def page(request: Request, _: SignedIn | None) -> Response:
    state, query = request.state, request.query_params
    token = query.get("token", "")
    step = "sent" if query.get("sent") else "done" if query.get("done") else "request"
    status = 200
    if token:
        step = "set"
        try:
            await state["limiter"].hit(limits.LINKS_OF_ADDRESS, limits.address(request))
            await credentials.check_reset(
                state["pool"], token, state["settings"], now=state["now"]()
            )
        except refusal.ValidationError as error:
            step = "expired" if isinstance(error, TokenExpired) else "invalid"
            status = error.status
    return web.page(request, "reset_password.html", status=status, step=step, token=token)
