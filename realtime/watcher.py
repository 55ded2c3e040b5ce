"""One connection as the hub sees it. There is no queue of messages: each watched calendar knows
which version was sent. So memory per connection is bounded, whatever happens."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol
from uuid import UUID

from realtime import messages
from realtime.calendar import Watch

# Resumes that come together need one refresh.
REFRESH_SECONDS = 1.0


class Wire(Protocol):
    """The open socket. Its end is told to the hub (`Hub.leave`), its back-pressure too."""

    last_received: float  # when anything last came from the client, by the loop's clock

    def write(self, frame: bytes) -> None: ...
    def close(self, code: int, reason: str = "") -> None: ...
    def abort(self) -> None: ...


class Site(Protocol):
    """What a connection is told of the whole process (the hub)."""

    @property
    def epoch(self) -> str: ...
    def clock(self) -> float: ...
    def now(self) -> datetime: ...


class Watcher:
    """`ready`: it takes frames, being open and not paused."""

    __slots__ = (
        "_owes_beacon",
        "_owes_refresh",
        "_refreshed_at",
        "_resumed_at",
        "_site",
        "account_id",
        "closed",
        "paused_at",
        "ready",
        "session_id",
        "watches",
        "wire",
        "write",
    )

    def __init__(
        self, site: Site, wire: Wire, account_id: str | None, session_id: UUID | None
    ) -> None:
        self._site = site
        self.wire = wire
        self.write: Callable[[bytes], object] = wire.write
        self.account_id = account_id
        self.session_id = session_id
        self.ready = True
        self.closed = False
        self.paused_at = 0.0
        self.watches: dict[str, Watch] = {}
        self._owes_beacon = False
        self._owes_refresh = False
        self._refreshed_at = self._resumed_at = float("-inf")

    @property
    def last_received(self) -> float:
        """When the client last showed that it is there: what it takes, it acknowledges."""
        return max(self.wire.last_received, self._resumed_at)

    def end(self) -> None:
        self.closed = True
        self.ready = False

    def pause(self) -> None:
        self.ready = False
        self.paused_at = self._site.clock()
        for watch in self.watches.values():
            watch.calendar.pause(watch)

    def resume(self) -> None:
        self.ready = not self.closed
        self._resumed_at = self._site.clock()
        for watch in tuple(self.watches.values()):
            watch.calendar.resume(watch)
        self.pay()

    # ---- what is owed beside changes

    def caught_up(self, watch: Watch) -> None:
        if watch.resumes:
            self._owes_beacon = True
        if watch.refreshes:
            since = self._site.clock() - self._refreshed_at
            self._owes_refresh |= since > REFRESH_SECONDS
        self.pay()

    def beacon(self) -> None:
        self._owes_beacon = True
        self.pay()

    def tell(self, frame: bytes) -> None:
        """A booking message; one that cannot be taken now is replaced by a refresh."""
        if self.ready:
            self.write(frame)
        else:
            self._owes_refresh = True

    def refresh(self) -> None:
        """Booking messages may have been missed."""
        self._owes_refresh = True
        self.pay()

    def pay(self) -> None:
        """Sends what is owed, once nothing else is to be sent before it."""
        if not self.ready or not (self._owes_beacon or self._owes_refresh):
            return
        if any(watch.pending for watch in self.watches.values()):
            return
        if self._owes_beacon:
            self._owes_beacon = False
            versions = {
                watch.calendar.id: watch.sent
                for watch in self.watches.values()
                if watch.answered and watch.sent is not None
            }
            self.write(messages.beacon(self._site.now(), self._site.epoch, versions))
        if self._owes_refresh:
            self._owes_refresh = False
            self._refreshed_at = self._site.clock()
            self.write(messages.REFRESH)
