"""The three crowds: who is there, and what they are told to do."""

from dataclasses import dataclass

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
    # Whether instructors need calendars that nobody has booked yet.
    fresh_instructors: bool
    cancels: float  # the part of lessons that their students cancel again
    edits: bool  # whether instructors reshape their week meanwhile


def rush(people: int) -> Scenario:
    """So many people want one and the same time, over and over; some look on."""
    return Scenario("rush", people, 1, max(2, people // 10), (0, 0), fresh_instructors=True, cancels=0, edits=False)


def spread(people: int) -> Scenario:
    """So many students book all over the town; a tenth as many instructors, each with two open screens besides their own."""
    instructors = min(200, max(2, people // 10))
    return Scenario(
        "spread", people, instructors, 2 * instructors, (0.2, 2.0), fresh_instructors=False, cancels=0.2, edits=True
    )


def watch_party(people: int) -> Scenario:
    """So many screens look at one board while twenty students book and cancel."""
    return Scenario(
        "watch-party", min(20, max(2, people // 5)), 1, people, (1.0, 4.0), fresh_instructors=True, cancels=0.5, edits=True
    )


SCENARIOS = {"rush": rush, "spread": spread, "watch-party": watch_party}
# What `all` runs: people and seconds of each, short enough for a laptop.
SHORT = {"rush": (200, 8), "spread": (100, 15), "watch-party": (300, 15)}
