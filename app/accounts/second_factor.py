"""The second factor: time-based one-time passwords (RFC 6238) from an app on the person's phone."""

import hmac
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import pyotp
import segno

from app import refusal
from app.accounts.session import SignedIn
from app.db import Db, Pool
from app.statements import statement

ISSUER = "InstaInstru"
STEP_SECONDS = 30
# Steps before and after the present one whose codes are accepted: clocks differ.
_TOLERANCE = 1


@dataclass(frozen=True)
class Totp:
    secret: str
    confirmed_at: datetime | None


_totp_of = statement("totp_of", Totp)
_start_totp = statement("start_totp", UUID)
_use_totp_step = statement("use_totp_step", UUID)
_delete_totp = statement("delete_totp", UUID)


async def totp_of(db: Db, account_id: UUID) -> Totp | None:
    """The account's secret; it counts once it is confirmed."""
    return await _totp_of.first(db, account_id=account_id)


async def is_on(db: Db, account_id: UUID) -> bool:
    totp = await totp_of(db, account_id)
    return totp is not None and totp.confirmed_at is not None


async def start(pool: Pool, account: SignedIn) -> str:
    """A new secret, to be confirmed by a first code. Raises WrongState if the factor is on."""
    secret = pyotp.random_base32()
    if await _start_totp.first(pool, account_id=account.account_id, secret=secret) is None:
        raise refusal.WrongState("Your second factor is on already. Turn it off first.", state="on")
    return secret


async def confirm(pool: Pool, account_id: UUID, code: str, *, now: datetime) -> None:
    """Turns the factor on with a first code. Raises ValidationError and WrongState."""
    totp = await totp_of(pool, account_id)
    if totp is None or totp.confirmed_at is not None:
        state = "off" if totp is None else "on"
        raise refusal.WrongState("There is no second factor to confirm.", state=state)
    if not await _use(pool, account_id, totp, code, now=now):
        raise refusal.ValidationError("That code isn’t right. Enter the newest one.", field="code")


async def check(pool: Pool, account_id: UUID, code: str | None, *, now: datetime) -> bool:
    """Whether this code completes a sign-in; without a confirmed factor, none is needed. A code
    works once. Raises CodeRequired without a code."""
    totp = await totp_of(pool, account_id)
    if totp is None or totp.confirmed_at is None:
        return True
    if not code:
        raise refusal.CodeRequired
    return await _use(pool, account_id, totp, code, now=now)


async def turn_off(db: Pool, account_id: UUID) -> bool:
    """Whether there was one."""
    return await _delete_totp.first(db, account_id=account_id) is not None


def uri(secret: str, email: str) -> str:
    """The address that authenticator apps read from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER)


def qr_code(uri: str) -> str:
    """The address as an inline SVG, which needs no styles."""
    return str(
        segno.make(uri, error="m").svg_inline(
            scale=4, border=2, dark="#000", light="#fff", svgclass="qr", lineclass=None
        )
    )


async def _use(pool: Pool, account_id: UUID, totp: Totp, code: str, *, now: datetime) -> bool:
    digits = code.replace(" ", "")
    generator = pyotp.TOTP(totp.secret, interval=STEP_SECONDS)
    present = int(now.timestamp()) // STEP_SECONDS
    for step in range(present - _TOLERANCE, present + _TOLERANCE + 1):
        if hmac.compare_digest(generator.generate_otp(step).encode(), digits.encode()):
            used = await _use_totp_step.first(
                pool, account_id=account_id, secret=totp.secret, step=step, now=now
            )
            return used is not None
    return False
