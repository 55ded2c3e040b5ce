"""`/login` and `/register`. Their forms post to the API."""

from typing import Any

from starlette.responses import RedirectResponse, Response

from app import web
from app.accounts.session import SignedIn
from app.web import Request


@web.visitor
async def login(request: Request, account: SignedIn | None) -> Response:
    return _form(request, account, "login.html")


@web.visitor
async def register(request: Request, account: SignedIn | None) -> Response:
    role = "instructor" if request.query_params.get("role") == "instructor" else "student"
    return _form(request, account, "register.html", default_role=role)


def _form(request: Request, account: SignedIn | None, template: str, **context: Any) -> Response:
    """The form, or a redirect if the visitor is already signed in. An empty `next` means the
    account's start page."""
    next_page = web.local_path(request.query_params.get("next"), "")
    state: web.PerRequest = request.scope["state"]
    if account is not None and "refusal" not in state:
        start_page = "/teach" if "instructor" in account.roles else "/"
        return RedirectResponse(next_page or start_page, 303)
    return web.page(request, template, next=next_page, **context)
