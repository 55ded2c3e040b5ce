"""The results of a run: the content of screens and the responses, in one JSON file per run. The
verdict reads them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson


@dataclass
class Requests:
    """All requests of one kind: counts by answer ("201", "409 SLOT_TAKEN", "no answer"), and the
    seconds of each."""

    answers: dict[str, int] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def add(self, answer: str, seconds: float) -> None:
        self.answers[answer] = self.answers.get(answer, 0) + 1
        self.seconds.append(seconds)


@dataclass
class Rush:
    """One start time that all students booked at once: counts by answer."""

    start: str
    answers: dict[str, int] = field(default_factory=dict)


@dataclass
class ScreenState:
    """The content of one screen at the end."""

    instructor: str
    first: str
    days: int
    epoch: str | None
    version: int
    board: dict[str, Any]


@dataclass
class InstructorEvents:
    """The bookings that an instructor's own socket received; after a `refresh` some may be
    missing."""

    instructor: str
    bookings: list[str]
    refreshed: bool


@dataclass
class Results:
    scenario: str
    url: str
    people: int
    started: float = 0.0
    ended: float = 0.0
    ready: int = 0
    expected: int = 0
    students: list[str] = field(default_factory=list)
    # booking id → instructor id, also of holds
    booked: dict[str, str] = field(default_factory=dict)
    held: list[str] = field(default_factory=list)  # bookings that began as holds
    confirmed: list[str] = field(default_factory=list)  # holds that became lessons
    moved: dict[str, str] = field(default_factory=dict)  # booking id → its last start
    cancelled: list[str] = field(default_factory=list)
    unanswered: int = 0  # bookings with an unknown outcome
    # bookings with a later change whose outcome is unknown
    uncertain: list[str] = field(default_factory=list)
    # start of each request with a 503 or without a response
    failed_at: list[float] = field(default_factory=list)
    # With injected faults: when the last one was repaired (seconds since 1970).
    repaired_at: float | None = None
    rushes: list[Rush] = field(default_factory=list)
    requests: dict[str, Requests] = field(default_factory=dict)
    screens: list[ScreenState] = field(default_factory=list)
    instructor_events: list[InstructorEvents] = field(default_factory=list)
    # instructor id → version → arrival times on screens (seconds since 1970)
    arrivals: dict[str, dict[int, list[float]]] = field(default_factory=dict)
    reconnects: int = 0
    gaps: int = 0
    socket_errors: list[str] = field(default_factory=list)

    def request(self, name: str, answer: str, seconds: float) -> None:
        self.requests.setdefault(name, Requests()).add(answer, seconds)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(orjson.dumps(asdict(self), option=orjson.OPT_NON_STR_KEYS))


def started_file(results: Path) -> Path:
    """A file that exists once all users have started."""
    return results.with_suffix(".open")


def load(path: Path) -> Results:
    """The results of a run. Raises OSError, or ValueError, KeyError or TypeError for another
    file."""
    raw: Mapping[str, Any] = orjson.loads(path.read_bytes())
    return Results(
        **(
            dict(raw)
            | {
                "rushes": [Rush(**rush) for rush in raw["rushes"]],
                "requests": {
                    name: Requests(**requests) for name, requests in raw["requests"].items()
                },
                "screens": [ScreenState(**screen) for screen in raw["screens"]],
                "instructor_events": [
                    InstructorEvents(**events) for events in raw["instructor_events"]
                ],
                "arrivals": {
                    instructor: {int(version): at for version, at in versions.items()}
                    for instructor, versions in raw["arrivals"].items()
                },
            }
        )
    )
