"""What follows from SITE_URL, ALLOWED_HOSTS, ALLOWED_ORIGINS and TRUSTED_PROXIES: the headers of
responses, the cookie, the hosts and origins of requests, and the address of a client."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from app import demo
from app.accounts import demo_accounts
from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.cluster import PATIENCE
from tests.conftest import visiting
from tests.realtime.conftest import serving
from tests.test_connections import status, stranger

SITE = "https://lessons.example.com"
PAGES = ("/", "/login", "/api/auth/me", "/nowhere", "/health/live", "/metrics")
# Any site may read these: they contain no personal data.
STATIC = "/static/base.css"


def public(settings: Settings, **changes: Any) -> Settings:
    """The settings of a site on the Internet."""
    return settings.model_copy(update={"site_mode": "stg", "site_url": SITE} | changes)


# ---- headers


async def test_every_response_has_the_security_headers(client: httpx.AsyncClient) -> None:
    for path in (*PAGES, STATIC):
        headers = (await client.get(path)).headers
        policy = dict(
            part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["form-action"] == "'self'"
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        corp = "cross-origin" if path == STATIC else "same-origin"
        assert headers["cross-origin-resource-policy"] == corp
        assert "camera=()" in headers["permissions-policy"]
        assert "strict-transport-security" not in headers
        assert "server" not in headers


async def test_only_public_reads_are_for_other_sites(client: httpx.AsyncClient, pool: Pool) -> None:
    sarah = await factories.instructor(pool, "Sarah")
    path = f"/api/public/instructors/{sarah.id}/next-available?duration_minutes=60"
    elsewhere = {"Origin": "https://elsewhere.example"}
    for public_path in (path, STATIC):
        answer = await client.get(public_path, headers=elsewhere)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert "access-control-allow-credentials" not in answer.headers
    for closed in PAGES:
        answer = await client.get(closed, headers=elsewhere)
        assert "access-control-allow-origin" not in answer.headers
        preflight = {"Access-Control-Request-Method": "POST"} | elsewhere
        answer = await client.options(closed, headers=preflight)
        assert "access-control-allow-origin" not in answer.headers


async def test_behind_tls_browsers_are_told_to_use_nothing_else(settings: Settings) -> None:
    async with visiting(public(settings)) as client:
        for path in PAGES:
            headers = (await client.get(path)).headers
            assert headers["strict-transport-security"] == "max-age=31536000"
            assert "wss://lessons.example.com;" in headers["content-security-policy"]


async def test_an_unexpected_error_has_the_headers_too(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    await pool.execute("alter table account rename column email to address")
    client._transport.raise_app_exceptions = False  # type: ignore[attr-defined]
    answer = await client.post("/api/auth/login", json={"email": "a@b.com", "password": "x" * 10})
    assert answer.status_code == 500
    assert answer.headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


# ---- the cookie


async def test_behind_tls_the_cookie_belongs_to_this_host_only(
    settings: Settings, pool: Pool
) -> None:
    ben = await factories.student(pool, "Ben")
    credentials = {"email": ben.email, "password": factories.PASSWORD}
    async with visiting(public(settings)) as client:
        answer = await client.post("/api/auth/login", json=credentials)
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(f"__Host-session={answer.json()['token']};")
        assert {"HttpOnly", "Path=/", "SameSite=Lax", "Secure"} <= {
            part.strip() for part in cookie.split(";")
        }
        assert "domain" not in cookie.lower()
        assert (await client.get("/api/auth/me")).status_code == 200
        client.cookies.clear()
        # A page of another subdomain could set a cookie of this name.
        by_plain_cookie = {"Cookie": f"session={answer.json()['token']}"}
        assert (await client.get("/api/auth/me", headers=by_plain_cookie)).status_code == 401


async def test_behind_tls_every_cookie_is_secure_and_closed_to_scripts(
    settings: Settings, pool: Pool
) -> None:
    ben = await factories.student(pool, "Ben")
    credentials = {"email": ben.email, "password": factories.PASSWORD}
    async with visiting(public(settings)) as client:
        answers = [
            await client.get("/search?q=piano"),
            await client.post("/api/auth/login", json=credentials),
            await client.post("/notice/dismissal", headers={"Sec-Fetch-Site": "none"}),
        ]
        await pool.execute("insert into totp values ($1, '', now())", ben.id)
        answers.append(
            await client.post(
                "/api/auth/totp/recovery-codes",
                data=credentials,
                headers={"Sec-Fetch-Site": "none"},
            )
        )
        cookies = [cookie for answer in answers for cookie in answer.headers.get_list("set-cookie")]
        assert {cookie.partition("=")[0] for cookie in cookies} >= {"recovery_codes"}
        assert len(cookies) >= 4
        for cookie in cookies:
            attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
            assert {"secure", "httponly", "samesite=lax", "path=/"} <= attributes, cookie


# ---- hosts


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("lessons.example.com", True),
        ("LESSONS.example.com", True),
        ("lessons.example.com:443", True),
        ("www.example.com", True),
        ("lessons.example.com:8443", False),
        ("elsewhere.example", False),
        ("lessons.example.com.elsewhere.example", False),
        ("localhost", False),
        ("127.0.0.1:8000", False),
        ("", False),
    ],
)
async def test_a_request_names_a_host_of_this_site(
    settings: Settings, host: str, allowed: bool
) -> None:
    async with visiting(public(settings, allowed_hosts=("www.example.com",))) as client:
        answer = await client.get("/login", headers={"Host": host})
        assert answer.status_code == (200 if allowed else 400)
        assert (await client.get("/health/live", headers={"Host": host})).status_code == 200
        # It asks for its key instead.
        assert (await client.get("/metrics", headers={"Host": host})).status_code == 403


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost", True),
        ("localhost:12345", True),
        ("127.0.0.1:9", True),
        ("127.8.9.10", True),
        ("[::1]:8000", True),
        ("lessons.localhost:8000", True),
        ("localhost.elsewhere.example", False),
        ("127.0.0.1.elsewhere.example", False),
        ("192.168.0.7:8000", False),
        ("elsewhere.example", False),
    ],
)
async def test_in_int_every_loopback_name_is_allowed(
    client: httpx.AsyncClient, host: str, allowed: bool
) -> None:
    answer = await client.get("/login", headers={"Host": host})
    assert answer.status_code == (200 if allowed else 400)


async def test_a_live_socket_of_another_host_is_refused(settings: Settings) -> None:
    async with serving(settings) as url, stranger(url) as client:
        await client.send(
            b"GET /live/public HTTP/1.1\r\nHost: elsewhere.example\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: lesson.v1\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert status(await client.rest()) == 400


# ---- the mode


@pytest.mark.parametrize(("mode", "has_mode"), [("int", True), ("stg", True), ("prod", False)])
async def test_the_mode_is_at_the_foot_of_each_page_except_on_prod(
    settings: Settings, mode: str, has_mode: bool
) -> None:
    async with visiting(public(settings, site_mode=mode)) as client:
        page = (await client.get("/login")).text
        assert (f"Site mode: {mode}" in page) is has_mode
        assert ("Site mode" in page) is has_mode


# ---- origins


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Origin": SITE}, 204),
        ({"Origin": "http://lessons.example.com"}, 403),
        ({"Origin": f"{SITE}:8443"}, 403),
        ({"Origin": "https://www.example.com", "Host": "www.example.com"}, 204),
        ({"Origin": "http://www.example.com", "Host": "www.example.com"}, 403),
        ({"Origin": "https://partner.example"}, 204),
        ({"Origin": "http://partner.example"}, 403),
        # Only if a browser does not say from which site the request comes, its Origin counts.
        ({"Origin": "https://partner.example", "Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_an_origin_is_scheme_host_and_port(
    settings: Settings, pool: Pool, headers: dict[str, str], expected: int
) -> None:
    ben = await factories.student(pool, "Ben")
    site = public(
        settings,
        allowed_origins=("https://partner.example",),
        allowed_hosts=("www.example.com",),
    )
    token = await factories.token_of(pool, ben.id, site)
    async with visiting(site) as client:
        # The proxy terminates TLS, and is not trusted here to say so.
        answer = await client.post(
            "http://lessons.example.com/api/auth/logout",
            headers={"Cookie": f"__Host-session={token}"} | headers,
        )
        assert answer.status_code == expected


# ---- proxies


async def test_a_forged_address_counts_only_from_a_trusted_proxy(settings: Settings) -> None:
    limited = settings.model_copy(update={"rate_limits": "on"})
    wrong = {"password": "not the right one"}

    async def guess(site: Settings) -> list[int]:
        async with (
            serving(site) as url,
            httpx.AsyncClient(base_url=url, timeout=PATIENCE) as client,
        ):
            answers = [
                await client.post(
                    "/api/auth/login",
                    json=wrong | {"email": f"someone{number}@example.com"},
                    headers={"X-Forwarded-For": f"203.0.113.{number}"},
                )
                for number in range(62)
            ]
            return [answer.status_code for answer in answers]

    assert set(await guess(limited)) == {401}
    stranger_only = limited.model_copy(update={"trusted_proxies": "192.0.2.1"})
    assert (await guess(stranger_only))[-2:] == [429, 429]


# ---- demo accounts


async def test_demo_accounts_never_sign_in_on_prod(settings: Settings, pool: Pool) -> None:
    await demo.seed(pool, now=datetime.now(UTC))
    rows = await pool.fetch("select email::text from account order by email")
    emails = [row["email"] for row in rows]
    assert len(emails) > len(demo_accounts.EMAILS)
    assert {email.partition("@")[2] for email in emails} == {demo_accounts.DOMAIN}
    undocumented = next(email for email in emails if email not in demo_accounts.EMAILS)
    for email in (demo_accounts.EMAILS[0].upper(), undocumented):
        credentials = {"email": email, "password": demo_accounts.PASSWORD}
        async with visiting(settings) as client:
            token = (await client.post("/api/auth/login", json=credentials)).json()["token"]
        async with visiting(public(settings, site_mode="prod")) as client:
            answer = await client.post("/api/auth/login", json=credentials)
            assert (answer.status_code, answer.json()["code"]) == (401, "NOT_SIGNED_IN")
            bearer = {"Authorization": f"Bearer {token}"}
            assert (await client.get("/api/auth/me", headers=bearer)).status_code == 401
