"""Messages as mail: MIME, and the way to the SMTP server that SMTP_URL names."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from urllib.parse import unquote, urlsplit

import aiosmtplib

from app.notifications.message import Message
from app.settings import SettingsError

# A whole delivery. The transaction that holds the row's lock is open as long, so this stays below what Postgres (30 s) and the
# job (jobs/worker.py) allow.
SECONDS = 15
_STEP_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Server:
    host: str
    port: int
    tls: bool  # from the first byte; otherwise STARTTLS where the server offers it
    username: str | None = None
    password: str | None = field(default=None, repr=False)


def server(smtp_url: str) -> Server:
    """`smtp://user:password@host:port` or `smtps://…`, with user and password percent-encoded. Raises SettingsError."""
    try:
        url = urlsplit(smtp_url)
        port = url.port
    except ValueError:
        port, url = None, urlsplit("")
    if url.scheme not in {"smtp", "smtps"} or not url.hostname:
        raise SettingsError("SMTP_URL: must look like smtp://host:port, smtp://user:password@host:port or smtps://…")
    tls = url.scheme == "smtps"
    return Server(
        url.hostname,
        port or (465 if tls else 587 if url.username else 25),
        tls,
        unquote(url.username) if url.username else None,
        unquote(url.password) if url.password else None,
    )


def sender(mail_from: str) -> Address:
    """MAIL_FROM, an address or `Name <address>`. Raises SettingsError."""
    name, address = parseaddr(mail_from)
    try:
        return Address(name, addr_spec=address)
    except (ValueError, IndexError):
        raise SettingsError("MAIL_FROM: must be an e-mail address, or look like InstaInstru <lessons@example.com>.") from None


def mail(message: Message, *, mail_from: str, message_id: str, now: datetime) -> EmailMessage:
    """The message as text and HTML, with its calendar both as what mail programs act upon and as a file to keep. Raises
    ValueError for an address that is none."""
    made = EmailMessage(policy=SMTP)
    made["From"] = sender(mail_from)
    made["To"] = Address(message.name, addr_spec=message.address)
    made["Subject"] = message.subject
    made["Date"] = format_datetime(now)
    made["Message-ID"] = message_id
    made["Auto-Submitted"] = "auto-generated"  # RFC 3834: please no automatic answers
    made.set_content(message.text)
    made.add_alternative(message.html, subtype="html")
    made.add_alternative(message.calendar, subtype="calendar", params={"method": message.method})
    made.add_attachment(message.calendar.encode(), "application", "ics", filename="lesson.ics")
    return made


async def send(to: Server, made: EmailMessage) -> None:
    """Hands the mail over. Returns when the server has taken it; raises aiosmtplib.SMTPException, OSError (also TimeoutError),
    and ValueError for an address no server could be told."""
    client = aiosmtplib.SMTP(
        hostname=to.host,
        port=to.port,
        username=to.username,
        password=to.password,
        use_tls=to.tls,
        start_tls=False if to.tls else None,
        timeout=_STEP_SECONDS,
    )
    try:
        async with asyncio.timeout(SECONDS):
            await client.connect()
            await client.send_message(made)
        # It is sent: whatever happens to the goodbye must not make us send it again.
        with contextlib.suppress(aiosmtplib.SMTPException):
            await client.quit(timeout=1)
    finally:
        client.close()


def fault(error: Exception) -> str:
    """What went wrong, for the ledger and the log: kind and code alone, since servers repeat the address in their words."""
    return f"{type(error).__name__}{''.join(f' {code}' for code in sorted(codes(error)))}"


def codes(error: Exception) -> set[int]:
    """The SMTP codes of a refusal."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return {one.code for one in error.recipients}
    return {error.code} if isinstance(error, aiosmtplib.SMTPResponseException) else set()


def hopeless(error: Exception) -> bool:
    """Whether the server has said for good that there is no such recipient. Everything else is worth another attempt: a 5xx
    about us (authentication, sender, relaying) is for an operator to mend."""
    return isinstance(error, aiosmtplib.SMTPRecipientsRefused) and all(one.code // 100 == 5 for one in error.recipients)
