"""Waits for a state of /health/ready."""

import asyncio
from typing import Any

import httpx

from tests.cluster import PATIENCE


async def wait_until_ready(client: httpx.AsyncClient, code: int, **expected: Any) -> dict[str, Any]:
    """Waits for this status code and these fields; returns the whole response."""
    async with asyncio.timeout(PATIENCE):
        while True:
            answer = await client.get("/health/ready")
            body: dict[str, Any] = answer.json()
            if answer.status_code == code and expected.items() <= body.items():
                return body
            await asyncio.sleep(0.1)
