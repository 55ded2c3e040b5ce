"""Accounts: registration, sign-in by password, and the JSON of an account."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal
from uuid import UUID
from zoneinfo import available_timezones

from email_validator import EmailNotValidError, validate_email

from app import refusal
from app.accounts import demo_accounts, password, session
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
_insert_welcome = statement("insert_welcome", int)
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
    """Creates an account, signs it in and returns the session token. An instructor also gets an
    active profile and an empty calendar. Raises ValidationError for an unknown time zone,
    EmailTaken, Unavailable."""
    await check_zone(pool, time_zone)
    password_hash = await password.make_hash(plain_password)

    async def write(tx: Tx) -> str:
        account_id = await insert(
            tx,
            email=email,
            password_hash=password_hash,
            full_name=full_name,
            role=role,
            time_zone=time_zone,
        )
        await _insert_welcome.run(tx, account_id=account_id, now=now)
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
    """Inserts the account with the rows of its role and returns its id. Raises EmailTaken."""
    return await _insert_account.one(
        db,
        email=email,
        password_hash=password_hash,
        full_name=full_name,
        role=role,
        time_zone=time_zone,
    )


async def sign_in(
    pool: Pool, *, email: str, plain_password: str, settings: Settings, now: datetime
) -> str:
    """A session token. Raises Unavailable, and SignInFailed, which does not reveal whether the
    account exists; neither does its duration."""
    secret = await _secret_by_email.first(pool, email=email)
    password_hash = secret.password_hash if secret else None
    if not await password.verify(plain_password, password_hash) or secret is None:
        raise refusal.SignInFailed
    if demo_accounts.is_refused(email, settings):
        raise refusal.SignInFailed
    if password.needs_rehash(secret.password_hash):
        new_hash = await password.make_hash(plain_password)
        await _replace_password_hash.run(
            pool, account_id=secret.id, before=secret.password_hash, after=new_hash
        )
    return await session.open(pool, secret.id, settings, now=now)


async def check_zone(db: Db, time_zone: str) -> None:
    """Raises ValidationError unless both Postgres and Python have a zone of exactly this name."""
    if time_zone not in _zones() or not await _is_zone.one(db, time_zone=time_zone):
        raise refusal.ValidationError(
            "That isn’t a time zone. Use one like America/New_York.", field="time_zone"
        )


def email_address(text: str) -> str:
    """The normalized address. Raises ValueError with a sentence. Makes no DNS queries."""
    try:
        address = validate_email(
            text, check_deliverability=False, allow_smtputf8=False, test_environment=True
        )
    except EmailNotValidError as error:
        raise ValueError(f"We can’t send mail to this address. {error}") from None
    return address.normalized


def as_json(account: SignedIn) -> dict[str, Any]:
    """The account in the API's JSON (docs/api.md)."""
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
    return available_timezones() - {"Factory"}  # a placeholder that browsers reject
