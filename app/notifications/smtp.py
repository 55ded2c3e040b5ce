"""The SMTP server of SMTP_URL, and the connections to it. They stay open between mails, because a
connection costs more than a mail. A connection carries one mail at a time."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import aiosmtplib

from app.notifications.mail import Mail
from app.settings import Settings, SettingsError

# For a whole delivery. The transaction with the row's lock is open as long, so this is less than
# the limits of Postgres (30 s) and of the job (jobs/worker.py).
SECONDS = 15
_STEP_SECONDS = 10
# Servers close connections that are idle for some minutes, and limit the mails per connection.
IDLE_SECONDS = 30
LIFETIME_SECONDS = 300
MAILS_PER_CONNECTION = 100

_SERVICE_CLOSING = 421


@dataclass(frozen=True, slots=True)
class Server:
    host: str
    port: int
    tls: bool  # from the first byte; otherwise STARTTLS, required with a username
    username: str | None = None
    password: str | None = field(default=None, repr=False)


def server(smtp_url: str) -> Server:
    """`smtp://user:password@host:port` or `smtps://…`, with user and password percent-encoded.
    Raises SettingsError."""
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
    """Sends mails to one server, each concurrent mail on its own connection. The connection used
    last is reused first, so that surplus ones close after IDLE_SECONDS."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._idle: list[_Connection] = []

    async def send(self, mail: Mail) -> None:
        """Returns when the server has accepted the mail. Raises aiosmtplib.SMTPException, OSError
        (including TimeoutError), and ValueError for an address that SMTP cannot express."""
        async with asyncio.timeout(SECONDS):
            connection = self._idle_connection() or await self._connect()
            try:
                await connection.send(mail)
            except _DroppedError:
                self.close()  # the server has probably restarted and closed all of them
                connection = await self._connect()
                await connection.send(mail)
            finally:
                self._put_back(connection)

    def close(self) -> None:
        """Closes the idle connections."""
        while connection := self._idle_connection():
            connection.quit()

    def _idle_connection(self) -> "_Connection | None":
        while self._idle:
            connection = self._idle.pop()
            connection.closing.cancel()
            if connection.client.is_connected:
                return connection
        return None

    async def _connect(self) -> "_Connection":
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            use_tls=server.tls,
            # With credentials, STARTTLS is required: they and the mails never travel in clear.
            start_tls=False if server.tls else True if server.username else None,
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
    """The server closed the connection between two mails, so it has not received the second one."""


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
        """Closes it without waiting for a response: the server has already accepted its mails."""
        if self.client.protocol and self.client.is_connected:
            self.client.protocol.write(b"QUIT\r\n")
        self.client.close()


@contextmanager
def open_mailer(settings: Settings) -> Iterator[Mailer | None]:
    """Yields a mailer for SMTP_URL; None if it is not set. Raises SettingsError if it is
    invalid."""
    smtp_url = settings.smtp_url.get_secret_value()
    mailer = Mailer(server(smtp_url)) if smtp_url else None
    try:
        yield mailer
    finally:
        if mailer:
            mailer.close()


def describe(error: Exception) -> str:
    """The type and SMTP codes of an error. Its message is left out: it often contains the
    address."""
    return " ".join([type(error).__name__, *map(str, sorted(_codes(error)))])


def _codes(error: Exception) -> set[int]:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return {refusal.code for refusal in error.recipients}
    return {error.code} if isinstance(error, aiosmtplib.SMTPResponseException) else set()


def is_permanent(error: Exception) -> bool:
    """Whether the server refused the recipient permanently. Other errors are retried: an operator
    can fix the cause of a 5xx about authentication, sender or relaying."""
    return isinstance(error, aiosmtplib.SMTPRecipientsRefused) and all(
        refusal.code // 100 == 5 for refusal in error.recipients
    )
