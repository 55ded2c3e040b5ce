"""The calls of the API that change an account: its profile, address, password and second factor
(docs/api.md, "Accounts"). Their forms are on /account, /verify-email and /reset-password."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field
from starlette.background import BackgroundTask
from starlette.responses import RedirectResponse, Response
from typing_extensions import TypedDict

from app import limits, refusal, web
from app.accounts import account as accounts
from app.accounts import address, credentials, password, recovery_code, second_factor
from app.accounts.account import AccountJson, Clock
from app.accounts.session import SignedIn
from app.web import Call, Request

PAGE = "/account"


class Profile(BaseModel):
    """Fields that are left out stay unchanged."""

    full_name: accounts.Name | None = None
    time_zone: accounts.Zone | None = None
    clock: Clock | None = None


class Token(BaseModel):
    token: str = Field(max_length=2000)


class ResetRequest(BaseModel):
    email: str = Field(max_length=320)


class Reset(Token):
    password: str = Field(max_length=1000)


class PasswordChange(BaseModel):
    password: str = Field(max_length=1000)
    new_password: str = Field(max_length=1000)


class EmailChange(BaseModel):
    email: Annotated[str, Field(max_length=320), AfterValidator(accounts.email_address)]
    password: str = Field(max_length=1000)


class Code(BaseModel):
    code: str = Field(max_length=20)


class Password(BaseModel):
    password: str = Field(max_length=1000)


@web.may("edit_own_profile")
async def change_profile(request: Request, account: SignedIn) -> Response:
    profile = await web.read(request, Profile)
    changed = await accounts.change_profile(
        request.state["pool"],
        account,
        full_name=profile.full_name,
        time_zone=profile.time_zone,
        clock=profile.clock,
    )
    request.state["wake_up"](account.account_id)
    return web.done(request, accounts.as_json(changed), redirect_to=f"{PAGE}?done=profile")


# ---- the e-mail address


@web.may("edit_own_profile")
@web.rate_class("sign-in")
async def request_verification(request: Request, account: SignedIn) -> Response:
    state = request.state
    if not account.is_verified:
        candidate = await accounts.candidate(state["pool"], account.email)
        await limits.count_link_mail(state["limiter"], candidate.email)
        await address.request_verification(state["pool"], account.account_id, now=state["now"]())
        state["wake_up"]()
    return _accepted(request, "/verify-email?sent=yes")


@web.visitor
@web.rate_class("sign-in")
async def confirm_verification(request: Request, _: SignedIn | None) -> Response:
    await _confirm(request)
    return web.done(request, None, status=204, redirect_to="/verify-email?done=yes")


@web.may("edit_own_profile")
@web.rate_class("sign-in")
async def request_email(request: Request, account: SignedIn) -> Response:
    change, state = await web.read(request, EmailChange), request.state
    await _count_attempt(request, account)
    await address.check_change(
        state["pool"], account, email=change.email, plain_password=change.password
    )
    # Counts only mails that are sent: the limit protects the recipient, who may be a stranger.
    candidate = await accounts.candidate(state["pool"], change.email)
    await limits.count_link_mail(state["limiter"], candidate.email)
    await address.request_change(state["pool"], account, email=change.email, now=state["now"]())
    await _reset_attempts(request, account)
    state["wake_up"]()
    return _accepted(request, f"{PAGE}?done=email#email")


@web.visitor
@web.rate_class("sign-in")
async def confirm_email(request: Request, _: SignedIn | None) -> Response:
    email = await _confirm(request)
    return web.done(request, {"email": email}, redirect_to="/verify-email?done=yes")


async def _confirm(request: Request) -> str:
    """Confirms the address of the token, and returns it."""
    body, state = await web.read(request, Token), request.state
    await state["limiter"].hit(limits.LINKS_OF_ADDRESS, limits.address(request))
    confirmed = await address.confirm(
        state["pool"], body.token, state["settings"], now=state["now"]()
    )
    state["wake_up"]()
    if confirmed.purpose == "email_change":
        web.record_security_event(request, "email_changed", confirmed.account_id)
    return confirmed.email


# ---- the password


@web.visitor
@web.rate_class("sign-in")
async def request_reset(request: Request, _: SignedIn | None) -> Response:
    """Responds before it looks up the address, so that neither the response nor its duration
    reveals whether there is such an account."""
    body, state = await web.read(request, ResetRequest), request.state
    await state["limiter"].hit(limits.RESETS_OF_ADDRESS, limits.address(request))
    response = _accepted(request, "/reset-password?sent=yes")
    response.background = BackgroundTask(_send_reset, request, body.email)
    return response


async def _send_reset(request: Request, email: str) -> None:
    state = request.state
    candidate = await accounts.candidate(state["pool"], email)
    stored = candidate.id and await credentials.credentials_of(state["pool"], candidate.id)
    if not stored:
        return
    try:
        await state["limiter"].hit(limits.RESET_MAILS_OF_ACCOUNT, candidate.email)
        if not stored.is_verified:
            await limits.count_link_mail(state["limiter"], candidate.email)
    except refusal.RateLimited:
        return
    await credentials.request_reset(state["pool"], stored, now=state["now"]())
    state["wake_up"]()


@web.visitor
@web.rate_class("sign-in")
async def check_reset(request: Request, _: SignedIn | None) -> Response:
    body, state = await web.read(request, Token), request.state
    await state["limiter"].hit(limits.LINKS_OF_ADDRESS, limits.address(request))
    await credentials.check_reset(state["pool"], body.token, state["settings"], now=state["now"]())
    return Response(status_code=204)


@web.visitor
@web.rate_class("sign-in")
async def reset_password(request: Request, _: SignedIn | None) -> Response:
    body, state = await web.read(request, Reset), request.state
    await state["limiter"].hit(limits.LINKS_OF_ADDRESS, limits.address(request))
    account_id = await credentials.reset(
        state["pool"], body.token, body.password, state["settings"], now=state["now"]()
    )
    state["sessions_ended"](account_id)
    state["wake_up"]()
    web.record_security_event(request, "password_reset", account_id)
    response = web.done(request, None, status=204, redirect_to="/reset-password?done=yes")
    return web.clear_session_cookie(request, response)


@web.may("edit_own_profile")
@web.rate_class("sign-in")
async def change_password(request: Request, account: SignedIn) -> Response:
    body, state = await web.read(request, PasswordChange), request.state
    await _count_attempt(request, account)
    await credentials.change(
        state["pool"],
        account,
        plain_password=body.password,
        new_password=body.new_password,
        now=state["now"](),
    )
    await _reset_attempts(request, account)
    state["sessions_ended"](account.account_id)
    state["wake_up"]()
    web.record_security_event(request, "password_changed", account.account_id)
    return web.done(request, None, status=204, redirect_to=f"{PAGE}?done=password#password")


# ---- the second factor


@web.may("edit_own_profile")
@web.rate_class("sign-in")
async def start_totp(request: Request, account: SignedIn) -> Response:
    state = request.state
    secret = await second_factor.start(state["pool"], account, state["settings"])
    content = {"secret": secret, "uri": second_factor.uri(secret, account.email)}
    return web.done(request, content, redirect_to=f"{PAGE}#second-factor")


@web.may("edit_own_profile")
@web.rate_class("sign-in")
async def confirm_totp(request: Request, account: SignedIn) -> Response:
    body, state = await web.read(request, Code), request.state
    subject = str(account.account_id)
    await state["limiter"].hit(limits.CODE_FAILURES_OF_ACCOUNT, subject)
    await second_factor.confirm(
        state["pool"], account.account_id, body.code, state["settings"], now=state["now"]()
    )
    await state["limiter"].forget((limits.CODE_FAILURES_OF_ACCOUNT, subject))
    web.record_security_event(request, "second_factor_on", account.account_id)
    response = web.done(
        request, None, status=204, redirect_to=f"{PAGE}?done=factor-on#second-factor"
    )
    if web.is_form(request):  # the page shows them at once; programs request them
        codes = await recovery_code.create(state["pool"], account.account_id)
        web.recovery_cookie.set_codes(request, response, account, codes)
    return response


@web.may("edit_own_profile")
@web.rate_class("sign-in")
async def create_recovery_codes(request: Request, account: SignedIn) -> Response:
    body, state = await web.read(request, Password), request.state
    await _check_password(request, account, body.password)
    codes = await recovery_code.create(state["pool"], account.account_id)
    web.record_security_event(request, "recovery_codes_created", account.account_id)
    response = web.done(
        request, {"codes": codes}, redirect_to=f"{PAGE}?done=recovery-codes#second-factor"
    )
    if web.is_form(request):
        web.recovery_cookie.set_codes(request, response, account, codes)
    return response


@web.may("edit_own_profile")
@web.rate_class("sign-in")
async def delete_totp(request: Request, account: SignedIn) -> Response:
    body, state = await web.read(request, Password), request.state
    await _check_password(request, account, body.password)
    if not await second_factor.turn_off(state["pool"], account.account_id):
        raise refusal.NotFound("There is no second factor to turn off.")
    web.record_security_event(request, "second_factor_off", account.account_id)
    return web.done(request, None, status=204, redirect_to=f"{PAGE}?done=factor-off#second-factor")


async def _check_password(request: Request, account: SignedIn, plain_password: str) -> None:
    """Raises ValidationError and RateLimited."""
    await _count_attempt(request, account)
    stored = await credentials.credentials_of(request.state["pool"], account.account_id)
    if stored is None:
        raise refusal.NotSignedIn
    await password.check_own(plain_password, stored.password_hash)
    await _reset_attempts(request, account)


async def _count_attempt(request: Request, account: SignedIn) -> None:
    """Counts an attempt before its password is checked. Raises RateLimited."""
    await request.state["limiter"].hit(limits.PASSWORD_FAILURES_OF_ACCOUNT, str(account.account_id))


async def _reset_attempts(request: Request, account: SignedIn) -> None:
    """Resets the count of attempts after a correct password."""
    await request.state["limiter"].forget(
        (limits.PASSWORD_FAILURES_OF_ACCOUNT, str(account.account_id))
    )


def _accepted(request: Request, page: str) -> Response:
    """202, since a mail follows; for a form, a 303 to the page that says so."""
    return RedirectResponse(page, 303) if web.is_form(request) else Response(status_code=202)


class EmailJson(TypedDict):
    """The confirmed address."""

    email: str


class TotpJson(TypedDict):
    """For an authenticator app."""

    secret: str
    uri: str


class RecoveryCodesJson(TypedDict):
    """No other response contains these codes."""

    codes: list[str]


routes = [
    Call(
        "PATCH",
        "/api/auth/me",
        change_profile,
        "Change your account",
        description="Fields that are left out stay unchanged.",
        body=Profile,
        form=True,
        returns=AccountJson,
    ),
    Call(
        "POST",
        "/api/auth/verification",
        request_verification,
        "Send the confirmation mail again",
        form=True,
        status=202,
    ),
    Call(
        "POST",
        "/api/auth/verification/confirm",
        confirm_verification,
        "Confirm the address",
        body=Token,
        form=True,
        status=204,
    ),
    Call(
        "POST",
        "/api/auth/email",
        request_email,
        "Change the address",
        description="A mail to the new address asks to confirm it.",
        body=EmailChange,
        form=True,
        status=202,
        refusals=(refusal.EmailTaken,),
    ),
    Call(
        "POST",
        "/api/auth/email/confirm",
        confirm_email,
        "Confirm the new address",
        body=Token,
        form=True,
        returns=EmailJson,
        refusals=(refusal.EmailTaken,),
    ),
    Call(
        "POST",
        "/api/auth/password-reset/request",
        request_reset,
        "Request a new password",
        description="The response does not tell whether there is such an account.",
        body=ResetRequest,
        form=True,
        form_page="/reset-password",
        status=202,
    ),
    Call(
        "POST",
        "/api/auth/password-reset/verify",
        check_reset,
        "Check the link in a mail",
        body=Token,
        status=204,
    ),
    Call(
        "POST",
        "/api/auth/password-reset/confirm",
        reset_password,
        "Set a new password",
        body=Reset,
        form=True,
        form_page="/reset-password",
        status=204,
    ),
    Call(
        "PUT",
        "/api/auth/password",
        change_password,
        "Change the password",
        description="All other sessions end.",
        body=PasswordChange,
        form=True,
        status=204,
    ),
    Call(
        "POST",
        "/api/auth/totp",
        start_totp,
        "Set up a second factor",
        form=True,
        returns=TotpJson,
        refusals=(refusal.WrongState,),
    ),
    Call(
        "DELETE",
        "/api/auth/totp",
        delete_totp,
        "Turn the second factor off",
        body=Password,
        form=True,
        status=204,
        refusals=(refusal.NotFound,),
    ),
    Call(
        "POST",
        "/api/auth/totp/confirm",
        confirm_totp,
        "Turn the second factor on",
        body=Code,
        form=True,
        status=204,
        refusals=(refusal.WrongState,),
    ),
    Call(
        "POST",
        "/api/auth/totp/recovery-codes",
        create_recovery_codes,
        "Create recovery codes",
        description="Each signs in once instead of a code of the app. They replace earlier ones.",
        body=Password,
        form=True,
        returns=RecoveryCodesJson,
        refusals=(refusal.WrongState,),
    ),
]
