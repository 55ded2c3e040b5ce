"""What monitoring sees: metrics, the log of slow statements, and readiness."""

import asyncio
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
import yaml
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from app import monitoring
from app.db import Pool
from app.search import report
from app.settings import Settings
from app.statements import slow_log, statement
from tests import factories
from tests.cluster import PATIENCE
from tests.conftest import RedisServer, visiting
from tests.health import wait_until_ready
from tests.processes import ROOT, Starter

_answers = statement("database_answers", bool)


def samples(text: str) -> dict[str, float]:
    """The value of each sample by its name and labels."""
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def scrape(client: httpx.AsyncClient) -> dict[str, float]:
    return samples((await client.get("/metrics")).text)


async def test_responses_are_counted_by_the_template_of_their_route(
    client: httpx.AsyncClient,
) -> None:
    def key(route: str, status: int, method: str = "GET") -> str:
        return f'http_requests_total{{method="{method}",route="{route}",status="{status}"}}'

    before = await scrape(client)
    for path in ("/api/instructors/00000000-0000-0000-0000-000000000000", "/api/instructors/no"):
        assert (await client.get(path)).status_code == 404
    assert (await client.get("/static/icon.svg")).status_code == 200
    assert (await client.get("/nothing/secret-name")).status_code == 404
    assert (await client.delete("/api/bookings")).status_code == 405
    assert (await client.request("BREW", "/")).status_code == 405
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    path = "/api/holds/00000000-0000-0000-0000-000000000000"
    assert (await client.post(path, content="_method=DELETE", headers=form)).status_code == 303
    after = await scrape(client)
    for route, status, method, count in (
        ("/api/instructors/{id}", 404, "GET", 2),
        ("/static", 200, "GET", 1),
        ("none", 404, "GET", 1),
        ("/api/bookings", 405, "DELETE", 1),
        ("/", 405, "other", 1),
        ("/api/holds/{id}", 303, "DELETE", 1),
    ):
        name = key(route, status, method)
        assert after[name] - before.get(name, 0) == count, name
    assert "secret-name" not in str(after)
    seconds = 'http_request_seconds_count{method="GET",route="/api/instructors/{id}"}'
    assert after[seconds] - before.get(seconds, 0) == 2


async def test_statements_are_timed_and_slow_ones_logged_without_parameters(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    name = 'database_statement_seconds_count{statement="database_answers"}'
    before = await scrape(client)
    await _answers.one(pool)
    assert (await scrape(client))[name] - before.get(name, 0) >= 1

    async def logged() -> list[Any]:
        """What is logged of the statement. The application sends and logs others meanwhile."""
        with capture_logs() as lines:
            await _answers.one(pool)
        return [line for line in lines if line.get("statement") == "database_answers"]

    assert await logged() == []
    slow_log.seconds = 0
    try:
        lines = await logged()
    finally:
        slow_log.configure(0)
    assert lines
    for line in lines:
        assert line["event"] == "slow_statement"
        assert line.keys() == {"event", "statement", "ms", "log_level"}


async def test_a_process_whose_connections_are_all_in_use_is_not_ready(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.main import build

    application = build(settings.model_copy(update={"database_pool": 2}))
    async with application.router.lifespan_context(application) as state:
        shared: dict[str, Any] = dict(state or {})

        async def with_state(scope: Any, receive: Any, send: Any) -> None:
            await application(scope | {"state": dict(shared)}, receive, send)

        transport = httpx.ASGITransport(with_state)
        async with httpx.AsyncClient(transport=transport, base_url=settings.site_url) as client:
            await wait_until_ready(client, 200)
            metrics = await scrape(client)
            assert metrics['database_pool_connections{pool="web",state="max"}'] == 2
            pool: Pool = shared["pool"]
            async with pool.acquire(), pool.acquire():
                metrics = await scrape(client)
                assert metrics['database_pool_connections{pool="web",state="idle"}'] == 0
                # The numbers of the last scrape stay.
                assert metrics["database_up"] == 0
                answer = await client.get("/health/ready")
                assert (answer.status_code, answer.json()["reason"]) == (503, "pool")
                assert int(answer.headers["Retry-After"]) > 0
            await wait_until_ready(client, 200)
            assert (await scrape(client))["database_up"] == 1


async def test_a_process_without_its_migrations_is_not_ready(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    name = await pool.fetchval("delete from migration where name like '0002%' returning name")
    await wait_until_ready(client, 503, reason="migrations")
    await pool.execute("insert into migration (name, sha256) values ($1, '')", name)
    # A newer version may have migrated further.
    await pool.execute("insert into migration (name, sha256) values ('9999_newer.sql', '')")
    await wait_until_ready(client, 200)


async def test_mails_are_counted_by_their_state(client: httpx.AsyncClient, pool: Pool) -> None:
    ben = await factories.student(pool, "Ben")
    now = datetime.now(UTC)
    rows: list[dict[str, Any]] = [
        {"due_at": now - timedelta(minutes=5)},
        {"due_at": now + timedelta(days=1)},
        {"due_at": now + timedelta(minutes=1), "attempts": 2},
        {"due_at": now, "attempts": 9, "given_up_at": now},
        {"due_at": now, "attempts": 9, "given_up_at": now - timedelta(days=2)},
        {"due_at": now, "given_up_at": now, "dropped_reason": "turned_off"},
        {"due_at": now, "withheld_at": now},
        {"due_at": now, "sent_at": now},
        {"due_at": now, "sent_at": now - timedelta(hours=2)},
    ]
    for number, row in enumerate(rows):
        values = {"kind": "welcome", "recipient_id": ben.id, "sequence": number} | row
        names = ", ".join(values)
        numbers = ", ".join(f"${n + 1}" for n in range(len(values)))
        await pool.execute(
            f"insert into notification ({names}) values ({numbers})", *values.values()
        )
    metrics = await scrape(client)
    states = ("waiting", "scheduled", "failing", "given_up", "withheld", "sent")
    counts = {state: metrics[f'notifications{{state="{state}"}}'] for state in states}
    assert counts == dict.fromkeys(states, 1)
    assert 300 <= metrics["notifications_oldest_due_seconds"] < 600


async def test_a_metric_says_that_redis_is_down(
    client: httpx.AsyncClient, redis_server: RedisServer
) -> None:
    assert (await scrape(client))["redis_up"] == 1
    redis_server.kill()
    assert (await scrape(client))["redis_up"] == 0
    redis_server.start()
    assert (await scrape(client))["redis_up"] == 1


async def test_the_worker_reports_its_jobs(
    client: httpx.AsyncClient, pool: Pool, start: Starter, settings: Settings
) -> None:
    assert (await scrape(client))["worker_up"] == 0
    start("worker")
    ben = await factories.student(pool, "Ben")
    await pool.execute(
        "insert into notification (kind, recipient_id, due_at) values ('welcome', $1, now())",
        ben.id,
    )
    async with asyncio.timeout(PATIENCE):
        while (await scrape(client)).get('jobs{state="complete"}', 0) < 1:
            await asyncio.sleep(0.2)
    metrics = await scrape(client)
    assert metrics["worker_up"] == 1
    assert metrics['jobs{state="failed"}'] == 0
    async with monitoring.open_monitor(settings) as monitor:
        assert await monitor.jobs() is not None


@pytest.mark.parametrize(
    "header", [{"X-Monitoring-API-Key": "the key"}, {"Authorization": "Bearer the key"}]
)
async def test_outside_int_metrics_need_the_key(settings: Settings, header: dict[str, str]) -> None:
    stg = settings.model_copy(
        update={
            "site_mode": "stg",
            "rate_limits": "on",
            "monitoring_api_key": type(settings.secret_key)("the key"),
        }
    )
    async with visiting(stg) as client:
        assert (await client.get("/metrics")).status_code == 403
        assert (await client.get("/metrics", headers=header)).status_code == 200


# ---- Prometheus and Grafana

MONITORING = ROOT / "monitoring"
DASHBOARDS = sorted((MONITORING / "dashboards").glob("*.json"))
_WORDS = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+|jobs|notifications")


def expressions() -> list[str]:
    """Every expression of the alerts and the dashboards."""
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    alerts = [rule["expr"] for group in groups for rule in group["rules"]]
    panels = [p for path in DASHBOARDS for p in orjson.loads(path.read_bytes())["panels"]]
    both = alerts + [target["expr"] for panel in panels for target in panel["targets"]]
    return [re.sub(r'"[^"]*"', "", expression) for expression in both]


def test_there_are_three_dashboards_and_five_alerts() -> None:
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    assert alerts == {
        "SlowRequests", "FailingRequests", "OutboxStale", "ProcessDisconnected", "MailFailing",
    }  # fmt: skip
    guide = (ROOT / "docs" / "operating.md").read_text()
    assert all(f"`{alert}`" in guide for alert in alerts)
    assert [path.stem for path in DASHBOARDS] == ["background", "live", "requests"]


async def test_every_metric_that_alerts_and_dashboards_name_exists(
    client: httpx.AsyncClient,
) -> None:
    text = (await client.get("/metrics")).text
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    names = {name for name, kind in types.items() if kind != "histogram"}
    for name, kind in types.items():
        if kind == "histogram":
            names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    functions = {"histogram_quantile", "rate_class"}
    used = set().union(*(set(_WORDS.findall(each)) for each in expressions())) - functions
    assert len(used) > 20
    assert used - names == set()


def test_the_metrics_of_the_guide_exist() -> None:
    guide = (ROOT / "docs" / "operating.md").read_text()
    section = guide[guide.index("## Monitoring") : guide.index("## Alerts")]
    exposed = generate_latest().decode()
    for name in re.findall(r"`([a-z_]+)(?:\{[a-z_, ]+\})?`", section):
        if "_" in name and name not in {"slow_statement", "given_up", "search_day"}:
            assert f"# TYPE {name}" in exposed, name


def test_promtool_accepts_the_configuration_and_the_alerts_fire_when_they_should() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (on Debian and Ubuntu: apt install prometheus).")
    for arguments in (
        ("check", "config", "--syntax-only", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ):
        ran = subprocess.run(
            [promtool, *arguments], cwd=MONITORING, check=False, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr


# ---- pages for admins


async def as_admin(client: httpx.AsyncClient, pool: Pool, settings: Settings) -> None:
    ada = await factories.admin(pool)
    client.headers["Authorization"] = f"Bearer {await factories.token_of(pool, ada.id, settings)}"


async def test_admins_see_postgres_redis_the_queue_and_failed_mails(
    client: httpx.AsyncClient, pool: Pool, settings: Settings, redis_server: RedisServer
) -> None:
    ben = await factories.student(pool, "Ben")
    client.headers["Authorization"] = f"Bearer {await factories.token_of(pool, ben.id, settings)}"
    for path in ("/admin/system", "/admin/searches", "/api/admin/system"):
        assert (await client.get(path)).status_code == 403
    await as_admin(client, pool, settings)
    failed = await pool.fetchval(
        """insert into notification (kind, recipient_id, due_at, attempts, last_error)
           values ('welcome', $1, now(), 2, 'The server said no.') returning id""",
        ben.id,
    )
    page = await client.get("/admin/system")
    assert page.status_code == 200
    assert "The server said no." in page.text
    assert f'action="/api/admin/notifications/{failed}/retry"' in page.text
    numbers = (await client.get("/api/admin/system")).json()
    assert numbers["notifications"]["failing"] == 1
    assert numbers["database"]["sessions"] >= 1
    assert numbers["redis"]["connected_clients"] >= 1
    assert numbers["jobs"] is None
    redis_server.kill()
    assert (await client.get("/api/admin/system")).json()["redis"] is None
    page = await client.get("/admin/system")
    assert re.search(r'data-part="redis">Redis doesn’t answer', page.text)
    redis_server.start()


async def test_searches_are_rolled_up_without_visitors_and_shown_to_admins(
    client: httpx.AsyncClient, pool: Pool, settings: Settings
) -> None:
    now = datetime.now(UTC)
    yesterday = now - timedelta(days=1)

    async def search(query: str, results: int, at: datetime, *kinds: str) -> None:
        number = await pool.fetchval(
            """insert into search (id, visitor_id, is_guest, query, results, searched_at)
               values (uuidv7(), uuidv7(), true, $1, $2, $3) returning id""",
            query, results, at,
        )  # fmt: skip
        for kind in kinds:
            await pool.execute(
                """insert into search_interaction
                     (search_id, visitor_id, is_guest, instructor_id, kind, at)
                   values ($1, uuidv7(), true, uuidv7(), $2, $3)""",
                number, kind, at,
            )  # fmt: skip

    for query in ("Piano", "piano", "PIANO"):
        await search(query, 5, yesterday, "shown", "clicked", "clicked")
    await search("piano", 5, yesterday, "shown", "booked")
    for _ in range(3):
        await search("theremin", 0, yesterday)
    for _ in range(2):
        await search("ben miller, 12 main street", 0, yesterday)
    await search("piano", 5, now)  # today is not over
    assert await report.roll_up(pool, now=now) == 3
    assert await report.roll_up(pool, now=now) == 0
    rows = await pool.fetch(
        "select query, searches, visitors, empty, clicked, booked from search_day order by query"
    )
    assert [tuple(row) for row in rows] == [
        ("", 2, 2, 2, 0, 0),
        ("piano", 4, 4, 0, 4, 1),
        ("theremin", 3, 3, 3, 0, 0),
    ]
    await as_admin(client, pool, settings)
    page = (await client.get("/admin/searches")).text
    assert "ben miller" not in page
    assert re.search(r">piano</a></th>\s*<td>4</td>\s*<td>0%</td>\s*<td>100%</td>", page)
    assert page.index("Without results</h2>") < page.rindex("theremin")
