"""The browser of a sign-in: a coarse description for the list of sessions, and a signed cookie by
which later sign-ins recognize it."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from itsdangerous import BadSignature, URLSafeSerializer

from app.keyed_hash import keyed_hash
from app.settings import Settings

COOKIE = "device"
COOKIE_SECONDS = 365 * 24 * 3600
# The most accounts for which one browser is remembered.
_MAX_ACCOUNTS = 5
_MAX_COOKIE = 1000

_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "Mac"),
    ("Linux", "Linux"),
)


@dataclass(frozen=True)
class Device:
    """`id` is random. `accounts` are keyed hashes of e-mail addresses, the latest last."""

    id: str
    accounts: tuple[str, ...] = ()

    def knows(self, email: str, settings: Settings) -> bool:
        """Whether somebody signed in here with this address, in the database's form."""
        return keyed_hash(settings, email) in self.accounts


def read(cookie: str | None, settings: Settings) -> Device:
    """The device of a cookie; a new one without a valid cookie."""
    try:
        device_id, *accounts = _serializer(settings).loads((cookie or "")[:_MAX_COOKIE])
    except (BadSignature, ValueError):
        return Device(secrets.token_urlsafe(9))
    return Device(device_id, tuple(accounts))


def cookie(device: Device, email: str, settings: Settings) -> str:
    """The cookie of the device after a sign-in with this address."""
    account = keyed_hash(settings, email)
    accounts = [each for each in device.accounts if each != account][1 - _MAX_ACCOUNTS :]
    return str(_serializer(settings).dumps([device.id, *accounts, account]))


def describe(user_agent: str) -> str:
    """The browser and the system, such as "Firefox on Windows"; empty for an unknown program."""
    browser, system = _first(_BROWSERS, user_agent), _first(_SYSTEMS, user_agent)
    return " on ".join(part for part in (browser, system) if part)


def _first(names: Sequence[tuple[str, str]], user_agent: str) -> str:
    return next((name for mark, name in names if mark in user_agent), "")


def _serializer(settings: Settings) -> URLSafeSerializer:
    return URLSafeSerializer(
        settings.secret_key.get_secret_value(),
        salt="device",
        signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
    )
