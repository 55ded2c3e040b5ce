"""Boards that this process has read. Equal versions of a calendar mean equal boards, so a statement
that reads the versions need not compute the boards that are cached here: a cached board is never
older than the read."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import chain
from typing import Any
from uuid import UUID

from app import formatting
from app.availability import start_times

MAX_BOARDS = 2_000


@dataclass(frozen=True, slots=True)
class FreeStart:
    """A start in the free time of a board, whatever the limits of booking. `day` is local."""

    start: datetime
    day: date
    part: str  # of the day
    minute: int  # of the day

    @classmethod
    def of(cls, start: datetime, zone: str) -> "FreeStart":
        return cls(
            start,
            formatting.local_day(start, zone),
            formatting.part_of_day(start, zone),
            formatting.wall_minutes(start, zone),
        )


@dataclass(frozen=True, slots=True)
class CachedBoard:
    """The days of a board from `first` on, and what follows from them alone."""

    first: date
    epoch: str
    version: int
    time_zone: str
    days: Any
    _starts: dict[int, list[FreeStart]] = field(default_factory=dict)

    def starts(self, minutes: int) -> list[FreeStart]:
        """The starts of lessons of this length in the free time, in order."""
        starts = self._starts.get(minutes)
        if starts is None:
            free = [self.days[day]["free"] for day in sorted(self.days)]
            ranges = start_times.spans(chain.from_iterable(free))
            starts = self._starts[minutes] = [
                FreeStart.of(start, self.time_zone)
                for start in start_times.of_ranges(ranges, minutes, self.time_zone)
            ]
        return starts


Key = tuple[UUID, date, int]  # a calendar, the requested first day, and the number of days


class BoardCache:
    """The boards in the order of their last use, MAX_BOARDS at most."""

    def __init__(self, max_boards: int = MAX_BOARDS) -> None:
        self._max_boards = max_boards
        self._boards: OrderedDict[Key, CachedBoard] = OrderedDict()

    def find(self, keys: Sequence[Key]) -> list[CachedBoard | None]:
        for key in keys:
            if key in self._boards:
                self._boards.move_to_end(key)
        return [self._boards.get(key) for key in keys]

    def store(self, key: Key, board: CachedBoard) -> None:
        self._boards[key] = board
        self._boards.move_to_end(key)
        while len(self._boards) > self._max_boards:
            self._boards.popitem(last=False)
