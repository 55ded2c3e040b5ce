"""The pages that let someone in: `/login` and `/register`. Their forms post to the API."""

from typing import Any

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from app import web
from app.accounts.session import SignedIn
from app.web import Request


@web.visitor
async def login(request: Request, account: SignedIn | None) -> Response:
    return _door(request, account, "login.html")


@web.visitor
async def register(request: Request, account: SignedIn | None) -> Response:
    wanted = "instructor" if request.query_params.get("role") == "instructor" else "student"
    return _door(request, account, "register.html", role_wanted=wanted)


def _door(request: Request, account: SignedIn | None, template: str, **context: Any) -> Response:
    """The form, or the way on for someone who is in already. `next` is empty where the account's own start page is meant."""
    wanted = web.local_path(request.query_params.get("next"), "")
    state: web.PerRequest = request.scope["state"]
    if account is not None and "refused" not in state:
        return RedirectResponse(wanted or ("/teach" if "instructor" in account.roles else "/"), 303)
    return web.page(request, template, next=wanted, **context)


routes = [
    Route("/login", login, methods=["GET"]),
    Route("/register", register, methods=["GET"]),
]
