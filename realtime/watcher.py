"""One connection as the hub sees it: what it is sent, and its end. There is no queue of messages:
each watched calendar knows which version was sent. So memory per connection is bounded."""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from realtime import messages
from realtime.calendar import Calendar, Watch
from realtime.history import Window

# How long a client may take to see our close frame and hang up.
CLOSE_SECONDS = 3.0
# Resumes within this time need one refresh.
RESUME_SECONDS = 1.0
# A refresh makes a page reload its lists, so each connection gets one per interval at most. The
# next one comes later, at a random moment of the spread. Pages wait up to 5 s themselves.
REFRESH_SECONDS = 6.0
REFRESH_SPREAD_SECONDS = 3.0


@dataclass(slots=True, eq=False)
class Watcher:
    """`beacon` builds the message from the versions sent; `ended` is called at the end. `ready`: it
    takes frames, being open and not paused. `write` takes a prebuilt frame, and must not be called
    after the end."""

    transport: asyncio.Transport
    account_id: str | None
    session_id: UUID | None
    _beacon: Callable[[Mapping[str, int]], bytes]
    _ended: "Callable[[Watcher], None]"
    write: Callable[[bytes], object] = field(init=False)
    watches: dict[str, Watch] = field(default_factory=dict)
    ready: bool = True
    closed: bool = False
    paused_at: float = 0.0
    _received_at: float = 0.0
    _resumed_at: float = float("-inf")
    _refreshed_at: float = float("-inf")
    _owes_beacon: bool = False
    _owes_refresh: bool = False
    _refresh_timer: asyncio.TimerHandle | None = None
    _abort_timer: asyncio.TimerHandle | None = None

    def __post_init__(self) -> None:
        self.write = self.transport.write
        self._received_at = _now()

    # ---- the connection

    @property
    def last_received(self) -> float:
        """When the client last showed that it is there, also by taking what was sent."""
        return max(self._received_at, self._resumed_at)

    def received(self, now: float) -> None:
        """Something came from the client."""
        self._received_at = now

    def pause(self) -> None:
        """Its transport takes no more."""
        self.ready = False
        self.paused_at = _now()
        for watch in self.watches.values():
            watch.pause()

    def resume(self) -> None:
        """Its transport takes frames again."""
        self.ready = not self.closed
        self._resumed_at = _now()
        for watch in tuple(self.watches.values()):
            watch.resume()
        self.send_owed()

    def close(self, code: int, reason: str = "") -> None:
        """Says why and hangs up. What the client still sends is discarded; one that does not hang
        up within CLOSE_SECONDS is aborted."""
        if self.closed or self.transport.is_closing():
            return
        self.write(messages.close(code, reason))
        self.end()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        # Reading goes on, because closing with unread bytes is a reset, which overtakes the frame.
        self.transport.resume_reading()
        self._abort_later()

    def close_with(self, frame: bytes) -> None:
        """Answers the client's close frame and hangs up."""
        self.write(frame)
        self.end()
        self.transport.close()
        self._abort_later()

    def abort(self) -> None:
        """Ends it now, whatever waits to be sent."""
        self.end()
        self.transport.abort()

    def lost(self) -> None:
        """The transport is gone."""
        self.end()
        if self._abort_timer is not None:
            self._abort_timer.cancel()

    def end(self) -> None:
        """Nothing more is read or sent, whether or not the transport is gone already."""
        if self.closed:
            return
        self.closed = True
        self.ready = False
        if self._refresh_timer is not None:
            self._refresh_timer.cancel()
        self._ended(self)

    def _abort_later(self) -> None:
        """A transport that closes waits until everything is sent, and a stuck client takes
        nothing."""
        loop = asyncio.get_running_loop()
        self._abort_timer = loop.call_later(CLOSE_SECONDS, self.transport.abort)

    # ---- what it is sent

    def watch(self, calendar: Calendar, window: Window, since: int | None, *, back: bool) -> None:
        """Puts a board on its screen, in place of an earlier one of that calendar. `since`: the
        version the screen has already. `back`: it was connected before."""
        # Registered before anything is read, so that nothing in between is lost.
        view = calendar.view(window)
        watch = Watch(calendar, view, since, self.write, self._caught_up, ready=self.ready)
        if back and self.account_id and _now() - self._refreshed_at > RESUME_SECONDS:
            self._owes_refresh = True
        self.unwatch(calendar.id)
        self.watches[calendar.id] = watch
        calendar.settle(watch)

    def unwatch(self, instructor: str) -> None:
        watch = self.watches.pop(instructor, None)
        if watch is not None:
            watch.close()

    def send_booking(self, frame: bytes) -> None:
        """A booking message; one that cannot be taken now is replaced by a refresh."""
        if self.ready:
            self.write(frame)
        else:
            self._owes_refresh = True

    def beacon(self) -> None:
        self._owes_beacon = True
        self.send_owed()

    def refresh(self) -> None:
        """Booking messages may have been missed."""
        self._owes_refresh = True
        self.send_owed()

    def send_owed(self) -> None:
        """Sends what is owed, once nothing else is to be sent before it."""
        if not self.ready or not (self._owes_beacon or self._owes_refresh):
            return
        if any(watch.pending for watch in self.watches.values()):
            return
        if self._owes_beacon:
            self._owes_beacon = False
            versions = {
                instructor: watch.sent
                for instructor, watch in self.watches.items()
                if watch.answered and watch.sent is not None
            }
            self.write(self._beacon(versions))
        if self._owes_refresh:
            self._send_owed_refresh()

    def _send_owed_refresh(self) -> None:
        wait = self._refreshed_at + REFRESH_SECONDS - _now()
        if wait <= 0:
            self._owes_refresh = False
            self._refreshed_at = _now()
            self.write(messages.REFRESH)
        elif self._refresh_timer is None:
            wait += REFRESH_SPREAD_SECONDS * random.random()  # noqa: S311 — a jitter
            loop = asyncio.get_running_loop()
            self._refresh_timer = loop.call_later(wait, self._send_owed_later)

    def _send_owed_later(self) -> None:
        self._refresh_timer = None
        self.send_owed()

    def _caught_up(self, resumed: bool) -> None:
        self._owes_beacon |= resumed
        self.send_owed()


def _now() -> float:
    return asyncio.get_running_loop().time()
