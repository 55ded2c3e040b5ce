"""What an instructor's page offers for a selection: the start times of each day, and whether the
selected start can be booked. app/static/offer.js mirrors it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property

from app import formatting, refusal, web, wire
from app.accounts.session import SignedIn
from app.availability import board, next_start, start_times
from app.availability.board import Board
from app.availability.start_times import Limits, Span
from app.bookings import booking
from app.bookings.booking import Booking
from app.db import Pool
from app.pages.selection import BOARD_DAYS, WEEK_DAYS, Selection, first_of_week
from app.web import Request

# The most upcoming bookings of the viewer. At their times, the board shows no free time.
MAX_OWN_BOOKINGS = 100


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


OWN_HOLD = "held for you"
OWN_LESSON = "this lesson"
_NOTES = {"held": "being booked", "busy": "you’re busy"}
_LABELS = {"held": "being booked by someone else", "busy": "you have a lesson at that time"}


@dataclass(frozen=True)
class Offer:
    """A selection and a snapshot of the board: everything that the board and the lesson card show.
    `own_bookings` are the viewer's, held or confirmed."""

    selection: Selection
    board: Board
    now: datetime
    own_zone: str
    own_bookings: Sequence[Booking]
    refused_alternatives: Sequence[datetime] | None = None
    # The lesson that is to be moved. It is not among `own_bookings`. Its time counts as free where
    # no other booking needs it (`own_time`).
    moving: Booking | None = None
    own_time: Sequence[Span] = ()
    # Set if the week is empty and the loaded days have no free start after it: the first free start
    # after these days, or else the soonest of all.
    elsewhere: datetime | None = None

    @cached_property
    def limits(self) -> Limits:
        busy = [_during(own) for own in self.own_bookings if not self._is_replaced(own)]
        return Limits.at(self.now, self.board.min_advance_minutes, busy)

    def _is_replaced(self, own: Booking) -> bool:
        """Whether a new hold would replace this hold of the viewer, or it has expired."""
        is_here = own.instructor_id == self.selection.instructor.id
        return own.held_until is not None and (is_here or own.held_until <= self.now)

    @cached_property
    def hold(self) -> Booking | None:
        """The viewer's hold with this instructor."""
        instructor_id = self.selection.instructor.id
        return next(
            (
                own
                for own in self.own_bookings
                if own.instructor_id == instructor_id
                and own.held_until is not None
                and own.held_until > self.now
            ),
            None,
        )

    @cached_property
    def days(self) -> list[Day]:
        return [self._day(day) for day in self.selection.week]

    def _day(self, day: date) -> Day:
        times = [self._time(start, state) for start, state in self._starts(day).items()]
        return Day(day, times, None if times else self._next_free(day))

    def _starts(self, day: date) -> dict[datetime, str]:
        """The starts of a day and their states."""
        free, held = self._spans(day)
        selection = self.selection
        return start_times.of_day(
            free,
            held,
            selection.minutes,
            zone=selection.zone,
            limits=self.limits,
            selected=selection.start,
        )

    def _spans(self, day: date) -> tuple[list[Span], list[Span]]:
        """The free and the held ranges of a day. The viewer's own hold counts as free, and so does
        the time of a lesson that moves."""
        ranges = self.board.days.get(str(day), {"free": [], "held": []})
        free, held = start_times.spans(ranges["free"]), start_times.spans(ranges["held"])
        instructor_id = self.selection.instructor.id
        holds = [
            _during(own)
            for own in self.own_bookings
            if own.held_until is not None and own.instructor_id == instructor_id
        ]
        zone = self.selection.zone
        own = [span for span in self.own_time if formatting.local_day(span[0], zone) == day]
        return start_times.without_own_holds(free, [*held, *own], [*holds, *own])

    def _time(self, start: datetime, state: str) -> Time:
        zone = self.selection.zone
        hint = formatting.hint(start, zone, self.own_zone)
        part = formatting.part_of_day(start, zone)
        text = formatting.clock(start, zone)
        if state != "free":
            day = formatting.long_day(formatting.local_day(start, zone))
            return Time(
                start, part, state, text, _NOTES[state], "", f"{day}, {text} {_LABELS[state]}"
            )
        label = f"{self.sentence(start)}, {hint} your time" if hint else self.sentence(start)
        if note := self._own_note(start):
            label = label.replace(text, f"{text} {note}", 1)
            return Time(start, part, state, text, note, hint, label)
        return Time(start, part, state, text, "", hint, label)

    def _own_note(self, start: datetime) -> str:
        """What the board says about a free time that the viewer holds, or that the lesson to be
        moved has; empty for others."""
        if self.moving is not None and start == self.moving.starts_at:
            return OWN_LESSON
        return OWN_HOLD if self.is_held(start) else ""

    def is_held(self, start: datetime) -> bool:
        """Whether the viewer holds exactly this lesson."""
        hold = self.hold
        return hold is not None and _during(hold) == self._lesson(start)

    def _lesson(self, start: datetime) -> Span:
        return start, start + timedelta(minutes=self.selection.minutes)

    def sentence(self, start: datetime) -> str:
        """The lesson in words, such as "Tuesday, November 24, 9:00 am, 60 minutes, $70"."""
        selection = self.selection
        day = formatting.long_day(formatting.local_day(start, selection.zone))
        clock = formatting.clock(start, selection.zone)
        return f"{day}, {clock}, {selection.minutes} minutes, {formatting.money(selection.cents)}"

    @cached_property
    def free_starts(self) -> list[datetime]:
        """The free starts of all days of the board."""
        days = sorted(date.fromisoformat(day) for day in self.board.days)
        return [
            start for day in days for start, state in self._starts(day).items() if state == "free"
        ]

    def _next_free(self, after: date) -> NextFree | None:
        start = self._first_after(after)
        return self._link(start, after) if start else None

    def _first_after(self, day: date) -> datetime | None:
        """The first free start on a later day."""
        starts = [*self.free_starts, *([self.elsewhere] if self.elsewhere else [])]
        zone = self.selection.zone
        return next((start for start in starts if formatting.local_day(start, zone) > day), None)

    def _link(self, start: datetime, seen_from: date) -> NextFree:
        zone = self.selection.zone
        day = formatting.local_day(start, zone)
        # A weekday alone would be taken for the one that the page shows.
        is_near = seen_from < day <= self.selection.last
        day_text = f"{day:%a}" if is_near else f"{formatting.short_day(day)},"
        href = self.selection.address(first=first_of_week(day, self.selection.today))
        return NextFree(day, f"{day_text} {formatting.clock(start, zone)}", f"{href}#day-{day}")

    @cached_property
    def is_empty_week(self) -> bool:
        return not any(day.times for day in self.days)

    @property
    def other_week(self) -> NextFree | None:
        """For an empty week: the next free time after it, or else the soonest of all."""
        last = self.selection.last
        start = self._first_after(last) or self.elsewhere
        return self._link(start, last) if start else None

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
    def booked(self) -> Booking | None:
        """The viewer's lesson with this instructor at the selected start."""
        selection = self.selection
        return next(
            (
                own
                for own in self.own_bookings
                if own.instructor_id == selection.instructor.id
                and own.starts_at == selection.start
                and own.state == "confirmed"
            ),
            None,
        )

    def obstacle(self, *, was_free: bool = False) -> str:
        """Why the selected start cannot be booked. `was_free`: whether it was free, or held for
        the viewer, on this screen before."""
        selection, start = self.selection, self.selection.start
        assert start is not None
        if start < self.now:
            return "This time has passed."
        if start < self.limits.earliest:
            return "This time is too soon to book."
        lesson = self._lesson(start)
        if start_times.overlaps(lesson, self.limits.busy):
            return (
                "You already have a lesson at that time."
                if any(
                    own.state != "held" and start_times.overlaps(lesson, [_during(own)])
                    for own in self.own_bookings
                )
                else "You’re holding another lesson at that time."
            )
        day = formatting.local_day(start, selection.zone)
        _, held = self._spans(day)
        if start_times.overlaps(lesson, held):
            return "Someone else is booking this time right now."
        if was_free:
            return "This time has just been taken."
        year = (
            ""
            if day.year == selection.today.year
            else f" ({formatting.short_day(day)}, {day.year})"
        )
        if start > self.limits.latest:
            days = start_times.HORIZON.days
            return (
                f"This time is too far ahead{year}. Lessons can be booked up to {days} days ahead."
            )
        # The board does not tell booked time from time without availability.
        return f"{formatting.first_name(selection.instructor.name)} isn’t free then{year}."

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
        selection = self.selection
        if selection.start is None:
            return ""
        hours = selection.instructor.free_cancel_hours
        return formatting.cancelling(selection.start, hours, selection.zone, self.now)

    @property
    def brief_moment(self) -> str:
        """The selected start on the button that leads to the card, such as "Wed 1:00 pm"."""
        selection = self.selection
        if selection.start is None:
            return ""
        day = formatting.local_day(selection.start, selection.zone)
        clock = formatting.clock(selection.start, selection.zone)
        return f"{formatting.soon(day, selection.today)} {clock}"

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


async def read(
    request: Request,
    account: SignedIn | None,
    selection: Selection,
    refused_alternatives: Sequence[datetime] | None = None,
) -> Offer:
    """The offer for a selection, as of now. Raises NotFound if the calendar is not public."""
    pool, now = request.state["pool"], request.state["now"]()
    snapshot = await board.snapshot(
        pool, selection.instructor.id, selection.board_first, BOARD_DAYS
    )
    if snapshot is None:
        raise refusal.NotFound
    own: list[Booking] = []
    if account is not None and "view_own_bookings" in account.permissions:
        own = await booking.list_of(
            pool,
            account.account_id,
            role="student",
            scope="upcoming",
            now=now,
            limit=MAX_OWN_BOOKINGS,
        )
    own_zone = account.time_zone if account else ""
    current = Offer(selection, snapshot, now, own_zone, own, refused_alternatives)
    if current.is_empty_week and current.other_week is None:
        return replace(current, elsewhere=await _elsewhere(pool, current))
    return current


async def _elsewhere(pool: Pool, current: Offer) -> datetime | None:
    """The first free start after the loaded days, or else the soonest of all."""
    selection = current.selection
    first = selection.board_first + timedelta(days=BOARD_DAYS)
    days = (formatting.local_day(current.limits.latest, selection.zone) - first).days + 1
    if days > 0:
        rest = await board.snapshot(pool, selection.instructor.id, first, days)
        later = replace(current, board=rest).free_starts if rest else []
        if later:
            return later[0]
    pair = (selection.instructor.id, selection.minutes)
    return (await next_start.of(pool, [pair], now=current.now))[pair]


def refused_alternatives(request: Request) -> list[datetime] | None:
    """The alternatives of a refused time, while its form is shown again."""
    state: web.PerRequest = request.scope["state"]
    refused = state.get("refusal")
    if refused is None or "alternatives" not in refused.more:
        return None
    return [formatting.instant_of(start) for start in refused.more["alternatives"]]


def _during(booking: Booking) -> Span:
    return booking.starts_at, booking.ends_at
