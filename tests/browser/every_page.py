"""Every page, of a town whose people have something on each of them."""

from collections.abc import AsyncIterator
from typing import Any

from playwright.async_api import Page, Request, expect

from app import wire
from app.bookings import cancellation
from app.db import Pool
from app.web import utc_now
from tests import factories
from tests.browser.axe import AXE
from tests.browser.board import book, hold
from tests.browser.conftest import Open
from tests.factories import Account, Instructor

LONG_NAME = "Maximiliana Wolfeschlegelsteinhausenbergerdorff-Featherstonehaugh" + "x" * 60


async def town(pool: Pool) -> tuple[Instructor, Account]:
    """An instructor with lessons, a held time and two services, and her student."""
    anna = await factories.instructor(pool, "Anna Diaz", durations=(30, 60, 90))
    await factories.service_of(pool, anna.id, "music-theory")
    await pool.execute(
        """update instructor
           set headline = 'Patient with beginners', bio = 'We start with a piece you love.'"""
    )
    ben, cleo = await factories.student(pool, "Ben Ode"), await factories.student(pool, "Cleo Park")
    await book(pool, anna, anna.at("10:00"), ben.id)
    await book(pool, anna, anna.at("10:00", day=9), ben.id)
    await hold(pool, anna, anna.at("13:00"), cleo.id)
    current = await book(pool, anna, anna.at("10:00", day=10), cleo.id)
    await pool.execute(
        """update booking set during = span, blocked = span
           from (select tstzrange(now() - interval '10 min', now() + interval '20 min') as span)
           where id = $1""",
        current.id,
    )
    # Ben has not confirmed his address, and is about to turn on a second factor.
    await pool.execute("update account set verified_at = null where id = $1", ben.id)
    await pool.execute(
        "insert into totp (account_id, secret) values ($1, 'JBSWY3DPEHPK3PXP')", ben.id
    )
    # Ben has a lost hold, a hold and a cancelled lesson, each with its page.
    await hold(pool, anna, anna.at("15:00"), ben.id)
    await hold(pool, anna, anna.at("14:00"), ben.id)
    lesson = await book(pool, anna, anna.at("16:00"), ben.id)
    await cancellation.cancel(pool, ben.id, lesson.id, reason="A cold.", now=utc_now())
    await pool.execute(
        """insert into dev_mail (sender, recipient, subject, body_text, body_html)
           values ('InstaInstru <lessons@example.com>', 'ben.ode@example.com',
                   'Confirmed: Piano', 'Hello', '<p>Hello</p>')"""
    )
    return anna, ben


async def pages(pool: Pool, anna: Instructor, ben: Account) -> list[tuple[str, Account | None]]:
    ids = await pool.fetch(
        "select distinct on (state) id from booking where student_id = $1", ben.id
    )
    lesson, cancelled = [
        await pool.fetchval(
            "select id from booking where student_id = $1 and state = $2 limit 1", ben.id, state
        )
        for state in ("confirmed", "cancelled")
    ]
    ada = await factories.admin(pool, "Ada Vale")
    free = f"/instructors/{anna.id}?minutes=30&start={wire.instant(anna.at('11:00'))}"
    held = f"/instructors/{anna.id}?minutes=30&start={wire.instant(anna.at('14:00'))}"
    unavailable = f"/instructors/{anna.id}?minutes=30&start={wire.instant(anna.at('10:00'))}"
    return [
        ("/", None), ("/services", None), ("/search?q=nothing+like+it", None), ("/", ben),
        ("/search?q=piano+tomorrow+under+$80", ben), ("/search?q=harp+in+queens", None),
        ("/dev/mail", None), ("/dev/mail/1", None), ("/login?next=/lessons", None),
        ("/register", None), ("/nowhere", None), (f"/instructors/{anna.id}", None),
        (free, None), (free, ben), (unavailable, ben), (held, ben),
        (f"/instructors/{anna.id}", anna), ("/lessons", ben), ("/lessons?scope=past", ben),
        ("/account", ben), ("/account", anna), ("/account/delete", ben), ("/account/delete", anna),
        ("/goodbye", None), ("/verify-email", ben), ("/reset-password", None),
        ("/verify-email?token=x", None), ("/teach", anna), ("/teach/calendar", anna),
        ("/teach/profile", anna), ("/teach/stats", anna),
        *((f"/book/{row['id']}", ben) for row in ids), (f"/lessons?cancelled={cancelled}", ben),
        ("/admin", ada), ("/admin/accounts", ada), ("/admin/accounts?q=x", ada),
        (f"/admin/accounts/{ben.id}", ada), (f"/admin/accounts/{ada.id}", ada),
        (f"/admin/bookings?account={ben.id}", ada), ("/admin/bookings?state=no_show", ada),
        (f"/admin/bookings/{lesson}", ada), (f"/admin/bookings/{cancelled}", ada),
        ("/admin/bookings/new", ada), ("/admin/notifications", ada), ("/admin/searches", ada),
        ("/admin/system", ada),
        (f"/admin/bookings/new?student={ben.id}&instructor={anna.id}", ada),
        (f"/lessons/{lesson}/move", ben), (f"/lessons/{lesson}/move{free[free.index('?'):]}", ben),
    ]  # fmt: skip


async def visit_all(
    open_page: Open, pool: Pool, anna: Instructor, ben: Account, **options: Any
) -> AsyncIterator[tuple[str, Page]]:
    """Every page, with axe, in one browser context per account, because a new context costs more
    than most pages."""
    opened: dict[Account | None, Page] = {}
    for path, account in await pages(pool, anna, ben):
        if account not in opened:
            opened[account] = await open_page("about:blank", account, **options)
            await opened[account].add_init_script(AXE)
        await opened[account].goto(path)
        yield path, opened[account]


async def response_sizes(page: Page, path: str) -> dict[str, int]:
    """The bytes of each response that the page loads if nothing is cached."""
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Network.enable")
    await devtools.send("Network.setCacheDisabled", {"cacheDisabled": True})
    requests: list[Request] = []

    def finished(request: Request) -> None:
        requests.append(request)

    page.on("requestfinished", finished)
    await page.goto(path)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await page.wait_for_load_state("networkidle")
    page.remove_listener("requestfinished", finished)
    await devtools.detach()
    return {request.url: (await request.sizes())["responseBodySize"] for request in requests}
