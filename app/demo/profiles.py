"""Profiles of the demo's accounts, generated from the texts in this folder, always the same."""

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import cycle
from pathlib import Path
from typing import Any, TypeVar

from app.availability import week
from app.availability.week import Range

T = TypeVar("T")

_FOLDER = Path(__file__).parent
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

# A price of each tier is on offer for each service.
_DOLLARS = ((38, 45, 32, 48, 40, 35), (60, 65, 55, 68, 58), (90, 80, 95, 85, 110, 100))
_MINUTES = ((30, 60), (60,), (45, 60, 90), (60, 90), (30, 45, 60), (60, 120), (30, 60, 90))
_LEVELS = ((), (), ("beginner", "intermediate"), ())
_AUDIENCES = ((), ("teens", "adults"), (), (), ("adults",))
_BUFFERS = (0, 15, 30, 0, 20)
_NOTICES = (120, 60, 240, 120, 30, 720)
_FREE_CANCEL_HOURS = (12, 24, 12, 6, 48)

# Of a subject's three instructors, the one who teaches in Brooklyn and in Manhattan.
IN_BOTH = 2
# Evenings of the instructor who teaches in both boroughs. The other two cover the rest.
_EVENINGS_IN_BOTH = ("Mon Wed Fri Sun", "Tue Thu Sat", "Mon Tue Sun", "Wed Thu Fri Sat")
_EVENING_HOURS = (
    ("17:00", "21:00"),
    ("18:00", "22:00"),
    ("17:30", "21:00"),
    ("16:00", "20:30"),
    ("16:30", "20:00"),
    ("18:30", "22:00"),
    ("17:15", "21:15"),
)
_DAYTIME = (
    ("Mon Tue Thu", "09:00", "12:00"),
    ("Wed Fri", "12:00", "15:00"),
    ("Mon Wed Fri", "07:00", "10:00"),
    ("Tue Thu", "10:30", "14:30"),
    ("Mon Thu", "12:15", "15:45"),
)
_WEEKEND = (
    ("Sat Sun", "11:00", "15:00"),
    ("Sat", "10:00", "14:00"),
    ("Sat Sun", "09:15", "12:30"),
    ("Sat Sun", "12:30", "16:00"),
    ("Sat", "08:30", "13:00"),
    ("Sat Sun", "10:45", "14:15"),
)
_SUNDAY = (("10:00", "15:00"), ("11:30", "15:30"), ("13:00", "16:00"), ("09:00", "12:45"))


@dataclass(frozen=True)
class Offer:
    catalog_service: str
    dollars: int
    minutes: Sequence[int]
    description: str
    levels: Sequence[str] = ()
    audiences: Sequence[str] = ()


@dataclass(frozen=True)
class DemoInstructor:
    """`hours`: days of the week, start and end."""

    email: str
    name: str
    headline: str
    bio: str
    years: int
    areas: Sequence[str]
    offers: Sequence[Offer]
    hours: Sequence[Sequence[str]]
    settings: dict[str, int] = field(default_factory=dict)
    address: str = ""

    def ranges(self, day: date) -> list[Range]:
        return sorted(
            (week.minute(start), week.minute(end))
            for names, start, end in self.hours
            if _WEEKDAYS[day.weekday()] in names.split()
        )


def featured() -> list[DemoInstructor]:
    """The hand-written ones, who come first."""
    return [
        DemoInstructor(**row | {"offers": [Offer(**offer) for offer in row["offers"]]})
        for row in _read("featured")["instructor"]
    ]


def others() -> list[DemoInstructor]:
    """Three instructors for each subject, but one for a subject that has its own `home`."""
    texts, homes = _read("subjects"), _homes()
    instructors: list[DemoInstructor] = []
    for index, subject in enumerate(texts["subject"]):
        for nth in range(len(subject["names"])):
            number = len(instructors)
            subject["closing"] = _pick(texts["closings"], number)
            instructors.append(_instructor(subject, index, nth, number, homes))
    return instructors


def students() -> list[tuple[str, str]]:
    """E-mail address and name."""
    return [(_email(name), name) for name in _read("profiles")["students"]]


def notes() -> list[str]:
    """What students write to instructors."""
    notes: list[str] = _read("profiles")["notes"]
    return notes


def meeting_points() -> list[str]:
    points: list[str] = _read("profiles")["meeting_points"]
    return points


def _instructor(
    subject: dict[str, Any], index: int, nth: int, number: int, homes: dict[str, Iterator[Any]]
) -> DemoInstructor:
    """`index` counts subjects, `nth` the subject's instructors from 0, `number` all instructors."""
    if home := subject.get("home"):
        boroughs = [home]
    else:
        boroughs = [["Brooklyn"], ["Manhattan"], ["Manhattan", "Brooklyn"]][nth]
    lives_in = [next(homes[borough]) for borough in boroughs]
    has_address = nth != IN_BOTH or index % 2 == 0
    name = subject["names"][nth]
    return DemoInstructor(
        email=_email(name),
        name=name,
        headline=subject["headlines"][nth],
        bio=" ".join((subject["backgrounds"][nth], subject["approaches"][nth], subject["closing"])),
        years=3 + number * 7 % 23,
        areas=[area for home in lives_in for area in home["areas"]],
        offers=[
            _offer(subject, service, index, nth, number + position)
            for position, service in enumerate(subject["services"])
        ],
        hours=_hours(index, nth, number),
        settings={
            "travel_buffer_minutes": _pick(_BUFFERS, number),
            "min_advance_minutes": _pick(_NOTICES, number),
            "free_cancel_hours": _pick(_FREE_CANCEL_HOURS, number),
        },
        address=f"{20 + number * 37 % 380} {lives_in[0]['street']}" if has_address else "",
    )


def _offer(subject: dict[str, Any], service: str, index: int, nth: int, number: int) -> Offer:
    descriptions = subject["descriptions"][service]
    return Offer(
        catalog_service=service,
        dollars=_pick(_pick(_DOLLARS, index + nth), number),
        minutes=_pick(_MINUTES, number),
        description=" ".join(descriptions) if nth == IN_BOTH else descriptions[nth],
        levels=_pick(_LEVELS, number),
        audiences=subject.get("audiences", {}).get(service, _pick(_AUDIENCES, number)),
    )


def _hours(index: int, nth: int, number: int) -> list[Sequence[str]]:
    """In each borough someone teaches the subject on every evening and on both weekend days."""
    in_both = _pick(_EVENINGS_IN_BOTH, index).split()
    if nth == IN_BOTH:
        evenings = in_both
    else:
        # A few teach on every evening.
        evenings = [day for day in _WEEKDAYS if day not in in_both or (index + nth) % 5 == 0]
    weekend = ("Sun", *_pick(_SUNDAY, index)) if nth == IN_BOTH else _pick(_WEEKEND, number)
    return [
        (" ".join(evenings), *_pick(_EVENING_HOURS, number)),
        _pick(_DAYTIME, number),
        weekend,
    ]


def _homes() -> dict[str, Iterator[Any]]:
    """Endless homes by borough."""
    rows = _read("profiles")["home"]
    return {
        borough: cycle([row for row in rows if row["borough"] == borough])
        for borough in {row["borough"] for row in rows}
    }


def _email(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z -]", "", plain).replace(" ", ".") + "@example.com"


def _pick(options: Sequence[T], number: int) -> T:
    return options[number % len(options)]


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((_FOLDER / f"{name}.toml").read_text())
