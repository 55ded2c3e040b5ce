"""Encoded mails, and how they reach the server."""

import asyncio
import ssl
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.utils import getaddresses

import aiosmtplib
import pytest

from app.notifications import mail, smtp
from app.notifications.mail import Mail
from app.notifications.smtp import Mailer, Server
from app.settings import SettingsError
from tests.notifications.ics import parse
from tests.notifications.lessons import ANNA, BEN, HOSTILE, composed, lesson
from tests.notifications.mailbox import CERTIFICATE, LOGIN, Mailbox, mailbox

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def confirmation(**changes: object) -> Mail:
    message = composed("booking_confirmed", lesson(**changes), BEN)
    return mail.mail(
        message,
        mail_from="InstaInstru <lessons@example.com>",
        message_id="<7@example.com>",
        now=NOW,
    )


async def send(url: str, *mails: Mail) -> None:
    """Sends them one after another with one mailer."""
    mailer = Mailer(smtp.server(url))
    try:
        for each in mails:
            await mailer.send(each)
    finally:
        mailer.close()


async def test_a_mail_contains_text_html_and_the_calendar(box: Mailbox) -> None:
    await send(box.url, confirmation(note="Größe: 1,70 m 🎹"))
    (arrived,) = box.mails
    assert arrived["From"] == "InstaInstru <lessons@example.com>"
    assert arrived["To"] == "Ben Birch <ben@example.com>"
    assert arrived["Message-ID"] == "<7@example.com>"
    assert arrived["Date"].datetime == NOW
    assert arrived["Auto-Submitted"] == "auto-generated"
    parts = {part.get_content_type(): part for part in arrived.walk() if not part.is_multipart()}
    assert set(parts) == {"text/plain", "text/html", "text/calendar", "application/ics"}
    for kind in ("text/plain", "text/html"):
        assert "Größe: 1,70 m 🎹" in parts[kind].get_content()
    assert parts["text/calendar"].get_param("method") == "REQUEST"
    assert parts["application/ics"].get_filename() == "lesson.ics"
    for kind in ("text/calendar", "application/ics"):
        content = parts[kind].get_payload(decode=True)
        assert isinstance(content, bytes)
        _, event = parse(content.decode())
        assert event["UID"] == f"{lesson().id}@lessons.example.com"
    assert "Größe" in event["DESCRIPTION"]


async def test_dots_and_long_lines_are_preserved(box: Mailbox) -> None:
    await send(box.url, confirmation(note="one\n.\n..two\nFrom me = you\n" + "x" * 1900))
    text = box.mails[0].get_body(("plain",))
    assert text is not None
    assert (
        "\n> one\n> .\n> ..two\n> From me = you\n> " + "x" * 1900 + "\n"
        in text.get_content().replace("\r\n", "\n")
    )


async def test_a_hostile_name_stays_within_its_header(box: Mailbox) -> None:
    message = composed(
        "booking_confirmed", lesson(student_name=HOSTILE, instructor_name=HOSTILE), ANNA
    )
    await send(
        box.url,
        mail.mail(
            message,
            mail_from="InstaInstru <lessons@example.com>",
            message_id="<7@example.com>",
            now=NOW,
        ),
    )
    (arrived,) = box.mails
    assert arrived["Bcc"] is None
    assert sorted(set(arrived.keys())) == sorted(arrived.keys())
    assert arrived["To"].addresses[0].addr_spec == "anna@example.com"
    assert "Bcc: victim@example.com" in arrived["Subject"]


@pytest.mark.parametrize(
    "name",
    [
        "Jürgen Jean-Luc Nguyễn O’Brien",
        "José François Jürgen Иванова",
        "太郎 Lindström-Ångström Ana Łukasz Thị",
        "François Maria Иванова Lindström-Ångström O’Brien",
        "Ben =?utf-8?q?Birch?= Jr., Esq.",
        "Ben " * 40 + "Birch",
        "😀" * 60,
    ],
)
def test_every_letter_and_space_of_a_name_is_preserved(name: str) -> None:
    message = composed("booking_confirmed", lesson(student_name=name, instructor_name=name), BEN)
    message = replace(message, name=name)
    content = mail.mail(
        message, mail_from="us@example.com", message_id="<7@example.com>", now=NOW
    ).content
    arrived = message_from_bytes(content)
    subject, to = (str(make_header(decode_header(arrived[header]))) for header in ("Subject", "To"))
    assert subject == message.subject
    assert name in subject
    assert to.split() == [*name.split(), f"<{message.address}>"]
    assert max(len(line) for line in content.split(b"\r\n")) <= 78


@pytest.mark.parametrize(
    "line_break", ["\r", "\n", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\0"]
)
@pytest.mark.parametrize("field", ["subject", "name"])
@pytest.mark.parametrize(
    "text",
    [
        "Piano{}Bcc: victim@example.com",
        "Piano{0}{0}another body",
        "Größe{}Bcc: victim@example.com",
    ],
)
def test_a_header_of_several_lines_is_refused(text: str, field: str, line_break: str) -> None:
    value = text.format(line_break)
    message = composed("booking_confirmed", lesson(), BEN)
    message = (
        replace(message, subject=value) if field == "subject" else replace(message, name=value)
    )
    with pytest.raises(ValueError, match=r"one line|CR or LF"):
        mail.mail(message, mail_from="a@example.com", message_id="<7@example.com>", now=NOW)


def test_a_name_with_quotes_and_brackets_is_a_name_and_not_an_address() -> None:
    name = 'Birch, "Ben" <b@c.example>; Jr.'
    message = replace(composed("booking_confirmed", lesson(), BEN), name=name)
    sent = mail.mail(message, mail_from="us@example.com", message_id="<7@example.com>", now=NOW)
    assert getaddresses([message_from_bytes(sent.content)["To"]]) == [(name, "ben@example.com")]


def test_an_international_sender_is_written_in_ascii() -> None:
    message = composed("booking_confirmed", lesson(note="Größe"), BEN)
    mail_from = "Zoë’s lessons <a@bücher.example>"
    sent = mail.mail(message, mail_from=mail_from, message_id="<7@example.com>", now=NOW)
    assert sent.sender == "a@xn--bcher-kva.example"
    origin = str(make_header(decode_header(message_from_bytes(sent.content)["From"])))
    assert origin.split() == ["Zoë’s", "lessons", "<a@xn--bcher-kva.example>"]
    assert sent.content.isascii()


def test_every_line_ends_with_cr_and_lf() -> None:
    content = confirmation(note="one\ntwo", student_name="Zoë " * 30).content
    assert content.endswith(b"\r\n")
    assert not any(b"\n" in line or b"\r" in line for line in content.split(b"\r\n"))


def test_a_long_message_id_is_on_one_line() -> None:
    message_id = f"<{lesson().id}.1234567@lessons.of.a.school.with.a.long.name.example.com>"
    sent = mail.mail(
        composed("booking_confirmed", lesson(), BEN),
        mail_from="a@example.com",
        message_id=message_id,
        now=NOW,
    )
    assert f"\r\nMessage-ID: {message_id}\r\n".encode() in sent.content


@pytest.mark.parametrize(
    "address", ["a\r\nRCPT TO:<b@example.com>", "a@b>, <c@d", "", "no address"]
)
def test_an_invalid_address_is_rejected(address: str) -> None:
    message = composed("booking_confirmed", lesson(), BEN)
    message = type(message)(
        message.name,
        address,
        message.subject,
        message.text,
        message.html,
        message.calendar,
        "REQUEST",
    )
    with pytest.raises(ValueError, match="invalid e-mail address"):
        mail.mail(message, mail_from="a@example.com", message_id="<7@example.com>", now=NOW)


async def test_smtps_and_a_login_with_a_percent_encoded_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    async with mailbox(tls=True) as box:
        await send(box.url.replace("smtp:", "smtps:"), confirmation())
        assert (len(box.mails), box.encrypted) == (1, [True])
    async with mailbox(starttls=True, login=True) as box:
        await send(f"smtp://us%40example.com:p%40ss%2Fword@127.0.0.1:{box.port}", confirmation())
        assert (len(box.mails), box.encrypted, box.logins) == (1, [True], [LOGIN])


async def test_starttls_is_used_if_offered_and_an_untrusted_certificate_is_rejected() -> None:
    async with mailbox(starttls=True) as box:
        with pytest.raises((aiosmtplib.SMTPException, ssl.SSLError)):
            await send(box.url, confirmation())
        assert box.mails == []


async def test_credentials_are_never_sent_to_a_server_without_starttls() -> None:
    async with mailbox(login=True) as box:
        with pytest.raises(aiosmtplib.SMTPException, match="STARTTLS"):
            await send(
                f"smtp://us%40example.com:p%40ss%2Fword@127.0.0.1:{box.port}", confirmation()
            )
        assert (box.mails, box.logins) == ([], [])


async def test_a_server_that_never_responds_causes_a_timeout(
    box: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "SECONDS", 0.3)
    never = asyncio.Event()

    async def wait() -> None:
        await never.wait()

    box.before_accepting = wait
    with pytest.raises(TimeoutError):
        await send(box.url, confirmation())
    never.set()


async def test_an_accepted_mail_counts_as_sent_even_if_quit_fails(
    box: Mailbox,
) -> None:
    async def hang_up(*_: object) -> str:
        await box.stop()
        return "221 lost"

    box.handle_QUIT = hang_up  # type: ignore[attr-defined]
    await send(box.url, confirmation())
    assert len(box.mails) == 1


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.example.com", Server("mail.example.com", 25, False)),
        ("smtp://localhost:1025", Server("localhost", 1025, False)),
        ("smtps://mail.example.com", Server("mail.example.com", 465, True)),
        (
            "smtp://a%40b:c%3Ad@mail.example.com",
            Server("mail.example.com", 587, False, "a@b", "c:d"),
        ),
    ],
)
def test_smtp_url_contains_server_port_encryption_and_login(url: str, expected: Server) -> None:
    assert smtp.server(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "mail.example.com:25",
        "http://mail.example.com",
        "smtp://",
        "smtp://host:many",
        "smtp://[",
        "smtp:",
    ],
)
def test_an_invalid_smtp_url_is_reported_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="SMTP_URL: must look like"):
        smtp.server(url)


def test_the_description_of_an_error_names_no_one() -> None:
    refused = aiosmtplib.SMTPRecipientsRefused(
        [aiosmtplib.SMTPRecipientRefused(550, "no ben@example.com", "ben@example.com")]
    )
    assert smtp.describe(refused) == "SMTPRecipientsRefused 550"
    assert smtp.is_permanent(refused)
    later = aiosmtplib.SMTPRecipientsRefused(
        [aiosmtplib.SMTPRecipientRefused(451, "not now", "ben@example.com")]
    )
    assert not smtp.is_permanent(later)
    assert not smtp.is_permanent(aiosmtplib.SMTPAuthenticationError(535, "who are you?"))
    assert (
        smtp.describe(ConnectionRefusedError(111, "Connect call failed"))
        == "ConnectionRefusedError"
    )
