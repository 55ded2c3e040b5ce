"""Staff finds accounts and changes their roles. A change takes effect at once."""

import asyncio

import httpx
import pytest
from structlog.testing import capture_logs

from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.bookings.browser import Browser, browser


@pytest.fixture
async def ada(client: httpx.AsyncClient, pool: Pool, settings: Settings) -> Browser:
    return await browser(client, pool, settings, await factories.admin(pool))


@pytest.fixture
async def ben(client: httpx.AsyncClient, pool: Pool, settings: Settings) -> Browser:
    return await browser(client, pool, settings, await factories.student(pool))


def roles_of(browser: Browser) -> str:
    return f"/api/admin/accounts/{browser.account.id}/roles"


async def test_accounts_are_found_by_parts_of_names_and_addresses(
    pool: Pool, ada: Browser, ben: Browser
) -> None:
    for name in ("Zoë Ode", "Benedict 100%", "Anna_Lee"):
        await factories.instructor(pool, name)

    async def names(**query: str | int) -> list[str]:
        answer = await ada.get("/api/admin/accounts", **query)
        return [item["full_name"] for item in answer.json()["items"]]

    assert await names() == ["Anna_Lee", "Benedict 100%", "Zoë Ode", "Ben", "Ada"]
    assert await names(q="BEN") == ["Benedict 100%", "Ben"]
    assert await names(q="ben@exam") == ["Ben"]
    assert await names(q="100%") == ["Benedict 100%"]
    assert await names(q="a_l") == ["Anna_Lee"]
    assert await names(role="student") == ["Ben"]
    assert await names(q="ben", role="instructor") == ["Benedict 100%"]
    page = (await ada.get("/api/admin/accounts", limit=3)).json()
    assert await names(limit=3, cursor=page["next_cursor"]) == ["Ben", "Ada"]
    assert (await ada.get("/api/admin/accounts", q="be")).status_code == 422
    account = (await ada.get(f"/api/admin/accounts/{ben.account.id}")).json()
    assert account == (await ada.get("/api/admin/accounts", q="ben@exam")).json()["items"][0]
    assert (account["roles"], account["email_verified"]) == (["student"], True)


async def test_a_changed_role_takes_effect_with_the_next_request(
    pool: Pool, ada: Browser, ben: Browser
) -> None:
    assert (await ben.get("/api/instructors/me")).status_code == 403
    answer = await ada.send("PUT", roles_of(ben), {"roles": ["student", "instructor"]})
    assert answer.json()["roles"] == ["instructor", "student"]
    assert (await ben.get("/api/instructors/me")).json()["is_active"]
    assert (await ben.get(f"/api/instructors/{ben.account.id}")).status_code == 200
    answer = await ada.send("PUT", roles_of(ben), {"roles": ["student"]})
    assert answer.json()["roles"] == ["student"]
    assert (await ben.get("/api/instructors/me")).status_code == 403
    assert (await ben.get(f"/api/instructors/{ben.account.id}")).status_code == 404
    await ada.send("PUT", roles_of(ben), {"roles": ["admin"]})
    assert (await ben.get("/api/admin/accounts")).status_code == 200
    await ada.send("PUT", roles_of(ben), {"roles": ["student"]})
    assert (await ben.get("/api/admin/accounts")).status_code == 403


async def test_an_admin_keeps_their_own_admin_role(ada: Browser) -> None:
    answer = await ada.send("PUT", roles_of(ada), {"roles": ["student"]})
    assert (answer.status_code, answer.json()["code"]) == (403, "NOT_ALLOWED")
    answer = await ada.send("PUT", roles_of(ada), {"roles": ["admin", "student"]})
    assert answer.json()["roles"] == ["admin", "student"]


async def test_admins_who_remove_each_other_at_the_same_time_leave_one(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    admins = [
        await browser(client, pool, settings, await factories.admin(pool, f"Admin {n}"))
        for n in range(4)
    ]
    for _ in range(5):
        await pool.execute(
            "insert into account_role select id, 'admin' from account on conflict do nothing"
        )
        answers = await asyncio.gather(
            *(
                actor.send("PUT", roles_of(other), {"roles": ["student"]})
                for actor, other in zip(admins, admins[1:] + admins[:1], strict=True)
            )
        )
        assert {answer.status_code for answer in answers} <= {200, 403}
        assert await pool.fetchval("select count(*) from account_role where role = 'admin'") >= 1


async def test_only_admins_change_roles_and_unknown_accounts_are_not_found(
    pool: Pool, ada: Browser, ben: Browser
) -> None:
    anna = await factories.instructor(pool)
    for call in (roles_of(ben), roles_of(ada)):
        assert (await ben.send("PUT", call, {"roles": ["admin"]})).status_code == 403
    assert (await ben.get("/api/admin/accounts")).status_code == 403
    for unknown in (anna.service_id, "none"):
        call = f"/api/admin/accounts/{unknown}"
        assert (await ada.get(call)).status_code == 404
        assert (await ada.send("DELETE", f"{call}/sessions")).status_code == 404
        assert (await ada.send("PUT", f"{call}/roles", {"roles": ["admin"]})).status_code == 404
    for wrong in ([], ["owner"], "", None):
        assert (await ada.send("PUT", roles_of(ben), {"roles": wrong})).status_code == 422


async def test_role_changes_are_in_the_security_log(ada: Browser, ben: Browser) -> None:
    with capture_logs() as lines:
        await ada.send("PUT", roles_of(ben), {"roles": ["instructor"]})
        await ada.send("PUT", roles_of(ben), {"roles": ["instructor"]})
    changes = [
        (line["event"], line["account"], line["role"], line["actor"])
        for line in lines
        if "role" in line
    ]
    assert changes == [
        ("role_granted", str(ben.account.id), "instructor", str(ada.account.id)),
        ("role_removed", str(ben.account.id), "student", str(ada.account.id)),
    ]


async def test_staff_ends_all_sessions_of_an_account(ada: Browser, ben: Browser) -> None:
    answer = await ada.send("DELETE", f"/api/admin/accounts/{ben.account.id}/sessions")
    assert answer.status_code == 204
    assert (await ben.get("/api/auth/me")).status_code == 401
    assert (await ada.get("/api/auth/me")).status_code == 200


async def test_an_instructor_can_also_become_a_student(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    anna = await browser(client, pool, settings, await factories.instructor(pool))
    dora = await factories.instructor(pool, "Dora")
    assert (await anna.book(dora, "10:00")).status_code == 403
    page = await client.get("/account", headers=anna.headers)
    assert "Become a student" in page.text
    page = await client.get("/lessons", headers=anna.headers)
    assert page.status_code == 403
    assert "This page is for students." in page.text
    form = {**anna.headers, "Content-Type": "application/x-www-form-urlencoded"}
    answer = await client.post("/api/students/me", content="next=/lessons", headers=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/lessons")
    assert (await client.get("/lessons", headers=anna.headers)).status_code == 200
    for _ in range(2):
        answer = await anna.post("/api/students/me")
        assert (answer.status_code, answer.json()["roles"]) == (201, ["instructor", "student"])
    assert (await anna.book(dora, "10:00")).status_code == 201


async def test_only_an_admin_gives_back_a_role_that_an_admin_removed(
    client: httpx.AsyncClient, pool: Pool, settings: Settings, ada: Browser
) -> None:
    both = ("instructor", "student")
    anna = await browser(client, pool, settings, await factories.instructor(pool, roles=both))
    calls = {"instructor": "/api/instructors/me", "student": "/api/students/me"}
    for role, call in calls.items():
        (other,) = set(both) - {role}
        await ada.send("PUT", roles_of(anna), {"roles": [other]})
        for _ in range(2):
            refused = await anna.post(call, {} if role == "instructor" else None)
            assert (refused.status_code, refused.json()["code"]) == (403, "NOT_ALLOWED")
            assert "only an admin can give it back" in refused.json()["detail"]
        assert (await anna.get("/api/auth/me")).json()["roles"] == [other]
        page = (await client.get("/account", headers=anna.headers)).text
        assert "An admin has removed this role" in page
        assert call not in page
        export = (await anna.get("/api/privacy/export")).json()
        assert set(export["account"]["removed_roles"]) == {role}
        answer = await ada.send("PUT", roles_of(anna), {"roles": list(both)})
        assert answer.json()["roles"] == list(both)
    assert await pool.fetchval("select count(*) from removed_role") == 0
    form = {**anna.headers, "Content-Type": "application/x-www-form-urlencoded"}
    await ada.send("PUT", roles_of(anna), {"roles": ["student"]})
    answer = await client.post("/api/instructors/me", content="_page=/teach", headers=form)
    assert answer.status_code == 403
    assert "only an admin can give it back" in answer.text


async def test_a_former_instructor_no_longer_sees_the_lessons_taught(
    client: httpx.AsyncClient, pool: Pool, settings: Settings, ada: Browser, ben: Browser
) -> None:
    anna = await factories.instructor(pool)
    as_anna = await browser(client, pool, settings, anna)
    lesson = (await ben.book(anna, "10:00")).json()["id"]
    assert (await as_anna.get(f"/api/bookings/{lesson}")).status_code == 200
    await ada.send("PUT", roles_of(as_anna), {"roles": ["student"]})
    assert (await as_anna.get(f"/api/bookings/{lesson}")).status_code == 403
    assert (await as_anna.get(f"/api/bookings/{lesson}/history")).status_code == 403
    assert (await as_anna.post(f"/api/bookings/{lesson}/cancellation")).status_code == 403
    # The lesson stays, and staff can cancel it.
    assert (await ada.post(f"/api/bookings/{lesson}/cancellation")).status_code == 200
