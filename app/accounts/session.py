"""Sessions: who is signed in, and on which devices. The token is a signed session id; expiry and revocation live in the row,
so that every process sees them at once."""

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

from app.db import Db
from app.settings import Settings, SettingsError
from app.statements import statement

LIFE = timedelta(days=7)
# A session in use gets its full life back, but is written at most once a day.
RENEW_AFTER = timedelta(days=1)
_MAX_TOKEN = 200


@dataclass(frozen=True)
class SignedIn:
    """The account behind a request, and what it may do."""

    session_id: UUID
    account_id: UUID
    email: str
    full_name: str
    time_zone: str
    roles: frozenset[str]
    permissions: frozenset[str]
    renewed: bool = False  # the session has its full life again, so its cookie should have too


@dataclass(frozen=True)
class Session:
    """One device an account is signed in on."""

    id: UUID
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class _Known:
    account_id: UUID
    email: str
    full_name: str
    time_zone: str
    roles: list[str]
    permissions: list[str]
    expires_at: datetime


@dataclass(frozen=True)
class _Dead:
    id: UUID
    reason: str


_session_by_id = statement("session_by_id", _Known)
_insert_session = statement("insert_session", UUID)
_renew_session = statement("renew_session", UUID)
_revoke_session = statement("revoke_session", UUID)
_revoke_session_of = statement("revoke_session_of", UUID)
_revoke_sessions = statement("revoke_sessions", UUID)
_sessions_of_account = statement("sessions_of_account", Session)
_dead_sessions = statement("dead_sessions", _Dead)


async def authenticate(db: Db, token: str | None, settings: Settings, *, now: datetime) -> SignedIn | None:
    """Who a token belongs to: None for one that is missing, forged, expired or revoked. One round trip, and a second one on the
    first use of each day, which renews the session."""
    session_id = _unsigned(token, settings) if token else None
    if session_id is None:
        return None
    known = await _session_by_id.first(db, session_id=session_id, now=now)
    if known is None:
        return None
    renewed = False
    if known.expires_at < now + LIFE - RENEW_AFTER:
        renewed = await _renew_session.first(db, session_id=session_id, expires_at=now + LIFE) is not None
    return SignedIn(
        session_id, known.account_id, known.email, known.full_name, known.time_zone,
        frozenset(known.roles), frozenset(known.permissions), renewed,
    )  # fmt: skip


async def open(db: Db, account_id: UUID, settings: Settings, *, now: datetime) -> str:  # noqa: A001 — session.open(…) reads as meant
    """Signs an account in on one more device and returns the token."""
    session_id = await _insert_session.one(db, account_id=account_id, now=now, expires_at=now + LIFE)
    return _signer(settings.secret_key.get_secret_value()).sign(_text(session_id)).decode()


async def list_of(
    db: Db, account_id: UUID, *, now: datetime, after: tuple[datetime, UUID] | None = None, limit: int = 100
) -> list[Session]:
    """The devices an account is signed in on, the latest first. `after`: start and id of the last one before this page."""
    created_at, last = after or (None, None)
    return await _sessions_of_account.all(db, account_id=account_id, now=now, created_at=created_at, id=last, limit=limit)


async def revoke(db: Db, session_id: UUID) -> None:
    """Signs one device out. No error if it was already."""
    await _revoke_session.run(db, session_id=session_id)


async def revoke_of(db: Db, account_id: UUID, session_id: UUID, *, now: datetime) -> bool:
    """Signs one device of this account out; False if the account has no such session."""
    return await _revoke_session_of.first(db, account_id=account_id, session_id=session_id, now=now) is not None


async def revoke_all(db: Db, account_id: UUID) -> None:
    """Signs an account out everywhere."""
    await _revoke_sessions.run(db, account_id=account_id)


async def dead(db: Db, session_ids: Collection[UUID], *, now: datetime) -> dict[UUID, Literal["expired", "revoked"]]:
    """Those of these sessions that are over, and why. A session that is gone altogether counts as revoked."""
    rows = await _dead_sessions.all(db, session_ids=list(session_ids), now=now)
    return {row.id: cast('Literal["expired", "revoked"]', row.reason) for row in rows}


@lru_cache(maxsize=4)
def _signer(secret: str) -> Signer:
    if not secret:
        raise SettingsError("SECRET_KEY is empty, so sessions cannot be signed. Give one of at least 32 characters.")
    return Signer(secret, salt="session", digest_method=hashlib.sha256, key_derivation="hmac")


def _text(session_id: UUID) -> str:
    return base64.urlsafe_b64encode(session_id.bytes).rstrip(b"=").decode()


def _unsigned(token: str, settings: Settings) -> UUID | None:
    if len(token) > _MAX_TOKEN:
        return None
    try:
        text = _signer(settings.secret_key.get_secret_value()).unsign(token.encode())
        return UUID(bytes=base64.urlsafe_b64decode(text + b"=="))
    except (BadSignature, binascii.Error, ValueError):
        return None
