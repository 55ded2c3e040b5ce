"""People: registering, signing in by password, and what an account says about itself."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal
from uuid import UUID
from zoneinfo import available_timezones

from email_validator import EmailNotValidError, validate_email

from app import refusal
from app.accounts import password, session
from app.accounts.session import SignedIn
from app.db import Db, Pool, Tx, transact
from app.settings import Settings
from app.statements import statement

Role = Literal["student", "instructor"]
DEFAULT_ZONE = "America/New_York"


@dataclass(frozen=True)
class _Secret:
    id: UUID
    password_hash: str


_insert_account = statement("insert_account", UUID)
_secret_by_email = statement("secret_by_email", _Secret)
_replace_password_hash = statement("replace_password_hash", UUID)
_is_zone = statement("is_zone", bool)


async def register(
    pool: Pool,
    *,
    email: str,
    plain_password: str,
    full_name: str,
    role: Role,
    time_zone: str,
    settings: Settings,
    now: datetime,
) -> str:
    """Makes an account, for an instructor with an active profile and an empty calendar too, signs it in and returns the token.
    Raises ValidationError for a time zone that does not exist, EmailTaken, Unavailable."""
    await check_zone(pool, time_zone)
    password_hash = await password.hashed(plain_password)

    async def write(tx: Tx) -> str:
        account_id = await insert(
            tx, email=email, password_hash=password_hash, full_name=full_name, role=role, time_zone=time_zone
        )
        return await session.open(tx, account_id, settings, now=now)

    return await transact(pool, write)


async def insert(
    db: Pool | Tx,
    *,
    email: str,
    password_hash: str,
    full_name: str,
    role: Role | Literal["admin"],
    time_zone: str = DEFAULT_ZONE,
) -> UUID:
    """The account itself, with all that belongs to its role. Raises EmailTaken."""
    return await _insert_account.one(
        db, email=email, password_hash=password_hash, full_name=full_name, role=role, time_zone=time_zone
    )


async def sign_in(pool: Pool, *, email: str, plain_password: str, settings: Settings, now: datetime) -> str:
    """A token for the account. Raises SignInFailed, which does not tell (nor does the time it takes) whether there is such an
    account; Unavailable."""
    secret = await _secret_by_email.first(pool, email=email)
    if not await password.verified(plain_password, secret.password_hash if secret else None) or secret is None:
        raise refusal.SignInFailed
    if password.outdated(secret.password_hash):
        fresh = await password.hashed(plain_password)
        await _replace_password_hash.run(pool, account_id=secret.id, before=secret.password_hash, after=fresh)
    return await session.open(pool, secret.id, settings, now=now)


async def check_zone(db: Db, time_zone: str) -> None:
    """Raises ValidationError unless both Postgres and Python know the zone by exactly this name."""
    if time_zone not in _zones() or not await _is_zone.one(db, time_zone=time_zone):
        raise refusal.ValidationError("That isn’t a time zone. Use one like America/New_York.", field="time_zone")


def email_address(text: str) -> str:
    """The address in the form it is kept in. Raises ValueError with a sentence. Nothing is looked up in DNS."""
    try:
        found = validate_email(text, check_deliverability=False, allow_smtputf8=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError(f"We can’t send mail to this address. {error}") from None
    return found.normalized


def as_json(account: SignedIn) -> dict[str, Any]:
    """The contract's `account`."""
    return {
        "id": str(account.account_id),
        "email": account.email,
        "full_name": account.full_name,
        "time_zone": account.time_zone,
        "roles": sorted(account.roles),
        "permissions": sorted(account.permissions),
    }


@cache
def _zones() -> set[str]:
    return available_timezones() - {"Factory"}  # the zone of a clock nobody has set; browsers do not know it
