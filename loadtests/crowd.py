"""`python -m loadtests crowd`: a small crowd for a demonstration. Students book with one instructor
on the running product, so that an open board changes, and are removed afterwards. Rate limits stay
on."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from loadtests import accounts

INSTRUCTOR = "Sarah Chen"
MAX_STUDENTS = 40
MAX_SECONDS = 120
_REGISTRATIONS_AT_ONCE = 2
_PAUSE_SECONDS = (1.0, 4.0)
_BOARD_SECONDS = 10.0
_RECONNECT_SECONDS = 0.5


class CrowdError(Exception):
    """The crowd could not run; the message says why."""


@dataclass(frozen=True)
class Student:
    id: str
    token: str


@dataclass
class Lesson:
    """The lesson that the crowd books: one service of one instructor, and next week's board."""

    instructor_id: str
    service_id: str
    minutes: int
    next_available: str
    zone: ZoneInfo
    days: dict[str, Any] = field(default_factory=dict)

    def starts(self) -> list[str]:
        """Starts of free ranges and every half hour after them, of lessons that fit."""
        length = timedelta(minutes=self.minutes)
        starts: list[str] = []
        for board in self.days.values():
            for opens, closes in board["free"]:
                start, end = datetime.fromisoformat(opens), datetime.fromisoformat(closes)
                while start + length <= end:
                    starts.append(start.strftime("%Y-%m-%dT%H:%M:%SZ"))
                    start += timedelta(minutes=30)
        return [start for start in starts if start >= self.next_available]


@dataclass
class Tally:
    """The results of the crowd's bookings; `rush`: counts of the responses in the rush."""

    booked: int = 0
    cancelled: int = 0
    rush: Counter[str] = field(default_factory=Counter)

    @property
    def passed(self) -> bool:
        return self.rush["201"] == 1 and set(self.rush) <= {"201", "SLOT_TAKEN"}


class Crowd:
    """The students of one run, and their lessons."""

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        self.url = url
        self.client = client
        self.students: list[Student] = []
        self.tally = Tally()
        self.leaving = asyncio.Event()
        self._lessons: dict[str, Student] = {}  # booking id → student

    async def gather(self, count: int) -> None:
        """Registers the students. Raises CrowdError."""
        slots = asyncio.Semaphore(_REGISTRATIONS_AT_ONCE)

        async def register() -> None:
            async with slots:
                answer = await self.call(
                    "POST", "/api/auth/register", accounts.registration("student")
                )
            if answer.status_code != httpx.codes.CREATED:
                raise CrowdError(f"A student could not register: {answer.json().get('detail')}")
            content = answer.json()
            self.students.append(Student(content["account"]["id"], content["token"]))

        with _ungrouped_errors():
            async with asyncio.TaskGroup() as group:
                for _ in range(count):
                    group.create_task(register())

    async def lesson(self) -> Lesson:
        """The first service of INSTRUCTOR. Raises CrowdError."""
        offer = await self._offer()
        if not offer["next_available"]:
            raise CrowdError(f"{INSTRUCTOR} has no free time. Run `python -m app seed` first.")
        path = f"/api/instructors/{offer['instructor']['id']}"
        services = (await self.call("GET", path)).json()["services"]
        minutes = next(
            min(service["durations_minutes"])
            for service in services
            if service["id"] == offer["service"]["id"]
        )
        answer = await self.call(
            "GET", f"/api/public{path[4:]}/next-available?duration_minutes={minutes}"
        )
        next_free = answer.json()
        return Lesson(
            offer["instructor"]["id"],
            offer["service"]["id"],
            minutes,
            next_free["start"] or offer["next_available"],
            ZoneInfo(next_free["time_zone"]),
        )

    async def book(self, student: Student, lesson: Lesson, start: str) -> str:
        """Books, and returns "201" or the code of the refusal."""
        body = {
            "service_id": lesson.service_id,
            "start": start,
            "duration_minutes": lesson.minutes,
            "location": "12 Main Street",
        }
        answer = await self.call("POST", "/api/bookings", body, student)
        content = answer.json()
        if answer.status_code != httpx.codes.CREATED:
            return str(content.get("code"))
        self.tally.booked += 1
        self._lessons[content["id"]] = student
        return "201"

    async def cancel(self, booking_id: str) -> None:
        student = self._lessons[booking_id]
        path = f"/api/bookings/{booking_id}/cancellation"
        answer = await self.call("POST", path, {"reason": "The crowd leaves."}, student)
        if answer.status_code == httpx.codes.OK:
            del self._lessons[booking_id]
            self.tally.cancelled += 1

    async def rush(self, lesson: Lesson) -> None:
        """All students book the same time at once."""
        start = lesson.next_available
        bookings = (self.book(student, lesson, start) for student in self.students)
        self.tally.rush.update(await asyncio.gather(*bookings))

    async def book_and_cancel(self, student: Student, lesson: Lesson) -> None:
        """Books and cancels as one student, with one lesson at a time, until `leaving` is set."""
        while await self._pause():
            booked = [each for each, owner in self._lessons.items() if owner == student]
            if booked:
                await self.cancel(booked[0])
            elif starts := lesson.starts():
                await self.book(student, lesson, random.choice(starts))

    async def _pause(self) -> bool:
        """Waits between two actions. Returns False, at once, when the crowd leaves."""
        with suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(*_PAUSE_SECONDS)):
                await self.leaving.wait()
        return not self.leaving.is_set()

    async def leave(self) -> None:
        """Cancels the remaining lessons, so that every board shows their times as free again."""
        for student in self.students:
            answer = await self.call("GET", "/api/bookings?as=student&limit=100", None, student)
            for booking in answer.json()["items"]:
                self._lessons[booking["id"]] = student
                await self.cancel(booking["id"])

    async def _offer(self) -> dict[str, Any]:
        """Reads pages of offers until one is of INSTRUCTOR. Raises CrowdError."""
        page: dict[str, Any] = {"next_cursor": ""}
        while page["next_cursor"] is not None:
            cursor = quote(page["next_cursor"])
            path = "/api/instructors?limit=100" + (f"&cursor={cursor}" if cursor else "")
            page = (await self.call("GET", path)).json()
            for offer in page["items"]:
                if offer["instructor"]["name"] == INSTRUCTOR:
                    return dict(offer)
        raise CrowdError(f"There is no {INSTRUCTOR}. Run `python -m app seed` first.")

    async def call(
        self, method: str, path: str, body: object = None, student: Student | None = None
    ) -> httpx.Response:
        """Raises CrowdError without a response."""
        headers = {"Authorization": f"Bearer {student.token}"} if student else {}
        try:
            return await self.client.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise CrowdError(f"{self.url}{path} did not respond: {error!r}.") from None


async def run(url: str, count: int, seconds: float, ids: list[str]) -> Tally:
    """Runs `count` students for `seconds`. `ids` receives the accounts, even if the run fails.
    Raises CrowdError."""
    # Tokens only: a cookie of one student would be sent with requests of the next.
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    async with httpx.AsyncClient(base_url=url, timeout=30, cookies=no_cookies) as client:
        crowd = Crowd(url, client)
        if (await crowd.call("GET", "/dev/mail")).status_code != httpx.codes.OK:
            raise CrowdError(
                f"{url} is not a site with SITE_MODE=int, so the crowd does not visit it."
            )
        lesson = await crowd.lesson()
        try:
            await crowd.gather(count)
            await _visit(crowd, lesson, seconds)
        finally:
            ids += [student.id for student in crowd.students]
            await crowd.leave()
        return crowd.tally


@contextmanager
def _ungrouped_errors() -> Iterator[None]:
    """Raises the first CrowdError of a task group instead of the group."""
    try:
        yield
    except ExceptionGroup as group:
        errors = group.subgroup(CrowdError)
        if errors is None:
            raise
        raise CrowdError(str(errors.exceptions[0])) from None


async def _visit(crowd: Crowd, lesson: Lesson, seconds: float) -> None:
    """Opens a board for every student, runs the rush, and then lets them book and cancel. Raises
    CrowdError."""
    with _ungrouped_errors():
        async with asyncio.TaskGroup() as group:
            board_received = asyncio.Event()
            boards = [
                group.create_task(_watch(crowd.url, lesson, board_received)) for _ in crowd.students
            ]
            try:
                async with asyncio.timeout(_BOARD_SECONDS):
                    await board_received.wait()
            except TimeoutError:
                raise CrowdError(
                    f"{crowd.url} sent no board within {_BOARD_SECONDS:g} s."
                ) from None
            await crowd.rush(lesson)
            visits = [
                group.create_task(crowd.book_and_cancel(student, lesson))
                for student in crowd.students
            ]
            await asyncio.sleep(seconds)
            crowd.leaving.set()
            await asyncio.wait(visits)  # an abandoned request could book a lesson nobody cancels
            for board in boards:
                board.cancel()


async def _watch(url: str, lesson: Lesson, board_received: asyncio.Event) -> None:
    """A student's board: keeps `lesson.days` up to date, and sets `board_received`. Connects again
    after the server has closed the connection. Raises CrowdError if the server refuses it."""
    address = f"{url.replace('http', 'ws', 1)}/live"
    watch = {
        "type": "watch",
        "instructor": lesson.instructor_id,
        "first": datetime.now(lesson.zone).date().isoformat(),
        "days": 7,
    }
    try:
        async for socket in connect(address, subprotocols=[Subprotocol("lesson.v1")]):
            with suppress(ConnectionClosed):
                await socket.send(json.dumps(watch))
                async for text in socket:
                    message = json.loads(text)
                    if message["type"] in {"board", "change"}:
                        lesson.days.update(message["days"])
                        board_received.set()
            await asyncio.sleep(_RECONNECT_SECONDS)
    except WebSocketException as error:
        raise CrowdError(f"{address} refused a connection: {error}.") from None
