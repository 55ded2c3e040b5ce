"""The mails about accounts, and the links in them."""

import re
from datetime import UTC, datetime

import httpx

from app.db import Pool
from app.settings import Settings
from tests.forms import Page
from tests.notifications.ledger import deliver_due, dev_mails

__all__ = ["dev_mails"]


async def deliver(pool: Pool, settings: Settings) -> None:
    """Delivers everything that is due."""
    while await deliver_due(pool, settings, at=lambda: datetime.now(UTC)):
        pass


async def newest(pool: Pool, recipient: str, subject: str) -> str:
    """The text of the newest mail with this subject."""
    text: str = await pool.fetchval(
        """select body_text from dev_mail where recipient = $1 and subject = $2
           order by id desc limit 1""",
        recipient,
        subject,
    )
    return text


async def token_in_mail(pool: Pool, settings: Settings, recipient: str, subject: str) -> str:
    """The token of the link in the newest mail with this subject, after delivery."""
    await deliver(pool, settings)
    match = re.search(r"token=([\w.-]+)", await newest(pool, recipient, subject))
    assert match is not None
    return match[1]


async def confirm_on_page(client: httpx.AsyncClient, text: str) -> Page:
    """Opens the link with this token and presses its button; returns the page after that."""
    page = Page(await client.get("/verify-email", params={"token": text}))
    answer = await page.form("/confirm").send(client)
    assert answer.status_code == 303
    return Page(await client.get(answer.headers["location"]))
