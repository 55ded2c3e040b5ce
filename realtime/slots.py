"""Turns spread evenly over an interval: each member has one of the slots that make it up."""

import random
from collections.abc import Iterator
from typing import Generic, TypeVar

# The length of a slot.
SLOT_SECONDS = 0.1

Member = TypeVar("Member")


class Slots(Generic[Member]):
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        count = max(1, round(seconds / SLOT_SECONDS))
        self._slots: list[dict[Member, None]] = [{} for _ in range(count)]
        self._slot_of: dict[Member, int] = {}
        self._next = 0

    def join(self, member: Member) -> None:
        """At random, so that members who come together do not stay together; but not very soon, as
        nothing is owed to a member that has just come."""
        count = len(self._slots)
        slot = (self._next + random.randrange(count // 2, count)) % count  # noqa: S311 — a jitter
        self._slot_of[member] = slot
        self._slots[slot][member] = None

    def leave(self, member: Member) -> None:
        """May be called twice."""
        slot = self._slot_of.pop(member, None)
        if slot is not None:
            del self._slots[slot][member]

    def turn(self) -> Iterator[Member]:
        """The members of the next slot. Some may leave meanwhile."""
        slot = self._slots[self._next]
        self._next = (self._next + 1) % len(self._slots)
        return (member for member in tuple(slot) if member in slot)
