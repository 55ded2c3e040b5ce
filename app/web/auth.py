"""Authentication and access: a decorator on every handler says who may call it (`may`, `signed_in`,
`visitor`, `public`). It also counts the request for the rate limits of its class, after 401 and 403
and before the handler."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from starlette.requests import HTTPConnection
from starlette.responses import Response

from app import formatting, limits, refusal
from app.accounts import device, session
from app.accounts.session import SignedIn
from app.settings import DEFAULT_PORTS, Settings
from app.web.parsing import SAFE
from app.web.state import Handler, Request

H = TypeVar("H", bound=Callable[..., Awaitable[Response]])


def may(
    *permissions: str,
) -> Callable[[Callable[[Request, SignedIn], Awaitable[Response]]], Handler]:
    """Only accounts with one of these permissions (sql/migrations/0001_people.sql lists them). With
    several, the handler checks which one the request needs."""

    def decorate(handler: Callable[[Request, SignedIn], Awaitable[Response]]) -> Handler:
        @functools.wraps(handler)
        async def checked(request: Request) -> Response:
            account = await _signed_in(request)
            if account.permissions.isdisjoint(permissions):
                if account.lacks_second_factor and session.ADMIN_PERMISSIONS & {*permissions}:
                    raise refusal.SecondFactorMissing
                raise refusal.NotAllowed
            await _count(request, checked, account)
            return _with_renewed_cookie(request, account, await handler(request, account))

        return _access(checked, *permissions)

    return decorate


def signed_in(handler: Callable[[Request, SignedIn], Awaitable[Response]]) -> Handler:
    """Any signed-in account, whatever its roles."""

    @functools.wraps(handler)
    async def checked(request: Request) -> Response:
        account = await _signed_in(request)
        await _count(request, checked, account)
        return _with_renewed_cookie(request, account, await handler(request, account))

    return _access(checked, "signed in")


def visitor(handler: Callable[[Request, SignedIn | None], Awaitable[Response]]) -> Handler:
    """Anyone; the handler gets the account of a signed-in visitor, or None."""

    @functools.wraps(handler)
    async def checked(request: Request) -> Response:
        account = await identify(request)
        await _count(request, checked, account)
        return _with_renewed_cookie(request, account, await handler(request, account))

    return _access(checked, "visitor")


async def identify(request: Request) -> SignedIn | None:
    """The account of a signed-in visitor, or None; pages see it, too."""
    account = await session.authenticate(
        request.state["pool"], token(request), request.state["settings"], now=request.state["now"]()
    )
    _use(request, account)
    return account


def public(handler: Handler) -> Handler:
    """Anyone; the handler gets no account."""

    @functools.wraps(handler)
    async def checked(request: Request) -> Response:
        if vars(checked)["rate_class"] is None and request.method in SAFE:
            request.state["limiter"].count_here("public-read", limits.address(request))
        else:
            await _count(request, checked, None)
        return await handler(request)

    return _access(checked, "public")


def rate_class(name: str) -> Callable[[H], H]:
    """Sets the class of app.limits that counts a handler's requests, if it is not `public-read`,
    `read` or `write`. Goes below the decorator that says who may call it."""

    def decorate(handler: H) -> H:
        vars(handler)["rate_class"] = name
        return handler

    return decorate


def class_of(handler: Handler, method: str, *, has_account: bool) -> str:
    """The class in which a request to this handler is counted."""
    declared: str | None = vars(handler)["rate_class"]
    if declared is not None:
        return declared
    if method not in SAFE:
        return "write"
    return "read" if has_account else "public-read"


def _access(handler: Handler, *levels: str) -> Handler:
    """Marks the handler for the test of every route."""
    vars(handler)["access"] = " or ".join(levels)
    vars(handler).setdefault("rate_class", None)
    return handler


async def _count(request: Request, handler: Handler, account: SignedIn | None) -> None:
    """Raises RateLimited, and PayloadTooLarge."""
    name = class_of(handler, request.method, has_account=account is not None)
    await request.state["limiter"].count(
        name, limits.address(request), account.account_id if account else None
    )
    if request.method not in SAFE:
        await request.body()  # some handlers do not read it


async def _signed_in(request: Request) -> SignedIn:
    account = await session.authenticate(
        request.state["pool"], token(request), request.state["settings"], now=request.state["now"]()
    )
    if account is None:
        request.state["limiter"].count_here("public-read", limits.address(request))
        raise refusal.NotSignedIn
    _use(request, account)
    return account


def _use(request: Request, account: SignedIn | None) -> None:
    """Sets the account of this request. Raises NotAllowed for another site's request."""
    request.state["account"] = account
    formatting.use_clock(account.clock if account else "12")
    _check_same_site(request)


def token(connection: HTTPConnection[Any]) -> str | None:
    """The session token: the bearer token if there is one, else the cookie."""
    from_header = bearer(connection)
    if from_header is not None:
        return from_header
    return connection.cookies.get(connection.state["settings"].session_cookie)


def bearer(connection: HTTPConnection[Any]) -> str | None:
    """The bearer token, if there is one."""
    scheme, _, value = connection.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else None


def set_session_cookie(request: Request, response: Response, session_token: str) -> Response:
    """Sets the session cookie, for as long as an unused session lives."""
    settings = request.state["settings"]
    response.set_cookie(
        settings.session_cookie,
        session_token,
        int(session.LIFE.total_seconds()),
        **cookie_options(request),
    )
    return response


def clear_session_cookie(request: Request, response: Response) -> Response:
    """Deletes the session cookie."""
    settings = request.state["settings"]
    response.delete_cookie(settings.session_cookie, **cookie_options(request))
    return response


def set_device_cookie(request: Request, response: Response, value: str) -> Response:
    """Sets the cookie by which later sign-ins recognize this browser."""
    response.set_cookie(device.COOKIE, value, device.COOKIE_SECONDS, **cookie_options(request))
    return response


def cookie_options(request: Request) -> Any:
    """The options of every cookie."""
    secure = request.state["settings"].secure or request.url.scheme == "https"
    return {"path": "/", "httponly": True, "samesite": "Lax", "secure": secure}


def _with_renewed_cookie(
    request: Request, account: SignedIn | None, response: Response
) -> Response:
    """The response, with a new cookie for a session that this request renewed, unless the handler
    has already set or deleted it."""
    if (
        account is not None
        and account.renewed
        and bearer(request) is None
        and "set-cookie" not in response.headers
    ):
        cookie = request.state["settings"].session_cookie
        set_session_cookie(request, response, request.cookies[cookie])
    return response


def _check_same_site(request: Request) -> None:
    """Refuses a changing request that another site's page may have caused (CSRF)."""
    if request.method in SAFE or bearer(request) is not None:
        return
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        trusted = site in {"same-origin", "none"}
    elif "origin" in request.headers:
        trusted = origin_allowed(request)
    else:
        trusted = request.state["settings"].session_cookie not in request.cookies
    if not trusted:
        raise refusal.NotAllowed("This request came from another site, so it was blocked.")


def origin_allowed(connection: HTTPConnection[Any]) -> bool:
    """Whether the Origin is the request's own (scheme, host and port), or one of
    ALLOWED_ORIGINS."""
    settings = connection.state["settings"]
    origin = connection.headers.get("origin", "")
    return origin in settings.allowed_origins or origin == _own_origin(connection, settings)


def _own_origin(connection: HTTPConnection[Any], settings: Settings) -> str:
    """The origin of the site as this client names it. Where SITE_URL is https, so are all its
    hosts: a proxy that terminates TLS need not say so. (In int, loopback names may differ.)"""
    host = connection.headers.get("host", "").lower()
    scheme = "https" if connection.scope["scheme"] in {"https", "wss"} else "http"
    own = f"https://{host.removesuffix(DEFAULT_PORTS['https'])}"
    if settings.secure and (settings.site_mode != "int" or own == settings.site_url):
        scheme = "https"
    return f"{scheme}://{host.removesuffix(DEFAULT_PORTS[scheme])}"
