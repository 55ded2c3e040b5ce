"""`/account`: the profile, the clock, notifications, the password, the e-mail address, the second
factor and the sessions of an account. Each is a form of its own; their calls are in
app/accounts/account_routes.py. It leads to the export (app/privacy) and to /account/delete."""

from starlette.responses import Response

from app import formatting, web
from app.accounts import recovery_code, role, second_factor, session, time_zones
from app.accounts.session import SignedIn
from app.notifications import preference
from app.web import Request

# What the page says after a form, by the `done` of its redirect, and in which section: where the
# browser scrolls to. The empty one is the top of the page.
DONE = {
    "profile": ("", "Your profile is saved."),
    "student": ("", "You can book lessons now."),
    "notifications": ("notifications", "Your choice is saved."),
    "session": ("sessions", "That device is signed out."),
    "email": ("email", "We sent a mail to the new address. Open its link to start using it."),
    "password": ("password", "Your password is changed. Your other devices are signed out."),
    "factor-on": ("second-factor", "Your second factor is set up."),
    "recovery-codes": (
        "second-factor",
        "You have new recovery codes. The earlier ones don’t work anymore.",
    ),
    "factor-off": ("second-factor", "Your second factor is off."),
    "factor-needed": (
        "second-factor",
        "Admins need a second factor on this site. Set it up to continue.",
    ),
}
NOTIFICATIONS = {
    "booking_confirmed": "A lesson is booked",
    "booking_rescheduled": "A lesson is moved",
    "booking_cancelled": "A lesson is cancelled",
    "reminder": "Reminders, a day before a lesson",
}


@web.may("view_own_profile")
async def page(request: Request, account: SignedIn) -> Response:
    state: web.PerRequest = request.scope["state"]
    pool, now = state["pool"], state["now"]()
    totp = await second_factor.totp_of(pool, account.account_id)
    factor, secret = "off", None
    if totp is not None and totp.confirmed_at is not None:
        factor = "on"
    elif totp is not None and (secret := totp.plain(account.account_id, state["settings"])):
        factor = "pending"
    new_codes = web.recovery_cookie.read(request, account)
    response = web.page(
        request,
        "account.html",
        done=DONE.get(request.query_params.get("done", "")) if "refusal" not in state else None,
        # The form that a refusal is about.
        form=request.query_params.get("form", "") if "refusal" in state else "",
        zones=time_zones.choices(account.time_zone, now),
        emails=await preference.preferences(pool, account.account_id),
        kinds=NOTIFICATIONS,
        sessions=await session.list_of(pool, account.account_id, now=now),
        removed_roles=await role.removed(pool, account.account_id),
        factor=factor,
        secret=secret or "",
        qr_code=second_factor.qr_code(second_factor.uri(secret, account.email)) if secret else "",
        new_codes=new_codes,
        codes_left=await recovery_code.remaining(pool, account.account_id),
        max_codes=recovery_code.COUNT,
        example=formatting.wall_clock("15:30"),
    )
    if new_codes:
        web.recovery_cookie.clear(request, response)
    return response
