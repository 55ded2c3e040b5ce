"""The pages under /admin, without JavaScript."""

import httpx
import pytest

from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.forms import Page
from tests.pages.visitor import book, sign_in, visit

ADDRESSES = ("/admin", "/admin/accounts", "/admin/bookings", "/admin/bookings/new")


async def test_only_admins_see_the_pages(client: httpx.AsyncClient, pool: Pool) -> None:
    ben, anna = await factories.student(pool), await factories.instructor(pool)
    lesson = await book(pool, anna, ben)
    addresses = (*ADDRESSES, f"/admin/accounts/{ben.id}", f"/admin/bookings/{lesson.id}")
    for address in addresses:
        answer = await client.get(address)
        assert answer.headers["location"].startswith("/login?next=%2Fadmin")
    await sign_in(client, ben)
    for address in addresses:
        answer = await client.get(address)
        assert answer.status_code == 403
        assert "Ben" not in Page(answer).text.replace("Your account, Ben", "")
    assert "Admin" not in (await visit(client, "/")).links
    client.cookies.clear()
    await sign_in(client, await factories.admin(pool))
    for address in addresses:
        assert (await client.get(address)).status_code == 200
    for unknown in (f"/admin/accounts/{lesson.id}", f"/admin/bookings/{ben.id}"):
        assert (await client.get(unknown)).status_code == 404


async def test_an_admin_finds_an_account_and_changes_its_roles(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    ben, ada = await factories.student(pool), await factories.admin(pool)
    await factories.instructor(pool)
    await sign_in(client, ada)
    page = await visit(client, (await visit(client, "/")).links["Admin"])
    page = await visit(client, page.links["Accounts"])
    page = Page(await page.form("/admin/accounts").send(client, q="BEN@"))
    assert "Anna" not in page.text
    page = await visit(client, page.links["Ben"])
    answer = await page.form("/roles").send(client, roles="instructor")
    page = await visit(client, answer.headers["location"])
    assert "The roles are saved." in page.text
    roles = await pool.fetch("select role from account_role where account_id = $1", ben.id)
    assert [row["role"] for row in roles] == ["instructor"]
    page = Page(await page.form("/roles").send(client, roles=""))
    assert (page.status, "Choose at least one role." in page.text) == (422, True)
    # Her own page keeps the admin role, whatever else is chosen.
    page = await visit(client, f"/admin/accounts/{ada.id}")
    await page.form("/roles").send(client)
    assert (await client.get("/admin")).status_code == 200
    page = await visit(client, "/admin/accounts?q=ab")
    assert (page.status, "at least 3 characters" in page.text) == (422, True)


async def test_an_admin_signs_an_account_out_and_erases_it(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool)
    await factories.token_of(pool, ben.id, settings)
    await sign_in(client, await factories.admin(pool))
    page = await visit(client, f"/admin/accounts/{ben.id}")
    answer = await page.form("/sessions").send(client)
    page = await visit(client, answer.headers["location"])
    assert "The account is signed out everywhere." in page.text
    answer = await page.form("/erasure").send(client)
    assert answer.headers["location"] == "/admin/accounts"
    page = await visit(client, f"/admin/accounts/{ben.id}")
    assert "Former student" in page.text
    assert not [form for form in page.forms if "/roles" in form.action]


async def test_an_admin_books_for_a_student_confirms_the_override_and_cancels(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    await factories.student(pool)
    anna = await factories.instructor(pool)
    await sign_in(client, await factories.admin(pool))
    page = await visit(client, "/admin/bookings/new")
    page = await visit(client, page.links["Ben"])
    page = await visit(client, page.links["Anna"])
    values = {
        "service_id": str(anna.service_id),
        "duration_minutes": "60",
        "location_type": "student",
        "date": str(anna.day(2)),
        "time": "20:00",
        "location": "12 Main St",
    }
    answer = await page.form("/api/admin/bookings").send(client, **values)
    assert answer.status_code == 409
    page = Page(answer)
    assert "outside the instructor’s hours. Confirm" in page.text
    form = page.form("/api/admin/bookings")
    assert (form.fields["time"], form.fields["location"]) == ("20:00", "12 Main St")
    answer = await form.send(client, **values, override="availability")
    assert answer.status_code == 303
    page = await visit(client, answer.headers["location"])
    assert "The lesson is booked." in page.text
    assert "You booked it for" in page.text
    assert "outside the instructor’s hours." in page.text
    answer = await page.form("/cancellation").send(client, reason="Ben asked us to")
    page = await visit(client, answer.headers["location"])
    assert "You cancelled it. “Ben asked us to”" in page.text


@pytest.mark.parametrize("state", ["completion", "no-show"])
async def test_an_admin_records_the_outcome_of_a_lesson(
    client: httpx.AsyncClient, pool: Pool, state: str
) -> None:
    lesson = await book(pool, await factories.instructor(pool), await factories.student(pool))
    await pool.execute(
        "update booking set during = tstzrange(now() - interval '2 h', now() - interval '1 h'),"
        " blocked = tstzrange(now() - interval '2 h', now() - interval '1 h')"
    )
    await sign_in(client, await factories.admin(pool))
    page = await visit(client, f"/admin/bookings/{lesson.id}")
    answer = await page.form(state).send(client)
    page = await visit(client, answer.headers["location"])
    assert "The lesson is marked as" in page.text


async def test_bookings_are_filtered_by_state_day_and_account(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    eva = await factories.student(pool, "Eva")
    await book(pool, anna, ben, day=2)
    await book(pool, anna, eva, day=3)
    await sign_in(client, await factories.admin(pool))
    page = await visit(client, "/admin/bookings")
    assert ("For Ben" in page.text, "For Eva" in page.text) == (True, True)
    page = Page(await page.form("/admin/bookings").send(client, last=str(anna.day(2))))
    assert ("For Ben" in page.text, "For Eva" in page.text) == (True, False)
    page = await visit(client, f"/admin/bookings?account={eva.id}")
    assert ("For Ben" in page.text, "For Eva" in page.text) == (False, True)
    page = await visit(client, page.links["Eva × (remove)"])
    assert "For Ben" in page.text
    assert "No booking matches." in (await visit(client, "/admin/bookings?state=held")).text
    assert (await visit(client, "/admin/bookings?first=soon")).status == 422
