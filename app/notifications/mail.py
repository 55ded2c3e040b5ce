"""Encodes a message as MIME. The older classes of the standard library take a quarter of the CPU
time of EmailMessage. `smtp` sends the result."""

import re
from binascii import b2a_qp
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.header import Header
from email.headerregistry import Address
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.nonmultipart import MIMENonMultipart
from email.mime.text import MIMEText
from email.policy import compat32
from email.utils import format_datetime, formataddr, parseaddr
from functools import cache

from app.notifications.message import Message
from app.settings import SettingsError

# Headers are folded below: as_bytes would also break a long Message-ID in two.
_POLICY = compat32.clone(linesep="\r\n", max_line_length=0)
_HEADER_CHARACTERS = 76
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Mail:
    """The addresses of the SMTP envelope, and the encoded mail."""

    sender: str
    recipient: str
    content: bytes


@cache
def sender(mail_from: str) -> Address:
    """MAIL_FROM, an address or `Name <address>`. Raises SettingsError."""
    name, address = parseaddr(mail_from)
    try:
        return _address(name, address)
    except ValueError:
        raise SettingsError(
            "MAIL_FROM: must be an e-mail address, or look like InstaInstru <lessons@example.com>."
        ) from None


def _address(name: str, text: str) -> Address:
    """Raises ValueError if it is invalid, for which each Python has errors of its own."""
    try:
        return Address(name, addr_spec=_ascii(text))
    except (ValueError, IndexError, MessageError) as error:
        raise ValueError(f"an invalid e-mail address: {error}") from None


def mail(message: Message, *, mail_from: str, message_id: str, now: datetime) -> Mail:
    """The message as text and HTML. A calendar is included twice: as an alternative, which mail
    programs act on, and as an attachment. Raises ValueError for an invalid address or a header that
    is not one line."""
    origin = sender(mail_from)
    recipient = _address(message.name, message.address)
    # The boundaries cannot occur in the parts: quoted-printable and base64 never contain "=_".
    content = MIMEMultipart("mixed", "=_mixed")
    content["From"] = _mailbox("From", origin)
    content["To"] = _mailbox("To", recipient)
    content["Subject"] = _header("Subject", message.subject)
    content["Date"] = format_datetime(now)
    content["Message-ID"] = _line(message_id)
    content["Auto-Submitted"] = "auto-generated"  # RFC 3834: asks for no automatic responses
    alternative = MIMEMultipart("alternative", "=_alternative")
    alternative.attach(_text("plain", message.text))
    alternative.attach(_text("html", message.html))
    content.attach(alternative)
    if message.calendar:
        calendar = MIMEText(message.calendar, "calendar", "utf-8")
        calendar.set_param("method", message.method)
        alternative.attach(calendar)
        file = MIMEApplication(message.calendar.encode(), "ics")
        file.add_header("Content-Disposition", "attachment", filename="lesson.ics")
        content.attach(file)
    return Mail(origin.addr_spec, recipient.addr_spec, content.as_bytes(policy=_POLICY))


def _ascii(address: str) -> str:
    """The address with its domain in ASCII (xn--…), which every server accepts."""
    if address.isascii():
        return address
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.encode('idna').decode()}"


def _mailbox(field: str, address: Address) -> str:
    line = formataddr((address.display_name, address.addr_spec))
    if not address.display_name or _is_plain(field, line):
        return _line(line)
    return f"{_encoded(field, address.display_name)}\n <{address.addr_spec}>"


def _header(field: str, value: str) -> str:
    return _line(value) if _is_plain(field, value) else _encoded(field, value)


def _is_plain(field: str, value: str) -> bool:
    """Whether a header can contain the value unencoded, on one line."""
    return value.isascii() and "=?" not in value and len(field) + len(value) < _HEADER_CHARACTERS


def _encoded(field: str, value: str) -> str:
    """The value as encoded words (RFC 2047), folded."""
    return Header(_line(value), "utf-8", header_name=field).encode()


def _line(value: str) -> str:
    if _CONTROLS.search(value):  # a line break would begin another header
        raise ValueError("A header must be one line without control characters.")
    return value


def _text(subtype: str, text: str) -> MIMENonMultipart:
    # MIMEText would need 0.1 ms more for quoted-printable, which it encodes in Python.
    part = MIMENonMultipart("text", subtype, charset="utf-8")
    part["Content-Transfer-Encoding"] = "quoted-printable"
    part.set_payload(b2a_qp(text.encode()).decode())
    return part
