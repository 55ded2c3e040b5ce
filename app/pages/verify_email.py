"""`/verify-email`: where the links of mails lead that confirm an address."""

from starlette.responses import Response

from app import limits, refusal, web
from app.accounts import address
from app.accounts.session import SignedIn
from app.accounts.token import TokenExpired
from app.web import Request


@web.visitor
async def page(request: Request, account: SignedIn | None) -> Response:
    """Opening the link confirms the address."""
    state, query = request.state, request.query_params
    outcome, email = "sent" if query.get("sent") else "done" if query.get("done") else "", ""
    status = 200
    if "token" in query and request.method == "GET" and "refusal" not in request.scope["state"]:
        try:
            await state["limiter"].hit(limits.LINKS_OF_ADDRESS, limits.address(request))
            confirmed = await address.confirm(
                state["pool"], query["token"], state["settings"], now=state["now"]()
            )
        except (refusal.ValidationError, refusal.EmailTaken) as error:
            outcome = "expired" if isinstance(error, TokenExpired) else "invalid"
            outcome = "taken" if isinstance(error, refusal.EmailTaken) else outcome
            status = error.status
        else:
            outcome, email = "done", confirmed.email
            state["wake_up"]()
            if confirmed.purpose == "email_change":
                web.record_security_event(request, "email_changed", confirmed.account_id)
    if account is not None and account.is_verified and outcome in {"", "sent"}:
        outcome, email = "done", account.email
    return web.page(
        request,
        "verify_email.html",
        status=status,
        outcome=outcome,
        email=email,
        is_verified=account is not None and (account.is_verified or outcome == "done"),
    )
