"""Delivery of notifications: each is sent once, retried after a failure, and delays no others."""

import asyncio
from datetime import timedelta

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from app.db import Pool
from app.notifications import delivery
from app.settings import Settings
from tests import factories
from tests.notifications.ics import parse
from tests.notifications.ledger import (
    book,
    cancel,
    couple,
    deliver_due,
    deliver_each,
    dev_mails,
    make_all_due,
    move,
    now,
    rows,
    unsent,
    worker_context,
)
from tests.notifications.mailbox import Mailbox


@pytest.fixture
def by_smtp(settings: Settings, box: Mailbox) -> Settings:
    """Settings that send to the mailbox."""
    return settings.model_copy(update={"smtp_url": SecretStr(box.url)})


async def test_student_and_instructor_get_each_mail_once(
    pool: Pool, by_smtp: Settings, box: Mailbox
) -> None:
    anna, ben = await couple(pool)
    booking = await book(pool, anna, ben)
    assert await deliver_due(pool, by_smtp) == 2
    await cancel(pool, ben, booking, "ill")
    assert await deliver_due(pool, by_smtp) == 2
    assert await deliver_due(pool, by_smtp) == 0
    await deliver_each(pool, [row["id"] for row in await rows(pool)], by_smtp)
    assert len(box.mails) == 4
    for account in (anna, ben):
        assert [mail["Subject"].partition(":")[0] for mail in box.to(account.email)] in (
            ["New lesson", "Cancelled"],
            ["Confirmed", "Cancelled"],
        )
    assert all(row["sent_at"] and row["attempts"] == 0 for row in await rows(pool))
    assert len({mail["Message-ID"] for mail in box.mails}) == 4


async def test_the_cancellation_names_who_cancelled(
    pool: Pool, by_smtp: Settings, box: Mailbox
) -> None:
    anna, ben = await couple(pool)
    await cancel(pool, anna, await book(pool, anna, ben), "The piano is broken.")
    while await deliver_due(pool, by_smtp):
        pass
    text = box.to(ben.email)[-1].get_body(("plain",))
    assert text is not None
    assert "Anna cancelled this lesson." in text.get_content()
    assert "> The piano is broken." in text.get_content()


async def test_concurrent_deliveries_send_each_mail_once(
    pool: Pool, by_smtp: Settings, box: Mailbox
) -> None:
    async def slowly() -> None:
        await asyncio.sleep(0.1)

    box.before_accepting = slowly
    anna, ben = await couple(pool)
    await book(pool, anna, ben)
    ids = [row["id"] for row in await rows(pool)]
    with worker_context(pool, by_smtp) as context:
        await asyncio.gather(*(delivery.deliver(context, each) for each in ids * 4))
    assert len(box.mails) == 2


async def test_without_an_smtp_server_each_mail_is_stored_once(
    pool: Pool, settings: Settings
) -> None:
    anna, ben = await couple(pool)
    await book(pool, anna, ben)
    ids = [row["id"] for row in await rows(pool)]
    with worker_context(pool, settings) as context:
        await asyncio.gather(*(delivery.deliver(context, each) for each in ids * 4))
    assert sorted(recipient for recipient, _ in await dev_mails(pool)) == [anna.email, ben.email]
    dev_mail = await pool.fetchrow("select body_text, body_html, calendar from dev_mail limit 1")
    assert dev_mail is not None
    assert "10:00–11:00 am (New York time)" in dev_mail["body_text"]
    assert "<h1" in dev_mail["body_html"]
    assert "METHOD:REQUEST" in dev_mail["calendar"]


async def test_while_the_server_is_down_mails_are_retried_after_growing_pauses(
    pool: Pool, by_smtp: Settings, box: Mailbox
) -> None:
    await book(pool, *await couple(pool))
    await box.stop()
    pauses = []
    for attempt in range(1, 4):
        start = now()
        assert await deliver_due(pool, by_smtp) == 2
        assert await deliver_due(pool, by_smtp) == 0  # they pause first
        (row, _) = await rows(pool)
        assert (row["attempts"], row["last_error"], row["sent_at"]) == (
            attempt,
            "SMTPConnectError",
            None,
        )
        pauses.append(round((row["due_at"] - start).total_seconds()))
        await make_all_due(pool)
    assert pauses == [10, 20, 40]
    await box.start()
    assert await deliver_due(pool, by_smtp) == 2
    assert len(box.mails) == 2
    assert all(row["sent_at"] and row["last_error"] is None for row in await rows(pool))


async def test_the_pause_has_a_limit_and_the_last_failure_is_logged_as_an_error(
    pool: Pool, by_smtp: Settings, box: Mailbox
) -> None:
    anna, ben = await couple(pool)
    await book(pool, anna, ben)
    await box.stop()
    await pool.execute("update notification set attempts = $1", delivery.ATTEMPTS - 2)
    await deliver_due(pool, by_smtp)
    assert all(
        timedelta(minutes=59) < row["due_at"] - now() < timedelta(minutes=61)
        for row in await rows(pool)
    )
    await make_all_due(pool)
    with capture_logs() as logs:
        await deliver_due(pool, by_smtp)
    assert [(line["log_level"], line["event"]) for line in logs] == [
        ("error", "notification_given_up")
    ] * 2
    assert "@" not in str(logs)
    assert all(
        row["given_up_at"] and row["attempts"] == delivery.ATTEMPTS for row in await rows(pool)
    )
    await make_all_due(pool)
    await box.start()
    assert await deliver_due(pool, by_smtp) == 0
    assert box.mails == []


async def test_a_refused_recipient_is_given_up_and_delays_no_others(
    pool: Pool, by_smtp: Settings, box: Mailbox
) -> None:
    anna, ben = await couple(pool)
    box.refused = {anna.email: f"550 5.1.1 <{anna.email}> does not exist"}
    await book(pool, anna, ben)
    await deliver_due(pool, by_smtp)
    assert [mail["To"].addresses[0].addr_spec for mail in box.mails] == [ben.email]
    to_anna = next(row for row in await rows(pool) if row["email"] == anna.email)
    assert to_anna["given_up_at"]
    assert to_anna["last_error"] == "SMTPRecipientsRefused 550"  # without the address


async def test_a_temporary_refusal_is_retried(pool: Pool, by_smtp: Settings, box: Mailbox) -> None:
    anna, ben = await couple(pool)
    box.refused = {anna.email: "451 4.7.1 greylisted"}
    await book(pool, anna, ben)
    await deliver_due(pool, by_smtp)
    box.refused = {}
    await make_all_due(pool)
    await deliver_due(pool, by_smtp)
    assert len(box.to(anna.email)) == len(box.to(ben.email)) == 1


async def test_a_mail_that_cannot_be_composed_is_retried_later_and_delays_no_others(
    pool: Pool, by_smtp: Settings, box: Mailbox
) -> None:
    anna, ben = await couple(pool)
    await pool.execute("update account set email = 'not an@address>' where id = $1", anna.id)
    await book(pool, anna, ben)
    await deliver_due(pool, by_smtp)
    assert [mail["To"].addresses[0].addr_spec for mail in box.mails] == [ben.email]
    failed = next(row for row in await rows(pool) if row["email"] != ben.email)
    assert (failed["attempts"], failed["sent_at"], failed["given_up_at"]) == (1, None, None)
    assert "@" not in failed["last_error"]
    assert failed["due_at"] > now()


async def test_a_cancellation_is_sent_after_the_confirmation(
    pool: Pool, by_smtp: Settings, box: Mailbox
) -> None:
    anna, ben = await couple(pool)
    await cancel(pool, ben, await book(pool, anna, ben))
    assert await deliver_due(pool, by_smtp) == 2
    assert await deliver_due(pool, by_smtp) == 2
    subjects = [mail["Subject"].partition(":")[0] for mail in box.to(ben.email)]
    assert subjects == ["Confirmed", "Cancelled"]


async def test_a_confirmation_that_failed_is_not_sent_after_the_cancellation(
    pool: Pool, by_smtp: Settings, box: Mailbox
) -> None:
    anna, ben = await couple(pool)
    booking = await book(pool, anna, ben)
    await box.stop()
    await deliver_due(pool, by_smtp)
    await cancel(pool, ben, booking)
    await box.start()
    await deliver_due(pool, by_smtp)  # during the pause of the confirmation
    await make_all_due(pool)
    await deliver_due(pool, by_smtp)
    for account in (anna, ben):
        assert [mail["Subject"].partition(":")[0] for mail in box.to(account.email)] == [
            "Cancelled"
        ]
    confirmed = [row for row in await rows(pool) if row["kind"] == "booking_confirmed"]
    assert all(
        row["given_up_at"] and row["dropped_reason"] == "booking_cancelled" for row in confirmed
    )


async def test_a_notification_is_not_sent_before_it_is_due(pool: Pool, settings: Settings) -> None:
    await book(pool, *await couple(pool))
    await pool.execute("update notification set due_at = now() + interval '1 minute'")
    assert await deliver_due(pool, settings) == 0
    await deliver_each(pool, [row["id"] for row in await rows(pool)], settings)
    assert await dev_mails(pool) == []
    assert await deliver_due(pool, settings, at=lambda: now() + timedelta(minutes=2)) == 2


async def test_a_clock_that_jumps_sends_each_mail_once_and_loses_none(
    pool: Pool, by_smtp: Settings, box: Mailbox
) -> None:
    anna, ben = await couple(pool)
    week = timedelta(days=7)
    # Booked and attempted while the clock is a week ahead, and the server down.
    booked = await book(pool, anna, ben, day=10, at=now() + week)
    down = by_smtp.model_copy(update={"smtp_url": SecretStr("smtp://127.0.0.1:1")})
    assert await deliver_due(pool, down, at=lambda: now() + week) == 2
    assert box.mails == []
    # The clock is right again. Then it goes back.
    assert await deliver_due(pool, by_smtp) == 2
    for clock in (now, lambda: now() - week, lambda: now() + week):
        assert await deliver_due(pool, by_smtp, at=clock) == 0
    await cancel(pool, ben, booked)
    assert await deliver_due(pool, by_smtp, at=lambda: now() - week) == 2
    assert await deliver_due(pool, by_smtp) == 0
    for account in (anna, ben):
        assert len(box.to(account.email)) == 2
    assert await unsent(pool) == 0


async def test_an_unknown_kind_of_notification_is_left_for_newer_workers(
    pool: Pool, settings: Settings
) -> None:
    ada = await factories.admin(pool)
    await pool.execute(
        """alter domain notification_kind drop constraint notification_kind;
           alter domain notification_kind add constraint notification_kind check (value <> '')"""
    )
    await pool.execute(
        "insert into notification (kind, recipient_id, due_at) values ('newer', $1, now())", ada.id
    )
    assert await deliver_due(pool, settings) == 0
    (row,) = await rows(pool)
    await deliver_each(pool, [row["id"]], settings)
    assert await rows(pool) == [row]


async def test_a_notification_of_a_deleted_booking_is_dropped(
    pool: Pool, by_smtp: Settings, box: Mailbox
) -> None:
    booking = await book(pool, *await couple(pool))
    await pool.execute("delete from booking where id = $1", booking.id)
    await deliver_due(pool, by_smtp)
    assert {row["dropped_reason"] for row in await rows(pool)} == {"booking_deleted"}
    assert box.mails == []


async def test_a_move_is_mailed_with_the_time_that_the_recipient_knew(
    pool: Pool, by_smtp: Settings, box: Mailbox
) -> None:
    anna, ben = await couple(pool)
    lesson = await book(pool, anna, ben, "10:00")
    await deliver_due(pool, by_smtp)
    for hour in ("11:00", "12:00"):  # the second move comes before the mail about the first
        await move(pool, ben, lesson, anna.at(hour, day=3))
    while await deliver_due(pool, by_smtp):
        pass
    await move(pool, ben, lesson, anna.at("13:00", day=3))
    while await deliver_due(pool, by_smtp):
        pass
    for account in (anna, ben):
        mails = box.to(account.email)
        assert [mail["Subject"].partition(":")[0] for mail in mails][1:] == ["Moved", "Moved"]
        texts = [text.get_content() for mail in mails[1:] if (text := mail.get_body(("plain",)))]
        assert "12:00–1:00 pm" in texts[0]
        assert "Before:" not in texts[0]
        assert "1:00–2:00 pm" in texts[1]
        assert ", 12:00–1:00 pm (New York time)" in texts[1].partition("Before:")[2]
        files = [part.get_content() for mail in mails for part in mail.iter_attachments()]
        sequences = [parse(file.decode())[1]["SEQUENCE"] for file in files]
        assert sequences == ["0", "4", "6"]
    dropped = [row for row in await rows(pool) if row["dropped_reason"]]
    assert {row["dropped_reason"] for row in dropped} == {"booking_moved"}
    assert len(dropped) == 2
