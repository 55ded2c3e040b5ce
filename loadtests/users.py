"""The Locust users of a crowd: students who book, instructors, and viewers. The runner
collects their results."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import quote

import gevent
import orjson
from locust import FastHttpUser, User, task
from locust.exception import StopUser

from loadtests import accounts
from loadtests.accounts import Instructor
from loadtests.client import Screen
from loadtests.runner import Runner
from loadtests.watcher import Watcher


class ApiUser(FastHttpUser):
    """A signed-in user whose requests are counted by answer."""

    abstract = True
    connection_timeout = 10.0
    network_timeout = 30.0
    token = ""

    @property
    def runner(self) -> Runner:
        runner: Runner = self.environment.crowd
        return runner

    def call(
        self, method: str, path: str, body: Any = None, *, name: str | None = None, key: str = ""
    ) -> tuple[str, Any]:
        """The answer ("201", "409 SLOT_TAKEN", "no answer") and its JSON. `key`:
        Idempotency-Key."""
        headers = {"Authorization": f"Bearer {self.token}"}
        if key:
            headers["Idempotency-Key"] = key
        name = name or path.partition("?")[0]
        started = time.perf_counter()
        with (
            self._counted(),
            self.client.request(
                method, path, json=body, headers=headers, name=name, catch_response=True
            ) as response,
        ):
            seconds = time.perf_counter() - started
            answer, content = _read(response)
            if answer.startswith(("2", "409")):
                response.success()
        self.runner.results.request(f"{method} {name}", answer, seconds)
        if unknown(answer):
            self.runner.results.failed_at.append(time.time() - seconds)
        return answer, content

    def call_with_key(
        self, method: str, path: str, body: Any = None, *, name: str | None = None
    ) -> tuple[str, Any]:
        """Sends an Idempotency-Key, as pages do. In scenarios that retry, repeats the request with
        the same key until its outcome is known."""
        key = str(uuid.uuid4())
        answer, content = self.call(method, path, body, name=name, key=key)
        while self.runner.plan.scenario.retries and unknown(answer) and not self.runner.closed:
            gevent.sleep(self.runner.random.uniform(0.5, 2.0))
            answer, content = self.call(method, path, body, name=name, key=key)
        return answer, content

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.runner.in_flight += 1
        try:
            yield
        finally:
            self.runner.in_flight -= 1

    def pause(self) -> None:
        """Waits between two actions; ends the user when the run is over."""
        gevent.sleep(self.runner.random.uniform(*self.runner.plan.scenario.pause))
        self.wait_for_start()

    def wait_for_start(self) -> None:
        self.runner.start_event.wait()
        if self.runner.closed:
            raise StopUser


def unknown(answer: str) -> bool:
    """Whether the outcome of the request is unknown."""
    return answer == "no answer" or answer.startswith("503")


def _read(response: Any) -> tuple[str, Any]:
    """The answer in the words of the verdict, and its JSON."""
    if not response.status_code:
        return "no answer", None
    try:
        content = orjson.loads(response.content or b"null")
    except ValueError:
        content = None
    code = (
        content.get("code") if isinstance(content, dict) and response.status_code >= 400 else None
    )
    return (f"{response.status_code} {code}" if code else str(response.status_code)), content


class StudentUser(ApiUser):
    """Books a time, or an alternative if it was taken; sometimes moves or cancels the lesson."""

    def on_start(self) -> None:
        self.token = self.runner.next_student().token
        self.call("GET", "/api/auth/me")
        self.runner.students_ready += 1
        self.wait_for_start()

    @task
    def act(self) -> None:
        match self.runner.plan.scenario.name:
            case "rush":
                self._rush()
            case "hold-storm":
                self._hold_storm()
            case _:
                self._take_random_time()

    def _rush(self) -> None:
        """Waits for an announced time with all other students, and books it."""
        start = self.runner.next_announcement()
        answer, _ = self._book(self.runner.accounts.instructors[0], start)
        self.runner.count_rush_answer(answer)

    def _hold_storm(self) -> None:
        """Holds a time that no other student holds, and confirms one in three; when the other holds
        have expired, books any of the times."""
        runner = self.runner
        if runner.next_announcement() == "book":
            self._book(*runner.random.choice(runner.storm_times))
            return
        answer, hold = self._hold(*runner.next_storm_time())
        if answer == "201" and runner.random.random() < 1 / 3:
            self._confirm(hold["id"])

    def _take_random_time(self) -> None:
        self.pause()
        runner, scenario = self.runner, self.runner.plan.scenario
        instructor = runner.random.choice(runner.accounts.instructors)
        self.call("GET", f"/api/instructors/{instructor.id}", name="/api/instructors/{id}")
        take = self._hold_first if runner.random.random() < scenario.holds else self._book
        answer, content = take(instructor, runner.random.choice(runner.starts))
        if answer == "409 SLOT_TAKEN" and content["alternatives"]:
            answer, content = take(instructor, content["alternatives"][0])
        if answer == "201" and runner.random.random() < scenario.moves:
            self.pause()
            self._move(content["id"], runner.random.choice(runner.starts))
        if answer == "201" and runner.random.random() < scenario.cancels:
            self.pause()
            self._cancel(content["id"])
        elif runner.random.random() < 0.1:
            self.call("GET", "/api/bookings?as=student&scope=upcoming")

    def _hold_first(self, instructor: Instructor, start: str) -> tuple[str, Any]:
        """Holds the time; then confirms it, perhaps after extending it, gives it up, or leaves it
        to expire. The answer is "201" only if it became a lesson."""
        answer, hold = self._hold(instructor, start)
        if answer != "201":
            return answer, hold
        self.pause()
        path, choice = f"/api/holds/{hold['id']}", self.runner.random.random()
        if choice < 0.1:
            return "left", None
        if choice < 0.2:
            answer, _ = self.call_with_key("DELETE", path, name="/api/holds/{id}")
            if answer == "204":
                self.runner.open_holds.pop(hold["id"])
            return "given up", None
        if choice < 0.4:
            name = "/api/holds/{id}/extension"
            answer, extended = self.call_with_key("POST", f"{path}/extension", name=name)
            if answer == "200":
                self._record_expiry(extended)
        answer, content = self._confirm(hold["id"])
        return ("201" if answer == "200" else answer), content

    def _book(self, instructor: Instructor, start: str) -> tuple[str, Any]:
        return self._reserve("/api/bookings", instructor, start)

    def _hold(self, instructor: Instructor, start: str) -> tuple[str, Any]:
        answer, content = self._reserve("/api/holds", instructor, start)
        if answer == "201":
            self.runner.results.held.append(content["id"])
            self._record_expiry(content)
        return answer, content

    def _record_expiry(self, hold: Any) -> None:
        expires_at = datetime.fromisoformat(hold["held_until"]).timestamp()
        self.runner.open_holds[hold["id"]] = expires_at

    def _reserve(self, path: str, instructor: Instructor, start: str) -> tuple[str, Any]:
        body = {
            "service_id": instructor.service_id,
            "start": start,
            "duration_minutes": 30,
            "location": "12 Main Street",
        }
        answer, content = self.call_with_key("POST", path, body)
        if answer == "201":
            self.runner.results.booked[content["id"]] = instructor.id
        elif unknown(answer):
            self.runner.results.unanswered += 1
        return answer, content

    def _confirm(self, booking: str) -> tuple[str, Any]:
        answer, content = self._change("POST", booking, "confirmation", {})
        if answer == "200":
            self.runner.results.confirmed.append(booking)
            self.runner.open_holds.pop(booking)
        return answer, content

    def _move(self, booking: str, start: str) -> None:
        answer, _ = self._change("PUT", booking, "time", {"start": start})
        if answer == "200":
            self.runner.results.moved[booking] = start

    def _cancel(self, booking: str) -> None:
        answer, _ = self._change("POST", booking, "cancellation", {"reason": "I am ill."})
        if answer == "200":
            self.runner.results.cancelled.append(booking)

    def _change(self, method: str, booking: str, what: str, body: Any) -> tuple[str, Any]:
        answer, content = self.call_with_key(
            method,
            f"/api/bookings/{quote(booking)}/{what}",
            body,
            name=f"/api/bookings/{{id}}/{what}",
        )
        if unknown(answer):
            self.runner.results.uncertain.append(booking)
        return answer, content


class InstructorUser(ApiUser):
    """An instructor with an open week who lists lessons and edits next week."""

    def on_start(self) -> None:
        runner = self.runner
        instructor = runner.next_instructor()
        self.token = instructor.token
        watcher = Watcher(
            runner.plan.url, [Screen(instructor.id, runner.starts[0][:10], 35)], token=self.token
        )
        runner.watchers.append(watcher)
        runner.instructor_watchers[instructor.id] = watcher
        gevent.spawn(watcher.run)
        self.wait_for_start()

    @task
    def act(self) -> None:
        gevent.sleep(self.runner.random.uniform(1, 3))
        self.pause()
        self.call("GET", "/api/bookings?as=instructor&scope=upcoming")
        if self.runner.plan.scenario.edits:
            self.pause()
            self.call("PUT", "/api/availability/week", accounts.week(self.runner.random))


class ViewerUser(User):
    """A signed-out viewer with one or two open boards."""

    @task
    def look(self) -> None:
        runner: Runner = self.environment.crowd
        watcher = Watcher(runner.plan.url, runner.next_screens())
        runner.watchers.append(watcher)
        watcher.run()
        # The run is over, or the server refused reconnecting. The final content is checked.
        raise StopUser
