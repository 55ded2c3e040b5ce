"""Encryption of secrets that the product has to read again, with keys derived from SECRET_KEY: a
copy of the database alone reveals none of them."""

import base64
import binascii
import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.settings import Settings, SettingsError

# Stands for AES-GCM with a random nonce. Another method would have another prefix.
PREFIX = "v1."
_NONCE_BYTES = 12


class UndecryptableError(ValueError):
    """The text was encrypted with another key or for another context, or was changed since."""


def encrypt(settings: Settings, purpose: str, text: str, *, context: str) -> str:
    """`purpose` has a key of its own. `context`, such as the id of a row, must be the same when the
    text is decrypted, so that a text moved to another row is of no use."""
    nonce = os.urandom(_NONCE_BYTES)
    encrypted = _cipher(settings, purpose).encrypt(nonce, text.encode(), context.encode())
    return PREFIX + base64.urlsafe_b64encode(nonce + encrypted).decode()


def decrypt(settings: Settings, purpose: str, text: str, *, context: str) -> str:
    """Raises UndecryptableError."""
    try:
        data = base64.urlsafe_b64decode(text.removeprefix(PREFIX))
        cipher = _cipher(settings, purpose)
        return cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], context.encode()).decode()
    except (binascii.Error, InvalidTag, ValueError):
        raise UndecryptableError from None


def _cipher(settings: Settings, purpose: str) -> AESGCM:
    return _derived(settings.secret_key.get_secret_value(), purpose)


@lru_cache(maxsize=8)
def _derived(secret_key: str, purpose: str) -> AESGCM:
    if not secret_key:
        raise SettingsError("SECRET_KEY is empty, so nothing can be encrypted.")
    derivation = HKDF(SHA256(), length=32, salt=None, info=f"instainstru {purpose}".encode())
    return AESGCM(derivation.derive(secret_key.encode()))
