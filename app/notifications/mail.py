"""Messages as mail: MIME, as the bytes that travel. Written out here because the standard library's
EmailMessage takes 2 ms for what is the same in every mail. How it gets to the server is smtp's."""

import base64
from binascii import b2a_qp
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.headerregistry import Address
from email.utils import format_datetime, parseaddr
from functools import cache

from app.notifications.message import Message
from app.settings import SettingsError

_HEADER_CHARACTERS = 76
# The boundaries cannot occur in the parts: neither quoted-printable nor base64 contains "=_".
_HEADERS = """\
Auto-Submitted: auto-generated\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary="=_mixed"\r
\r
"""  # RFC 3834: please no automatic answers
_ALTERNATIVE = b"""\
Content-Type: multipart/alternative; boundary="=_alternative"\r
\r
"""
_CALENDAR = b"""\
Content-Type: text/calendar; charset="utf-8"; method=%s\r
Content-Transfer-Encoding: base64\r
\r
"""
_CALENDAR_FILE = b"""\
Content-Type: application/ics\r
Content-Transfer-Encoding: base64\r
Content-Disposition: attachment; filename="lesson.ics"\r
\r
"""


@dataclass(frozen=True, slots=True)
class Mail:
    """Who it is from and to, as the SMTP server is told, and the mail itself."""

    sender: str
    recipient: str
    content: bytes


@cache
def sender(mail_from: str) -> Address:
    """MAIL_FROM, an address or `Name <address>`. Raises SettingsError."""
    name, address = parseaddr(mail_from)
    try:
        return Address(name, addr_spec=address)
    except (ValueError, IndexError):
        raise SettingsError("MAIL_FROM: must be an e-mail address, or look like InstaInstru <lessons@example.com>.") from None


def mail(message: Message, *, mail_from: str, message_id: str, now: datetime) -> Mail:
    """The message as text and HTML, with its calendar both as what mail programs act upon and as a file to keep. Raises
    ValueError or IndexError for an invalid address."""
    origin = sender(mail_from)
    recipient = Address(message.name, addr_spec=_ascii(message.address))
    calendar = _base64(message.calendar)
    content = (
        _address("From", origin),
        _address("To", recipient),
        _text("Subject", message.subject),
        f"Date: {format_datetime(now)}\r\nMessage-ID: {message_id}\r\n{_HEADERS}".encode(),
        b"--=_mixed\r\n" + _ALTERNATIVE,
        _text_part("plain", message.text),
        _text_part("html", message.html),
        b"--=_alternative\r\n" + _CALENDAR % message.method.encode(),
        calendar,
        b"--=_alternative--\r\n",
        b"--=_mixed\r\n" + _CALENDAR_FILE,
        calendar,
        b"--=_mixed--\r\n",
    )
    return Mail(origin.addr_spec, recipient.addr_spec, b"".join(content))


def _ascii(address: str) -> str:
    """The address with its domain as DNS knows it (xn--…), which every server accepts."""
    if address.isascii():
        return address
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.encode('idna').decode()}"


def _address(name: str, address: Address) -> bytes:
    line = str(address)
    if not address.display_name or _is_plain(name, line):
        return f"{name}: {line}\r\n".encode()
    return f"{name}: {_encoded(name, address.display_name)}\r\n <{address.addr_spec}>\r\n".encode()


def _text(name: str, value: str) -> bytes:
    return f"{name}: {value if _is_plain(name, value) else _encoded(name, value)}\r\n".encode()


def _is_plain(name: str, value: str) -> bool:
    """Whether a header field can carry it as it is: on one line, and with nothing to be decoded."""
    return value.isascii() and value.isprintable() and "=?" not in value and len(value) + len(name) < _HEADER_CHARACTERS


def _encoded(name: str, value: str) -> str:
    """All of it as encoded words (RFC 2047), folded. EmailMessage encodes some words only, and loses or
    adds spaces between them."""
    return Header(value, "utf-8", header_name=name).encode(linesep="\r\n")


def _text_part(subtype: str, text: str) -> bytes:
    headers = (
        f'--=_alternative\r\nContent-Type: text/{subtype}; charset="utf-8"\r\n'
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    return headers.encode() + b2a_qp(text.replace("\n", "\r\n").encode()) + b"\r\n"


def _base64(text: str) -> bytes:
    return base64.encodebytes(text.encode()).replace(b"\n", b"\r\n")
