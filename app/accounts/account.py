"""Accounts: registration, sign-in by password, and the JSON of an account."""

import re
import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from app import gate, refusal
from app.accounts import (
    address,
    demo_accounts,
    mail,
    password,
    second_factor,
    session,
    time_zones,
    token,
)
from app.accounts.second_factor import Factor
from app.accounts.session import SignedIn
from app.db import Db, Pool, Tx, transact
from app.schema import Id, ZoneText
from app.settings import Settings
from app.statements import statement

Role = Literal["student", "instructor"]
Clock = Literal["12", "24"]
DEFAULT_ZONE = "America/New_York"
MAX_NAME = 200
# A scheme, "www.", or a host: "St. John", "J.R. Ode" and "Ann Ode, Ph.D." are names.
_WEB_ADDRESS = re.compile(
    r"://|\bwww\.|\b[\w-]{2,}[.。][^\W\d_]{2,}|\b[\w-][.。](?:com?|io|ly|me|net|org)\b",
    re.IGNORECASE,
)


def _name(text: str) -> str:
    """The name of a person. Raises ValueError for one with a web page's address, too: names are in
    the subjects of mails to others."""
    text = text.strip()
    if not text:
        raise ValueError("Enter your name.")
    if len(text) > MAX_NAME:
        raise ValueError(f"A name has at most {MAX_NAME} characters.")
    if _WEB_ADDRESS.search(unicodedata.normalize("NFKC", text)):
        raise ValueError("A name can’t contain the address of a web page.")
    return text


Name = Annotated[str, AfterValidator(_name), Field(min_length=1, max_length=MAX_NAME)]
Zone = Annotated[str, Field(max_length=100), AfterValidator(time_zones.unambiguous)]


@dataclass(frozen=True)
class Candidate:
    """The account that a sign-in names. `email` is the address as the database compares addresses;
    there may be no such account."""

    email: str
    id: UUID | None
    password_hash: str | None


@dataclass(frozen=True)
class Origin:
    """Where a session is opened: the device, and the browser's session that it replaces."""

    device: str = ""
    previous_id: UUID | None = None


@dataclass(frozen=True)
class _Profile:
    full_name: str
    time_zone: str
    clock: Clock
    version: int | None  # of an instructor's calendar, after a new name


_insert_account = statement("insert_account", UUID)
_candidate = statement("candidate", Candidate)
_change_profile = statement("change_profile", _Profile)
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
    origin: Origin,
    settings: Settings,
    now: datetime,
) -> str:
    """Creates an account, signs it in and returns the session token. A mail asks to confirm its
    address. An instructor also gets an active profile and an empty calendar. The time zone is one
    that check_zone accepts. Raises EmailTaken, Unavailable."""
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
        await address.request_verification(tx, account_id, now=now)
        await mail.send(tx, "welcome", account_id, now=now)
        return await _open_session(tx, account_id, origin, settings, now=now)

    return await transact(pool, write)


async def insert(
    db: Pool | Tx,
    *,
    email: str,
    password_hash: str,
    full_name: str,
    role: Role | Literal["admin"],
    time_zone: str = DEFAULT_ZONE,
    verified_at: datetime | None = None,
) -> UUID:
    """Inserts the account with the rows of its role and returns its id. `verified_at`: when its
    address was confirmed. Raises EmailTaken."""
    return await _insert_account.one(
        db,
        email=email,
        password_hash=password_hash,
        full_name=full_name,
        role=role,
        time_zone=time_zone,
        verified_at=verified_at,
    )


async def candidate(db: Db, email: str) -> Candidate:
    """The account that signs in with this address, if there is one."""
    return await _candidate.one(db, email=email)


async def check_password(
    pool: Pool, candidate: Candidate, plain_password: str, settings: Settings
) -> UUID:
    """The candidate's id. Raises Unavailable, and SignInFailed, which does not reveal whether the
    account exists; neither does its duration."""
    password_hash = candidate.password_hash
    if not await password.verify(plain_password, password_hash) or candidate.id is None:
        raise refusal.SignInFailed
    if demo_accounts.is_refused(candidate.email, settings):
        raise refusal.SignInFailed
    assert password_hash is not None
    if password.needs_rehash(password_hash):
        new_hash = await password.make_hash(plain_password)
        await _replace_password_hash.run(
            pool, account_id=candidate.id, before=password_hash, after=new_hash
        )
    return candidate.id


def second_step(candidate: Candidate, settings: Settings, *, now: datetime) -> str:
    """A token that replaces the password in the form that asks for the code."""
    assert candidate.id is not None
    assert candidate.password_hash is not None
    return token.issue(
        settings,
        "second_step",
        candidate.id,
        email=candidate.email,
        bound_to=candidate.password_hash,
        now=now,
    )


def check_second_step(
    candidate: Candidate, text: str, settings: Settings, *, now: datetime
) -> UUID:
    """The candidate's id. Raises SignInFailed."""
    try:
        step = token.read(settings, ("second_step",), text, now=now)
        token.check_binding(settings, step, candidate.password_hash)
    except refusal.ValidationError:
        raise refusal.SignInFailed("Enter your password again.") from None
    if step.account_id != candidate.id:
        raise refusal.SignInFailed("Enter your password again.")
    return step.account_id


async def sign_in(
    pool: Pool,
    account_id: UUID,
    *,
    code: str | None,
    origin: Origin,
    settings: Settings,
    now: datetime,
) -> tuple[str, Factor]:
    """After a correct password: a session token, and the second factor that was used. Raises
    CodeRequired if the account has one and this is not its code."""
    factor = await second_factor.check(pool, account_id, code, settings, now=now)
    return await _open_session(pool, account_id, origin, settings, now=now), factor


async def _open_session(
    db: Pool | Tx, account_id: UUID, origin: Origin, settings: Settings, *, now: datetime
) -> str:
    return await session.open(
        db,
        account_id,
        settings,
        now=now,
        device=origin.device,
        previous_id=origin.previous_id,
    )


async def change_profile(
    pool: Pool,
    account: SignedIn,
    *,
    full_name: str | None,
    time_zone: str | None,
    clock: Clock | None,
) -> SignedIn:
    """Changes the fields that are not None. Raises ValidationError for an unknown time zone."""
    if time_zone is not None:
        await check_zone(pool, time_zone)
    async with gate.writer(pool, account.account_id):
        profile = await _change_profile.one(
            pool,
            account_id=account.account_id,
            full_name=full_name,
            time_zone=time_zone,
            clock=clock,
        )
    return replace(
        account,
        full_name=profile.full_name,
        time_zone=profile.time_zone,
        clock=profile.clock,
    )


async def check_zone(db: Db, time_zone: str) -> None:
    """Raises ValidationError unless both Postgres and Python have a zone of exactly this name."""
    if time_zone not in time_zones.names() or not await _is_zone.one(db, time_zone=time_zone):
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


class AccountJson(TypedDict):
    id: Id
    email: str
    full_name: str
    time_zone: ZoneText
    clock: Clock
    email_verified: bool
    roles: list[str]
    permissions: list[str]


def as_json(account: SignedIn) -> AccountJson:
    """The account in the API's JSON (docs/api.md)."""
    return {
        "id": str(account.account_id),
        "email": account.email,
        "full_name": account.full_name,
        "time_zone": account.time_zone,
        "clock": account.clock,
        "email_verified": account.is_verified,
        "roles": sorted(account.roles),
        "permissions": sorted(account.permissions),
    }
