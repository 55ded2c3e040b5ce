"""The second factor: time-based one-time passwords (RFC 6238) from an app on the user's phone, or
a recovery code. The secret that the app shares is stored encrypted."""

import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import pyotp
import segno
import structlog

from app import encryption, refusal
from app.accounts import recovery_code
from app.accounts.session import SignedIn
from app.db import Db, Pool
from app.settings import Settings
from app.statements import statement

log = structlog.get_logger("accounts")

ISSUER = "InstaInstru"
STEP_SECONDS = 30
# The length of a code of the app: six digits, perhaps with a space. Recovery codes are longer.
MAX_CODE = 7
# Steps before and after the current one whose codes are accepted, because clocks differ.
_TOLERANCE = 1
_PURPOSE = "second factor"


Factor = Literal["none", "app", "recovery code"]


@dataclass(frozen=True)
class Totp:
    """An account's second factor. `secret` is encrypted; `plain` decrypts it."""

    secret: str
    confirmed_at: datetime | None

    def plain(self, account_id: UUID, settings: Settings) -> str | None:
        """The decrypted secret; None if it was encrypted with another SECRET_KEY."""
        if not self.secret.startswith(encryption.PREFIX):
            return self.secret  # of an earlier release; encrypt_stored replaces it
        try:
            return encryption.decrypt(settings, _PURPOSE, self.secret, context=str(account_id))
        except encryption.UndecryptableError:
            log.warning("second_factor_unreadable", account=str(account_id))
            return None


@dataclass(frozen=True)
class _PlainTotp:
    account_id: UUID
    secret: str


_totp_of = statement("totp_of", Totp)
_start_totp = statement("start_totp", UUID)
_use_totp_step = statement("use_totp_step", UUID)
_delete_totp = statement("delete_totp", UUID)
_plain_totps = statement("plain_totps", _PlainTotp)
_encrypt_totp = statement("encrypt_totp", UUID)


async def totp_of(db: Db, account_id: UUID) -> Totp | None:
    """The account's second factor, which takes effect once it is confirmed; None without one."""
    return await _totp_of.first(db, account_id=account_id)


async def start(pool: Pool, account: SignedIn, settings: Settings) -> str:
    """Stores and returns a new secret, which a first code must confirm. Raises WrongState if the
    second factor is on."""
    secret = pyotp.random_base32()
    stored = _encrypted(account.account_id, secret, settings)
    if await _start_totp.first(pool, account_id=account.account_id, secret=stored) is None:
        raise refusal.WrongState("Your second factor is on already. Turn it off first.", state="on")
    return secret


async def confirm(
    pool: Pool, account_id: UUID, code: str, settings: Settings, *, now: datetime
) -> None:
    """Turns the factor on with a first code. Raises ValidationError and WrongState."""
    totp = await totp_of(pool, account_id)
    if totp is None or totp.confirmed_at is not None:
        state = "off" if totp is None else "on"
        raise refusal.WrongState("There is no second factor to confirm.", state=state)
    if not await _use(pool, account_id, totp, code, settings, now=now):
        raise refusal.ValidationError("That code isn’t right. Enter the newest one.", field="code")


async def check(
    pool: Pool, account_id: UUID, code: str | None, settings: Settings, *, now: datetime
) -> Factor:
    """Checks the code of a sign-in, if the account has a confirmed factor, and returns its kind.
    Each code works once. Raises CodeRequired."""
    totp = await totp_of(pool, account_id)
    if totp is None or totp.confirmed_at is None:
        return "none"
    if not code:
        raise refusal.CodeRequired
    if await _use(pool, account_id, totp, code, settings, now=now):
        return "app"
    if await recovery_code.use(pool, account_id, code, now=now):
        return "recovery code"
    if len(code) > MAX_CODE:
        raise refusal.CodeRequired("That code isn’t right. A recovery code works only once.")
    raise refusal.CodeRequired("That code isn’t right. Enter the newest one from your app.")


async def encrypt_stored(pool: Pool, settings: Settings) -> None:
    """Encrypts the secrets that earlier releases stored unencrypted."""
    while totps := await _plain_totps.all(pool, prefix=encryption.PREFIX):
        for totp in totps:
            encrypted = _encrypted(totp.account_id, totp.secret, settings)
            await _encrypt_totp.run(
                pool, account_id=totp.account_id, secret=totp.secret, encrypted=encrypted
            )
        log.info("second_factors_encrypted", number=len(totps))


async def turn_off(db: Pool, account_id: UUID) -> bool:
    """Removes the second factor. False if there is none."""
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


def _encrypted(account_id: UUID, secret: str, settings: Settings) -> str:
    return encryption.encrypt(settings, _PURPOSE, secret, context=str(account_id))


async def _use(
    pool: Pool, account_id: UUID, totp: Totp, code: str, settings: Settings, *, now: datetime
) -> bool:
    secret = totp.plain(account_id, settings)
    if secret is None:
        return False
    digits = code.replace(" ", "")
    generator = pyotp.TOTP(secret, interval=STEP_SECONDS)
    current = int(now.timestamp()) // STEP_SECONDS
    for step in range(current - _TOLERANCE, current + _TOLERANCE + 1):
        if hmac.compare_digest(generator.generate_otp(step).encode(), digits.encode()):
            used = await _use_totp_step.first(
                pool, account_id=account_id, secret=totp.secret, step=step, now=now
            )
            return used is not None
    return False
