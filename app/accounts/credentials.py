"""An account's credentials, and changing its password: with the current one, or through a link in
a mail."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app import refusal
from app.accounts import mail, password, session, token
from app.accounts.session import SignedIn
from app.db import Db, Pool, Tx, transact
from app.settings import Settings
from app.statements import statement


@dataclass(frozen=True)
class Credentials:
    """The data of an account that signing in and links in mails depend on."""

    id: UUID
    email: str
    full_name: str
    password_hash: str
    is_verified: bool

    @property
    def binding(self) -> str:
        """The value to which links in mails about this account are bound."""
        return token.credentials(self.email, self.password_hash)


_credentials_of = statement("credentials_of", Credentials)
_change_password = statement("change_password", UUID)


async def credentials_of(db: Db, account_id: UUID) -> Credentials | None:
    return await _credentials_of.first(db, account_id=account_id)


async def request_reset(pool: Pool, credentials: Credentials, *, now: datetime) -> None:
    """Sends the mail with the link. For an unconfirmed address it is withheld until the second mail
    has confirmed the address."""

    async def write(tx: Tx) -> None:
        await mail.send(tx, "password_reset", credentials.id, now=now)
        if not credentials.is_verified:
            await mail.send(tx, "verification", credentials.id, now=now)

    await transact(pool, write)


async def check_reset(db: Db, text: str, settings: Settings, *, now: datetime) -> Credentials:
    """The account of the link. Raises TokenInvalid and TokenExpired."""
    reset = token.read(settings, ("password_reset",), text, now=now)
    credentials = await credentials_of(db, reset.account_id)
    if credentials is None:
        raise token.TokenInvalid(field="token")
    token.check_binding(settings, reset, credentials.binding)
    return credentials


async def reset(
    pool: Pool, text: str, new_password: str, settings: Settings, *, now: datetime
) -> UUID:
    """Sets the password by the link, ends all sessions, and returns the account's id. Raises
    TokenInvalid, TokenExpired, and ValidationError for a weak password."""
    credentials = await check_reset(pool, text, settings, now=now)
    if not await _replace(pool, credentials, new_password, field="password", kept_id=None, now=now):
        raise token.TokenInvalid(field="token")  # used meanwhile
    return credentials.id


async def change(
    pool: Pool, account: SignedIn, *, plain_password: str, new_password: str, now: datetime
) -> None:
    """Sets the password and ends all other sessions. Raises ValidationError for a wrong or a weak
    password."""
    credentials = await credentials_of(pool, account.account_id)
    if credentials is None:
        raise refusal.NotSignedIn
    await password.check_own(plain_password, credentials.password_hash)
    if not await _replace(
        pool, credentials, new_password, field="new_password", kept_id=account.session_id, now=now
    ):
        raise refusal.ValidationError(
            "Your password was changed just now. Enter the new one.", field="password"
        )


async def _replace(
    pool: Pool,
    credentials: Credentials,
    new_password: str,
    *,
    field: str,
    kept_id: UUID | None,
    now: datetime,
) -> bool:
    """False if another request has changed the password meanwhile. Raises ValidationError for a
    weak one."""
    try:
        password.check(new_password, personal_values=(credentials.email, credentials.full_name))
    except ValueError as error:
        raise refusal.ValidationError(str(error), field=field) from None
    new_hash = await password.make_hash(new_password)

    async def write(tx: Tx) -> bool:
        changed = await _change_password.first(
            tx, account_id=credentials.id, before=credentials.password_hash, after=new_hash
        )
        if changed is None:
            return False
        await session.revoke_all(tx, credentials.id, kept_id=kept_id)
        await mail.send(tx, "password_changed", credentials.id, now=now)
        return True

    return await transact(pool, write)
