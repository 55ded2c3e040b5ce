"""What each socket gets in its turn: a beacon, a ping, and its end when it takes nothing or says nothing any more."""

import asyncio

import structlog

from app.settings import Settings
from realtime import messages, metrics
from realtime.hub import Hub
from realtime.watcher import Watcher

log = structlog.get_logger("rounds")

# A client that has been silent for so many times the time between two pings is gone: it did not answer the last one.
SILENT_PINGS = 1.5


async def run(hub: Hub, settings: Settings) -> None:
    """Goes the rounds for ever."""
    clock = asyncio.get_running_loop().time
    tick = min(1.0, settings.beacon_seconds / 4, settings.stuck_seconds / 10)
    while True:
        due = clock() + tick
        await asyncio.sleep(tick)
        now = clock()
        # Where we were late ourselves, what the clients said may not have been read yet.
        if now - due < tick:
            end_stuck(hub, settings.stuck_seconds, now)
            ping(hub, now)
        for watcher in hub.beacons.due(now):
            watcher.owes_beacon = True
            hub.pay(watcher)
        metrics.SOCKETS.set(len(hub.watchers))
        metrics.CALENDARS.set(len(hub.calendars))
        metrics.WATCHES.set(sum(len(watches) for calendar in hub.calendars.values() for watches in calendar.windows.values()))


def end_stuck(hub: Hub, seconds: float, now: float) -> None:
    """Aborts who has taken nothing for so long. Closing in order would wait for them."""
    for watcher in tuple(hub.paused):
        if now - watcher.paused_at > seconds:
            _abort(watcher, "stuck")


def ping(hub: Hub, now: float) -> None:
    """Asks who is there. One that is paused cannot be asked; whether it takes anything is seen to above."""
    for watcher in hub.pings.due(now):
        if not watcher.ready:
            continue
        if now - watcher.wire.last_received > hub.pings.seconds * SILENT_PINGS:
            _abort(watcher, "silent")
        else:
            watcher.write(messages.PING)


def _abort(watcher: Watcher, reason: str) -> None:
    log.info("a client is cut off", reason=reason)
    metrics.ABORTED.labels(reason).inc()
    watcher.ready = False
    watcher.wire.abort()
