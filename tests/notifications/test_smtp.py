"""Connections to the SMTP server: kept between mails, one mail at a time, and replaced when the
server closes them."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import aiosmtplib
import pytest

from app.notifications import mail, smtp
from app.notifications.mail import Mail
from app.notifications.smtp import Mailer
from tests.cluster import PATIENCE
from tests.notifications.lessons import ANNA, BEN, composed, lesson
from tests.notifications.mailbox import Mailbox

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def to(address: str = "ben@example.com", number: int = 1) -> Mail:
    message = composed("booking_confirmed", lesson(), BEN if address == "ben@example.com" else ANNA)
    message_id = f"<{number}@example.com>"
    return mail.mail(
        message, mail_from="InstaInstru <lessons@example.com>", message_id=message_id, now=NOW
    )


@pytest.fixture
def mailer(box: Mailbox) -> Mailer:
    return Mailer(smtp.server(box.url))


async def test_consecutive_mails_share_a_connection(mailer: Mailer, box: Mailbox) -> None:
    for number in range(5):
        await mailer.send(to(number=number))
    assert (len(box.mails), box.connections) == (5, 1)


async def test_concurrent_mails_have_a_connection_each(mailer: Mailer, box: Mailbox) -> None:
    both = asyncio.Barrier(2)

    async def wait_for_the_other() -> None:
        await both.wait()

    box.before_accepting = wait_for_the_other
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(mailer.send(to(number=1)), mailer.send(to(number=2)))
    assert (len(box.mails), box.connections) == (2, 2)


async def test_a_connection_that_the_server_closed_is_replaced(
    mailer: Mailer, box: Mailbox
) -> None:
    await mailer.send(to(number=1))
    await box.stop()
    await box.start()
    await mailer.send(to(number=2))
    assert [each["Message-ID"] for each in box.mails] == ["<1@example.com>", "<2@example.com>"]
    assert box.connections == 2


async def test_a_server_that_closes_at_the_second_mail_gets_it_on_a_new_connection(
    mailer: Mailer, box: Mailbox
) -> None:
    async def one_mail_per_connection(
        server: Any, _: Any, envelope: Any, address: str, __: Any
    ) -> str:
        if getattr(server, "had_a_mail", False):
            return "421 4.7.0 too many mails on this connection"
        server.had_a_mail = True
        envelope.mail_from = address
        return "250 OK"

    box.handle_MAIL = one_mail_per_connection  # type: ignore[attr-defined]
    for number in range(3):
        await mailer.send(to(number=number))
    assert (len(box.mails), box.connections) == (3, 3)


async def test_a_mail_that_may_have_arrived_is_not_sent_again_on_a_new_connection(
    mailer: Mailer, box: Mailbox
) -> None:
    await mailer.send(to(number=1))
    box.after_accepting = box.stop
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await mailer.send(to(number=2))
    assert (len(box.mails), box.connections) == (2, 1)


async def test_after_a_refused_recipient_the_next_mail_arrives(
    mailer: Mailer, box: Mailbox
) -> None:
    box.refused = {"ben@example.com": "550 5.1.1 no such user"}
    await mailer.send(to("anna@example.com"))
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
        await mailer.send(to("ben@example.com"))
    await mailer.send(to("anna@example.com"))
    assert len(box.mails) == 2


async def test_after_a_timeout_a_late_response_does_not_count_for_the_next_mail(
    mailer: Mailer, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mailer.send(to(number=1))
    released = asyncio.Event()

    async def wait() -> None:
        await released.wait()

    box.before_accepting = wait
    with monkeypatch.context() as patched:
        patched.setattr(smtp, "SECONDS", 0.3)
        with pytest.raises(TimeoutError):
            await mailer.send(to(number=2))
    released.set()
    box.response = "451 4.3.0 not now"
    with pytest.raises(aiosmtplib.SMTPDataError):
        await mailer.send(to(number=3))
    assert box.connections == 2


async def test_a_connection_has_a_maximum_number_of_mails_and_a_maximum_age(
    mailer: Mailer, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "MAILS_PER_CONNECTION", 2)
    for number in range(5):
        await mailer.send(to(number=number))
    assert box.connections == 3
    monkeypatch.setattr(smtp, "LIFETIME_SECONDS", 0)
    await mailer.send(to(number=6))
    await mailer.send(to(number=7))
    assert box.connections == 4


async def test_an_idle_connection_is_closed(
    mailer: Mailer, box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    quits = asyncio.Event()

    async def on_quit(*_: object) -> str:
        quits.set()
        return "221 bye"

    box.handle_QUIT = on_quit  # type: ignore[attr-defined]
    monkeypatch.setattr(smtp, "IDLE_SECONDS", 0.05)
    await mailer.send(to(number=1))
    async with asyncio.timeout(PATIENCE):
        await quits.wait()
    await mailer.send(to(number=2))
    assert (len(box.mails), box.connections) == (2, 2)


async def test_an_international_domain_is_written_in_ascii(mailer: Mailer, box: Mailbox) -> None:
    message = composed("booking_confirmed", lesson(), BEN)
    message = type(message)(
        message.name,
        "ben@bücher.example",
        message.subject,
        message.text,
        message.html,
        message.calendar,
        "REQUEST",
    )
    await mailer.send(
        mail.mail(message, mail_from="a@example.com", message_id="<7@example.com>", now=NOW)
    )
    assert box.mails[0]["To"].addresses[0].addr_spec == "ben@xn--bcher-kva.example"
