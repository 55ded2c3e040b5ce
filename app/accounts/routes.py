"""The account calls of the API (docs/api.md, "Accounts")."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field, ValidationInfo, field_validator
from starlette.responses import Response
from starlette.routing import Route

from app import limits, refusal, web, wire
from app.accounts import account as accounts
from app.accounts import password, session
from app.accounts.account import Role
from app.accounts.session import Session, SignedIn
from app.web import Request


class Registration(BaseModel):
    email: Annotated[str, Field(max_length=320), AfterValidator(accounts.email_address)]
    full_name: Annotated[str, AfterValidator(str.strip), Field(min_length=1, max_length=200)]
    password: str = Field(max_length=1000)
    role: Role
    time_zone: str = Field(accounts.DEFAULT_ZONE, max_length=100)
    next: str | None = None

    @field_validator("password")
    @classmethod
    def _acceptable(cls, value: str, info: ValidationInfo) -> str:
        own = (info.data.get("email", ""), info.data.get("full_name", ""))
        return password.check(value, forbidden_values=own)


class Credentials(BaseModel):
    email: str = Field(max_length=320)
    password: str = Field(max_length=1000)
    next: str | None = None


class Next(BaseModel):
    next: str | None = None


@web.visitor
async def register(request: Request, _: SignedIn | None) -> Response:
    registration = await web.read(request, Registration)
    await request.state["limiter"].hit(limits.REGISTRATIONS_OF_ADDRESS, limits.address(request))
    token = await accounts.register(
        request.state["pool"],
        email=registration.email,
        plain_password=registration.password,
        full_name=registration.full_name,
        role=registration.role,
        time_zone=registration.time_zone,
        settings=request.state["settings"],
        now=request.state["now"](),
    )
    request.state["wake_up"]()
    return await _sign_in_response(request, token, registration.next, status=201)


@web.visitor
async def login(request: Request, _: SignedIn | None) -> Response:
    credentials = await web.read(request, Credentials)
    limiter, address = request.state["limiter"], limits.address(request)
    await limiter.check(limits.SIGN_IN_FAILURES_OF_ADDRESS, address)
    # Count before checking the password, so that parallel guesses cannot exceed the limit.
    await limiter.hit(limits.SIGN_IN_FAILURES_OF_EMAIL, credentials.email.casefold())
    try:
        token = await accounts.sign_in(
            request.state["pool"],
            email=credentials.email,
            plain_password=credentials.password,
            settings=request.state["settings"],
            now=request.state["now"](),
        )
    except refusal.SignInFailed:
        await limiter.hit(limits.SIGN_IN_FAILURES_OF_ADDRESS, address)
        raise
    await limiter.forget(limits.SIGN_IN_FAILURES_OF_EMAIL, credentials.email.casefold())
    return await _sign_in_response(request, token, credentials.next)


async def _sign_in_response(
    request: Request, token: str, next_page: str | None, status: int = 200
) -> Response:
    """The response to a sign-in."""
    now = request.state["now"]()
    state = request.state
    account = await session.authenticate(state["pool"], token, state["settings"], now=now)
    if account is None:
        raise refusal.NotSignedIn
    state["signed_in"](request, account.account_id)
    home = "/teach" if "instructor" in account.roles else "/"
    content = {"account": accounts.as_json(account), "token": token}
    response = web.done(
        request, content, status=status, redirect_to=web.local_path(next_page, home)
    )
    return web.set_session_cookie(request, response, token)


@web.may("view_own_profile")
async def me(_: Request, account: SignedIn) -> Response:
    return web.json(accounts.as_json(account))


@web.signed_in
async def logout(request: Request, account: SignedIn) -> Response:
    target = await web.read(request, Next)
    await session.revoke(request.state["pool"], account.session_id)
    request.state["sessions_ended"](account.account_id)
    response = web.done(request, None, status=204, redirect_to=web.local_path(target.next))
    return web.clear_session_cookie(request, response)


@web.signed_in
async def logout_everywhere(request: Request, account: SignedIn) -> Response:
    target = await web.read(request, Next)
    await session.revoke_all(request.state["pool"], account.account_id)
    request.state["sessions_ended"](account.account_id)
    response = web.done(request, None, status=204, redirect_to=web.local_path(target.next))
    return web.clear_session_cookie(request, response)


@web.may("view_own_profile")
async def sessions(request: Request, account: SignedIn) -> Response:
    paging = web.query(request, wire.Paging)
    position = paging.position(wire.moment, UUID)
    rows = await session.list_of(
        request.state["pool"],
        account.account_id,
        now=request.state["now"](),
        after=(position[0], position[1]) if position else None,
        limit=paging.limit + 1,
    )

    def show(row: Session) -> dict[str, object]:
        return {
            "id": str(row.id),
            "created_at": wire.instant(row.created_at),
            "expires_at": wire.instant(row.expires_at),
            "current": row.id == account.session_id,
        }

    return web.json(wire.listing(rows, paging, show, lambda row: (row.created_at, row.id)))


@web.may("edit_own_profile")
async def end_session(request: Request, account: SignedIn) -> Response:
    session_id = web.path_id(request)
    state = request.state
    if not await session.revoke_of(
        state["pool"], account.account_id, session_id, now=state["now"]()
    ):
        raise refusal.NotFound
    state["sessions_ended"](account.account_id)
    response = web.done(request, None, status=204, redirect_to="/account")
    is_current = session_id == account.session_id
    return web.clear_session_cookie(request, response) if is_current else response


routes = [
    Route("/api/auth/register", register, methods=["POST"]),
    Route("/api/auth/login", login, methods=["POST"]),
    Route("/api/auth/me", me, methods=["GET"]),
    Route("/api/auth/logout", logout, methods=["POST"]),
    Route("/api/auth/logout-everywhere", logout_everywhere, methods=["POST"]),
    Route("/api/auth/sessions", sessions, methods=["GET"]),
    Route("/api/auth/sessions/{id}", end_session, methods=["DELETE"]),
]
