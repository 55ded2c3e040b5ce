"""/dev/mail: the mails of a site without an SMTP server, so that one can see what people would have got. In `int` only."""

from dataclasses import dataclass
from datetime import datetime

from starlette.responses import Response
from starlette.routing import Route

from app import refusal, web
from app.accounts.session import SignedIn
from app.statements import statement

NEWEST = 100


@dataclass(frozen=True, slots=True)
class DevMailLine:
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


_dev_mails = statement("dev_mails", DevMailLine)
_dev_mail = statement("dev_mail", DevMail)

# A mail brings its own styles and nothing else; it runs nothing, and only our own pages may frame it.
_MAIL_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)


@web.visitor
async def mails(request: web.Request, _: SignedIn | None) -> Response:
    _only_in_int(request)
    kept = await _dev_mails.all(request.state["pool"], limit=NEWEST)
    elsewhere = bool(request.state["settings"].smtp_url.get_secret_value())
    return web.page(request, "dev_mail.html", mails=kept, newest=NEWEST, elsewhere=elsewhere)


@web.visitor
async def mail(request: web.Request, _: SignedIn | None) -> Response:
    return web.page(request, "dev_mail_opened.html", mail=await _opened(request))


@web.visitor
async def mail_html(request: web.Request, _: SignedIn | None) -> Response:
    """The mail's own HTML, for the frame it is shown in."""
    opened = await _opened(request)
    headers = {"Content-Security-Policy": _MAIL_POLICY, "Cache-Control": "no-store"}
    return Response(opened.body_html, headers=headers, media_type="text/html")


@web.visitor
async def mail_calendar(request: web.Request, _: SignedIn | None) -> Response:
    opened = await _opened(request)
    if opened.calendar is None:
        raise refusal.NotFound
    headers = {
        "Content-Disposition": f'attachment; filename="lesson-{opened.id}.ics"',
        "Cache-Control": "no-store",
    }
    return Response(opened.calendar, headers=headers, media_type="text/calendar")


def _only_in_int(request: web.Request) -> None:
    if request.state["settings"].site_mode != "int":
        raise refusal.NotFound


async def _opened(request: web.Request) -> DevMail:
    """The mail the path names. Raises NotFound."""
    _only_in_int(request)
    number = request.path_params["id"]
    found = await _dev_mail.first(request.state["pool"], id=int(number)) if _is_id(number) else None
    if found is None:
        raise refusal.NotFound
    return found


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


routes = [
    Route("/dev/mail", mails),
    Route("/dev/mail/{id}", mail),
    Route("/dev/mail/{id}/html", mail_html),
    Route("/dev/mail/{id}/lesson.ics", mail_calendar),
]
