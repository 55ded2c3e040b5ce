"""Roles that change while a socket is open."""

import httpx

from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.cluster import PATIENCE
from tests.processes import Starter
from tests.realtime.screens import Screens

# A lost hint waits for the next reconcile, and a connection gets a refresh every nine seconds at
# most.


async def test_an_open_socket_gets_the_booking_messages_of_its_accounts_present_roles(
    start: Starter, pool: Pool, settings: Settings
) -> None:
    anna, ben, ada = (
        await factories.instructor(pool),
        await factories.student(pool),
        await factories.admin(pool),
    )
    start("relay")
    web, other = (start("serve", reconcile_seconds=12) for _ in range(2))
    screens = Screens(web.url)
    annas = await screens.open(token=await factories.token_of(pool, anna.id, settings))
    bens = await screens.open(token=await factories.token_of(pool, ben.id, settings))
    token = await factories.token_of(pool, ada.id, settings)
    as_ada = httpx.AsyncClient(
        base_url=other.url, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE
    )

    async def book(at: str) -> str:
        booking = {
            "student_id": str(ben.id),
            "service_id": str(anna.service_id),
            "start": anna.at(at, day=2).isoformat(),
            "duration_minutes": 60,
            "location": "12 Main St",
            "override": [],
        }
        before = len(bens.messages)
        answer = await as_ada.post("/api/admin/bookings", json=booking)
        assert answer.status_code == 201, answer.text
        await bens.receives("booking", after=before)
        return str(answer.json()["id"])

    async def set_roles(*roles: str) -> None:
        before = len(annas.messages)
        answer = await as_ada.put(
            f"/api/admin/accounts/{anna.id}/roles", json={"roles": list(roles)}
        )
        assert answer.status_code == 200, answer.text
        await annas.receives("refresh", after=before)

    def lessons() -> list[str]:
        return [message["booking"]["id"] for message in annas.of("booking")]

    first = await book("10:00")
    await annas.receives("booking")
    await set_roles("student")
    answer = await as_ada.post(f"/api/bookings/{first}/cancellation")
    assert answer.status_code == 200
    await bens.receives("booking", event="cancelled")
    await annas.quiet(1)
    assert lessons() == [first]
    await set_roles("instructor")
    before = len(annas.messages)
    second = await book("12:00")
    await annas.receives("booking", after=before)
    assert lessons() == [first, second]
    assert annas.closed_with is None
    await as_ada.aclose()
    await screens.close()
