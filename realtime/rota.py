"""Whose turn it is: each member once in so many seconds, however many there are."""

import random
from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, TypeVar

Member = TypeVar("Member")


class Rota(Generic[Member]):
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._turns: OrderedDict[Member, float] = OrderedDict()

    def join(self, member: Member, now: float) -> None:
        """The first turn comes a little early, by chance, so that those who come together do not stay together."""
        self._turns[member] = now + self.seconds * random.uniform(0.6, 1.0)  # noqa: S311 — a jitter

    def leave(self, member: Member) -> None:
        self._turns.pop(member, None)

    def due(self, now: float) -> Iterator[Member]:
        """Those whose turn it is. Members may leave meanwhile."""
        for _ in range(len(self._turns)):
            if not self._turns:
                return
            member, turn = next(iter(self._turns.items()))
            if turn > now:
                return
            self._turns.move_to_end(member)
            self._turns[member] = now + self.seconds
            yield member
