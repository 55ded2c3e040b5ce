"""The SMTP server that SMTP_URL names, and the connections to it. They stay open between mails, for a connection costs more than
the mail itself; each carries one mail at a time."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import aiosmtplib

from app.notifications.mail import Mail
from app.settings import Settings, SettingsError

# A whole delivery. The transaction that holds the row's lock is open as long, so this stays below what Postgres (30 s) and the
# job (jobs/worker.py) allow.
SECONDS = 15
_STEP_SECONDS = 10
# Servers hang up on connections that are silent for some minutes, and limit how many mails one carries.
IDLE_SECONDS = 30
LIFETIME_SECONDS = 300
MAILS_PER_CONNECTION = 100

_SERVICE_CLOSING = 421


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
        raise SettingsError(
            "SMTP_URL: must look like smtp://host:port, smtp://user:password@host:port or smtps://…"
        )
    tls = url.scheme == "smtps"
    return Server(
        url.hostname,
        port or (465 if tls else 587 if url.username else 25),
        tls,
        unquote(url.username) if url.username else None,
        unquote(url.password) if url.password else None,
    )


class Mailer:
    """Sends mails to one server. As many connections are open as mails are on their way at once. An idle one is reused, the last
    one first, so that those which are not needed close after IDLE_SECONDS."""

    def __init__(self, to: Server) -> None:
        self._server = to
        self._idle: list[_Connection] = []

    async def send(self, mail: Mail) -> None:
        """Returns when the server has accepted the mail. Raises aiosmtplib.SMTPException, OSError (also TimeoutError), and
        ValueError for an address that no server could be told."""
        async with asyncio.timeout(SECONDS):
            connection = self._take() or await self._connect()
            try:
                await connection.send(mail)
            except _DroppedError:
                self.close()  # a server that closes one has most likely restarted
                connection = await self._connect()
                await connection.send(mail)
            finally:
                self._put_back(connection)

    def close(self) -> None:
        """Closes the idle connections."""
        while connection := self._take():
            connection.quit()

    def _take(self) -> "_Connection | None":
        while self._idle:
            connection = self._idle.pop()
            connection.closing.cancel()
            if connection.client.is_connected:
                return connection
        return None

    async def _connect(self) -> "_Connection":
        to = self._server
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
            await client.connect()
        except BaseException:
            client.close()
            raise
        return _Connection(client)

    def _put_back(self, connection: "_Connection") -> None:
        if connection.reusable:
            connection.closing = asyncio.get_running_loop().call_later(
                IDLE_SECONDS, self._expire, connection
            )
            self._idle.append(connection)
        else:
            connection.quit()

    def _expire(self, connection: "_Connection") -> None:
        self._idle.remove(connection)
        connection.quit()


class _DroppedError(Exception):
    """The server closed a connection between two mails: it has seen nothing of the second one."""


class _Connection:
    closing: asyncio.TimerHandle  # while it is idle

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        self.client = client
        self._mails = 0
        self._opened_at = time.monotonic()

    @property
    def reusable(self) -> bool:
        age = time.monotonic() - self._opened_at
        return (
            self.client.is_connected
            and self._mails < MAILS_PER_CONNECTION
            and age < LIFETIME_SECONDS
        )

    async def send(self, mail: Mail) -> None:
        """Raises _DroppedError, and what Mailer.send raises."""
        try:
            await self._envelope(mail)
            await self.client.data(mail.content)
        except BaseException:
            self.client.close()
            raise
        self._mails += 1

    async def _envelope(self, mail: Mail) -> None:
        try:
            await self.client.mail(mail.sender)
            await self.client.rcpt(mail.recipient)
        except aiosmtplib.SMTPServerDisconnected as error:
            raise (_DroppedError() if self._mails else error) from None
        except aiosmtplib.SMTPResponseException as error:
            if error.code == _SERVICE_CLOSING and self._mails:
                raise _DroppedError from None
            if isinstance(error, aiosmtplib.SMTPRecipientRefused):
                raise aiosmtplib.SMTPRecipientsRefused([error]) from None
            raise

    def quit(self) -> None:
        """Closes it without waiting for the server's goodbye: its mails are accepted already."""
        if self.client.protocol and self.client.is_connected:
            self.client.protocol.write(b"QUIT\r\n")
        self.client.close()


@contextmanager
def opened(settings: Settings) -> Iterator[Mailer | None]:
    """A mailer for SMTP_URL; none where mails are shown at /dev/mail. Raises SettingsError for an SMTP_URL that is none."""
    smtp_url = settings.smtp_url.get_secret_value()
    mailer = Mailer(server(smtp_url)) if smtp_url else None
    try:
        yield mailer
    finally:
        if mailer:
            mailer.close()


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
    return isinstance(error, aiosmtplib.SMTPRecipientsRefused) and all(
        one.code // 100 == 5 for one in error.recipients
    )
