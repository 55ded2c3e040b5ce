"""Recovery codes between the form that creates them and the page that shows them once. No plain
code is stored, so an encrypted cookie carries them."""

from collections.abc import Sequence

from starlette.responses import Response

from app import encryption
from app.accounts.session import SignedIn
from app.web.auth import cookie_options
from app.web.state import Request

COOKIE = "recovery_codes"
# Time for the redirect to arrive.
_SECONDS = 300
_PURPOSE = "recovery codes"


def set_codes(
    request: Request, response: Response, account: SignedIn, codes: Sequence[str]
) -> None:
    """Sets the cookie, which only this session can read."""
    value = encryption.encrypt(
        request.state["settings"], _PURPOSE, " ".join(codes), context=str(account.session_id)
    )
    response.set_cookie(COOKIE, value, _SECONDS, **cookie_options(request))


def read(request: Request, account: SignedIn) -> list[str]:
    """The new codes, if there are any."""
    value = request.cookies.get(COOKIE, "")
    try:
        text = encryption.decrypt(
            request.state["settings"], _PURPOSE, value, context=str(account.session_id)
        )
    except encryption.UndecryptableError:
        return []
    return text.split()


def clear(request: Request, response: Response) -> None:
    """Deletes the cookie, since the page shows the codes."""
    response.delete_cookie(COOKIE, **cookie_options(request))
