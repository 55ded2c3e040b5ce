"""Codes on their way from the form that creates them to the page that shows them, once. They are
stored nowhere, so an encrypted cookie keeps them until then."""

from collections.abc import Sequence

from starlette.responses import Response

from app import encryption
from app.accounts.session import SignedIn
from app.web.auth import cookie_options
from app.web.state import Request

COOKIE = "recovery_codes"
# For the redirect to arrive.
_SECONDS = 300
_PURPOSE = "recovery codes"


def keep(request: Request, response: Response, account: SignedIn, codes: Sequence[str]) -> None:
    """For the session that created them."""
    value = encryption.encrypt(
        request.state["settings"], _PURPOSE, " ".join(codes), context=str(account.session_id)
    )
    response.set_cookie(COOKIE, value, _SECONDS, **cookie_options(request))


def read(request: Request, account: SignedIn) -> list[str]:
    """The codes that this page is to show; none if there are none."""
    value = request.cookies.get(COOKIE, "")
    try:
        text = encryption.decrypt(
            request.state["settings"], _PURPOSE, value, context=str(account.session_id)
        )
    except encryption.UndecryptableError:
        return []
    return text.split()


def forget(request: Request, response: Response) -> None:
    """Once they are shown."""
    response.delete_cookie(COOKIE, **cookie_options(request))
