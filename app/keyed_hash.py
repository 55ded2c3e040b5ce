"""A hash that identifies a text, such as an address, to holders of SECRET_KEY without revealing
it."""

import hashlib
import hmac

from app.settings import Settings


def keyed_hash(settings: Settings, text: str) -> str:
    """32 hexadecimal digits."""
    key = settings.secret_key.get_secret_value().encode()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:32]
