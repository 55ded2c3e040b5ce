"""The kinds of crowds, and the limits that every run must keep."""

import ipaddress
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

MAX_PEOPLE = 2_000
MAX_SECONDS = 600
# The guarantee: an expired hold is released within this time (docs/guarantees.md).
RELEASE_SECONDS = 5


@dataclass(frozen=True)
class Scenario:
    """The number of users of each kind. `pause`: minimum and maximum seconds between two actions of
    a student or an instructor."""

    name: str
    students: int
    instructors: int
    screens: int
    pause: tuple[float, float]
    cancels: float  # share of lessons that students cancel
    edits: bool  # whether instructors edit their week
    holds: float = 0  # share of lessons that students hold before they confirm them
    moves: float = 0  # share of lessons that students move
    # whether users repeat a request with the same key until its outcome is known
    retries: bool = False


def rush(people: int) -> Scenario:
    """All students book the same time at once, repeatedly; a tenth as many screens watch."""
    return Scenario("rush", people, 1, max(2, people // 10), (0, 0), cancels=0, edits=False)


def spread(people: int) -> Scenario:
    """Students book with many instructors; there is one instructor per ten students. Each board is
    open on two screens and the instructor's own."""
    instructors = min(200, max(2, people // 10))
    return Scenario(
        "spread", people, instructors, 2 * instructors, (0.2, 2.0), cancels=0.2, edits=True
    )


def watch_party(people: int) -> Scenario:
    """Many screens watch one board while up to twenty students book and cancel."""
    return Scenario(
        "watch-party", min(20, max(2, people // 5)), 1, people, (1.0, 4.0), cancels=0.5, edits=True
    )


def hold_storm(people: int) -> Scenario:
    """All students hold a time each. When the holds expire together, all book one of these
    times."""
    instructors = min(20, max(1, people // 20))
    return Scenario(
        "hold-storm", people, instructors, 2 * instructors, (0, 0), cancels=0, edits=False
    )


def day_in_the_life(people: int) -> Scenario:
    """Everything that people do in a day: like `spread`, and students hold, extend, give up,
    confirm and move lessons."""
    return replace(spread(people), name="day-in-the-life", holds=0.6, moves=0.2)


def chaos(people: int) -> Scenario:
    """Like `day_in_the_life`, with injected faults (chaos.py) and retries."""
    return replace(day_in_the_life(people), name="chaos", retries=True)


SCENARIOS = {
    "rush": rush,
    "spread": spread,
    "watch-party": watch_party,
    "hold-storm": hold_storm,
    "day-in-the-life": day_in_the_life,
    "chaos": chaos,
}
# Users and seconds of each scenario of `all`, short enough for a laptop.
SHORT = {
    "rush": (200, 8),
    "spread": (100, 15),
    "watch-party": (300, 15),
    "hold-storm": (200, 15),
    "day-in-the-life": (100, 15),
}


def problem(url: str, people: int, seconds: float, confirmed_host: str) -> str | None:
    """Why this run is not allowed; None if it is."""
    host = urlsplit(url).hostname or ""
    if not _is_this_machine(host) and confirmed_host != host:
        return (
            f"{host or url} is not this machine. "
            f"To load it on purpose, add --confirm-host {host or 'HOST'}."
        )
    if not 2 <= people <= MAX_PEOPLE:
        return f"--people must be between 2 and {MAX_PEOPLE}."
    if not 0 < seconds <= MAX_SECONDS:
        return f"--seconds must be above 0 and at most {MAX_SECONDS}."
    return None


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
