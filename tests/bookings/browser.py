"""The API's booking calls as one account makes them."""

from typing import Any

import httpx

from app import wire
from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.factories import Account, Instructor


class Browser:
    """The requests of one account, with its bearer token."""

    def __init__(self, client: httpx.AsyncClient, account: Account, token: str) -> None:
        self.client = client
        self.account = account
        self.headers = {"Authorization": f"Bearer {token}"}

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.client.get(path, params=query, headers=self.headers)

    async def send(
        self, method: str, path: str, body: Any = None, key: str | None = None
    ) -> httpx.Response:
        headers = self.headers | ({"Idempotency-Key": key} if key else {})
        return await self.client.request(method, path, json=body, headers=headers)

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return await self.client.post(
            path,
            json=body,
            headers=self.headers | {k.replace("_", "-"): v for k, v in headers.items()},
        )

    async def book(
        self, instructor: Instructor, at: str, *, day: int = 2, key: str | None = None, **more: Any
    ) -> httpx.Response:
        body = request(instructor, at, day) | {"location": "12 Main St"} | more
        return await self.send("POST", "/api/bookings", body, key)

    async def hold(
        self, instructor: Instructor, at: str, *, day: int = 2, key: str | None = None, **more: Any
    ) -> httpx.Response:
        return await self.send("POST", "/api/holds", request(instructor, at, day) | more, key)


def request(instructor: Instructor, at: str, day: int) -> dict[str, Any]:
    """The body of a booking of an hour."""
    return {
        "service_id": str(instructor.service_id),
        "start": wire.instant(instructor.at(at, day=day)),
        "duration_minutes": 60,
    }


async def browser(
    client: httpx.AsyncClient, pool: Pool, settings: Settings, account: Account
) -> Browser:
    return Browser(client, account, await factories.token_of(pool, account.id, settings))
