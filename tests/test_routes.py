"""Access to every route, and errors that no handler causes."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute

from app import openapi
from app.accounts import session
from app.bookings import hold
from app.db import Pool
from app.main import build, routes
from app.settings import Settings
from app.web import Call
from tests import factories
from tests.conftest import _running

# Who may call a route without a permission, and why. Every other route asks for one.
REASONS = {
    "public": {
        "GET /health/live": "supervisors have no account",
        "GET /health/ready": "supervisors have no account",
        "GET /metrics": "Prometheus has a key of its own",
        "GET /api/catalog/categories": "the catalog is for everybody",
        "GET /api/catalog/services": "the catalog is for everybody",
        "GET /api/catalog/areas": "the catalog is for everybody",
        "GET /api/instructors": "search is for everybody",
        "GET /api/search/suggestions": "search is for everybody",
        "GET /api/instructors/{id}": "profiles are for everybody",
        "GET /api/public/instructors/{id}/availability": "boards are for everybody",
        "GET /api/public/instructors/{id}/next-available": "boards are for everybody",
        "GET /api/openapi.json": "the description of the API",
        "GET /api/public/feeds/{token}.ics": "calendar programs know a secret token",
        "GET /embed.js": "boards on other sites",
        "GET /robots.txt": "search engines",
        "GET /sitemap.xml": "search engines",
        "GET /sitemap/pages.xml": "search engines",
        "GET /sitemap/instructors.xml": "search engines",
    },
    "visitor": {
        "POST /api/auth/register": "the beginning of an account",
        "POST /api/auth/login": "the beginning of a session",
        "POST /api/auth/verification/confirm": "the token of a mail identifies the account",
        "POST /api/auth/email/confirm": "the token of a mail identifies the account",
        "POST /api/auth/password-reset/request": "without the password, nobody can sign in",
        "POST /api/auth/password-reset/verify": "the token of a mail identifies the account",
        "POST /api/auth/password-reset/confirm": "the token of a mail identifies the account",
        "GET /api/search": "search is for everybody",
        "GET /api/search/history": "guests have one; an account needs view_own_search_history",
        "DELETE /api/search/history": "as above, delete_own_search_history",
        "DELETE /api/search/history/{id}": "as above, delete_own_search_history",
        "POST /api/search/interactions": "guests search, too; the search must be the visitor's",
        "GET /": "the start page",
        "POST /notice/dismissal": "a cookie of the visitor's own",
        "GET /search": "search is for everybody",
        "GET /services": "the catalog is for everybody",
        "GET /docs": "the description of the API is for everybody",
        "GET /instructors/{id}": "profiles are for everybody",
        "GET /login": "the form",
        "GET /register": "the form",
        "GET /reset-password": "the form",
        "GET /verify-email": "the link in a mail",
        "GET /goodbye": "after an account was erased, nobody is signed in",
        "GET /dev/mail": "not found unless SITE_MODE is int",
        "GET /dev/mail/{id}": "not found unless SITE_MODE is int",
        "GET /dev/mail/{id}/html": "not found unless SITE_MODE is int",
        "GET /dev/mail/{id}/lesson.ics": "not found unless SITE_MODE is int",
    },
    "signed in": {
        "POST /api/auth/logout": "an account without roles can sign out, too",
        "POST /api/auth/logout-everywhere": "an account without roles can sign out, too",
    },
}
# Not by a decorator: realtime/endpoint.py decides about sockets, and Starlette serves files.
OTHERS = {
    "/live": "boards are for everybody; booking messages need view_own_bookings or"
    " view_incoming_bookings (tests/realtime/test_roles.py)",
    "/live/public": "boards are for everybody",
    "/static": "files that are the same for everybody",
}
# Permissions that no route asks for.
UNUSED = {
    "search_instructors": "search is public",
    "view_instructors": "profiles are public",
    "view_own_search_history": "asked for within a call that guests make, too",
    "delete_own_search_history": "asked for within calls that guests make, too",
    "write_reviews": "there are no reviews yet",
}
BUNDLES = {
    "shared": """view_own_profile edit_own_profile delete_own_account export_own_data
        view_own_search_history delete_own_search_history""",
    "student": """search_instructors view_instructors create_bookings hold_times
        view_own_bookings cancel_own_bookings reschedule_own_bookings write_reviews""",
    "instructor": """manage_instructor_profile manage_services manage_availability
        manage_blackouts view_incoming_bookings cancel_student_bookings complete_bookings
        write_instructor_notes view_own_analytics""",
    "admin": """view_accounts manage_accounts manage_roles view_all_bookings
        manage_all_bookings view_system_analytics view_monitoring""",
}


def calls() -> Iterator[tuple[str, str, str]]:
    """(method, path, access) of every HTTP route."""
    for route in routes():
        if isinstance(route, Mount | WebSocketRoute):
            continue
        assert isinstance(route, Route)
        for method in sorted((route.methods or set()) - {"HEAD"}):
            yield method, route.path, vars(route.endpoint).get("access", "")


def permissions_of(access: str) -> set[str]:
    """The permissions of which a route asks for one."""
    return set() if access in REASONS else set(access.split(" or "))


@pytest.mark.parametrize(("method", "path", "access"), [*calls()])
def test_every_route_asks_for_a_permission_or_has_a_reason_not_to(
    method: str, path: str, access: str
) -> None:
    assert access, f"{method} {path} has no decorator of app.web"
    if method == "OPTIONS":  # the question of a browser whether another site's page may call it
        assert access == "public"
    elif access in REASONS:
        assert REASONS[access].get(f"{method} {path}"), f"why is {method} {path} {access}?"
    if path.startswith(("/admin", "/api/admin")):
        assert permissions_of(access) <= set(BUNDLES["admin"].split())


# What a call needs to get as far as looking its id up.
BODIES = {
    "/api/bookings/{id}/instructor-note": {"note": "Bring scales"},
    "/api/bookings/{id}/time": {"start": "2026-12-01T15:00:00Z"},
    "/api/bookings/{id}/confirmation": {"location": "1 Elm Street"},
}


async def test_on_every_route_an_id_of_another_account_is_not_found_and_nothing_changes(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    lesson = await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
    past = await factories.lesson(pool, ben.id, anna.service_id, anna.at("12:00"))
    await pool.execute(
        """update booking set during = tstzrange(lower(during) - interval '7 days',
             upper(during) - interval '7 days'), blocked = tstzrange(lower(blocked)
             - interval '7 days', upper(blocked) - interval '7 days') where id = $1""",
        past.id,
    )
    held = await hold.create(
        pool, ben.id, service_id=anna.service_id, start=anna.at("14:00"), minutes=60,
        location_type=None, location="", note="", seconds=300, now=datetime.now(UTC),
    )  # fmt: skip
    bens = await session.authenticate(
        pool, await factories.token_of(pool, ben.id, settings), settings, now=datetime.now(UTC)
    )
    assert bens
    query = await pool.fetchval(
        """insert into search_history (visitor_id, is_guest, query, folded, searched_at)
           values ($1, false, 'piano', 'piano', now()) returning id""",
        ben.id,
    )
    eve = await factories.instructor(pool, "Eve", roles=("instructor", "student"))
    token = await factories.token_of(pool, eve.id, settings)
    ids = (lesson.id, past.id, held.id, anna.service_id, bens.session_id, query, anna.id, ben.id)

    async def content() -> list[str]:
        tables = ("account", "booking", "service", "session", "search_history", "calendar")
        rows = [await pool.fetch(f"select t::text from {table} t order by 1") for table in tables]
        return [row[0] for table in rows for row in table]

    before = await content()
    routes_with_id = 0
    for method, path, access in calls():
        # Staff sees everybody's; the rest is public, or /dev/mail.
        is_own = permissions_of(access) - set(BUNDLES["admin"].split())
        if "{id}" not in path or (not is_own and not path.startswith("/api/search/history")):
            continue
        for each in ids:
            answer = await client.request(
                method,
                path.replace("{id}", str(each)),
                json=None if method == "GET" else BODIES.get(path, {}),
                headers={"Authorization": f"Bearer {token}"},
            )
            assert answer.status_code == 404, f"{method} {path}: {answer.status_code}"
        routes_with_id += 1
    assert routes_with_id >= 18
    assert await content() == before


def test_every_call_is_described() -> None:
    for route in routes():
        path = getattr(route, "path", "")
        methods = getattr(route, "methods", None) or set()
        if path.startswith(("/api/", "/health/")) and methods != {"OPTIONS"}:
            assert isinstance(route, Call), (
                f"{path} is a plain Route. Declare it as app.web.Call, with what it accepts and "
                "returns: the API's description is generated from that."
            )


def test_the_description_has_exactly_the_calls() -> None:
    described = openapi.document([*openapi.calls(routes())])
    operations = {
        f"{method.upper()} {path}" for path, item in described["paths"].items() for method in item
    }
    assert operations == {
        f"{method} {path}"
        for method, path, _ in calls()
        if path.startswith(("/api/", "/health/")) and method != "OPTIONS"
    }
    names = [
        operation["operationId"]
        for item in described["paths"].values()
        for operation in item.values()
    ]
    assert len(set(names)) == len(names)


def test_no_reason_is_out_of_date() -> None:
    present = {(access, f"{method} {path}") for method, path, access in calls()}
    assert {(access, call) for access, reasons in REASONS.items() for call in reasons} <= present
    others = {route.path for route in routes() if isinstance(route, Mount | WebSocketRoute)}
    assert others == OTHERS.keys()


async def test_roles_have_exactly_their_permissions(pool: Pool) -> None:
    rows = await pool.fetch("select role, permission from role_permission")
    roles = {role: {row["permission"] for row in rows if row["role"] == role} for role in BUNDLES}
    shared = set(BUNDLES["shared"].split())
    for role in ("student", "instructor", "admin"):
        assert roles[role] == shared | set(BUNDLES[role].split())
    assert len(await pool.fetch("select name from permission")) == 30
    assert set(BUNDLES["admin"].split()) == session.ADMIN_PERMISSIONS


def test_every_permission_is_asked_for_by_a_route_or_has_a_reason_not_to_be() -> None:
    permissions = set().union(*(permissions_of(access) for _, _, access in calls()))
    assert permissions | UNUSED.keys() == {
        name for names in BUNDLES.values() for name in names.split()
    }
    assert not permissions & UNUSED.keys()


async def test_without_a_session_every_call_answers_401_before_parsing_the_request(
    client: httpx.AsyncClient,
) -> None:
    for method, path, access in calls():
        if path.startswith("/api/") and access not in {"public", "visitor"}:
            answer = await client.request(
                method, path.replace("{", "not-").replace("}", "-one"), content=b"{not json"
            )
            code = answer.json()["code"]
            assert (answer.status_code, code) == (401, "NOT_SIGNED_IN"), f"{method} {path}"


@pytest.mark.parametrize(
    "path", ["/api/nothing", "/api/bookings/", "/nothing", "/instructors/none", "/static/none.css"]
)
async def test_an_unknown_path_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    if path.startswith("/api/"):
        assert answer.json()["code"] == "NOT_FOUND"
    else:
        assert "text/html" in answer.headers["content-type"]


async def test_an_unsupported_method_is_refused_with_the_supported_ones(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.delete("/api/bookings")
    assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "GET, HEAD, POST"


async def test_no_path_with_a_parameter_answers_for_another_path(
    client: httpx.AsyncClient,
) -> None:
    """`GET /api/bookings/feed` is an unsupported method, and not a booking called "feed"."""
    methods: dict[str, set[str]] = {}
    for route in routes():
        if isinstance(route, Route) and "{" not in route.path:
            methods.setdefault(route.path, set()).update(route.methods or ())
    for path, supported in methods.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - supported:
            answer = await client.request(method, path)
            assert answer.status_code == 405, f"{method} {path}"
            # The preflight of `/api/instructors/{id}` answers for `me`, too.
            allowed = {*answer.headers["allow"].split(", ")} - {"OPTIONS"}
            assert allowed == supported - {"OPTIONS"}, f"{method} {path}"


@pytest.mark.parametrize("length_known", [True, False])
async def test_a_body_of_ten_megabytes_is_refused(
    client: httpx.AsyncClient, length_known: bool
) -> None:
    body = json.dumps({"email": "x" * 10_000_000}).encode()

    async def parts() -> object:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    content = body if length_known else parts()
    answer = await client.post("/api/auth/login", content=content)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_body_that_is_too_large_is_no_reason_to_skip_401_and_403(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    bearer = {"Authorization": f"Bearer {await factories.token_of(pool, ben.id, settings)}"}

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * 65_536

    async def refusal_of(method: str, path: str, headers: dict[str, str]) -> set[Any]:
        answers = [
            await client.request(method, path, content=content, headers=headers)
            for content in (b" " * (256 * 1024 + 1), parts())
        ]
        assert {answer.headers["connection"] for answer in answers} == {"close"}
        return {(answer.status_code, answer.json()["code"]) for answer in answers}

    for method, path in (("POST", "/api/bookings"), ("PUT", "/api/availability/week")):
        assert await refusal_of(method, path, {}) == {(401, "NOT_SIGNED_IN")}
    assert await refusal_of("PUT", "/api/availability/week", bearer) == {(403, "NOT_ALLOWED")}
    # The second one ignores its body.
    for path in ("/api/bookings", "/api/auth/logout"):
        assert await refusal_of("POST", path, bearer) == {(413, "PAYLOAD_TOO_LARGE")}
    exact = b" " * (256 * 1024)
    assert (await client.post("/api/bookings", content=exact, headers=bearer)).status_code == 422


async def test_an_unhandled_error_reveals_nothing(settings: Settings) -> None:
    async def broken(_: Request) -> Response:
        raise RuntimeError("a secret")

    application = build(settings)
    application.router.routes.insert(0, Route("/api/broken", broken))
    async with AsyncExitStack() as stack:
        transport = httpx.ASGITransport(
            await _running(stack, application), raise_app_exceptions=False
        )
        browser = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://localhost")
        )
        answer = await browser.get("/api/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL_ERROR")
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
