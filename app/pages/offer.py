"""What an instructor's page offers for a selection: the start times of each day, and whether the
selected start can be booked. app/static/offer.js mirrors it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from uuid import UUID

from app import formatting, wire
from app.availability import start_times
from app.availability.board import Board
from app.availability.start_times import Limits, Span
from app.pages.selection import WEEK_DAYS, Selection, first_of_week

Lesson = tuple[datetime, datetime, UUID]  # start, end, id of the booking


@dataclass(frozen=True)
class Time:
    """A start-time button of the board. `state` is `free`, `held` or `busy`; `note` says why it is
    not free; `hint` is the time in the viewer's own zone."""

    start: datetime
    part: str
    state: str
    text: str
    note: str
    hint: str
    label: str

    @property
    def value(self) -> str:
        return wire.instant(self.start)


@dataclass(frozen=True)
class NextFree:
    """The next free time after a day without any."""

    day: date
    text: str
    href: str


@dataclass(frozen=True)
class Day:
    day: date
    times: list[Time]
    next_free: NextFree | None

    @property
    def has_free(self) -> bool:
        return any(time.state == "free" for time in self.times)


_NOTES = {"held": "being booked", "busy": "you’re busy"}
_LABELS = {"held": "being booked by someone else", "busy": "you have a lesson at that time"}


@dataclass(frozen=True)
class Offer:
    """A selection and a snapshot of the board: everything that the board and the lesson card show.
    `own_lessons` are the viewer's."""

    selection: Selection
    board: Board
    now: datetime
    own_zone: str
    own_lessons: Sequence[Lesson]
    refused_alternatives: Sequence[datetime] | None = None

    @cached_property
    def limits(self) -> Limits:
        busy = [(begin, end) for begin, end, _ in self.own_lessons]
        return Limits.at(self.now, self.board.min_advance_minutes, busy)

    @cached_property
    def days(self) -> list[Day]:
        return [self._day(day) for day in self.selection.week]

    def _day(self, day: date) -> Day:
        times = [self._time(start, state) for start, state in self._starts(day).items()]
        return Day(day, times, None if times else self._next_free(day))

    def _starts(self, day: date) -> dict[datetime, str]:
        """The starts of a day and their states."""
        free, held = self._spans(day)
        selected = self.selection
        return start_times.of_day(
            free,
            held,
            selected.minutes,
            zone=selected.zone,
            limits=self.limits,
            selected=selected.start,
        )

    def _spans(self, day: date) -> tuple[list[Span], list[Span]]:
        """The free and the held ranges of a day."""
        ranges = self.board.days.get(str(day), {"free": [], "held": []})
        return start_times.spans(ranges["free"]), start_times.spans(ranges["held"])

    def _time(self, start: datetime, state: str) -> Time:
        zone = self.selection.zone
        hint = formatting.hint(start, zone, self.own_zone)
        part = formatting.part_of_day(start, zone)
        text = _clock(start, zone)
        if state != "free":
            day = formatting.long_day(formatting.local_day(start, zone))
            return Time(
                start, part, state, text, _NOTES[state], "", f"{day}, {text} {_LABELS[state]}"
            )
        label = f"{self.sentence(start)}, {hint} your time" if hint else self.sentence(start)
        return Time(start, part, state, text, "", hint, label)

    def sentence(self, start: datetime) -> str:
        """Tuesday, November 24, 9:00 am, 60 minutes, $70"""
        selected = self.selection
        day = formatting.long_day(formatting.local_day(start, selected.zone))
        clock = formatting.clock(start, selected.zone)
        return f"{day}, {clock}, {selected.minutes} minutes, {formatting.money(selected.cents)}"

    @cached_property
    def free_starts(self) -> list[datetime]:
        """The free starts of all days of the board."""
        days = sorted(date.fromisoformat(day) for day in self.board.days)
        return [
            start for day in days for start, state in self._starts(day).items() if state == "free"
        ]

    def _next_free(self, after: date) -> NextFree | None:
        zone = self.selection.zone
        later = (start for start in self.free_starts if formatting.local_day(start, zone) > after)
        start = next(later, None)
        if start is None:
            return None
        day = formatting.local_day(start, zone)
        is_near = (day - after).days < WEEK_DAYS
        day_text = f"{day:%a}" if is_near else f"{formatting.short_day(day)},"
        href = self.selection.address(first=first_of_week(day, self.selection.today))
        return NextFree(day, f"{day_text} {formatting.clock(start, zone)}", f"{href}#day-{day}")

    @cached_property
    def parts(self) -> set[str]:
        """The parts of the day in which the week has any times."""
        return {time.part for day in self.days for time in day.times}

    @property
    def has_hints(self) -> bool:
        """Whether the viewer’s clock differs from the lesson’s at any time of this week."""
        return any(time.hint for day in self.days for time in day.times)

    # ---- the selected start

    @property
    def is_bookable(self) -> bool:
        """Whether the selected start is free, as of this snapshot."""
        start = self.selection.start
        if start is None or self.refused_alternatives is not None:
            return False
        free, _ = self._spans(formatting.local_day(start, self.selection.zone))
        return start_times.fits(start, free, self.selection.minutes, self.limits)

    @property
    def obstacle(self) -> str:
        """Why the selected start cannot be booked."""
        start = self.selection.start
        assert start is not None
        if start < self.limits.earliest:
            return "This time is too soon to book."
        lesson = (start, start + timedelta(minutes=self.selection.minutes))
        if start_times.meets(lesson, self.limits.busy):
            return "You already have a lesson at that time."
        _, held = self._spans(formatting.local_day(start, self.selection.zone))
        if start_times.meets(lesson, held):
            return "Someone else is booking this time right now."
        return "This time isn’t available."

    @property
    def alternatives(self) -> list[datetime]:
        """The free starts nearest to a selected start that cannot be booked."""
        start = self.selection.start
        if start is None or self.is_bookable:
            return []
        return list(self.refused_alternatives or start_times.nearest(start, self.free_starts))

    @property
    def hint(self) -> str:
        """The selected start in the viewer's own zone."""
        start = self.selection.start
        return formatting.hint(start, self.selection.zone, self.own_zone) if start else ""

    @property
    def policy(self) -> str:
        """The cancellation policy for the selected start."""
        selected = self.selection
        if selected.start is None:
            return ""
        hours = selected.instructor.free_cancel_hours
        return formatting.cancelling(selected.start, hours, selected.zone, self.now)

    # ---- other weeks

    @property
    def earlier(self) -> date | None:
        first = self.selection.first - timedelta(days=WEEK_DAYS)
        return first if first >= self.selection.today else None

    @property
    def later(self) -> date | None:
        first = self.selection.first + timedelta(days=WEEK_DAYS)
        last = formatting.local_day(self.limits.latest, self.selection.zone)
        return first if first <= last else None


def _clock(start: datetime, zone: str) -> str:
    """The clock time, with the zone's abbreviation in the hour that is repeated when clocks go
    back."""
    text = formatting.clock(start, zone)
    hour = timedelta(hours=1)
    if text in {formatting.clock(start - hour, zone), formatting.clock(start + hour, zone)}:
        return f"{text} {formatting.zone_abbreviation(start, zone)}"
    return text
