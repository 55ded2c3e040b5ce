"""Logs, as text or JSON, without secrets and personal data. Each test logs in a separate
process."""

import json
import subprocess
import sys
from typing import Any

import httpx
import pytest

from app.db import Pool
from app.settings import Settings
from tests import factories
from tests.cluster import PATIENCE
from tests.processes import ROOT, Starter

BEGIN = """
import logging, warnings, structlog
from app import logs
from app.settings import read
logs.configure(read(_env_file=None, log_format={form!r}), "web")
"""

REDACTIONS = {
    "postgresql://app:hunter2@db/lessons": "postgresql://app:[withheld]@db/lessons",
    "redis://:hunter2@cache:6379": "redis://:[withheld]@cache:6379",
    "Authorization: Bearer hunter2.hunter2": "Authorization: Bearer [withheld]",
    "GET /live?token=hunter2&x=1": "GET /live?token=[withheld]&x=1",
    "session=hunter2; Path=/": "session=[withheld]; Path=/",
    "mail to ben@example.com failed": "mail to [e-mail] failed",
}


def output(script: str, form: str = "json") -> list[str]:
    command = [sys.executable, "-c", BEGIN.format(form=form) + script]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
    ).stderr.splitlines()


def logged(script: str) -> list[dict[str, Any]]:
    """The parsed JSON lines that this script logs."""
    return [json.loads(line) for line in output(script)]


LOST_CONNECTIONS = """
import asyncio
asyncpg = "class Connection:\\n  async def close(self):\\n    raise TimeoutError"
ours = asyncpg.replace("close", "send")
exec(compile(asyncpg, "/lib/asyncpg/connection.py", "exec"))
closing = Connection().close
exec(compile(ours, "/lib/ours.py", "exec"))
sending = Connection().send

async def main():
    tasks = [asyncio.create_task(closing()), asyncio.create_task(sending())]
    await asyncio.sleep(0.01)

asyncio.run(main())
logging.getLogger("asyncpg.pool").warning("Failed to restore the pool connection floor; retrying")
"""


def test_lost_connections_of_asyncpg_are_not_logged_one_by_one() -> None:
    lines = logged(LOST_CONNECTIONS)
    assert [line["event"].splitlines()[0] for line in lines] == [
        "Task exception was never retrieved"
    ]
    assert "Connection.send()" in lines[0]["event"]


def test_a_log_line_names_event_time_logger_and_process() -> None:
    (line,) = logged("structlog.get_logger('relay').info('published', changes=3)")
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "published",
        "changes": 3,
        "level": "info",
        "logger": "relay",
        "process": "web",
    }


def test_log_lines_and_warnings_of_libraries_have_the_same_form() -> None:
    error, warning = logged(
        "logging.getLogger('library').error('this is %s', 'bad', extra={'count': 2});"
        "warnings.warn('careful')"
    )
    assert (error["event"], error["level"], error["count"]) == ("this is bad", "error", 2)
    assert "careful" in warning["event"]


def test_lines_below_the_level_and_addresses_from_uvicorn_are_not_logged() -> None:
    script = (
        "structlog.get_logger('relay').debug('nothing');"
        "logging.getLogger('uvicorn.error').info('203.0.113.7 - open')"
    )
    assert logged(script) == []


def test_secrets_and_e_mail_addresses_are_redacted() -> None:
    log = "structlog.get_logger('web').warning"
    lines = logged(
        "".join(f"{log}({text!r}, inside={{'list': [{text!r}]}})\n" for text in REDACTIONS)
    )
    assert [line["event"] for line in lines] == list(REDACTIONS.values())
    assert [line["inside"] for line in lines] == [{"list": [text]} for text in REDACTIONS.values()]


@pytest.mark.parametrize(
    "key", ["password", "session_token", "secret_key", "Authorization", "cookie"]
)
def test_fields_with_a_secret_name_are_withheld(key: str) -> None:
    (line,) = logged(
        f"secret = {{{key!r}: 'hunter2'}};"
        "structlog.get_logger('web').warning('odd', **secret, headers=secret)"
    )
    assert line[key] == "[withheld]"
    assert line["headers"] == {key: "[withheld]"}


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_contains_no_local_variables_or_personal_data(form: str) -> None:
    script = """
typed = "hun" + "ter2"
try:
    int("ben@example.com")
except ValueError:
    structlog.get_logger("web").exception("a bug")
"""
    text = "\n".join(output(script, form))
    assert "ValueError: invalid literal for int() with base 10: '[e-mail]'" in text
    assert "hunter2" not in text


def test_an_unhandled_exception_is_logged() -> None:
    (line,) = logged("1/0")
    assert (line["event"], line["level"], line["process"]) == ("process_crashed", "critical", "web")
    assert "ZeroDivisionError" in line["exception"]


def test_the_console_format_is_one_readable_line() -> None:
    (line,) = output("structlog.get_logger('relay').info('published', changes=3)", "console")
    assert "published" in line
    assert "changes=3" in line


async def test_no_request_leaves_a_secret_or_an_address_in_the_log(
    start: Starter, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    token = await factories.token_of(pool, ben.id, settings)
    web = start("serve", log_level="debug", rate_limits="on")
    guess, code = "hunter2-is-a-guess", "471100"
    async with httpx.AsyncClient(base_url=web.url, timeout=PATIENCE) as client:
        credentials = {"email": ben.email, "password": guess, "code": code}
        assert (await client.post("/api/auth/login", json=credentials)).status_code == 401
        form = credentials | {"_page": "/login"}
        assert (await client.post("/api/auth/login", data=form)).status_code in {401, 403}
        credentials["password"] = factories.PASSWORD
        answer = await client.post("/api/auth/login", json=credentials)
        new_token = answer.json()["token"]
        await client.post("/api/auth/password-reset/request", json={"email": ben.email})
        await client.get(f"/lessons?token={token}", headers={"Authorization": f"Bearer {token}"})
        await client.get("/metrics", headers={"X-Monitoring-API-Key": guess})
        # A bug, whose traceback is logged.
        await pool.execute("alter table booking rename column note to words")
        bearer = {"Authorization": f"Bearer {token}"}
        assert (await client.get("/api/bookings", headers=bearer)).status_code == 500
    web.wait_for("unhandled_error")
    web.stop()
    key = settings.secret_key.get_secret_value()
    for secret in (guess, code, factories.PASSWORD, token, new_token, key, ben.email, "127.0.0.1"):
        assert secret not in web.log
