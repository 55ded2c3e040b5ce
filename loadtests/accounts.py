"""The people of a crowd. They register through the API like anyone else, and are kept for the next run against the same server,
since every registration costs it a password hash."""

import hashlib
import http.client
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

PASSWORD = "a password that crowds use"  # noqa: S105 — nobody else knows these people
ZONE = "America/New_York"
# Hours and days on which instructors of a crowd may be booked, from tomorrow on.
OPENS, CLOSES, DAYS = 8, 20, 56
# How many register at once: hashing keeps about two cores busy, more would only queue.
_AT_ONCE = 8
_CALL_SECONDS = 60

T = TypeVar("T")
R = TypeVar("R")


class AccountsError(Exception):
    """The people could not be made; the message says what the server answered."""


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


def gather(url: str, *, students: int, instructors: int, kept: Path | None = None) -> Accounts:
    """So many people with sessions. Students in the file `kept` come again where the server still knows them; instructors are new,
    as their calendars would fill up. Raises AccountsError."""
    known = _known(url, kept)
    found = _still_there(Api(url), known[:students])
    crew = Accounts(
        found + _each(lambda _: _student(Api(url)), range(students - len(found))),
        _each(lambda _: _instructor(Api(url)), range(instructors)),
    )
    if kept is not None:
        _keep(kept, _longer(crew.students, known))
    return crew


def starts(*, minutes: int = 30) -> list[str]:
    """Every time at which a lesson of that length fits into an instructor's day, first to last, without overlapping another."""
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
    """Next week as an instructor may want it: the whole body of PUT /api/availability/week. Some days end earlier."""
    monday = _monday(_today()) + timedelta(days=7)
    days = {
        (monday + timedelta(days=n)).isoformat(): [{"start": f"{OPENS:02}:00", "end": f"{random.randint(15, CLOSES):02}:00"}]
        for n in range(7)
    }
    return {"start": monday.isoformat(), "days": days}


class Api:
    """Plain calls, one after the other, over one connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=_CALL_SECONDS)

    def call(self, method: str, path: str, body: object = None, *, token: str | None = None) -> tuple[int, Any]:
        """Status and JSON of the answer. Raises AccountsError when there is none."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        try:
            self._connection.request(method, path, orjson.dumps(body) if body is not None else None, headers)
            answer = self._connection.getresponse()
            text = answer.read()
            return answer.status, orjson.loads(text) if text else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._connection.close()
            raise AccountsError(f"{method} {path} got no answer: {error!r}.") from None

    def must(self, method: str, path: str, body: object = None, *, token: str | None = None) -> Any:
        """The JSON of an answer that has to be a success."""
        status, answer = self.call(method, path, body, token=token)
        if not 200 <= status < 300:
            hint = " Start the server with RATE_LIMITS=off for load tests." if status == 429 else ""
            raise AccountsError(f"{method} {path} answered {status}: {answer}.{hint}")
        return answer

    def close(self) -> None:
        self._connection.close()


def _student(api: Api) -> Student:
    return Student(*_register(api, "student"))


def _instructor(api: Api) -> Instructor:
    """One who teaches piano, from tomorrow on, the same hours every day, and may be booked at a moment's notice."""
    account_id, token = _register(api, "instructor")
    api.must("PUT", "/api/instructors/me", {"headline": "Teaches a crowd", "min_advance_minutes": 0}, token=token)
    offer = {"catalog_service": "piano", "description": "", "hourly_rate_cents": 6000, "durations_minutes": [30, 60]}
    service = api.must("POST", "/api/instructors/me/services", offer, token=token)
    first = _today() + timedelta(days=1)
    days = [first + timedelta(days=n) for n in range(DAYS)]
    hours = [{"start": f"{OPENS:02}:00", "end": f"{CLOSES:02}:00"}]
    for monday in sorted({_monday(day) for day in days}):
        opened = {day.isoformat(): hours for day in days if _monday(day) == monday}
        api.must("PUT", "/api/availability/week", {"start": monday.isoformat(), "days": opened}, token=token)
    return Instructor(account_id, token, service["id"])


def _register(api: Api, role: str) -> tuple[str, str]:
    answer = api.must("POST", "/api/auth/register", registration(role))
    return answer["account"]["id"], answer["token"]


def registration(role: str) -> dict[str, str]:
    """The body of POST /api/auth/register for somebody new."""
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


# ---- those kept from the run before


def _still_there(api: Api, students: Sequence[Student]) -> list[Student]:
    """Those whose sessions the server still honours."""
    found: list[Student] = []
    for student in students:
        status, answer = api.call("GET", "/api/auth/me", token=student.token)
        if status == 200 and answer["id"] == student.id:
            found.append(student)
    return found


def _longer(now: list[Student], before: list[Student]) -> list[Student]:
    """A small run does not forget the people of a large one."""
    ids = {student.id for student in now}
    return now + [student for student in before if student.id not in ids]


def accounts_file(url: str) -> Path:
    """Where the people of a server are kept between runs."""
    return Path("var", "load", f"crew-{hashlib.sha256(url.encode()).hexdigest()[:12]}.json")


def _known(url: str, kept: Path | None) -> list[Student]:
    if kept is None or not kept.exists():
        return []
    try:
        return [Student(**student) for student in orjson.loads(kept.read_bytes())]
    except (ValueError, TypeError):
        raise AccountsError(f"{kept} is not a list of people for {url}. Remove it.") from None


def _keep(kept: Path, students: list[Student]) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.touch(mode=0o600)
    kept.write_bytes(orjson.dumps([asdict(student) for student in students]))
