"""Hashing stays off the event loop, is bounded, and takes as long for an unknown account."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from structlog.testing import capture_logs

from app import db, limits, refusal
from app.accounts import password
from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.conftest import visiting


async def test_a_hash_is_verified_by_its_password_only(strong_hashes: None) -> None:
    password_hash = await password.make_hash("correct horse battery")
    assert await password.verify("correct horse battery", password_hash)
    assert not await password.verify("correct horse batterz", password_hash)
    assert not await password.verify("correct horse battery", None)
    assert not await password.verify("correct horse battery", "no hash")
    assert not password.needs_rehash(password_hash)
    assert password.needs_rehash(factories.QUICK_HASH)


async def test_passwords_are_compared_after_unicode_normalization() -> None:
    assert await password.verify(
        "cafe\u0301 au lait", await password.make_hash("caf\u00e9 au lait")
    )


async def test_the_dummy_hash_has_current_parameters(strong_hashes: None) -> None:
    assert not password.needs_rehash(password._DUMMY_HASH)


async def test_hashing_does_not_block_the_event_loop(strong_hashes: None) -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    counting = asyncio.create_task(count_turns())
    await asyncio.gather(*(password.make_hash(f"password number {n}") for n in range(20)))
    counting.cancel()
    assert turns > 20  # it would be one per hash at most


async def test_a_full_queue_refuses_more_passwords(
    strong_hashes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(password, "_MAX_PENDING", 5)
    monkeypatch.setattr(password, "faults", db.Faults())
    with capture_logs() as lines:
        answers = await asyncio.gather(
            *(password.make_hash(f"password number {n}") for n in range(20)), return_exceptions=True
        )
    assert sum(isinstance(answer, refusal.Unavailable) for answer in answers) == 15
    assert [line["cause"] for line in lines] == ["password_queue_full"]  # one line for all of them
    assert await password.make_hash("and now there is room again")


async def test_a_slow_hash_is_refused(strong_hashes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(password, "_SECONDS", 0.001)
    monkeypatch.setattr(password, "faults", db.Faults())
    with capture_logs() as lines, pytest.raises(refusal.Unavailable):
        await password.make_hash("not in a thousandth of a second")
    assert [line["cause"] for line in lines] == ["password_queue_slow"]


def test_every_listed_password_is_long_enough_to_matter() -> None:
    assert all(len(common) >= password.MIN_LENGTH for common in password._commonest())
    assert len(password._commonest()) >= 3000


@pytest.fixture
async def limited(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The application with rate limits on."""
    async with visiting(settings.model_copy(update={"rate_limits": "on"})) as client:
        yield client


async def test_guessing_at_one_account_is_limited_but_signing_in_is_not(
    limited: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    await factories.student(pool, "Ben")
    await factories.student(pool, "Emma")
    right = {"email": "ben@example.com", "password": factories.PASSWORD}
    same_origin = {"Sec-Fetch-Site": "same-origin"}
    for _ in range(limits.SIGN_IN_FAILURES_OF_BOTH.amount + 1):
        assert (
            await limited.post("/api/auth/login", json=right, headers=same_origin)
        ).status_code == 200
    wrong = right | {"password": "a guess at it"}
    guesses = await asyncio.gather(
        *(
            limited.post("/api/auth/login", json=wrong, headers=same_origin)
            for _ in range(limits.SIGN_IN_FAILURES_OF_BOTH.amount + 5)
        )
    )
    assert sorted(answer.status_code for answer in guesses) == [401] * 10 + [429] * 5
    refused = await limited.post(
        "/api/auth/login", json=right | {"email": "BEN@example.com"}, headers=same_origin
    )
    assert (refused.status_code, refused.json()["code"]) == (429, "RATE_LIMITED")
    assert 1 <= int(refused.headers["retry-after"]) <= 300
    emma = await limited.post(
        "/api/auth/login", json=right | {"email": "emma@example.com"}, headers=same_origin
    )
    assert emma.status_code == 200


async def test_guessing_at_many_accounts_from_one_address_is_limited(
    limited: httpx.AsyncClient,
) -> None:
    most = limits.SIGN_IN_FAILURES_OF_ADDRESS.amount
    answers = [
        await limited.post(
            "/api/auth/login", json={"email": f"{n}@example.com", "password": "the same guess"}
        )
        for n in range(most + 1)
    ]
    assert [answer.status_code for answer in answers] == [401] * most + [429]
