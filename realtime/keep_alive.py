"""What each connection gets regularly: a beacon, a ping, and its end when it takes nothing or sends
nothing anymore. Turns are spread over the interval, so the loop never stalls."""

import asyncio
import random
from collections.abc import Iterator
from typing import Generic, TypeVar

import structlog

from app.settings import Settings
from realtime import metrics
from realtime.messages import PING
from realtime.watcher import Watcher

log = structlog.get_logger("keep_alive")

# Pings per STUCK_SECONDS. A client silent for this many intervals did not answer the last one.
PINGS = 2.5
SILENT_PINGS = 1.5
# When this process itself is late, it may not have read yet what clients sent.
LATE_SECONDS = 1.0
# Members of one slot have their turn together.
SLOT_SECONDS = 0.1

Member = TypeVar("Member")


class Slots(Generic[Member]):
    """Turns spread evenly over an interval: each member has one of its slots."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        count = max(1, round(seconds / SLOT_SECONDS))
        self._slots: list[dict[Member, None]] = [{} for _ in range(count)]
        self._slot_of: dict[Member, int] = {}
        self._next = 0

    def join(self, member: Member) -> None:
        """In a random slot of the interval's second half: a new member needs nothing soon."""
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


class KeepAlive:
    def __init__(self, settings: Settings) -> None:
        self._beacons: Slots[Watcher] = Slots(settings.beacon_seconds)
        self._pings: Slots[Watcher] = Slots(settings.stuck_seconds / PINGS)
        self._paused: set[Watcher] = set()
        self._stuck_seconds = settings.stuck_seconds

    def join(self, watcher: Watcher) -> None:
        self._beacons.join(watcher)
        self._pings.join(watcher)

    def leave(self, watcher: Watcher) -> None:
        """May be called twice."""
        self._beacons.leave(watcher)
        self._pings.leave(watcher)
        self._paused.discard(watcher)

    def pause(self, watcher: Watcher) -> None:
        """It takes nothing."""
        self._paused.add(watcher)

    def resume(self, watcher: Watcher) -> None:
        self._paused.discard(watcher)

    async def run(self) -> None:
        """Gives each connection its turns. Does not return. After a delay, the due slots follow one
        another, and other work gets its turn in between."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            due = max(due + SLOT_SECONDS, clock() - self._beacons.seconds)
            await asyncio.sleep(max(0.0, due - clock()))
            late = clock() - due
            metrics.LOOP_DELAY.observe(late)
            punctual = late < LATE_SECONDS
            if punctual:
                self.abort_stuck(clock())
            self.ping(clock(), punctual=punctual)
            for watcher in self._beacons.turn():
                watcher.beacon()

    def abort_stuck(self, now: float) -> None:
        """Those that took nothing for STUCK_SECONDS."""
        for watcher in tuple(self._paused):
            if now - watcher.paused_at > self._stuck_seconds:
                _abort(watcher, "stuck")

    def ping(self, now: float, *, punctual: bool = True) -> None:
        """The next slot's. One that is paused takes no ping; `abort_stuck` watches it."""
        for watcher in self._pings.turn():
            if not watcher.ready:
                continue
            if punctual and now - watcher.last_received > self._pings.seconds * SILENT_PINGS:
                _abort(watcher, "silent")
            else:
                watcher.write(PING)


def _abort(watcher: Watcher, reason: str) -> None:
    log.info("client_aborted", reason=reason)
    metrics.ABORTED.labels(reason).inc()
    watcher.abort()
