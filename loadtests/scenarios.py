"""The crowds: who is there, and what they are told to do. And what no crowd is sent to do."""

import ipaddress
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

MAX_PEOPLE = 2_000
MAX_SECONDS = 600


@dataclass(frozen=True)
class Scenario:
    """How many of each. `pause`: seconds a student or an instructor takes between two deeds, at least and at most."""

    name: str
    students: int
    instructors: int
    screens: int
    pause: tuple[float, float]
    cancels: float  # the part of lessons that their students cancel again
    edits: bool  # whether instructors reshape their week meanwhile
    insists: bool = False  # whether people ask again, with the same key, until they know how it ended


def rush(people: int) -> Scenario:
    """So many people want one and the same time, over and over; some look on."""
    return Scenario("rush", people, 1, max(2, people // 10), (0, 0), cancels=0, edits=False)


def spread(people: int) -> Scenario:
    """So many students book all over the town; a tenth as many instructors, each with two open screens besides their own."""
    instructors = min(200, max(2, people // 10))
    return Scenario("spread", people, instructors, 2 * instructors, (0.2, 2.0), cancels=0.2, edits=True)


def watch_party(people: int) -> Scenario:
    """So many screens look at one board while twenty students book and cancel."""
    return Scenario("watch-party", min(20, max(2, people // 5)), 1, people, (1.0, 4.0), cancels=0.5, edits=True)


def chaos(people: int) -> Scenario:
    """Like `spread`, but everything breaks meanwhile (chaos.py), and people insist."""
    return replace(spread(people), name="chaos", insists=True)


SCENARIOS = {"rush": rush, "spread": spread, "watch-party": watch_party, "chaos": chaos}
# What `all` runs: people and seconds of each, short enough for a laptop.
SHORT = {"rush": (200, 8), "spread": (100, 15), "watch-party": (300, 15)}


def refused(url: str, people: int, seconds: float, confirmed: str) -> str | None:
    """Why this load must not be made, if so."""
    host = urlsplit(url).hostname or ""
    if not _is_here(host) and confirmed != host:
        return f"{host or url} is not this machine. To load it on purpose, add --confirm-host {host or 'HOST'}."
    if not 2 <= people <= MAX_PEOPLE:
        return f"--people must be between 2 and {MAX_PEOPLE}."
    if not 0 < seconds <= MAX_SECONDS:
        return f"--seconds must be above 0 and at most {MAX_SECONDS}."
    return None


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
