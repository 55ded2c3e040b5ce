"""The calls with which staff finds accounts and changes their roles (docs/api.md, "Admin")."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, field_validator
from starlette.responses import Response

from app import refusal, web, wire
from app.accounts import account as accounts
from app.accounts import role, session, staff
from app.accounts.account import AccountJson
from app.accounts.routes import Next
from app.accounts.session import SignedIn
from app.accounts.staff import MIN_TEXT, Role, StaffAccountJson
from app.web import Call, Request


class AccountsQuery(wire.Paging):
    q: str = Field("", max_length=100)
    role: Role | None = None

    @field_validator("q")
    @classmethod
    def _long_enough(cls, text: str) -> str:
        text = " ".join(text.split())
        if text and len(text) < MIN_TEXT:
            raise ValueError(f"Enter at least {MIN_TEXT} characters of a name or an address.")
        return text


class Roles(BaseModel):
    """In a form, several roles are joined by commas."""

    roles: Annotated[list[Role], Field(max_length=3)]

    @field_validator("roles", mode="before")
    @classmethod
    def _of_form(cls, value: object) -> object:
        return [name for name in value.split(",") if name] if isinstance(value, str) else value

    @field_validator("roles")
    @classmethod
    def _not_empty(cls, roles: list[Role]) -> list[Role]:
        if not roles:
            raise ValueError("Choose at least one role.")
        return roles


@web.may("view_accounts")
async def list_accounts(request: Request, _: SignedIn) -> Response:
    query = web.query(request, AccountsQuery)
    position = query.position(UUID)
    rows = await staff.accounts(
        request.state["pool"],
        text=query.q,
        role=query.role,
        before=position[0] if position else None,
        limit=query.limit + 1,
    )
    return web.json(wire.listing(rows, query, staff.as_json, lambda row: (row.id,)))


@web.may("view_accounts")
async def show_account(request: Request, _: SignedIn) -> Response:
    return web.json(staff.as_json(await staff.account(request.state["pool"], web.path_id(request))))


@web.may("manage_roles")
async def set_roles(request: Request, actor: SignedIn) -> Response:
    body = await web.read(request, Roles, clearable=("roles",))
    state, account_id = request.state, web.path_id(request)
    change = await staff.set_roles(state["pool"], actor.account_id, account_id, body.roles)
    for event, roles in (("role_granted", change.added), ("role_removed", change.removed)):
        for name in roles or ():
            web.record_security_event(
                request, event, account_id, role=name, actor=str(actor.account_id)
            )
    state["sessions_ended"](account_id)
    state["wake_up"](account_id)
    content = staff.as_json(await staff.account(state["pool"], account_id))
    return web.done(request, content, redirect_to=f"/admin/accounts/{account_id}?done=roles")


@web.may("manage_accounts")
async def end_sessions(request: Request, actor: SignedIn) -> Response:
    state, account_id = request.state, web.path_id(request)
    await staff.account(state["pool"], account_id)
    await session.revoke_all(state["pool"], account_id)
    state["sessions_ended"](account_id)
    web.record_security_event(request, "sessions_ended", account_id, actor=str(actor.account_id))
    return web.done(
        request, None, status=204, redirect_to=f"/admin/accounts/{account_id}?done=sessions"
    )


@web.may("edit_own_profile")
async def become_student(request: Request, account: SignedIn) -> Response:
    target = await web.read(request, Next)
    state = request.state
    if await role.take(state["pool"], account.account_id, "student"):
        web.record_security_event(request, "role_granted", account.account_id, role="student")
        state["sessions_ended"](account.account_id)
    changed = await session.authenticate(
        state["pool"], web.token(request), state["settings"], now=state["now"]()
    )
    content = accounts.as_json(changed or account)
    redirect_to = web.local_path(target.next, "/account?done=student")
    return web.done(request, content, status=201, redirect_to=redirect_to)


routes = [
    Call(
        "POST",
        "/api/students/me",
        become_student,
        "Become a student, too",
        body=Next,
        form=True,
        returns=AccountJson,
        status=201,
        refusals=(refusal.NotAllowed,),
    ),
    Call(
        "GET",
        "/api/admin/accounts",
        list_accounts,
        "List accounts",
        query=AccountsQuery,
        returns=wire.Listing[StaffAccountJson],
    ),
    Call(
        "GET", "/api/admin/accounts/{id}", show_account, "Show an account", returns=StaffAccountJson
    ),
    Call(
        "PUT",
        "/api/admin/accounts/{id}/roles",
        set_roles,
        "Change an account’s roles",
        body=Roles,
        form=True,
        returns=StaffAccountJson,
    ),
    Call(
        "DELETE",
        "/api/admin/accounts/{id}/sessions",
        end_sessions,
        "Sign an account out everywhere",
        form=True,
        status=204,
    ),
]
