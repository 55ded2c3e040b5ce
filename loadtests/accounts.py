"""The accounts of a crowd. They register through the API. Students are stored for the next run
against the same server, because each registration costs it a password hash."""

import hashlib
import http.client
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import orjson

PASSWORD = "a password that crowds use"  # noqa: S105 — disposable accounts
ZONE = "America/New_York"
# Opening hours of a crowd's instructors, and for how many days from tomorrow.
OPENS, CLOSES, DAYS = 8, 20, 56
# Concurrent registrations: hashing keeps about two cores busy; more would only queue.
_AT_ONCE = 8
_CALL_SECONDS = 60
# E-mail addresses per command that confirms them.
_ADDRESSES_AT_ONCE = 500

T = TypeVar("T")
R = TypeVar("R")


class AccountsError(Exception):
    """The accounts could not be created; the message holds the server's response."""


@dataclass(frozen=True)
class Student:
    id: str
    token: str


@dataclass(frozen=True)
class Instructor:
    id: str
    token: str
    service_id: str


@dataclass(frozen=True)
class Accounts:
    students: list[Student]
    instructors: list[Instructor]


def gather(url: str, *, students: int, instructors: int, path: Path | None = None) -> Accounts:
    """Creates accounts with sessions. Students in the file `path` are reused while their sessions
    are valid. Instructors are always new, because their calendars fill up. With DATABASE_URL, their
    e-mail addresses are confirmed, so that they get mail. Raises AccountsError."""
    stored = _load(url, path)
    valid = _with_valid_session(Api(url), stored[:students])
    emails: list[str] = []
    accounts = Accounts(
        valid + _each(lambda _: _student(Api(url), emails), range(students - len(valid))),
        _each(lambda _: _instructor(Api(url), emails), range(instructors)),
    )
    if os.environ.get("DATABASE_URL"):
        _confirm(emails)
    if path is not None:
        _save(path, _merge(accounts.students, stored))
    return accounts


def starts(*, minutes: int = 30) -> list[str]:
    """All consecutive start times of lessons of this length in an instructor's opening hours."""
    zone = ZoneInfo(ZONE)
    tomorrow = _today() + timedelta(days=1)
    return [
        datetime.combine(tomorrow + timedelta(days=day), time(*divmod(minute, 60)), zone)
        .astimezone(UTC)
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        for day in range(DAYS)
        for minute in range(OPENS * 60, CLOSES * 60 - minutes + 1, minutes)
    ]


def week(random: Random) -> dict[str, Any]:
    """A random edit of next week: the body of PUT /api/availability/week. Some days end early."""
    monday = _monday(_today()) + timedelta(days=7)
    days = {
        (monday + timedelta(days=n)).isoformat(): [
            {"start": f"{OPENS:02}:00", "end": f"{random.randint(15, CLOSES):02}:00"}
        ]
        for n in range(7)
    }
    return {"start": monday.isoformat(), "days": days}


class Api:
    """Sequential API calls over one connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._connection = kind(parts.hostname or "", parts.port, timeout=_CALL_SECONDS)

    def call(
        self, method: str, path: str, body: object = None, *, token: str | None = None
    ) -> tuple[int, Any]:
        """Status and JSON of the response. Raises AccountsError without a response."""
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {token}"} if token else {}
        )
        try:
            self._connection.request(
                method, path, orjson.dumps(body) if body is not None else None, headers
            )
            answer = self._connection.getresponse()
            text = answer.read()
            return answer.status, orjson.loads(text) if text else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._connection.close()
            raise AccountsError(f"{method} {path} got no response: {error!r}.") from None

    def must(self, method: str, path: str, body: object = None, *, token: str | None = None) -> Any:
        """The JSON of a successful response. Raises AccountsError for others."""
        status, answer = self.call(method, path, body, token=token)
        if not 200 <= status < 300:
            hint = " Start the server with RATE_LIMITS=off for load tests." if status == 429 else ""
            raise AccountsError(f"{method} {path} got status {status}: {answer}.{hint}")
        return answer

    def close(self) -> None:
        self._connection.close()


def _confirm(emails: list[str]) -> None:
    """Confirms the addresses, many at a time. Raises AccountsError."""
    for first in range(0, len(emails), _ADDRESSES_AT_ONCE):
        batch = emails[first : first + _ADDRESSES_AT_ONCE]
        command = [sys.executable, "-m", "app", "verify", *batch]
        result = subprocess.run(  # noqa: S603 — our own program
            command, check=False, capture_output=True, text=True, timeout=_CALL_SECONDS
        )
        if result.returncode:
            raise AccountsError(f"The e-mail addresses were not confirmed: {result.stderr}")


def _student(api: Api, emails: list[str]) -> Student:
    return Student(*_register(api, "student", emails))


def _instructor(api: Api, emails: list[str]) -> Instructor:
    """Registers an instructor who offers piano lessons from tomorrow, at the same hours every day,
    without minimum notice."""
    account_id, token = _register(api, "instructor", emails)
    api.must(
        "PUT",
        "/api/instructors/me",
        {"headline": "Instructor of a crowd", "min_advance_minutes": 0},
        token=token,
    )
    offer = {
        "catalog_service": "piano",
        "description": "",
        "hourly_rate_cents": 6000,
        "durations_minutes": [30, 60],
    }
    service = api.must("POST", "/api/instructors/me/services", offer, token=token)
    first = _today() + timedelta(days=1)
    days = [first + timedelta(days=n) for n in range(DAYS)]
    hours = [{"start": f"{OPENS:02}:00", "end": f"{CLOSES:02}:00"}]
    for monday in sorted({_monday(day) for day in days}):
        opened = {day.isoformat(): hours for day in days if _monday(day) == monday}
        api.must(
            "PUT",
            "/api/availability/week",
            {"start": monday.isoformat(), "days": opened},
            token=token,
        )
    return Instructor(account_id, token, service["id"])


def _register(api: Api, role: str, emails: list[str]) -> tuple[str, str]:
    """The id and the session's token; the address is added to `emails`."""
    answer = api.must("POST", "/api/auth/register", registration(role))
    emails.append(answer["account"]["email"])
    return answer["account"]["id"], answer["token"]


def registration(role: str) -> dict[str, str]:
    """The body of POST /api/auth/register for a new account."""
    name = uuid.uuid4().hex[:12]
    return {
        "email": f"crowd-{name}@example.com",
        "password": PASSWORD,
        "full_name": f"Crowd {name}",
        "role": role,
        "time_zone": ZONE,
    }


def _today() -> date:
    return datetime.now(ZoneInfo(ZONE)).date()


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def _each(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(threads.map(work, items))


# ---- students of earlier runs


def _with_valid_session(api: Api, students: Sequence[Student]) -> list[Student]:
    """The students whose sessions the server still accepts."""
    valid: list[Student] = []
    for student in students:
        status, answer = api.call("GET", "/api/auth/me", token=student.token)
        if status == 200 and answer["id"] == student.id:
            valid.append(student)
    return valid


def _merge(current: list[Student], stored: list[Student]) -> list[Student]:
    """Keeps the students of an earlier, larger run in the file."""
    ids = {student.id for student in current}
    return current + [student for student in stored if student.id not in ids]


def accounts_file(url: str) -> Path:
    """The file that stores the accounts for this server between runs."""
    return Path("var", "load", f"accounts-{hashlib.sha256(url.encode()).hexdigest()[:12]}.json")


def _load(url: str, path: Path | None) -> list[Student]:
    if path is None or not path.exists():
        return []
    try:
        return [Student(**student) for student in orjson.loads(path.read_bytes())]
    except (ValueError, TypeError):
        raise AccountsError(f"{path} is not a list of accounts for {url}. Remove it.") from None


def _save(path: Path, students: list[Student]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(orjson.dumps([asdict(student) for student in students]))
