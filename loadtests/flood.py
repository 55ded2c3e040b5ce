"""`python -m loadtests flood`: a few clients send as fast as they can, beside visitors at a human
pace, to a separate product with its rate limits on. Each has an address of its own, as a proxy
would pass it on. This file is also Locust's."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import gevent
from locust import HttpUser, constant, events, task
from locust.exception import StopUser

from loadtests.accounts import registration
from loadtests.flood_verdict import LIMITS


@dataclass
class Tally:
    """Responses by kind of user and status; `waits`: the values of Retry-After."""

    statuses: dict[str, Counter[str]] = field(default_factory=dict)
    waits: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # of honest visitors
    addresses: int = 0
    floods_over: int = 0

    def next_address(self) -> str:
        self.addresses += 1
        return f"203.0.113.{self.addresses}"


class _Visitor(HttpUser):
    """One client with an address and, after `register`, an account."""

    abstract = True
    kind: ClassVar[str]

    def on_start(self) -> None:
        tally: Tally = self.environment.tally
        self.client.headers["X-Forwarded-For"] = tally.next_address()

    def register(self) -> None:
        """Tries again while many register at once: each password takes time to hash."""
        for _ in range(20):
            response = self.send("POST", "/api/auth/register", registration("student"), count=False)
            if response.status_code == 201:
                self.client.headers["Authorization"] = f"Bearer {response.json()['token']}"
                self.client.cookies.clear()
                return
            gevent.sleep(1)
        raise StopUser

    def send(self, method: str, path: str, body: object = None, *, count: bool = True) -> Any:
        tally: Tally = self.environment.tally
        with self.client.request(
            method, path, json=body, name=path.partition("?")[0], catch_response=True
        ) as response:
            response.success()
            if count:
                counts = tally.statuses.setdefault(self.kind, Counter())
                counts[str(response.status_code)] += 1
                if response.status_code == 429:
                    tally.waits.append(response.headers.get("Retry-After", ""))
                if self.kind == "honest":
                    tally.seconds.append(response.elapsed.total_seconds())
            return response


class Honest(_Visitor):
    """Looks around at a human pace."""

    kind = "honest"
    wait_time = constant(1)

    def on_start(self) -> None:
        super().on_start()
        self.register()

    @task
    def look_around(self) -> None:
        for path in ("/", "/api/search?q=piano", "/api/bookings", "/api/catalog/categories"):
            self.send("GET", path)


class _Flood(_Visitor):
    """Sends requests that are refused after they are counted, so that a slow machine reaches the
    limits, too. With --refusals it stops after that number of 429s, and the last flood ends the
    run."""

    abstract = True
    fixed_count = 1
    wait_time = constant(0)
    refusals = 0

    def send(self, method: str, path: str, body: object = None, *, count: bool = True) -> Any:
        response = super().send(method, path, body, count=count)
        self.refusals += response.status_code == 429
        if self.refusals == self.environment.parsed_options.refusals:
            tally: Tally = self.environment.tally
            tally.floods_over += 1
            if tally.floods_over == len(LIMITS):
                gevent.spawn_later(1, self.environment.runner.quit)
            raise StopUser
        return response


class SearchFlood(_Flood):
    kind = "search"

    def on_start(self) -> None:
        super().on_start()
        self.register()

    @task
    def search(self) -> None:
        self.send("GET", "/api/search?limit=1000")


class LessonsFlood(_Flood):
    kind = "lessons"

    def on_start(self) -> None:
        super().on_start()
        self.register()

    @task
    def book(self) -> None:
        self.send("POST", "/api/bookings", {})


class BookingsFlood(_Flood):
    kind = "bookings"

    def on_start(self) -> None:
        super().on_start()
        self.register()

    @task
    def hold(self) -> None:
        self.send("POST", "/api/holds", {})


class SignInFlood(_Flood):
    kind = "sign-in"

    @task
    def guess(self) -> None:
        self.send("POST", "/api/auth/login", {})


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _options(parser: Any) -> None:
    parser.add_argument("--tally", default="", help="File for the results")
    parser.add_argument("--refusals", type=int, default=-1, help="End a flood after this many 429s")
    parser.add_argument("--honest", type=int, default=10, help="Visitors at a human pace")


@events.init.add_listener  # type: ignore[untyped-decorator]
def _set_up(environment: Any, **_: object) -> None:
    options = environment.parsed_options
    environment.tally = Tally()
    environment.process_exit_code = 0
    Honest.fixed_count = options.honest
    options.num_users = options.honest + len(LIMITS)
    options.spawn_rate = 100


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def _save(environment: Any, **_: object) -> None:
    tally: Tally = environment.tally
    Path(environment.parsed_options.tally).write_text(
        json.dumps(
            {"statuses": tally.statuses, "waits": tally.waits, "seconds": sorted(tally.seconds)}
        )
    )
