"""Rate limits, counted in Redis and, while it is down, in the process."""

import re
from dataclasses import replace

import httpx
import pytest
from limits import RateLimitItemPerMinute
from redis.asyncio import Redis
from starlette.requests import HTTPConnection
from starlette.routing import Mount, Route, WebSocketRoute
from structlog.testing import capture_logs

from app import limits, refusal, web
from app.db import Pool
from app.main import routes
from app.settings import Settings
from tests import factories
from tests.conftest import RedisServer, visiting
from tests.processes import ROOT

THREE = RateLimitItemPerMinute(3, namespace="test")


@pytest.fixture
def limited(settings: Settings) -> Settings:
    return settings.model_copy(update={"rate_limits": "on"})


async def test_a_call_above_the_limit_is_refused_with_retry_after(limited: Settings) -> None:
    async with limits.open_limiter(limited) as limiter:
        for _ in range(3):
            await limiter.hit(THREE, "ben")
        with pytest.raises(refusal.RateLimited) as refused:
            await limiter.hit(THREE, "ben")
        assert 1 <= refused.value.retry_after <= 60
        await limiter.hit(THREE, "anna")


@pytest.mark.parametrize("with_redis", [True, False])
async def test_a_check_does_not_count_and_forget_resets_the_count(
    limited: Settings, redis_server: RedisServer, with_redis: bool
) -> None:
    if not with_redis:
        redis_server.kill()
    async with limits.open_limiter(limited) as limiter:
        for _ in range(3):
            await limiter.attempt(check=[(THREE, "ben")])
            await limiter.hit(THREE, "ben")
        with pytest.raises(refusal.RateLimited) as refused:
            await limiter.attempt(check=[(THREE, "ben")])
        assert 1 <= refused.value.retry_after <= 60
        await limiter.forget((THREE, "ben"))
        await limiter.attempt(check=[(THREE, "ben")])


async def test_two_processes_share_their_counts(limited: Settings) -> None:
    async with limits.open_limiter(limited) as one, limits.open_limiter(limited) as other:
        await one.hit(THREE, "ben")
        await other.hit(THREE, "ben")
        await one.hit(THREE, "ben")
        with pytest.raises(refusal.RateLimited):
            await other.hit(THREE, "ben")


async def test_without_redis_each_process_counts_alone(
    limited: Settings, redis_server: RedisServer
) -> None:
    async with limits.open_limiter(limited) as limiter:
        await limiter.hit(THREE, "ben")
        redis_server.kill()
        for _ in range(3):
            await limiter.hit(THREE, "ben")
        with pytest.raises(refusal.RateLimited) as refused:
            await limiter.hit(THREE, "ben")
        assert 1 <= refused.value.retry_after <= 60


async def test_keys_in_redis_contain_no_personal_data(
    limited: Settings, redis_server: RedisServer
) -> None:
    async with limits.open_limiter(limited) as limiter:
        await limiter.hit(THREE, "ben@example.com")
    async with Redis.from_url(redis_server.url) as redis:
        (key,) = await redis.keys("*")
    assert re.fullmatch(rb"limits:test/[0-9a-f]{32}", key)


async def test_attempts_of_several_subjects_are_one_round_trip_up_to_the_first_refusal(
    limited: Settings, redis_server: RedisServer
) -> None:
    async with limits.open_limiter(limited) as limiter, Redis.from_url(redis_server.url) as redis:
        await limiter.attempt((THREE, "the address"))  # loads the script
        before = int((await redis.info("stats"))["total_commands_processed"])
        await limiter.attempt((THREE, "the address"), (THREE, "ben"), check=[(THREE, "anna")])
        after = int((await redis.info("stats"))["total_commands_processed"])
        # INFO itself, EVALSHA, and within it GET, two INCR and one EXPIRE.
        assert after - before == 6
        await limiter.hit(THREE, "the address")
        with pytest.raises(refusal.RateLimited):
            await limiter.attempt((THREE, "the address"), (THREE, "ben"))
        for _ in range(2):  # the refused attempt has not counted for him
            await limiter.hit(THREE, "ben")
        with pytest.raises(refusal.RateLimited):
            await limiter.hit(THREE, "ben")


async def test_limits_can_be_turned_off(settings: Settings) -> None:
    async with limits.open_limiter(settings) as limiter:
        for _ in range(10):
            await limiter.hit(THREE, "ben")


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("203.0.113.7", 1), "203.0.113.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (("::ffff:203.0.113.7", 1), "203.0.113.7"),
        (("fe80::1%eth0", 1), "fe80::/64"),
        (("testclient", 1), "testclient"),
        (None, ""),
    ],
)
def test_an_address_is_an_ipv4_host_or_an_ipv6_network(
    client: tuple[str, int] | None, address: str
) -> None:
    assert (
        limits.address(HTTPConnection({"type": "http", "headers": [], "client": client})) == address
    )


@pytest.mark.parametrize(
    ("seconds", "wait"),
    [(1, "1 second"), (45, "45 seconds"), (60, "1 minute"), (61, "2 minutes"), (240, "4 minutes")],
)
def test_too_many_attempts_say_how_long_to_wait(seconds: int, wait: str) -> None:
    assert (
        refusal.RateLimited(retry_after=seconds).detail
        == f"Too many attempts. Try again in {wait}."
    )


# ---- the classes of routes

# Requests that no decorator of a handler counts: where they are counted instead.
COUNTED_ELSEWHERE = {"/static": "file", "/live": "socket", "/live/public": "socket"}


def classes() -> dict[str, str]:
    """The class of each route, of a visitor with an account where there may be one."""
    classes_by_route = {}
    for route in routes():
        if isinstance(route, Mount | WebSocketRoute):
            classes_by_route[route.path] = COUNTED_ELSEWHERE[route.path]
            continue
        assert isinstance(route, Route)
        assert "rate_class" in vars(route.endpoint), f"{route.path} has no decorator of app.web"
        for method in (route.methods or set()) - {"HEAD"}:
            has_account = vars(route.endpoint)["access"] != "public"
            name = web.class_of(route.endpoint, method, has_account=has_account)
            classes_by_route[f"{method} {route.path}"] = name
    return classes_by_route


def test_every_route_has_a_class_and_every_class_a_route() -> None:
    assert set(classes().values()) == set(limits.CLASSES)


def test_the_classes_of_routes_follow_from_what_they_do() -> None:
    by_class: dict[str, set[str]] = {name: set() for name in limits.CLASSES}
    for route, name in classes().items():
        by_class[name].add(route)
    assert by_class["search"] == {"GET /search", "GET /api/search", "GET /api/instructors"}
    assert by_class["operations"] == {"GET /health/live", "GET /health/ready", "GET /metrics"}
    assert by_class["lessons"] == {
        "POST /api/bookings",
        "POST /api/admin/bookings",
        "POST /api/bookings/{id}/confirmation",
        "POST /api/bookings/{id}/cancellation",
    }
    sessions = {route for route in classes() if " /api/auth/" in route and "GET" not in route}
    assert by_class["sign-in"] == sessions - {
        "PATCH /api/auth/me",
        "POST /api/auth/logout",
        "POST /api/auth/logout-everywhere",
        "DELETE /api/auth/sessions/{id}",
    }
    for name in ("read", "public-read"):
        assert not {r for r in by_class[name] if not r.startswith(("GET ", "OPTIONS "))}
    assert "GET /api/public/instructors/{id}/availability" in by_class["public-read"]


def test_the_table_of_the_documentation_is_the_table_of_the_code() -> None:
    rows = re.findall(
        r"^\| `(\S+)` \| [^|]+ \| ([^|]*) ?\| (.*?) \| (.*?) \|$",
        (ROOT / "docs" / "limits.md").read_text(),
        re.MULTILINE,
    )

    def text(limit: object) -> str:
        if limit is None:
            return ""
        amount, _, _, period = re.split(" ", str(limit))
        return f"{amount} per {period}"

    assert {name: (account.strip(), address, where) for name, account, address, where in rows} == {
        name: (
            text(each.of_account),
            text(each.of_address),
            "each process" if each.in_process else "Redis",
        )
        for name, each in limits.CLASSES.items()
    }


@pytest.fixture
def three_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three requests per account and six per address in each class."""
    for name, each in limits.CLASSES.items():
        account = each.of_account and RateLimitItemPerMinute(3, namespace=f"{name}-account")
        address = RateLimitItemPerMinute(6, namespace=f"{name}-address")
        monkeypatch.setitem(
            limits.CLASSES, name, replace(each, of_account=account, of_address=address)
        )


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/api/bookings", 3),
        ("POST", "/api/bookings", 3),
        ("POST", "/api/holds", 3),
        ("POST", "/api/availability/week/clear", 3),
        ("GET", "/search?q=piano", 3),
        ("GET", "/api/instructors", 6),
        ("GET", "/api/catalog/categories", 6),
        ("GET", "/static/icon.svg", 6),
        ("GET", "/health/live", 6),
        ("POST", "/api/auth/password-reset/verify", 6),
    ],
)
@pytest.mark.usefixtures("three_each")
async def test_an_account_above_its_limit_waits_and_others_do_not(
    method: str, path: str, allowed: int, limited: Settings, pool: Pool
) -> None:
    ben = await factories.instructor(pool, "Ben", roles=("instructor", "student"))
    async with visiting(limited) as client:
        client.headers["Authorization"] = (
            f"Bearer {await factories.token_of(pool, ben.id, limited)}"
        )
        statuses = [(await client.request(method, path)).status_code for _ in range(allowed + 1)]
        assert statuses[-1] == 429
        assert 429 not in statuses[:-1]
        refused = await client.request(method, path)
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["Retry-After"]) <= 3600
        if path.startswith("/api"):
            assert refused.json()["code"] == "RATE_LIMITED"
        anna = await factories.instructor(pool, "Anna", roles=("instructor", "student"))
        client.headers["Authorization"] = (
            f"Bearer {await factories.token_of(pool, anna.id, limited)}"
        )
        answer = await client.request(method, path)
        # The classes without an account count the address alone.
        assert (answer.status_code == 429) == (allowed == 6)


@pytest.mark.usefixtures("three_each")
async def test_bodies_that_are_too_large_count(limited: Settings, pool: Pool) -> None:
    ben = await factories.student(pool, "Ben")
    async with visiting(limited) as client:
        client.headers["Authorization"] = (
            f"Bearer {await factories.token_of(pool, ben.id, limited)}"
        )
        body = b" " * (256 * 1024 + 1)
        answers = [await client.post("/api/bookings", content=body) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [413, 413, 413, 429]


async def test_all_accounts_of_an_address_share_its_limit(
    limited: Settings, pool: Pool, three_each: None
) -> None:
    async with visiting(limited) as client:
        statuses = []
        for name in ("Ben", "Anna", "Cora"):
            account = await factories.student(pool, name)
            token = await factories.token_of(pool, account.id, limited)
            for _ in range(3):
                answer = await client.get(
                    "/api/bookings", headers={"Authorization": f"Bearer {token}"}
                )
                statuses.append(answer.status_code)
    assert statuses == [200] * 6 + [429] * 3


async def test_requests_of_a_class_are_one_round_trip_and_none_once_refused(
    limited: Settings, redis_server: RedisServer, three_each: None
) -> None:
    async with limits.open_limiter(limited) as limiter, Redis.from_url(redis_server.url) as redis:
        await limiter.count("write", "203.0.113.7", "ben")  # loads the script

        async def commands() -> int:
            return int((await redis.info("stats"))["total_commands_processed"])

        before = await commands()
        await limiter.count("write", "203.0.113.7", "ben")
        # INFO itself, EVALSHA, and two INCR within it.
        assert await commands() - before == 4
        await limiter.count("write", "203.0.113.7", "ben")
        with pytest.raises(refusal.RateLimited):
            await limiter.count("write", "203.0.113.7", "ben")
        before = await commands()
        for _ in range(10):
            with pytest.raises(refusal.RateLimited) as refused:
                await limiter.count("write", "203.0.113.7", "ben")
        assert await commands() - before == 1
        assert 1 <= refused.value.retry_after <= 60
        for key in await redis.keys("*"):
            assert re.fullmatch(rb"limits:write-(account|address)/[0-9a-f]{32}", key)
            assert 1 <= await redis.ttl(key) <= 60


async def test_without_redis_the_classes_are_counted_in_the_process(
    limited: Settings, redis_server: RedisServer, three_each: None
) -> None:
    async with limits.open_limiter(limited) as limiter:
        redis_server.kill()
        for _ in range(3):
            await limiter.count("lessons", "203.0.113.7", "ben")
        with pytest.raises(refusal.RateLimited) as refused:
            await limiter.count("lessons", "203.0.113.7", "ben")
        assert refused.value.detail.startswith("You’ve booked and cancelled very often.")
        await limiter.count("lessons", "203.0.113.7", "anna")


def test_counters_of_a_process_end_with_their_window_and_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = limits.Counts()
    assert [counts.hit(THREE, "ben", 10.0) for _ in range(4)] == [0, 0, 0, 60]
    assert counts.hit(THREE, "ben", 70.0) == 0
    monkeypatch.setattr(limits, "_MAX_COUNTS", 100)
    for number in range(1000):
        counts.hit(THREE, str(number), 80.0)
    assert len(counts._counts) <= 100


async def test_a_flood_leaves_one_line_in_the_security_log(
    limited: Settings, three_each: None
) -> None:
    async with visiting(limited) as client:
        with capture_logs() as lines:
            statuses = [(await client.get("/services")).status_code for _ in range(50)]
    assert statuses.count(429) == 44
    assert [line["event"] for line in lines].count("rate_limited") == 1


async def test_a_guest_above_the_limit_of_an_address_keeps_no_other_guest_out(
    limited: Settings, three_each: None
) -> None:
    async with visiting(limited.model_copy(update={"trusted_proxies": "*"})) as client:
        for _ in range(6):
            assert (await client.get("/services")).status_code == 200
        refused = await client.get("/services")
        assert refused.status_code == 429
        assert "too quickly" in refused.text
        transport = client._transport
        assert isinstance(transport, httpx.ASGITransport)
        transport.client = ("203.0.113.99", 1)
        assert (await client.get("/services")).status_code == 200
