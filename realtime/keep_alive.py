"""Sends beacons and pings to every connection, and aborts those that stopped reading or responding.
Turns are spread over the interval, so the loop never stalls."""

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

# Pings per STUCK_SECONDS. A client that is silent for SILENT_PINGS intervals did not answer a ping.
PINGS = 2.5
SILENT_PINGS = 1.5
# If the loop lagged this much, unread input may be pending, so no client counts as stuck or silent.
LATE_SECONDS = 1.0
# The members of a slot have their turn together.
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
        """Adds the member to a random slot in the second half of the interval, because a new member
        needs nothing soon."""
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
        """Yields the members of the next slot. Members may leave meanwhile."""
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
        """The connection has stopped reading."""
        self._paused.add(watcher)

    def resume(self, watcher: Watcher) -> None:
        self._paused.discard(watcher)

    async def run(self) -> None:
        """Gives each connection its turns. Does not return. After a delay it catches up slot by
        slot, and other tasks run in between."""
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
        """Aborts the connections that have read nothing for STUCK_SECONDS."""
        for watcher in tuple(self._paused):
            if now - watcher.paused_at > self._stuck_seconds:
                _abort(watcher, "stuck")

    def ping(self, now: float, *, punctual: bool = True) -> None:
        """Pings the connections of the next slot. A paused one gets no ping; `abort_stuck` checks
        it."""
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
