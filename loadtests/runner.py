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
from loadtests.scenarios import RELEASE_SECONDS, Scenario
from loadtests.watcher import Watcher

READY_SECONDS = 60
IN_FLIGHT_SECONDS = 30
# The longest life of a hold for which a run waits.
MAX_HOLD_SECONDS = 20
# A screen may be at most 15 s behind; after that its content is judged.
SETTLE_SECONDS = 15
# A socket reconnects within half a minute, unless its close code forbids it.
RECONNECT_SECONDS = 45
# Calendars per socket.
_CALENDARS_PER_SOCKET = 50
_WINDOWS = (7, 14, 28, 35)


class RunnerError(Exception):
    """The scenario cannot run against this server; the message says why."""


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
        self.instructor_watchers: dict[str, Watcher] = {}  # by instructor id
        self._students: list[Student] = []
        self._instructors: list[Instructor] = []
        self._screens = 0
        self._rush: Rush | None = None
        self.storm_times: list[tuple[Instructor, str]] = []
        # When each hold expires that was neither confirmed nor given up.
        self.open_holds: dict[str, float] = {}
        self._free_times: list[tuple[Instructor, str]] = []
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
        match self.plan.scenario.name:
            case "rush":
                self._rushes()
            case "hold-storm":
                self._storms()
            case _:
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
            self._announce(start)

    def _storms(self) -> None:
        """Announces "hold" and, when the holds that were left have expired, "book"."""
        ends = time.monotonic() + self.plan.seconds
        instructors = self.accounts.instructors
        per_round = -(-self.students_ready // len(instructors))
        self._wait_for_all()
        for first in range(0, len(self.starts) - per_round, per_round):
            if time.monotonic() > ends:
                break
            starts = self.starts[first : first + per_round]
            self.storm_times = [
                (instructor, start) for start in starts for instructor in instructors
            ]
            self._free_times = list(self.storm_times)
            self._announce("hold")
            if self._seconds_of_holds() > MAX_HOLD_SECONDS:
                raise RunnerError(
                    f"Holds last more than {MAX_HOLD_SECONDS} s, too long for this scenario. "
                    "Start the server with HOLD_SECONDS=5, or use --up."
                )
            gevent.sleep(self._seconds_of_holds())
            self._announce("book")

    def _announce(self, value: str) -> None:
        """Wakes all waiting students, and waits until all of them wait again."""
        announced, self._announcement, self._waiting = self._announcement, AsyncResult(), 0
        announced.set(value)
        self._wait_for_all()

    def _wait_for_all(self) -> None:
        _until(lambda: self._waiting >= self.students_ready, IN_FLIGHT_SECONDS)

    def next_announcement(self) -> str:
        """Waits for the next start time of a rush, or the next step of a storm."""
        self._waiting += 1
        value: str = self._announcement.get()
        return value

    def next_storm_time(self) -> tuple[Instructor, str]:
        """A time for one student alone."""
        return self._free_times.pop()

    def _seconds_of_holds(self) -> float:
        """Until the last open hold has expired. Instants in responses are whole seconds, so a hold
        may last up to a second longer."""
        return max(0.0, max(self.open_holds.values(), default=0.0) + 1 - time.time())

    def count_rush_answer(self, answer: str) -> None:
        assert self._rush is not None
        self._rush.answers[answer] = self._rush.answers.get(answer, 0) + 1

    def settle(self) -> None:
        """Waits until the open holds are released, unless that takes long, and then until every
        screen has the server's current versions, within SETTLE_SECONDS."""
        if self.open_holds and self._seconds_of_holds() <= MAX_HOLD_SECONDS:
            gevent.sleep(self._seconds_of_holds() + RELEASE_SECONDS)
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
        for instructor, watcher in self.instructor_watchers.items():
            bookings = [booking for _, booking in watcher.client.events]
            results.instructor_events.append(
                InstructorEvents(instructor, bookings, watcher.client.refreshed)
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
