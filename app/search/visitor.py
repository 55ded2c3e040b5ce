"""The visitor who searches: an account, or a guest with a signed cookie. A search id contains a
signature of its visitor. So a report about another visitor's search is refused without reading the
database."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from itsdangerous import BadSignature, Signer
from starlette.requests import HTTPConnection
from starlette.responses import Response

from app.accounts.session import SignedIn
from app.settings import Settings
from app.web import Request

COOKIE = "guest"
# As long as a guest's searches are kept (app/privacy/retention.py).
COOKIE_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Visitor:
    """`id`: the account's, or the guest's. `is_new`: the guest has no cookie yet."""

    id: UUID
    is_guest: bool
    is_new: bool = field(default=False, compare=False)


def of(request: Request, account: SignedIn | None) -> Visitor:
    """The account, or the guest of the cookie, or else a new guest."""
    if account is not None:
        return Visitor(account.account_id, is_guest=False)
    guest_id = guest(request)
    return Visitor(guest_id or uuid4(), is_guest=True, is_new=guest_id is None)


def guest(connection: HTTPConnection[Any]) -> UUID | None:
    """The guest in the cookie, even if an account is signed in; None without a valid cookie."""
    value = connection.cookies.get(COOKIE, "")
    if not value or len(value) > 200:
        return None
    try:
        return UUID(_signer(connection.state["settings"]).unsign(value.encode()).decode())
    except (BadSignature, ValueError):
        return None


def remember(request: Request, response: Response, visitor: Visitor) -> Response:
    """Sets or renews a guest's cookie, so that it lasts as long as their newest search."""
    if visitor.is_guest:
        value = _signer(request.state["settings"]).sign(str(visitor.id)).decode()
        response.set_cookie(
            COOKIE,
            value,
            COOKIE_SECONDS,
            path="/",
            httponly=True,
            samesite="lax",
            secure=request.state["settings"].secure or request.url.scheme == "https",
        )
    return response


def new_search_id(visitor: Visitor, settings: Settings) -> UUID:
    """Eight random bytes and a signature of them and the visitor, as a UUID of version 8."""
    return _search_id(secrets.token_bytes(8), visitor.id, settings)


def owns_search(request: Request, visitor: Visitor, search_id: UUID) -> bool:
    """Whether this visitor got this search id, as the account or earlier as a guest."""
    owners = {visitor.id, guest(request)}
    settings = request.state["settings"]
    return any(
        hmac.compare_digest(_search_id(search_id.bytes[:8], owner, settings).bytes, search_id.bytes)
        for owner in owners
        if owner is not None
    )


def _search_id(begin: bytes, visitor_id: UUID, settings: Settings) -> UUID:
    # The high bits of bytes 6 and 8 are the UUID's version (8) and variant (RFC 9562).
    head = begin[:6] + bytes([begin[6] & 0x0F | 0x80]) + begin[7:]
    key = settings.secret_key.get_secret_value().encode()
    tail = hmac.new(key, b"search" + head + visitor_id.bytes, hashlib.sha256).digest()[:8]
    return UUID(bytes=head + bytes([tail[0] & 0x3F | 0x80]) + tail[1:])


def _signer(settings: Settings) -> Signer:
    return Signer(
        settings.secret_key.get_secret_value(), salt="guest", digest_method=hashlib.sha256
    )
