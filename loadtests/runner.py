"""The course of a run: gather the people, wait until everybody is ready, let them loose, close the doors, let the screens settle,
write down what was seen. Runs inside Locust, beside its users."""

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
# A screen may be behind for 15 s at most; after that what it shows counts.
SETTLE_SECONDS = 15
# A socket that was told to come back does so within half a minute.
COME_BACK_SECONDS = 45
# A socket may watch so many calendars.
_A_SOCKET = 50
_WINDOWS = (7, 14, 28, 35)


@dataclass(frozen=True)
class Plan:
    """What was asked for on the command line."""

    scenario: Scenario
    url: str
    people: int
    seconds: float
    results: Path
    accounts_file: Path | None


class Runner:
    """Where the users of one run meet. Everything here runs in one thread."""

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
        self.own: dict[str, Watcher] = {}  # instructor → their own, signed-in socket
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
            kept=self.plan.accounts_file,
        )
        self._students, self._instructors = list(self.accounts.students), list(self.accounts.instructors)
        self.results.students = [student.id for student in self.accounts.students]
        self.results.expected = scenario.students + scenario.instructors + scenario.screens

    # ---- who plays whom

    def next_student(self) -> Student:
        return self._students.pop()

    def next_instructor(self) -> Instructor:
        return self._instructors.pop()

    def next_screens(self) -> list[Screen]:
        """What the next looker-on has open: one board, and every third a second one; windows of several lengths."""
        n, self._screens = self._screens, self._screens + 1
        teachers = self.accounts.instructors
        first = date.fromisoformat(self.starts[0][:10]) - timedelta(days=n % 3)
        wanted = {teachers[n % len(teachers)].id, teachers[(n * 7 + 1) % len(teachers)].id if n % 3 == 0 else ""} - {""}
        return [Screen(instructor, first.isoformat(), _WINDOWS[n % len(_WINDOWS)]) for instructor in sorted(wanted)]

    # ---- the run

    def play(self) -> None:
        """From the moment the users are being spawned to the results on disk."""
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
        self.write_down()
        for watcher in self.watchers:
            watcher.stop()

    def _ready(self) -> int:
        return self.students_ready + sum(watcher.shows() for watcher in self.watchers)

    def _rushes(self) -> None:
        """Announces one time after the other; the next when everybody has an answer."""
        ends = time.monotonic() + self.plan.seconds
        self._all_wait()
        for start in self.starts:
            if time.monotonic() > ends:
                break
            self._rush = Rush(start)
            self.results.rushes.append(self._rush)
            announced, self._announcement, self._waiting = self._announcement, AsyncResult(), 0
            announced.set(start)
            self._all_wait()

    def _all_wait(self) -> None:
        _until(lambda: self._waiting >= self.students_ready, IN_FLIGHT_SECONDS)

    def next_time(self) -> str:
        """The time that everybody wants next, as soon as it is announced."""
        self._waiting += 1
        start: str = self._announcement.get()
        return start

    def rushed(self, answer: str) -> None:
        assert self._rush is not None
        self._rush.answers[answer] = self._rush.answers.get(answer, 0) + 1

    def settle(self) -> None:
        """Waits until every screen has reached what the server now says, or may be expected to have."""
        now = self._versions()
        coming_back = time.monotonic() + COME_BACK_SECONDS
        until = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < until and not all(_reached(watcher, now) for watcher in self.watchers):
            gevent.sleep(0.1)
            if not all(watcher.connected for watcher in self.watchers) and time.monotonic() < coming_back:
                until = time.monotonic() + SETTLE_SECONDS

    def _versions(self) -> dict[str, tuple[str | None, int]]:
        """Epoch and version of every calendar, asked for afresh on sockets of their own."""
        day = self.starts[0][:10]
        asked = [Screen(instructor.id, day, 1) for instructor in self.accounts.instructors]
        sockets = [Watcher(self.plan.url, asked[n : n + _A_SOCKET]) for n in range(0, len(asked), _A_SOCKET)]
        running = [gevent.spawn(socket.run) for socket in sockets]
        _until(lambda: all(socket.shows() for socket in sockets), SETTLE_SECONDS)
        for socket in sockets:
            socket.stop()
        gevent.joinall(running, timeout=5)
        return {screen.instructor: (screen.epoch, screen.version) for screen in asked}

    def write_down(self) -> None:
        results = self.results
        results.ended = time.time()
        for watcher in self.watchers:
            results.reconnects += len(watcher.closes)
            results.socket_errors += watcher.client.errors + watcher.refused
            for screen in watcher.client.screens.values():
                results.gaps += screen.gaps
                results.screens.append(
                    ScreenState(screen.instructor, screen.first, screen.days, screen.epoch, screen.version, screen.board)
                )
                arrived = results.arrivals.setdefault(screen.instructor, {})
                for step in screen.steps:
                    for version in range(step.above + 1, step.upto + 1):
                        arrived.setdefault(version, []).append(step.at)
        for instructor, watcher in self.own.items():
            created = [booking for event, booking in watcher.client.events if event == "created"]
            results.instructor_events.append(InstructorEvents(instructor, created, watcher.client.refreshed))
        results.save(self.plan.results)


def _reached(watcher: Watcher, now: dict[str, tuple[str | None, int]]) -> bool:
    return all(
        screen.epoch == now[screen.instructor][0] and screen.version >= now[screen.instructor][1]
        for screen in watcher.client.screens.values()
    )


def _until(condition: Callable[[], bool], seconds: float) -> None:
    """Waits for the condition (a function without parameters), but no longer than so many seconds."""
    ends = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends:
        gevent.sleep(0.05)
