"""/dev/mail: everyone sees the mails of a site in `int`, and nobody those of another."""

from html import unescape

import httpx
import pytest
from pydantic import SecretStr

from app.db import Pool
from app.settings import Settings
from tests.notifications.ics import parse
from tests.notifications.ledger import book, cancel, couple, deliver_due
from tests.notifications.lessons import HOSTILE


async def test_before_the_first_mail_the_page_says_so(client: httpx.AsyncClient) -> None:
    page = await client.get("/dev/mail")
    assert page.status_code == 200
    assert "No mail yet." in page.text


async def test_every_mail_can_be_read_and_its_calendar_taken(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    anna, ben = await couple(pool)
    await cancel(pool, ben, await book(pool, anna, ben, note=HOSTILE))
    while await deliver_due(pool, settings):
        pass
    page = unescape((await client.get("/dev/mail")).text)
    for subject in (
        "Confirmed: Piano with Anna",
        "New lesson: Piano with Ben",
        "Cancelled: Piano with Ben",
    ):
        assert subject in page
    for recipient in (anna.email, ben.email):
        assert page.count(f"to {recipient}") == 2
    newest = await pool.fetchval("select max(id) from dev_mail")
    assert page.index(f"/dev/mail/{newest}") < page.index(f"/dev/mail/{newest - 1}")  # newest first

    first = await pool.fetchval("select min(id) from dev_mail")
    opened = await client.get(f"/dev/mail/{first}")
    assert "12 Main St" in opened.text
    assert "<script>alert" not in opened.text
    assert f'src="/dev/mail/{first}/html"' in opened.text
    calendar = await client.get(f"/dev/mail/{first}/lesson.ics")
    assert calendar.headers["content-type"].startswith("text/calendar")
    assert "attachment" in calendar.headers["content-disposition"]
    _, event = parse(calendar.text)
    assert event["LOCATION"] == "12 Main St"


async def test_the_html_of_a_mail_may_be_framed_by_us_and_run_nothing(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    await book(pool, *await couple(pool))
    await deliver_due(pool, settings)
    first = await pool.fetchval("select min(id) from dev_mail")
    answer = await client.get(f"/dev/mail/{first}/html")
    policies = answer.headers.get_list("content-security-policy")
    assert len(policies) == 1
    assert "default-src 'none'" in policies[0]
    assert "frame-ancestors 'self'" in policies[0]
    assert "sandbox" in policies[0]
    assert "script" not in policies[0]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    page = await client.get(f"/dev/mail/{first}")
    assert f'src="/dev/mail/{first}/html"' in page.text
    assert "frame-src 'self'" in page.headers["content-security-policy"]


@pytest.mark.parametrize("number", ["1", "0", "-1", "x", "9" * 40, "1%00", "١"])
@pytest.mark.parametrize("part", ["", "/html", "/lesson.ics"])
async def test_the_page_of_an_unknown_mail_is_not_found(
    client: httpx.AsyncClient, number: str, part: str
) -> None:
    assert (await client.get(f"/dev/mail/{number}{part}")).status_code == 404


class TestOutsideInt:
    """The same database, on a site that sends its mails."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(
            update={
                "site_mode": "prod",
                "smtp_url": SecretStr("smtp://127.0.0.1:9"),
                "rate_limits": "on",
            }
        )

    async def test_the_pages_do_not_exist(
        self, client: httpx.AsyncClient, pool: Pool, settings: Settings
    ) -> None:
        await book(pool, *await couple(pool))
        await deliver_due(pool, settings.model_copy(update={"smtp_url": SecretStr("")}))
        first = await pool.fetchval("select min(id) from dev_mail")
        for path in (
            "/dev/mail",
            f"/dev/mail/{first}",
            f"/dev/mail/{first}/html",
            f"/dev/mail/{first}/lesson.ics",
        ):
            answer = await client.get(path)
            assert answer.status_code == 404
            assert "example.com" not in answer.text
