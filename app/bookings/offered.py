"""An instructor’s page for one choice: the days with their start times, and the state of the chosen
time. app/static/offer.js mirrors it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from uuid import UUID

from app import wire, wording
from app.availability import start_times
from app.availability.board import Board
from app.availability.start_times import Limits, Span
from app.bookings.choice import SHOWN, Choice, week_of


@dataclass(frozen=True)
class Time:
    """One button of the board."""

    start: datetime
    part: str
    state: str
    text: str
    small: str
    hint: str
    label: str

    @property
    def value(self) -> str:
        return wire.instant(self.start)


@dataclass(frozen=True)
class Next:
    """The next free time after an empty day."""

    day: date
    text: str
    href: str


@dataclass(frozen=True)
class Day:
    day: date
    times: list[Time]
    next: Next | None

    @property
    def free(self) -> bool:
        return any(time.state == "free" for time in self.times)


_SMALL = {"held": "being booked", "busy": "you’re busy"}
_WHY = {"held": "being booked by someone else", "busy": "you have a lesson at that time"}


@dataclass(frozen=True)
class Offered:
    """A choice and the current calendar: everything the board and the lesson card show."""

    choice: Choice
    board: Board
    now: datetime
    own_zone: str
    busy: Sequence[tuple[datetime, datetime, UUID]]
    refused_alternatives: Sequence[datetime] | None = None

    @cached_property
    def limits(self) -> Limits:
        busy = [(begins, ends) for begins, ends, _ in self.busy]
        return Limits.at(self.now, self.board.min_advance_minutes, busy)

    @cached_property
    def days(self) -> list[Day]:
        return [self._day(day) for day in self.choice.week]

    def _day(self, day: date) -> Day:
        found = self._starts(day)
        times = [self._time(start, state) for start, state in found.items()]
        return Day(day, times, None if times else self._next(day))

    def _starts(self, day: date) -> dict[datetime, str]:
        free, held = self._spans(day)
        choice = self.choice
        return start_times.of_day(
            free, held, choice.minutes, zone=choice.zone, limits=self.limits, chosen=choice.start
        )

    def _spans(self, day: date) -> tuple[list[Span], list[Span]]:
        known = self.board.days.get(str(day), {"free": [], "held": []})
        return start_times.spans(known["free"]), start_times.spans(known["held"])

    def _time(self, start: datetime, state: str) -> Time:
        zone = self.choice.zone
        hint = wording.hint(start, zone, self.own_zone)
        part = wording.part_of_day(start, zone)
        text = wording.clock(start, zone)
        # On the night the clocks go back an hour comes twice.
        if any(
            wording.clock(start + other, zone) == text
            for other in (timedelta(hours=1), timedelta(hours=-1))
        ):
            text = f"{text} {wording.zone_letters(start, zone)}"
        if why := _WHY.get(state):
            label = f"{wording.long_day(wording.local_day(start, zone))}, {text} {why}"
            return Time(start, part, state, text, _SMALL[state], "", label)
        label = f"{self.sentence(start)}, {hint} your time" if hint else self.sentence(start)
        return Time(start, part, state, text, "", hint, label)

    def sentence(self, start: datetime) -> str:
        """Tuesday, November 24, 9:00 am, 60 minutes, $70"""
        choice = self.choice
        day = wording.long_day(wording.local_day(start, choice.zone))
        return f"{day}, {wording.clock(start, choice.zone)}, {choice.minutes} minutes, {wording.money(choice.cents)}"

    @cached_property
    def free(self) -> list[datetime]:
        """All free starts of the days that are known."""
        days = sorted(date.fromisoformat(day) for day in self.board.days)
        return [
            start for day in days for start, state in self._starts(day).items() if state == "free"
        ]

    def _next(self, after: date) -> Next | None:
        zone = self.choice.zone
        start = next((start for start in self.free if wording.local_day(start, zone) > after), None)
        if start is None:
            return None
        day = wording.local_day(start, zone)
        name = f"{day:%a}" if (day - after).days < SHOWN else f"{wording.short_day(day)},"
        href = self.choice.address(first=week_of(day, self.choice.today))
        return Next(day, f"{name} {wording.clock(start, zone)}", f"{href}#day-{day}")

    @cached_property
    def parts(self) -> set[str]:
        """The parts of the day in which the week has any times."""
        return {time.part for day in self.days for time in day.times}

    @property
    def hinted(self) -> bool:
        """Whether the viewer’s clock differs from the lesson’s at any time of this week."""
        return any(time.hint for day in self.days for time in day.times)

    # ---- the chosen time

    @property
    def possible(self) -> bool:
        """Whether the chosen start is free, as of this snapshot."""
        start = self.choice.start
        if start is None or self.refused_alternatives is not None:
            return False
        free, _ = self._spans(wording.local_day(start, self.choice.zone))
        return start_times.fits(start, free, self.choice.minutes, self.limits)

    @property
    def why_not(self) -> str:
        start = self.choice.start
        assert start is not None
        if start < self.limits.earliest:
            return "This time is too soon to book."
        end = start + timedelta(minutes=self.choice.minutes)
        if start_times.meets((start, end), self.limits.busy):
            return "You already have a lesson at that time."
        if start_times.meets(
            (start, end), self._spans(wording.local_day(start, self.choice.zone))[1]
        ):
            return "Someone else is booking this time right now."
        return "This time isn’t available."

    @property
    def instead(self) -> list[datetime]:
        """Free starts near the chosen one, where that one is not free."""
        start = self.choice.start
        if start is None or self.possible:
            return []
        return list(self.refused_alternatives or start_times.nearest(start, self.free))

    @property
    def hint(self) -> str:
        return (
            wording.hint(self.choice.start, self.choice.zone, self.own_zone)
            if self.choice.start
            else ""
        )

    @property
    def policy(self) -> str:
        start = self.choice.start
        return (
            wording.cancelling(
                start, self.choice.instructor.free_cancel_hours, self.choice.zone, self.now
            )
            if start
            else ""
        )

    # ---- other weeks

    @property
    def earlier(self) -> date | None:
        first = self.choice.first - timedelta(days=SHOWN)
        return first if first >= self.choice.today else None

    @property
    def later(self) -> date | None:
        first = self.choice.first + timedelta(days=SHOWN)
        return first if first <= wording.local_day(self.limits.latest, self.choice.zone) else None
