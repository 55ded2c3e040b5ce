"""Guessing passwords: bounded for the guesser, without locking anybody else out."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from limits import RateLimitItemPerHour
from redis.asyncio import Redis
from structlog.testing import capture_logs

from app import limits
from app.accounts import session
from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.accounts.test_signing_in import BEN, SAME_ORIGIN, bearer
from tests.conftest import RedisServer, visiting

WRONG = {"email": "ini@example.com", "password": "a guess at it"}
RIGHT = {"email": "ini@example.com", "password": factories.PASSWORD}


@pytest.fixture
async def limited(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The application with rate limits on, behind a proxy that names the client's address."""
    async with visiting(settings.model_copy(update={"rate_limits": "on"})) as client:
        yield client


async def sign_in(
    client: httpx.AsyncClient, body: dict[str, str], address: str = "203.0.113.1", **cookies: str
) -> httpx.Response:
    """A sign-in from this address by a browser with these cookies."""
    transport: Any = client._transport
    transport.client = (address, 1)
    client.cookies.clear()
    for name, value in cookies.items():
        client.cookies.set(name, value)
    return await client.post("/api/auth/login", json=body, headers=SAME_ORIGIN)


async def test_other_spellings_of_an_address_are_the_same_account(
    limited: httpx.AsyncClient, pool: Pool
) -> None:
    """Postgres folds İ to i; Python makes two characters of it."""
    await factories.student(pool, "ini")
    assert (await sign_in(limited, RIGHT | {"email": "İNi@EXAMPLE.com"})).status_code == 200
    spellings = [f"{a}n{b}@example.com" for a in "iIİ" for b in "iIİ"] * 2
    answers = [await sign_in(limited, WRONG | {"email": email}) for email in spellings]
    most = limits.SIGN_IN_FAILURES_OF_BOTH.amount
    assert [answer.status_code for answer in answers] == [401] * most + [429] * (18 - most)


async def test_guesses_from_elsewhere_do_not_lock_the_owner_out(
    limited: httpx.AsyncClient, pool: Pool
) -> None:
    await factories.student(pool, "ini")
    for n in range(3):
        for _ in range(limits.SIGN_IN_FAILURES_OF_BOTH.amount + 1):
            answer = await sign_in(limited, WRONG, f"203.0.113.{n}")
        assert answer.status_code == 429
    assert (await sign_in(limited, RIGHT, "198.51.100.7")).status_code == 200


async def test_a_known_device_signs_in_even_while_a_thousand_addresses_guess(
    limited: httpx.AsyncClient, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        limits,
        "SIGN_IN_FAILURES_OF_EMAIL",
        RateLimitItemPerHour(20, 1, namespace="sign-in-email"),
    )
    await factories.student(pool, "ini")
    await factories.student(pool, "emma")
    first = await sign_in(limited, RIGHT, "198.51.100.7")
    device = first.cookies["device"]
    hers = await sign_in(limited, RIGHT | {"email": "emma@example.com"}, "198.51.100.8")
    statuses = [(await sign_in(limited, WRONG, f"203.0.{n}.1")).status_code for n in range(21)]
    assert statuses == [401] * 20 + [429]
    assert (await sign_in(limited, RIGHT, "198.51.100.9")).status_code == 429
    assert (await sign_in(limited, RIGHT, "198.51.100.9", device="x.y")).status_code == 429
    other = await sign_in(limited, RIGHT, "198.51.100.9", device=hers.cookies["device"])
    assert other.status_code == 429
    recognized = await sign_in(limited, RIGHT, "198.51.100.9", device=device)
    assert recognized.status_code == 200
    # A stolen cookie makes guesses from many addresses no cheaper.
    statuses = [
        (await sign_in(limited, WRONG, f"203.1.{n}.1", device=device)).status_code
        for n in range(11)
    ]
    assert statuses == [401] * 10 + [429]


@pytest.mark.parametrize(
    ("one", "other"),
    [("::ffff:203.0.113.9", "203.0.113.9"), ("2001:db8:1:2::5", "2001:db8:1:2:ffff::6")],
)
async def test_equal_addresses_share_a_count(
    limited: httpx.AsyncClient, pool: Pool, one: str, other: str
) -> None:
    await factories.student(pool, "ini")
    for _ in range(limits.SIGN_IN_FAILURES_OF_BOTH.amount):
        assert (await sign_in(limited, WRONG, one)).status_code == 401
    assert (await sign_in(limited, WRONG, other)).status_code == 429
    assert (await sign_in(limited, WRONG, "::ffff:203.0.113.10")).status_code == 401


async def test_correct_passwords_are_limited_per_address_too(
    limited: httpx.AsyncClient, pool: Pool
) -> None:
    """Each costs a hash, and a queue of them makes others wait."""
    await factories.student(pool, "ini")
    await factories.student(pool, "emma")
    await sign_in(limited, RIGHT, "198.51.100.7")
    most = limits.SIGN_INS_OF_ADDRESS.amount
    answers = await asyncio.gather(
        *(limited.post("/api/auth/login", json=RIGHT, headers=SAME_ORIGIN) for _ in range(256))
    )
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(429) > 256 - most
    emma = await sign_in(limited, RIGHT | {"email": "emma@example.com"}, "198.51.100.8")
    assert emma.status_code == 200


async def test_a_sign_in_makes_four_round_trips_to_redis_and_a_wrong_one_as_many(
    limited: httpx.AsyncClient, pool: Pool, redis_server: RedisServer
) -> None:
    await factories.student(pool, "ini")
    async with Redis.from_url(redis_server.url) as redis:
        for body in (RIGHT, WRONG):
            await sign_in(limited, body)  # loads the scripts
            await redis.config_resetstat()
            await sign_in(limited, body)
            stats = await redis.info("commandstats")
            # The class; the address; the account; at last, the counts that a right password resets,
            # or the failure of the address.
            assert stats["cmdstat_evalsha"]["calls"] == 4


async def test_the_twenty_first_session_ends_the_oldest(pool: Pool, settings: Settings) -> None:
    ben = await factories.student(pool, "Ben")
    on = settings.model_copy(update={"rate_limits": "on"})
    now = datetime.now(UTC)
    tokens = [
        await session.open(pool, ben.id, on, now=now + timedelta(seconds=n)) for n in range(21)
    ]
    later = now + timedelta(minutes=1)
    accounts = [await session.authenticate(pool, each, on, now=later) for each in tokens]
    assert [account is not None for account in accounts] == [False] + [True] * 20
    at_once = await asyncio.gather(*(session.open(pool, ben.id, on, now=later) for _ in range(8)))
    assert len(await session.list_of(pool, ben.id, now=later)) == 20
    assert len(set(at_once)) == 8
    await session.open(pool, ben.id, settings, now=later)  # without limits
    assert len(await session.list_of(pool, ben.id, now=later)) == 21


async def test_a_session_ends_after_90_days_however_much_it_is_used(
    pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    start = datetime.now(UTC)
    token = await session.open(pool, ben.id, settings, now=start)
    for day in range(90):
        now = start + timedelta(days=day, hours=1)
        assert await session.authenticate(pool, token, settings, now=now) is not None
    renewed = [
        (await session.authenticate(pool, token, settings, now=start + timedelta(days=89, hours=h)))
        for h in (2, 3)
    ]
    assert [account and account.renewed for account in renewed] == [False, False]
    end = start + timedelta(days=90)
    assert await session.authenticate(pool, token, settings, now=end) is None


async def test_signing_in_ends_the_previous_session_of_that_browser_only(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "ini")
    phone = await factories.token_of(pool, ben.id, settings)
    first = (await client.post("/api/auth/login", json=RIGHT)).json()["token"]
    second = await client.post("/api/auth/login", json=RIGHT, headers=SAME_ORIGIN)
    assert second.status_code == 200
    statuses = {}
    client.cookies.clear()
    for name, token in (("phone", phone), ("first", first), ("second", second.json()["token"])):
        statuses[name] = (await client.get("/api/auth/me", headers=bearer(token))).status_code
    assert statuses == {"phone": 200, "first": 401, "second": 200}
    # A program's token is no browser.
    third = await client.post("/api/auth/login", json=RIGHT, headers=bearer(phone))
    assert third.status_code == 200
    client.cookies.clear()
    assert (await client.get("/api/auth/me", headers=bearer(phone))).status_code == 200


async def test_the_list_of_sessions_says_where_and_when_each_was_used(
    pool: Pool, settings: Settings
) -> None:
    await factories.student(pool, "ini")
    clock = [datetime.now(UTC).replace(microsecond=0)]
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
    async with visiting(settings, now=lambda: clock[0]) as client:
        answer = await client.post("/api/auth/login", json=RIGHT, headers={"User-Agent": firefox})
        client.cookies.clear()
        headers = bearer(answer.json()["token"])
        clock[0] += timedelta(hours=2)
        await client.get("/api/auth/me", headers=headers)
        (row,) = (await client.get("/api/auth/sessions", headers=headers)).json()["items"]
    assert (row["device"], row["current"]) == ("Firefox on Linux", True)
    used, created = [datetime.fromisoformat(row[key]) for key in ("last_used_at", "created_at")]
    assert used - created == timedelta(hours=2)


async def test_the_security_log_has_one_line_each_without_personal_data(
    limited: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "ini")
    with capture_logs() as lines:
        for _ in range(11):
            await sign_in(limited, WRONG)
        token = await factories.token_of(pool, ben.id, settings)
        limited.cookies.clear()
        for _ in range(2):
            await limited.post("/api/instructors/me", json={}, headers=bearer(token))
        await pool.execute("delete from account_role where role = 'instructor'")
        await limited.get("/api/instructors/me", headers=bearer(token))
        await limited.post("/api/auth/login", json={"email": "nobody@example.com", "password": "x"})
        await limited.put(
            "/api/auth/password",
            json={"password": factories.PASSWORD, "new_password": "four words of mine"},
            headers=bearer(token),
        )
    lines = [line for line in lines if "account" in line]
    events = [(line["event"], line["account"]) for line in lines]
    account = str(ben.id)
    assert events == [
        *[("sign_in_failed", account)] * 10,
        ("rate_limited", account),
        ("role_granted", account),
        ("not_allowed", account),
        ("sign_in_failed", None),
        ("password_changed", account),
    ]
    assert len({line["address"] for line in lines}) == 1
    text = str(lines)
    assert "203.0.113" not in text
    assert "@" not in text


async def test_forms_over_32_kb_are_refused_before_they_are_parsed(
    client: httpx.AsyncClient,
) -> None:
    body = "&".join(f"field{n}=x" for n in range(40_000))[: 33 * 1024]
    for path in ("/api/auth/login", "/api/bookings", "/nowhere"):
        answer = await client.post(
            path, content=body, headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
        assert (answer.status_code, answer.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")
        assert "32 kB" in answer.json()["detail"]
    answer = await client.post("/api/auth/register", json=BEN | {"next": "/" + "x" * 40_000})
    assert answer.status_code == 201
