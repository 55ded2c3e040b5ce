"""Confirming an e-mail address: until then, only the mail that asks for it goes there."""

from datetime import UTC, datetime, timedelta

import httpx

from app import limits
from app.accounts import address, token
from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.accounts.mails import confirm_on_page, deliver, dev_mails, token_in_mail
from tests.accounts.test_signing_in import BEN, SAME_ORIGIN, bearer
from tests.conftest import visiting
from tests.forms import Page
from tests.notifications.ledger import book, cancel, deliver_due, move

ASK = "Confirm your e-mail address"
EMAIL = BEN["email"]


async def ben_registers(client: httpx.AsyncClient) -> dict[str, str]:
    """The headers of his session."""
    answer = await client.post("/api/auth/register", json=BEN)
    assert answer.status_code == 201
    client.cookies.clear()
    return bearer(answer.json()["token"])


async def ben_of(pool: Pool) -> factories.Account:
    ben_id = await pool.fetchval("select id from account where email = $1", EMAIL)
    return factories.Account(ben_id, EMAIL, "Ben Ode")


async def test_five_new_accounts_send_a_stranger_only_confirmation_mails(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    anna = await factories.instructor(pool, "Anna")
    await pool.execute("update account set verified_at = null where id = $1", anna.id)
    await ben_registers(client)
    ben = await ben_of(pool)
    for hour in range(10, 14):
        lesson = await book(pool, anna, ben, f"{hour}:00", note="Visit evil.example")
        await cancel(pool, ben, lesson)
    await deliver(pool, settings)
    assert await dev_mails(pool) == [(EMAIL, ASK)]
    withheld = await pool.fetchval(
        """select count(*) from notification
           where withheld_at is not null and sent_at is null and given_up_at is null"""
    )
    assert withheld == 17  # two mails to each about four lessons, twice, and a welcome
    text = await pool.fetchval("select body_text || body_html || subject from dev_mail")
    assert "Ben" not in text  # nothing that the account's owner wrote
    await deliver(pool, settings)
    assert len(await dev_mails(pool)) == 1


async def test_withheld_mail_that_is_still_accurate_follows_the_confirmation(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    anna = await factories.instructor(pool, "Anna")
    headers = await ben_registers(client)
    ben = await ben_of(pool)
    await book(pool, anna, ben, "10:00")
    moved = await book(pool, anna, ben, "12:00")
    await move(pool, ben, moved, anna.at("14:00", day=3))
    await cancel(pool, ben, await book(pool, anna, ben, "16:00"))
    early = datetime.now(UTC) - timedelta(days=5)
    await book(pool, anna, ben, "11:00", day=1, at=early)
    past = await book(pool, anna, ben, "09:00", day=4)
    await deliver(pool, settings)
    await pool.execute(
        """update booking set during = span, blocked = span
           from (select tstzrange(now() - interval '2 h', now() - interval '1 h') as span)
           where id = $1""",
        past.id,
    )
    text = await token_in_mail(pool, settings, EMAIL, ASK)
    assert (await client.get("/api/auth/me", headers=headers)).json()["email_verified"] is False
    confirmed = await client.post("/api/auth/verification/confirm", json={"token": text})
    assert confirmed.status_code == 204
    assert (await client.get("/api/auth/me", headers=headers)).json()["email_verified"] is True
    await pool.execute("delete from dev_mail")
    await deliver(pool, settings)
    subjects = [subject.split(":")[0] for email, subject in await dev_mails(pool) if email == EMAIL]
    assert sorted(subjects) == [
        "Cancelled",
        "Confirmed",
        "Confirmed",
        "Moved",
        "Welcome to InstaInstru",
    ]
    reasons = await pool.fetch(
        "select dropped_reason from notification where dropped_reason is not null order by 1"
    )
    assert [row[0] for row in reasons] == ["booking_cancelled", "booking_moved", "too_late"]
    # Opening the link again is no error.
    again = await client.post("/api/auth/verification/confirm", json={"token": text})
    assert again.status_code == 204


async def test_the_link_works_without_scripts_and_says_what_happened(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    answer = await client.post("/api/auth/register", data=BEN, follow_redirects=True)
    page = Page(answer)
    assert "Confirm your e-mail address: open the link we sent to ben@example.com." in page.text
    sent = await page.form("/api/auth/verification").send(client)
    assert (sent.status_code, sent.headers["location"]) == (303, "/verify-email?sent=yes")
    assert "Check your inbox" in Page(await client.get(sent.headers["location"])).text
    assert "send it again" not in page.text
    text = await token_in_mail(pool, settings, EMAIL, ASK)
    assert await dev_mails(pool) == [(EMAIL, ASK)] * 2
    for damaged in (text[:-4], text.replace(".", ".A"), "x", "x" * 3000):
        refused = await client.get("/verify-email", params={"token": damaged})
        assert refused.status_code == 422
        assert "This link doesn’t work" in Page(refused).text
    # A mail scanner opens every link.
    for method in ("HEAD", "GET"):
        await client.request(method, "/verify-email", params={"token": text})
    assert "Confirm your e-mail address" in Page(await client.get("/")).text
    page = await confirm_on_page(client, text)
    assert "Your address is confirmed" in page.text
    assert "ben@example.com is yours." in page.text
    again = Page(await client.get("/verify-email", params={"token": text}))
    assert "Your address is confirmed" in again.text
    page = Page(await client.get("/"))
    assert "Confirm your e-mail address" not in page.text
    sent = await client.post("/api/auth/verification", headers=SAME_ORIGIN)
    assert sent.status_code == 202
    await deliver(pool, settings)
    assert [subject for _, subject in await dev_mails(pool)].count(ASK) == 2


async def test_an_expired_link_offers_a_new_one(pool: Pool, settings: Settings) -> None:
    start = datetime.now(UTC)
    clock = [start]
    async with visiting(settings, now=lambda: clock[0]) as client:
        await client.post("/api/auth/register", json=BEN)
        text = await token_in_mail(pool, settings, EMAIL, ASK)
        clock[0] = start + token.LIFE["verification"] + timedelta(minutes=1)
        page = Page(await client.get("/verify-email", params={"token": text}))
        assert "This link has expired" in page.text
        assert page.form("/api/auth/verification").fields["_page"] == "/verify-email"
        refused = await client.post(
            "/api/auth/verification/confirm", json={"token": text}, headers=SAME_ORIGIN
        )
        assert (refused.status_code, refused.json()["field"]) == (422, "token")
        client.cookies.clear()
        page = Page(await client.get("/verify-email", params={"token": text}))
        assert page.links["Sign in to get a new link"] == "/login?next=%2Fverify-email"


async def test_a_recipient_gets_at_most_ten_such_mails_a_day(
    pool: Pool, settings: Settings
) -> None:
    async with visiting(settings.model_copy(update={"rate_limits": "on"})) as client:
        headers = await ben_registers(client)
        most = limits.LINK_MAILS_OF_RECIPIENT.amount
        answers = [
            await client.post("/api/auth/verification", headers=headers) for _ in range(most)
        ]
        assert [answer.status_code for answer in answers] == [202] * (most - 1) + [429]
        assert "spam folder" in answers[-1].json()["detail"]
        assert int(answers[-1].headers["retry-after"]) > 0
        tagged = BEN | {"email": "ben+lessons@example.com"}
        refused = await client.post("/api/auth/register", json=tagged)
        assert (refused.status_code, refused.json()["code"]) == (429, "RATE_LIMITED")
        others = BEN | {"email": "emma@example.com"}
        assert (await client.post("/api/auth/register", json=others)).status_code == 201


async def test_addresses_are_confirmed_in_batches_whatever_their_case(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    await ben_registers(client)
    await deliver(pool, settings)
    now = datetime.now(UTC)
    assert await address.verify(pool, ["BEN@Example.com", "nobody@example.com"], now=now) == 1
    await deliver(pool, settings)
    assert await dev_mails(pool) == [(EMAIL, ASK), (EMAIL, "Welcome to InstaInstru")]


async def test_a_confirmation_and_a_delivery_at_once_lose_no_mail(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    """The delivery has read that the address is not confirmed, and then it is."""
    await ben_registers(client)
    ben = await ben_of(pool)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("update account set verified_at = now() where id = $1", ben.id)
        await deliver_due(pool, settings)
        await transaction.commit()
    assert not await pool.fetchval(
        "select count(*) from notification where withheld_at is not null"
    )
    await deliver(pool, settings)
    assert (EMAIL, "Welcome to InstaInstru") in await dev_mails(pool)
