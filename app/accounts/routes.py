"""Registration, sign-in and sessions in the API (docs/api.md, "Accounts")."""

from typing import Annotated, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from starlette.responses import Response
from typing_extensions import TypedDict

from app import limits, refusal, web, wire
from app.accounts import account as accounts
from app.accounts import device, password, session
from app.accounts.account import AccountJson, Candidate, Origin, Role
from app.accounts.session import Session, SignedIn
from app.schema import FORM_ONLY, Id, InstantText
from app.web import Call, Request


class Registration(BaseModel):
    email: Annotated[str, Field(max_length=320), AfterValidator(accounts.email_address)]
    full_name: accounts.Name
    password: str = Field(max_length=1000)
    role: Role
    time_zone: accounts.Zone = accounts.DEFAULT_ZONE
    next: str | None = Field(None, json_schema_extra=FORM_ONLY)

    @field_validator("password")
    @classmethod
    def _check_password(cls, value: str, info: ValidationInfo) -> str:
        personal_values = (info.data.get("email", ""), info.data.get("full_name", ""))
        return password.check(value, personal_values=personal_values)


class Credentials(BaseModel):
    """`second_step` replaces the password in the form that asks for the code."""

    email: str = Field(max_length=320)
    password: str | None = Field(None, max_length=1000)
    second_step: str | None = Field(None, json_schema_extra=FORM_ONLY)
    code: str | None = Field(None, max_length=40)
    next: str | None = Field(None, json_schema_extra=FORM_ONLY)

    @model_validator(mode="after")
    def _has_password(self) -> Self:
        if self.password is None and not self.second_step:
            raise ValueError("Enter your password.")
        return self


class Next(BaseModel):
    next: str | None = Field(None, json_schema_extra=FORM_ONLY)


@web.visitor
@web.rate_class("sign-in")
async def register(request: Request, account: SignedIn | None) -> Response:
    registration = await web.read(request, Registration)
    state, limiter = request.state, request.state["limiter"]
    await accounts.check_zone(state["pool"], registration.time_zone)
    await limiter.hit(limits.REGISTRATIONS_OF_ADDRESS, limits.address(request))
    candidate = await accounts.candidate(state["pool"], registration.email)
    if candidate.id is not None:
        raise refusal.EmailTaken
    await limits.count_link_mail(limiter, candidate.email)
    token = await accounts.register(
        state["pool"],
        email=registration.email,
        plain_password=registration.password,
        full_name=registration.full_name,
        role=registration.role,
        time_zone=registration.time_zone,
        origin=_origin(request, account),
        settings=state["settings"],
        now=state["now"](),
    )
    state["wake_up"]()
    return await _sign_in_response(
        request,
        token,
        candidate.email,
        previous=account,
        next_page=registration.next,
        status=201,
    )


@web.visitor
@web.rate_class("sign-in")
async def login(request: Request, account: SignedIn | None) -> Response:
    credentials = await web.read(request, Credentials)
    state, limiter, address = request.state, request.state["limiter"], limits.address(request)
    settings, now = state["settings"], state["now"]()
    await limiter.attempt(
        (limits.SIGN_INS_OF_ADDRESS, address),
        check=[(limits.SIGN_IN_FAILURES_OF_ADDRESS, address)],
    )
    candidate = await accounts.candidate(state["pool"], credentials.email)
    counts = await _count_attempt(request, candidate)
    try:
        if credentials.second_step:
            account_id = accounts.check_second_step(
                candidate, credentials.second_step, settings, now=now
            )
        else:
            account_id = await accounts.check_password(
                state["pool"], candidate, credentials.password or "", settings
            )
    except refusal.SignInFailed as failure:
        await limiter.hit(limits.SIGN_IN_FAILURES_OF_ADDRESS, address)
        failure.account_id = candidate.id
        raise
    code_count = (limits.CODE_FAILURES_OF_ACCOUNT, str(account_id))
    if credentials.code:
        await limiter.attempt(code_count)
    try:
        token, factor = await accounts.sign_in(
            state["pool"],
            account_id,
            code=credentials.code,
            origin=_origin(request, account),
            settings=settings,
            now=now,
        )
    except refusal.CodeRequired as required:
        await limiter.forget(*counts)
        required.account_id = account_id
        # check_password may have renewed the hash.
        candidate = await accounts.candidate(state["pool"], credentials.email)
        required.second_step = accounts.second_step(candidate, settings, now=now)
        raise
    await limiter.forget(*counts, code_count)
    if factor == "recovery code":
        web.record_security_event(request, "recovery_code_used", account_id)
        state["wake_up"]()
    return await _sign_in_response(
        request, token, candidate.email, previous=account, next_page=credentials.next
    )


async def _count_attempt(request: Request, candidate: Candidate) -> list[limits.Count]:
    """Counts a sign-in before its password is checked. Returns the counts that the correct password
    resets. The count of the account alone comes last, so that attempts that another count refuses
    do not exhaust it. Raises RateLimited."""
    state, limiter, address = request.state, request.state["limiter"], limits.address(request)
    browser = device.read(request.cookies.get(device.COOKIE), state["settings"])
    counts: list[limits.Count] = [(limits.SIGN_IN_FAILURES_OF_BOTH, f"{address} {candidate.email}")]
    if browser.knows(candidate.email, state["settings"]):
        counts.append((limits.SIGN_IN_FAILURES_OF_DEVICE, f"{browser.id} {candidate.email}"))
    else:
        counts.append((limits.SIGN_IN_FAILURES_OF_EMAIL, candidate.email))
    try:
        await limiter.attempt(*counts)
    except refusal.RateLimited as limited:
        limited.account_id = candidate.id
        raise
    return counts


def _origin(request: Request, account: SignedIn | None) -> Origin:
    """A browser's new session replaces the one of its cookie. (A bearer token belongs to a program,
    whose other sessions stay.)"""
    replaces = account is not None and web.bearer(request) is None
    return Origin(
        device=device.describe(request.headers.get("user-agent", "")),
        previous_id=account.session_id if account is not None and replaces else None,
    )


async def _sign_in_response(
    request: Request,
    token: str,
    email: str,
    *,
    previous: SignedIn | None,
    next_page: str | None,
    status: int = 200,
) -> Response:
    """The response to a sign-in. `previous`: the account that this browser was signed in to."""
    state = request.state
    account = await session.authenticate(
        state["pool"], token, state["settings"], now=state["now"]()
    )
    if account is None:
        raise refusal.NotSignedIn
    state["sessions_ended"](account.account_id)  # the oldest, if there were too many
    if previous is not None and previous.account_id != account.account_id:
        state["sessions_ended"](previous.account_id)
    state["signed_in"](request, account.account_id)
    home = "/teach" if "instructor" in account.roles else "/"
    content: SignInJson = {"account": accounts.as_json(account), "token": token}
    response = web.done(
        request, content, status=status, redirect_to=web.local_path(next_page, home)
    )
    web.set_session_cookie(request, response, token)
    if "sec-fetch-site" in request.headers:  # a browser
        browser = device.read(request.cookies.get(device.COOKIE), state["settings"])
        web.set_device_cookie(request, response, device.cookie(browser, email, state["settings"]))
    return response


class SignInJson(TypedDict):
    """The account and the session's token."""

    account: AccountJson
    token: str


class SessionJson(TypedDict):
    """An open session. `current`: that of this request."""

    id: Id
    created_at: InstantText
    expires_at: InstantText
    last_used_at: InstantText
    device: str
    current: bool


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

    def show(row: Session) -> SessionJson:
        return {
            "id": str(row.id),
            "created_at": wire.instant(row.created_at),
            "expires_at": wire.instant(row.expires_at),
            "last_used_at": wire.instant(row.last_used_at),
            "device": row.device,
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
    response = web.done(request, None, status=204, redirect_to="/account?done=session#sessions")
    is_current = session_id == account.session_id
    return web.clear_session_cookie(request, response) if is_current else response


routes = [
    Call(
        "POST",
        "/api/auth/register",
        register,
        "Register",
        description="Also sets the cookie.",
        body=Registration,
        form=True,
        form_page="/register",
        returns=SignInJson,
        status=201,
        refusals=(refusal.EmailTaken,),
    ),
    Call(
        "POST",
        "/api/auth/login",
        login,
        "Sign in",
        description="Also sets the cookie. `code` is that of the second factor, if there is one: "
        "from the app, or a recovery code.",
        body=Credentials,
        form=True,
        form_page="/login",
        returns=SignInJson,
        refusals=(refusal.NotSignedIn, refusal.CodeRequired),
    ),
    Call("GET", "/api/auth/me", me, "Show your account", returns=AccountJson),
    Call("POST", "/api/auth/logout", logout, "Sign out", body=Next, form=True, status=204),
    Call(
        "POST",
        "/api/auth/logout-everywhere",
        logout_everywhere,
        "Sign out everywhere",
        body=Next,
        form=True,
        status=204,
    ),
    Call(
        "GET",
        "/api/auth/sessions",
        sessions,
        "List sessions",
        query=wire.Paging,
        returns=wire.Listing[SessionJson],
    ),
    Call(
        "DELETE",
        "/api/auth/sessions/{id}",
        end_session,
        "End a session",
        form=True,
        status=204,
    ),
]
