"""What each connection gets regularly: a beacon, a ping, and its end when it takes nothing or says
nothing any more. Turns are spread over the interval (realtime/slots.py): the loop never stalls."""

import asyncio

import structlog

from app.settings import Settings
from realtime import messages, metrics
from realtime.hub import Hub
from realtime.slots import SLOT_SECONDS
from realtime.watcher import Watcher

log = structlog.get_logger("heartbeat")

# A client silent for this many intervals between pings is gone: it did not answer the last one.
SILENT_PINGS = 1.5
# Where this process itself was late, what clients said may not have been read yet.
LATE_SECONDS = 1.0


async def run(hub: Hub, settings: Settings) -> None:
    """Gives each connection its turns, for ever. After a delay the slots that are due follow each
    other, with room for other work in between."""
    due = hub.clock()
    while True:
        due = max(due + SLOT_SECONDS, hub.clock() - settings.beacon_seconds)
        await asyncio.sleep(max(0.0, due - hub.clock()))
        late = hub.clock() - due
        metrics.LOOP_DELAY.observe(late)
        punctual = late < LATE_SECONDS
        if punctual:
            abort_stuck(hub, settings.stuck_seconds, hub.clock())
        ping(hub, hub.clock(), punctual=punctual)
        for watcher in hub.beacons.turn():
            watcher.beacon()


def abort_stuck(hub: Hub, seconds: float, now: float) -> None:
    """Those who took nothing for so long."""
    for watcher in tuple(hub.paused):
        if now - watcher.paused_at > seconds:
            _abort(hub, watcher, "stuck")


def ping(hub: Hub, now: float, *, punctual: bool = True) -> None:
    """The next slot's. One that is paused cannot be asked, and is watched by `abort_stuck`."""
    for watcher in hub.pings.turn():
        if not watcher.ready:
            continue
        if punctual and now - watcher.last_received > hub.pings.seconds * SILENT_PINGS:
            _abort(hub, watcher, "silent")
        else:
            watcher.write(messages.PING)


def _abort(hub: Hub, watcher: Watcher, reason: str) -> None:
    log.info("client_aborted", reason=reason)
    metrics.ABORTED.labels(reason).inc()
    watcher.wire.abort()
    hub.leave(watcher)
