"""`/dev/mail`: the mails that a site without an SMTP server would have sent. In `int` only."""

from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response

from app import refusal, web
from app.accounts.session import SignedIn
from app.statements import statement

LIMIT = 100


@dataclass(frozen=True, slots=True)
class DevMailRow:
    """A mail in the list."""

    id: int
    created_at: datetime
    recipient: str
    subject: str
    has_calendar: bool


@dataclass(frozen=True, slots=True)
class DevMail:
    id: int
    created_at: datetime
    sender: str
    recipient: str
    subject: str
    body_text: str
    body_html: str
    calendar: str | None


_dev_mails = statement("dev_mails", DevMailRow)
_dev_mail = statement("dev_mail", DevMail)

# A mail contains its own styles. It runs no scripts, and only our own pages may frame it.
_MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox"
)


@web.visitor
async def inbox(request: web.Request, _: SignedIn | None) -> Response:
    _require_int(request)
    mails = await _dev_mails.all(request.state["pool"], limit=LIMIT)
    has_smtp = bool(request.state["settings"].smtp_url.get_secret_value())
    return web.page(request, "dev_mail.html", mails=mails, limit=LIMIT, has_smtp=has_smtp)


@web.visitor
async def mail(request: web.Request, _: SignedIn | None) -> Response:
    return web.page(request, "dev_mail_opened.html", mail=await _mail(request))


@web.visitor
async def html(request: web.Request, _: SignedIn | None) -> Response:
    """The mail's own HTML, for the frame of its page."""
    headers = {
        "Content-Security-Policy": _MAIL_POLICY,
        "X-Frame-Options": "SAMEORIGIN",
        "Cache-Control": "no-store",
    }
    row = await _mail(request)
    return Response(row.body_html, headers=headers, media_type="text/html")


@web.visitor
async def calendar(request: web.Request, _: SignedIn | None) -> Response:
    """The calendar file attached to the mail."""
    row = await _mail(request)
    if row.calendar is None:
        raise refusal.NotFound
    headers = {
        "Content-Disposition": f'attachment; filename="lesson-{row.id}.ics"',
        "Cache-Control": "no-store",
    }
    return Response(row.calendar, headers=headers, media_type="text/calendar")


def _require_int(request: web.Request) -> None:
    if request.state["settings"].site_mode != "int":
        raise refusal.NotFound


async def _mail(request: web.Request) -> DevMail:
    """The mail whose id is in the path. Raises NotFound."""
    _require_int(request)
    number = request.path_params["id"]
    row = await _dev_mail.first(request.state["pool"], id=int(number)) if _is_id(number) else None
    if row is None:
        raise refusal.NotFound
    return row


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18
