"""`/admin/accounts` and `/admin/accounts/{id}`: finding accounts, their roles and sessions."""

from uuid import UUID

from starlette.responses import Response

from app import formatting, refusal, web, wire
from app.accounts import session, staff
from app.accounts.session import SignedIn
from app.accounts.staff import Account
from app.accounts.staff_routes import AccountsQuery
from app.web import Request

# What the page says after a form, by the `done` of its redirect.
DONE = {
    "roles": "The roles are saved. They take effect at once.",
    "sessions": "The account is signed out everywhere.",
}
MAX_SESSIONS = 20


@web.may("view_accounts")
async def page(request: Request, _: SignedIn) -> Response:
    accounts: list[Account] = []
    next_page, sentence = None, ""
    try:
        query = web.query(request, AccountsQuery)
    except refusal.ValidationError as error:
        sentence = error.detail
    else:
        position = query.position(UUID)
        rows = await staff.accounts(
            request.state["pool"],
            text=query.q,
            role=query.role,
            before=position[0] if position else None,
            limit=query.limit + 1,
        )
        accounts = rows[: query.limit]
        if len(rows) > query.limit:
            cursor = wire.cursor((accounts[-1].id,))
            next_page = formatting.address(
                "/admin/accounts", q=query.q, role=query.role or "", cursor=cursor
            )
    return web.page(
        request,
        "admin_accounts.html",
        status=422 if sentence else 200,
        accounts=accounts,
        next_page=next_page,
        sentence=sentence,
        text=request.query_params.get("q", ""),
        role=request.query_params.get("role", ""),
    )


@web.may("view_accounts")
async def account_page(request: Request, actor: SignedIn) -> Response:
    pool, now = request.state["pool"], request.state["now"]()
    subject = await staff.account(pool, web.path_id(request))
    return web.page(
        request,
        "admin_account.html",
        subject=subject,
        is_own=subject.id == actor.account_id,
        done=DONE.get(request.query_params.get("done", "")),
        sessions=await session.list_of(pool, subject.id, now=now, limit=MAX_SESSIONS),
    )
