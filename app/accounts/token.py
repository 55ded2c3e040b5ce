"""Signed tokens: the links of mails, and the cookie of a known device. Each says what it permits,
for whom and until when. A link is bound to a value that its use changes, so it works once."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from itsdangerous import BadSignature, URLSafeSerializer

from app import refusal
from app.keyed_hash import keyed_hash
from app.settings import Settings

Purpose = Literal["verification", "email_change", "password_reset", "second_step"]
# How long a token is valid. `second_step` stands for a correct password until the code follows.
LIFE: dict[Purpose, timedelta] = {
    "verification": timedelta(days=3),
    "email_change": timedelta(days=1),
    "password_reset": timedelta(hours=1),
    "second_step": timedelta(minutes=10),
}
_MAX_TOKEN = 2000


class TokenExpired(refusal.ValidationError):
    """This link has expired. Ask for a new one."""


class TokenInvalid(refusal.ValidationError):
    """This link doesn’t work. It may be incomplete, or it has been used already."""


@dataclass(frozen=True)
class Token:
    """`email` is the address that the token is about."""

    purpose: Purpose
    account_id: UUID
    email: str
    binding: str


def issue(
    settings: Settings,
    purpose: Purpose,
    account_id: UUID,
    *,
    email: str,
    bound_to: str,
    now: datetime,
) -> str:
    """A token that works until the value `bound_to` changes, and for LIFE."""
    expires_at = int((now + LIFE[purpose]).timestamp())
    payload = [str(account_id), email, keyed_hash(settings, bound_to), expires_at]
    return str(_serializer(settings, purpose).dumps(payload))


def read(settings: Settings, purposes: tuple[Purpose, ...], text: str, *, now: datetime) -> Token:
    """Raises TokenInvalid and TokenExpired, with the field `token`."""
    for purpose in purposes:
        try:
            account_id, email, binding, expires_at = _serializer(settings, purpose).loads(
                text[:_MAX_TOKEN]
            )
        except (BadSignature, ValueError):
            continue
        if now.timestamp() >= expires_at:
            raise TokenExpired(field="token")
        return Token(purpose, UUID(account_id), email, binding)
    raise TokenInvalid(field="token")


def credentials(email: str, password_hash: str) -> str:
    """The value to which links that change an address or a password are bound. A change of either
    ends them all, such as those that a thief of the password has requested."""
    return f"{email} {password_hash}"


def check_binding(settings: Settings, token: Token, value: str | None) -> None:
    """Raises TokenInvalid unless the token is bound to this value."""
    if value is None or not hmac.compare_digest(token.binding, keyed_hash(settings, value)):
        raise TokenInvalid(field="token")


def _serializer(settings: Settings, purpose: str) -> URLSafeSerializer:
    return URLSafeSerializer(
        settings.secret_key.get_secret_value(),
        salt=f"token {purpose}",
        signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
    )
