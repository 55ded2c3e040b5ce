"""The e-mail address of an account: confirming it, and changing it. Mail to an address that is not
confirmed is withheld (app/notifications), so that nobody can have mail sent to strangers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app import refusal
from app.accounts import mail, password, token
from app.accounts.session import SignedIn
from app.accounts.token import Token
from app.db import Db, Pool, Tx, transact
from app.settings import Settings
from app.statements import statement


@dataclass(frozen=True)
class Credentials:
    id: UUID
    email: str
    full_name: str
    password_hash: str
    is_verified: bool


_credentials_of = statement("credentials_of", Credentials)
_verify_account = statement("verify_account", UUID)
_verify_addresses = statement("verify_addresses", UUID)
_release_withheld = statement("release_withheld", int)
_change_email = statement("change_email", UUID)
_is_email_taken = statement("is_email_taken", bool)


async def credentials_of(db: Db, account_id: UUID) -> Credentials | None:
    return await _credentials_of.first(db, account_id=account_id)


async def request_verification(db: Pool | Tx, account_id: UUID, *, now: datetime) -> None:
    """Sends the mail that asks to confirm the account's address."""
    await mail.send(db, "verification", account_id, now=now)


async def confirm(pool: Pool, text: str, settings: Settings, *, now: datetime) -> Token:
    """Confirms the address of the token of a mail: the account's own, or its new one. Mail that was
    withheld follows. A second time changes nothing. Raises TokenInvalid, TokenExpired, EmailTaken."""
    confirmation = token.read(settings, ("verification", "email_change"), text, now=now)
    if confirmation.purpose == "email_change":
        await _change(pool, confirmation, settings, now=now)
        return confirmation

    async def write(tx: Tx) -> None:
        account_id = await _verify_account.first(
            tx, account_id=confirmation.account_id, email=confirmation.email, now=now
        )
        if account_id is None:
            raise token.TokenInvalid(field="token")
        await _release_withheld.run(tx, account_ids=[account_id], now=now)

    await transact(pool, write)
    return confirmation


async def verify(pool: Pool, emails: Sequence[str], *, now: datetime) -> int:
    """Confirms these addresses without mails. Returns the number of accounts that have one."""

    async def write(tx: Tx) -> int:
        account_ids = await _verify_addresses.all(tx, emails=list(emails), now=now)
        await _release_withheld.run(tx, account_ids=account_ids, now=now)
        return len(account_ids)

    return await transact(pool, write)


async def request_change(
    pool: Pool, account: SignedIn, *, email: str, plain_password: str, now: datetime
) -> None:
    """Sends a mail to the new address, whose link makes it the account's. Raises ValidationError
    for a wrong password, and EmailTaken."""
    credentials = await credentials_of(pool, account.account_id)
    if credentials is None:
        raise refusal.NotSignedIn
    await password.check_own(plain_password, credentials.password_hash)
    if await _is_email_taken.one(pool, email=email):
        raise refusal.EmailTaken
    await mail.send(pool, "email_change", account.account_id, address=email, now=now)


async def _change(pool: Pool, confirmation: Token, settings: Settings, *, now: datetime) -> None:
    async def write(tx: Tx) -> None:
        before = await credentials_of(tx, confirmation.account_id)
        if before is not None and before.email == confirmation.email:
            return  # the link was opened twice
        token.check_binding(settings, confirmation, before.email if before else None)
        assert before is not None
        changed = await _change_email.first(
            tx, account_id=before.id, email=confirmation.email, before=before.email, now=now
        )
        if changed is None:
            raise token.TokenInvalid(field="token")
        await _release_withheld.run(tx, account_ids=[before.id], now=now)
        if before.is_verified:
            await mail.send(tx, "email_changed", before.id, address=before.email, now=now)

    await transact(pool, write)
