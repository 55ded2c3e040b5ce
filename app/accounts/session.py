"""Sessions of accounts on devices. The token is a signed session id; expiry and revocation are in
the row, so every process sees them at once."""

import base64
import binascii
import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal, cast
from uuid import UUID

from itsdangerous import BadSignature, Signer

from app import gate
from app.accounts import demo_accounts
from app.batch_loader import BatchLoader
from app.db import Db, Pool, Tx, transact
from app.settings import Settings, SettingsError
from app.statements import statement

LIFE = timedelta(days=7)
# A session in use is renewed to its full life, at most once a day, and ends after MAX_LIFE.
RENEW_AFTER = timedelta(days=1)
MAX_LIFE = timedelta(days=90)
# The precision of `last_used_at`: most requests write nothing.
USE_PRECISION = timedelta(hours=1)
# Open sessions per account. One more ends the oldest.
MAX_SESSIONS = 20
_UNLIMITED = 2**31
_MAX_TOKEN = 200

# Denied to admins on `prod` without a second factor.
ADMIN_PERMISSIONS = frozenset(
    {
        "view_accounts",
        "manage_accounts",
        "manage_roles",
        "view_all_bookings",
        "manage_all_bookings",
        "view_system_analytics",
        "view_monitoring",
    }
)

# The permissions of each combination of roles. Only a migration changes what a role permits, so a
# process reads it once. (Which roles an account has is read for every request.)
_permissions: dict[frozenset[str], frozenset[str]] = {}


@dataclass(frozen=True)
class SignedIn:
    """The account behind a request, with its permissions."""

    session_id: UUID
    account_id: UUID
    email: str
    full_name: str
    time_zone: str
    clock: Literal["12", "24"]  # hours
    is_verified: bool  # whether the account has confirmed its e-mail address
    roles: frozenset[str]
    permissions: frozenset[str]
    renewed: bool = False  # whether the response should renew the cookie
    lacks_second_factor: bool = False  # an admin on `prod`; has no ADMIN_PERMISSIONS


@dataclass(frozen=True)
class Session:
    """One signed-in device of an account, such as "Firefox on Windows"."""

    id: UUID
    created_at: datetime
    expires_at: datetime
    device: str
    last_used_at: datetime


@dataclass(frozen=True)
class _SessionRow:
    session_id: UUID
    account_id: UUID
    email: str
    full_name: str
    time_zone: str
    clock: Literal["12", "24"]
    is_verified: bool
    roles: list[str]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime


@dataclass(frozen=True)
class _EndedSession:
    id: UUID
    reason: str


@dataclass(frozen=True)
class _Roles:
    account_id: UUID
    roles: list[str]


_open_sessions = BatchLoader(
    statement("open_sessions", _SessionRow), key_of=lambda row: row.session_id
)
_permissions_of_roles = statement("permissions_of_roles", str)
_roles_of_accounts = statement("roles_of_accounts", _Roles)
_insert_session = statement("insert_session", UUID)
_lock_account = statement("lock_account", UUID)
_has_second_factor = statement("has_second_factor", bool)
_use_session = statement("use_session", UUID)
_revoke_session = statement("revoke_session", UUID)
_revoke_session_of = statement("revoke_session_of", UUID)
_revoke_sessions = statement("revoke_sessions", UUID)
_sessions_of_account = statement("sessions_of_account", Session)
_ended_sessions = statement("ended_sessions", _EndedSession)


async def authenticate(
    db: Db, token: str | None, settings: Settings, *, now: datetime
) -> SignedIn | None:
    """The account of a token, or None if the token is missing, forged, expired or revoked. One
    round trip, and a second one on the first use of each hour, to renew the session."""
    session_id = _session_id(token, settings) if token else None
    if session_id is None:
        return None
    row = await _open_sessions.first(db, session_id)
    if row is None or row.expires_at <= now or demo_accounts.is_refused(row.email, settings):
        return None
    expires_at, latest = row.expires_at, row.created_at + MAX_LIFE
    renewed = expires_at < min(now + LIFE - RENEW_AFTER, latest)
    if renewed:
        expires_at = min(now + LIFE, latest)
    if renewed or row.last_used_at < now - USE_PRECISION:
        await _use_session.run(db, session_id=session_id, expires_at=expires_at, now=now)
    roles = frozenset(row.roles)
    permissions = await _permissions_of(db, roles)
    lacks_second_factor = False
    if settings.site_mode == "prod" and "admin" in roles:
        lacks_second_factor = not await _has_second_factor.one(db, account_id=row.account_id)
    return SignedIn(
        session_id,
        row.account_id,
        row.email,
        row.full_name,
        row.time_zone,
        row.clock,
        row.is_verified,
        roles,
        permissions - ADMIN_PERMISSIONS if lacks_second_factor else permissions,
        renewed,
        lacks_second_factor,
    )


async def _permissions_of(db: Db, roles: frozenset[str]) -> frozenset[str]:
    permissions = _permissions.get(roles)
    if permissions is None:
        names = await _permissions_of_roles.all(db, roles=sorted(roles))
        permissions = _permissions[roles] = frozenset(names)
    return permissions


async def open(  # noqa: A001 — read as session.open(…)
    db: Pool | Tx,
    account_id: UUID,
    settings: Settings,
    *,
    now: datetime,
    device: str = "",
    previous_id: UUID | None = None,
) -> str:
    """Starts a session of the account and returns its token. Ends the account's oldest session if
    it has MAX_SESSIONS, and the session `previous_id`, which this one replaces."""

    async def write(tx: Tx) -> UUID:
        await _lock_account.run(tx, account_id=account_id)
        return await _insert_session.one(
            tx,
            account_id=account_id,
            now=now,
            expires_at=now + LIFE,
            device=device,
            previous_id=previous_id,
            max_sessions=MAX_SESSIONS if settings.rate_limits == "on" else _UNLIMITED,
        )

    if isinstance(db, Pool):  # type: ignore[misc]  # only asyncpg's stubs make it generic
        async with gate.writer(db, None, student=account_id):
            session_id = await transact(db, write)
    else:
        session_id = await write(db)
    return _signer(settings.secret_key.get_secret_value()).sign(_encode(session_id)).decode()


async def list_of(
    db: Db,
    account_id: UUID,
    *,
    now: datetime,
    after: tuple[datetime, UUID] | None = None,
    limit: int = 100,
) -> list[Session]:
    """The account's sessions, newest first. `after`: start and id of the last one before this
    page."""
    created_at, last = after or (None, None)
    return await _sessions_of_account.all(
        db, account_id=account_id, now=now, created_at=created_at, id=last, limit=limit
    )


async def revoke(db: Db, session_id: UUID) -> None:
    """Ends one session. No error if it has ended already."""
    await _revoke_session.run(db, session_id=session_id)


async def revoke_of(db: Db, account_id: UUID, session_id: UUID, *, now: datetime) -> bool:
    """Ends one session of this account; False if the account has no such session."""
    revoked_id = await _revoke_session_of.first(
        db, account_id=account_id, session_id=session_id, now=now
    )
    return revoked_id is not None


async def revoke_all(db: Db, account_id: UUID, *, kept_id: UUID | None = None) -> None:
    """Ends all sessions of the account, except `kept_id`."""
    await _revoke_sessions.run(db, account_id=account_id, kept_id=kept_id)


async def ended(
    db: Db, session_ids: Collection[UUID], *, now: datetime
) -> dict[UUID, Literal["expired", "revoked"]]:
    """Which of these sessions have ended, and why. A deleted session counts as revoked."""
    rows = await _ended_sessions.all(db, session_ids=list(session_ids), now=now)
    return {row.id: cast('Literal["expired", "revoked"]', row.reason) for row in rows}


async def permissions_of_accounts(
    db: Db, account_ids: Collection[UUID]
) -> dict[UUID, frozenset[str]]:
    """The current permissions of each account, as in `SignedIn`, but without looking at second
    factors."""
    permissions = dict.fromkeys(account_ids, frozenset[str]())
    for row in await _roles_of_accounts.all(db, account_ids=list(account_ids)):
        permissions[row.account_id] = await _permissions_of(db, frozenset(row.roles))
    return permissions


@lru_cache(maxsize=4)
def _signer(secret: str) -> Signer:
    if not secret:
        raise SettingsError(
            "SECRET_KEY is empty, so sessions cannot be signed. Give one of at least 32 characters."
        )
    signer = Signer(secret, salt="session", digest_method=hashlib.sha256, key_derivation="hmac")
    # Derive the key once, instead of for every signature.
    return Signer(signer.derive_key(), digest_method=hashlib.sha256, key_derivation="none")


def _encode(session_id: UUID) -> str:
    return base64.urlsafe_b64encode(session_id.bytes).rstrip(b"=").decode()


def _session_id(token: str, settings: Settings) -> UUID | None:
    """The session id in a token, or None if its signature is not ours."""
    if len(token) > _MAX_TOKEN:
        return None
    try:
        text = _signer(settings.secret_key.get_secret_value()).unsign(token.encode())
        return UUID(bytes=base64.urlsafe_b64decode(text + b"=="))
    except (BadSignature, binascii.Error, ValueError):
        return None
