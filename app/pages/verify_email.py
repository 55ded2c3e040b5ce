"""`/verify-email`: where the links of mails lead that confirm an address. Opening one changes
nothing, because mail scanners open links, too; the page's button confirms."""

from starlette.responses import Response

from app import limits, refusal, web
from app.accounts import address
from app.accounts.session import SignedIn
from app.accounts.token import TokenExpired
from app.web import Request


@web.visitor
async def page(request: Request, account: SignedIn | None) -> Response:
    state, query = request.state, request.query_params
    token, email, changes_address, status = query.get("token", ""), "", False, 200
    outcome = "sent" if query.get("sent") else "done" if query.get("done") else ""
    if token:
        try:
            await state["limiter"].hit(limits.LINKS_OF_ADDRESS, limits.address(request))
            link = await address.check(state["pool"], token, state["settings"], now=state["now"]())
        except (refusal.ValidationError, refusal.EmailTaken) as error:
            outcome = "expired" if isinstance(error, TokenExpired) else "invalid"
            outcome = "taken" if isinstance(error, refusal.EmailTaken) else outcome
            status = error.status
        else:
            outcome = "done" if link.is_confirmed else "confirm"
            email, changes_address = link.token.email, link.changes_address
    elif account is not None and account.is_verified:
        outcome, email = "done", account.email
    return web.page(
        request,
        "verify_email.html",
        status=status,
        outcome=outcome,
        email=email,
        token=token,
        changes_address=changes_address,
        is_verified=account is not None and account.is_verified,
    )
