"""A real SMTP server on loopback that stores the mails it accepts, and can misbehave on request."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP

from tests.cluster import PATIENCE

CERTIFICATE = Path(__file__).parent / "localhost.pem"
LOGIN = ("us@example.com", "p@ss/word")


async def _no_delay() -> None:
    pass


class Mailbox:
    def __init__(self, *, tls: bool = False, starttls: bool = False, login: bool = False) -> None:
        self.mails: list[EmailMessage] = []
        self.logins: list[tuple[str, str]] = []
        self.encrypted: list[bool] = []
        self.refused: dict[str, str] = {}  # by recipient: the response to RCPT
        self.response = "250 accepted"  # the response to DATA
        self.before_accepting: Callable[[], Awaitable[None]] = _no_delay
        self.after_accepting: Callable[[], Awaitable[None]] = _no_delay
        self.port = 0
        self.connections = 0  # since the start, including closed ones
        self._tls, self._starttls, self._login = tls, starttls, login
        self._server: asyncio.Server | None = None
        self._connections: list[SMTP] = []

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        return self._server is not None

    async def start(self) -> None:
        """Listens on the same port as before, or on a free one the first time."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(CERTIFICATE)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: self._connection(context if self._starttls else None),
            "127.0.0.1",
            self.port,
            ssl=context if self._tls else None,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Closes all connections and accepts no more."""
        if self._server:
            self._server.close()
            for connection in self._connections:
                if connection.transport:
                    connection.transport.close()
            await asyncio.sleep(0.05)
            self._server, self._connections = None, []

    def to(self, address: str) -> list[EmailMessage]:
        return [mail for mail in self.mails if mail["To"].addresses[0].addr_spec == address]

    async def has(self, count: int, seconds: float = PATIENCE) -> None:
        """Waits until there are `count` mails."""
        async with asyncio.timeout(seconds):
            while len(self.mails) < count:
                await asyncio.sleep(0.02)

    def _connection(self, context: ssl.SSLContext | None) -> SMTP:
        connection = SMTP(
            self,
            hostname="mail.example.com",
            tls_context=context,
            auth_required=self._login,
            auth_require_tls=self._login,
            auth_callback=self._log_in if self._login else None,
            loop=asyncio.get_running_loop(),
        )
        self._connections.append(connection)
        self.connections += 1
        return connection

    def _log_in(self, _: str, user: bytes, password: bytes) -> bool:
        self.logins.append((user.decode(), password.decode()))
        return self.logins[-1] == LOGIN

    # ---- called by aiosmtpd

    async def handle_RCPT(  # noqa: N802
        self, _: Any, __: Any, envelope: Any, address: str, ___: Any
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        await self.before_accepting()
        if self.response.startswith("250"):
            mail = message_from_bytes(envelope.content, policy=SMTP_POLICY)
            assert isinstance(mail, EmailMessage)
            assert envelope.rcpt_tos == [mail["To"].addresses[0].addr_spec]
            self.mails.append(mail)
            self.encrypted.append(session.ssl is not None or self._tls)
        await self.after_accepting()
        return self.response


@asynccontextmanager
async def mailbox(**options: bool) -> AsyncIterator[Mailbox]:
    """A running mailbox."""
    box = Mailbox(**options)
    await box.start()
    try:
        yield box
    finally:
        await box.stop()
