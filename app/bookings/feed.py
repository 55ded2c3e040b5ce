"""An account's calendar feed: its lessons as iCalendar, at a private address that calendar programs
subscribe to. The address contains a signed id, so that neither the database nor a guess reveals
it; deleting the row revokes it."""

import asyncio
import base64
import binascii
import hashlib
from datetime import datetime, timedelta
from uuid import UUID

from itsdangerous import BadSignature, Signer

from app import refusal
from app.bookings import ical
from app.bookings.booking import Booking
from app.db import Db
from app.settings import Settings
from app.statements import statement

# A feed contains lessons from this long ago on.
PAST_PERIOD = timedelta(days=90)
MAX_LESSONS = 1000
_MAX_TOKEN = 200

_create = statement("create_calendar_feed", UUID)
_find = statement("calendar_feed", UUID)
_delete = statement("delete_calendar_feed", int)
_account = statement("account_of_calendar_feed", UUID)
_lessons = statement("calendar_feed_lessons", Booking)


async def create(db: Db, account_id: UUID, settings: Settings, *, now: datetime) -> str:
    """The address of the account's feed; the same until it is revoked."""
    return _url(await _create.one(db, account_id=account_id, now=now), settings)


async def find(db: Db, account_id: UUID, settings: Settings) -> str | None:
    """The address of the account's feed, if it has one."""
    feed_id = await _find.first(db, account_id=account_id)
    return _url(feed_id, settings) if feed_id else None


async def revoke(db: Db, account_id: UUID) -> None:
    """The address stops working. No error if there is none."""
    await _delete.run(db, account_id=account_id)


async def read(db: Db, token: str, settings: Settings, *, now: datetime) -> str:
    """The feed as iCalendar. Raises NotFound for an address that is not ours or was
    revoked."""
    account_id = await _account.first(db, id=_feed_id(token, settings))
    if account_id is None:
        raise refusal.NotFound
    lessons = await _lessons.all(
        db, account_id=account_id, since=now - PAST_PERIOD, limit=MAX_LESSONS
    )
    # Up to 0.2 s of CPU: not on the event loop.
    return await asyncio.to_thread(
        ical.calendar_of,
        lessons,
        viewer=account_id,
        site_url=settings.site_url,
        now=now,
        name="InstaInstru",
    )


def _url(feed_id: UUID, settings: Settings) -> str:
    text = base64.urlsafe_b64encode(feed_id.bytes).rstrip(b"=")
    token = _signer(settings).sign(text).decode()
    return f"{settings.site_url}/api/public/feeds/{token}.ics"


def _feed_id(token: str, settings: Settings) -> UUID:
    try:
        if len(token) > _MAX_TOKEN:
            raise refusal.NotFound
        text = _signer(settings).unsign(token.encode())
        return UUID(bytes=base64.urlsafe_b64decode(text + b"=="))
    except (BadSignature, binascii.Error, ValueError):
        raise refusal.NotFound from None


def _signer(settings: Settings) -> Signer:
    return Signer(
        settings.secret_key.get_secret_value(),
        salt="calendar-feed",
        digest_method=hashlib.sha256,
        key_derivation="hmac",
    )
