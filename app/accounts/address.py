"""The e-mail address of an account: confirming it, and changing it. Mail to an address that is not
confirmed is withheld (app/notifications), so that nobody can have mail sent to strangers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app import refusal
from app.accounts import mail, password, token
from app.accounts.credentials import Credentials, credentials_of
from app.accounts.session import SignedIn
from app.accounts.token import Token
from app.db import Db, Pool, Tx, transact
from app.settings import Settings
from app.statements import statement


@dataclass(frozen=True)
class Link:
    """A link that confirms an address, and its account, read together."""

    token: Token
    account: Credentials

    @property
    def changes_address(self) -> bool:
        return self.account.email != self.token.email

    @property
    def is_confirmed(self) -> bool:
        """Whether the link has been used already."""
        return self.account.is_verified and not self.changes_address


_verify_account = statement("verify_account", UUID)
_verify_addresses = statement("verify_addresses", UUID)
_release_withheld = statement("release_withheld", int)
_change_email = statement("change_email", UUID)
_is_email_taken = statement("is_email_taken", bool)


async def request_verification(db: Pool | Tx, account_id: UUID, *, now: datetime) -> None:
    """Sends the mail that asks to confirm the account's address."""
    await mail.send(db, "verification", account_id, now=now)


async def check(db: Db, text: str, settings: Settings, *, now: datetime) -> Link:
    """The link, if it still works. Raises TokenInvalid, TokenExpired, EmailTaken."""
    confirmation = token.read(settings, ("verification", "email_change"), text, now=now)
    stored = await credentials_of(db, confirmation.account_id)
    if stored is None:
        raise token.TokenInvalid(field="token")
    link = Link(confirmation, stored)
    if link.changes_address:
        if confirmation.purpose == "verification":
            raise token.TokenInvalid(field="token")
        token.check_binding(settings, confirmation, stored.binding)
        if await _is_email_taken.one(db, email=confirmation.email):
            raise refusal.EmailTaken
    return link


async def confirm(pool: Pool, text: str, settings: Settings, *, now: datetime) -> Token:
    """Confirms the address in a mail's token: the account's own, or its new one. Then withheld mail
    is sent. A second time changes nothing. Raises TokenInvalid, TokenExpired,
    EmailTaken."""

    async def write(tx: Tx) -> Token:
        link = await check(tx, text, settings, now=now)
        if not link.is_confirmed:
            await _confirm(tx, link, now=now)
            await _release_withheld.run(tx, account_ids=[link.token.account_id], now=now)
        return link.token

    return await transact(pool, write)


async def verify(pool: Pool, emails: Sequence[str], *, now: datetime) -> int:
    """Marks these addresses as confirmed, without mails. Returns the number of accounts."""

    async def write(tx: Tx) -> int:
        account_ids = await _verify_addresses.all(tx, emails=list(emails), now=now)
        await _release_withheld.run(tx, account_ids=account_ids, now=now)
        return len(account_ids)

    return await transact(pool, write)


async def check_change(pool: Pool, account: SignedIn, *, email: str, plain_password: str) -> None:
    """Raises ValidationError for a wrong password, and EmailTaken."""
    credentials = await credentials_of(pool, account.account_id)
    if credentials is None:
        raise refusal.NotSignedIn
    await password.check_own(plain_password, credentials.password_hash)
    if await _is_email_taken.one(pool, email=email):
        raise refusal.EmailTaken


async def request_change(pool: Pool, account: SignedIn, *, email: str, now: datetime) -> None:
    """Sends a mail to the new address, whose link makes it the account's."""
    await mail.send(pool, "email_change", account.account_id, address=email, now=now)


async def _confirm(tx: Tx, link: Link, *, now: datetime) -> None:
    account = link.account
    if link.changes_address:
        confirmed = await _change_email.first(
            tx,
            account_id=account.id,
            email=link.token.email,
            before=account.email,
            password_hash=account.password_hash,
            now=now,
        )
        if account.is_verified:
            await mail.send(tx, "email_changed", account.id, address=account.email, now=now)
    else:
        confirmed = await _verify_account.first(
            tx, account_id=account.id, email=account.email, now=now
        )
    if confirmed is None:  # another request has changed the account meanwhile
        raise token.TokenInvalid(field="token")
