"""Runs one load test inside Locust: create the accounts, wait until all users are ready, start
them, stop them, let the screens settle, and save the results."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from random import Random

import gevent
from gevent.event import AsyncResult, Event

from loadtests import accounts
from loadtests.accounts import Accounts, Instructor, Student
from loadtests.client import Screen
from loadtests.results import InstructorEvents, Results, Rush, ScreenState, started_file
from loadtests.scenarios import Scenario
from loadtests.watcher import Watcher

READY_SECONDS = 60
IN_FLIGHT_SECONDS = 30
# A screen may be at most 15 s behind; after that its content is judged.
SETTLE_SECONDS = 15
# A socket reconnects within half a minute, unless its close code forbids it.
RECONNECT_SECONDS = 45
# Calendars per socket.
_CALENDARS_PER_SOCKET = 50
_WINDOWS = (7, 14, 28, 35)


@dataclass(frozen=True)
class Plan:
    """The options of the command line."""

    scenario: Scenario
    url: str
    people: int
    seconds: float
    results: Path
    accounts_file: Path | None


class Runner:
    """The shared state of all users in one run. It is used from one thread."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.random = Random()
        self.results = Results(plan.scenario.name, plan.url, plan.people)
        self.accounts = Accounts([], [])
        self.starts = accounts.starts()
        self.start_event = Event()
        self.closed = False
        self.students_ready = 0
        self.in_flight = 0
        self.watchers: list[Watcher] = []
        self.own: dict[str, Watcher] = {}  # instructor id → own socket
        self._students: list[Student] = []
        self._instructors: list[Instructor] = []
        self._screens = 0
        self._rush: Rush | None = None
        self._announcement: AsyncResult = AsyncResult()
        self._waiting = 0

    def gather(self) -> None:
        """Raises AccountsError."""
        scenario = self.plan.scenario
        self.accounts = accounts.gather(
            self.plan.url,
            students=scenario.students,
            instructors=scenario.instructors,
            path=self.plan.accounts_file,
        )
        self._students, self._instructors = (
            list(self.accounts.students),
            list(self.accounts.instructors),
        )
        self.results.students = [student.id for student in self.accounts.students]
        self.results.expected = scenario.students + scenario.instructors + scenario.screens

    # ---- accounts for the users

    def next_student(self) -> Student:
        return self._students.pop()

    def next_instructor(self) -> Instructor:
        return self._instructors.pop()

    def next_screens(self) -> list[Screen]:
        """The screens of the next viewer: one board, and a second one for every third viewer.
        Window lengths vary."""
        n, self._screens = self._screens, self._screens + 1
        instructors = self.accounts.instructors
        first = date.fromisoformat(self.starts[0][:10]) - timedelta(days=n % 3)
        ids = {
            instructors[n % len(instructors)].id,
            instructors[(n * 7 + 1) % len(instructors)].id if n % 3 == 0 else "",
        } - {""}
        return [
            Screen(instructor, first.isoformat(), _WINDOWS[n % len(_WINDOWS)])
            for instructor in sorted(ids)
        ]

    # ---- the run

    def run(self) -> None:
        """Runs from the start of the users until the results are saved."""
        _until(lambda: self._ready() >= self.results.expected, READY_SECONDS)
        self.results.ready = self._ready()
        self.results.started = time.time()
        self.start_event.set()
        started_file(self.plan.results).touch()
        if self.plan.scenario.name == "rush":
            self._rushes()
        else:
            gevent.sleep(self.plan.seconds)
        self.closed = True
        _until(lambda: self.in_flight == 0, IN_FLIGHT_SECONDS)
        self.settle()
        self.save_results()
        for watcher in self.watchers:
            watcher.stop()

    def _ready(self) -> int:
        return self.students_ready + sum(watcher.is_ready() for watcher in self.watchers)

    def _rushes(self) -> None:
        """Announces start times one by one, the next when all students have an answer."""
        ends = time.monotonic() + self.plan.seconds
        self._wait_for_all()
        for start in self.starts:
            if time.monotonic() > ends:
                break
            self._rush = Rush(start)
            self.results.rushes.append(self._rush)
            announced, self._announcement, self._waiting = self._announcement, AsyncResult(), 0
            announced.set(start)
            self._wait_for_all()

    def _wait_for_all(self) -> None:
        _until(lambda: self._waiting >= self.students_ready, IN_FLIGHT_SECONDS)

    def next_time(self) -> str:
        """Waits for the next announced start time."""
        self._waiting += 1
        start: str = self._announcement.get()
        return start

    def count_rush_answer(self, answer: str) -> None:
        assert self._rush is not None
        self._rush.answers[answer] = self._rush.answers.get(answer, 0) + 1

    def settle(self) -> None:
        """Waits until every screen has the server's current versions, within SETTLE_SECONDS."""
        now = self._versions()
        reconnect_deadline = time.monotonic() + RECONNECT_SECONDS
        until = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < until and not all(
            _reached(watcher, now) for watcher in self.watchers
        ):
            gevent.sleep(0.1)
            if (
                not all(watcher.connected for watcher in self.watchers)
                and time.monotonic() < reconnect_deadline
            ):
                until = time.monotonic() + SETTLE_SECONDS

    def _versions(self) -> dict[str, tuple[str | None, int]]:
        """Epoch and version of every calendar, read on new sockets."""
        day = self.starts[0][:10]
        screens = [Screen(instructor.id, day, 1) for instructor in self.accounts.instructors]
        sockets = [
            Watcher(self.plan.url, screens[n : n + _CALENDARS_PER_SOCKET])
            for n in range(0, len(screens), _CALENDARS_PER_SOCKET)
        ]
        running = [gevent.spawn(socket.run) for socket in sockets]
        _until(lambda: all(socket.is_ready() for socket in sockets), SETTLE_SECONDS)
        for socket in sockets:
            socket.stop()
        gevent.joinall(running, timeout=5)
        return {screen.instructor: (screen.epoch, screen.version) for screen in screens}

    def save_results(self) -> None:
        results = self.results
        results.ended = time.time()
        for watcher in self.watchers:
            results.reconnects += len(watcher.closes)
            results.socket_errors += watcher.client.errors + watcher.refused
            for screen in watcher.client.screens.values():
                results.gaps += screen.gaps
                results.screens.append(
                    ScreenState(
                        screen.instructor,
                        screen.first,
                        screen.days,
                        screen.epoch,
                        screen.version,
                        screen.board,
                    )
                )
                arrivals = results.arrivals.setdefault(screen.instructor, {})
                for step in screen.steps:
                    for version in range(step.above + 1, step.up_to + 1):
                        arrivals.setdefault(version, []).append(step.at)
        for instructor, watcher in self.own.items():
            created = [booking for event, booking in watcher.client.events if event == "created"]
            results.instructor_events.append(
                InstructorEvents(instructor, created, watcher.client.refreshed)
            )
        results.save(self.plan.results)


def _reached(watcher: Watcher, now: dict[str, tuple[str | None, int]]) -> bool:
    return all(
        screen.epoch == now[screen.instructor][0] and screen.version >= now[screen.instructor][1]
        for screen in watcher.client.screens.values()
    )


def _until(condition: Callable[[], bool], seconds: float) -> None:
    """Waits for the condition, but at most `seconds`."""
    ends = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends:
        gevent.sleep(0.05)
