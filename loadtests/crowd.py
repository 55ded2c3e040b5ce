"""`python -m loadtests crowd`: a small crowd for a product that people are looking at. Students book
with one instructor, so that the open board moves, and leave nothing behind. Rate limits stay on."""

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from zoneinfo import ZoneInfo

import httpx
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from loadtests import accounts

INSTRUCTOR = "Sarah Chen"
MAX_STUDENTS = 40
MAX_SECONDS = 120
_REGISTRATIONS_AT_ONCE = 2
_PAUSE_SECONDS = (1.0, 4.0)


class CrowdError(Exception):
    """The crowd could not be sent; the message says why."""


@dataclass(frozen=True)
class Student:
    id: str
    token: str


@dataclass
class Lesson:
    """What the crowd books: one service of one instructor, and the board of the coming week."""

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
    """How the crowd's bookings were answered; `rush`: those that wanted the same time."""

    booked: int = 0
    cancelled: int = 0
    rush: Counter[str] = field(default_factory=Counter)

    @property
    def passed(self) -> bool:
        return self.rush["201"] == 1 and set(self.rush) <= {"201", "SLOT_TAKEN"}


class Crowd:
    """The students of one run, and what they have booked."""

    def __init__(self, url: str, client: httpx.AsyncClient) -> None:
        self.url = url
        self.client = client
        self.students: list[Student] = []
        self.tally = Tally()
        self.leaving = False
        self._standing: dict[str, Student] = {}  # booking → student

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

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(count):
                    group.create_task(register())
        except* CrowdError as errors:
            raise CrowdError(str(errors.exceptions[0])) from None

    async def lesson(self) -> Lesson:
        """The first service of INSTRUCTOR. Raises CrowdError."""
        answer = await self.call("GET", "/api/instructors?limit=100")
        offers = [o for o in answer.json()["items"] if o["instructor"]["name"] == INSTRUCTOR]
        if not offers or not offers[0]["next_available"]:
            raise CrowdError(f"{INSTRUCTOR} has no free time. Run `python -m app seed` first.")
        offer = offers[0]
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
        following = answer.json()
        return Lesson(
            offer["instructor"]["id"],
            offer["service"]["id"],
            minutes,
            following["start"] or offer["next_available"],
            ZoneInfo(following["time_zone"]),
        )

    async def book(self, student: Student, lesson: Lesson, start: str) -> str:
        """Books, and returns "201" or the code of the refusal."""
        body = {
            "service_id": lesson.service_id,
            "start": start,
            "duration_minutes": lesson.minutes,
        }
        answer = await self.call("POST", "/api/bookings", body, student)
        content = answer.json()
        if answer.status_code != httpx.codes.CREATED:
            return str(content.get("code"))
        self.tally.booked += 1
        self._standing[content["id"]] = student
        return "201"

    async def cancel(self, booking_id: str) -> None:
        student = self._standing[booking_id]
        path = f"/api/bookings/{booking_id}/cancellation"
        answer = await self.call("POST", path, {"reason": "The crowd leaves."}, student)
        if answer.status_code == httpx.codes.OK:
            del self._standing[booking_id]
            self.tally.cancelled += 1

    async def rush(self, lesson: Lesson) -> None:
        """Every student wants the same time at once."""
        start = lesson.next_available
        bookings = (self.book(student, lesson, start) for student in self.students)
        self.tally.rush.update(await asyncio.gather(*bookings))

    async def book_and_cancel(self, student: Student, lesson: Lesson) -> None:
        """One student, with one lesson at a time, until the crowd is told to leave. A request is
        never given up: its booking would stand."""
        while not self.leaving:
            await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))
            for booking_id in [each for each, of in self._standing.items() if of == student]:
                await self.cancel(booking_id)
                await asyncio.sleep(random.uniform(*_PAUSE_SECONDS))
            if starts := lesson.starts():
                await self.book(student, lesson, random.choice(starts))

    async def leave(self) -> None:
        """Cancels what stands, so that the times are free again on every board."""
        for student in self.students:
            answer = await self.call("GET", "/api/bookings?as=student&limit=100", None, student)
            for booking in answer.json()["items"]:
                self._standing[booking["id"]] = student
                await self.cancel(booking["id"])

    async def call(
        self, method: str, path: str, body: object = None, student: Student | None = None
    ) -> httpx.Response:
        """Raises CrowdError when there is no answer."""
        headers = {"Authorization": f"Bearer {student.token}"} if student else {}
        try:
            return await self.client.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise CrowdError(f"{self.url}{path} did not answer: {error!r}.") from None


async def send(url: str, count: int, seconds: float, ids: list[str]) -> Tally:
    """Runs `count` students for `seconds`. `ids` receives the accounts, even if the run fails. Raises
    CrowdError."""
    # Tokens only: the session cookie of one student would be sent for the next.
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    async with httpx.AsyncClient(base_url=url, timeout=30, cookies=no_cookies) as client:
        crowd = Crowd(url, client)
        if (await crowd.call("GET", "/dev/mail")).status_code != httpx.codes.OK:
            raise CrowdError(f"{url} is not a site with SITE_MODE=int: the crowd stays away.")
        lesson = await crowd.lesson()
        try:
            await crowd.gather(count)
            await _visit(crowd, lesson, seconds)
        finally:
            ids += [student.id for student in crowd.students]
            await crowd.leave()
        return crowd.tally


async def _visit(crowd: Crowd, lesson: Lesson, seconds: float) -> None:
    """Opens a board for every student, sends the rush, and lets them book and cancel."""
    async with asyncio.TaskGroup() as group:
        shown = asyncio.Event()
        tasks = [group.create_task(_watch(crowd.url, lesson, shown)) for _ in crowd.students]
        async with asyncio.timeout(10):
            await shown.wait()
        await crowd.rush(lesson)
        tasks += [
            group.create_task(crowd.book_and_cancel(student, lesson)) for student in crowd.students
        ]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()


async def _watch(url: str, lesson: Lesson, shown: asyncio.Event) -> None:
    """A student's board: keeps `lesson.days` up to date, and sets `shown` once there is one."""
    address = f"{url.replace('http', 'ws', 1)}/live"
    watch = {
        "type": "watch",
        "instructor": lesson.instructor_id,
        "first": datetime.now(lesson.zone).date().isoformat(),
        "days": 7,
    }
    async with connect(address, subprotocols=[Subprotocol("lesson.v1")]) as socket:
        await socket.send(json.dumps(watch))
        async for text in socket:
            message = json.loads(text)
            if message["type"] in {"board", "change"}:
                lesson.days.update(message["days"])
                shown.set()
