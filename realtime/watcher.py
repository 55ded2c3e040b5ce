"""One connection as the hub sees it: what is sent to it, and how it ends. There is no queue of
messages: each watched calendar knows which version was sent. So memory per connection is
bounded."""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from realtime import messages
from realtime.calendar import Calendar, Watch
from realtime.history import Window

# How long a client may take to read our close frame and disconnect.
CLOSE_SECONDS = 3.0
# Several boards that a page resumes within this time cause one refresh.
RESUME_SECONDS = 1.0
# A refresh makes a page reload its lists, so each connection gets one per interval at most. The
# next one follows at a random moment within the spread. Pages also wait up to 5 s before reloading.
REFRESH_SECONDS = 6.0
REFRESH_SPREAD_SECONDS = 3.0


@dataclass(slots=True, eq=False)
class Watcher:
    """`_beacon` builds the message from the versions sent; `_ended` is called at the end. `ready`:
    the connection is open and not paused. `write` sends a prebuilt frame, and must not be called
    after the end."""

    transport: asyncio.Transport
    account_id: str | None
    session_id: UUID | None
    permissions: frozenset[str]
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
    _beacon_due: bool = False
    _refresh_due: bool = False
    _refresh_timer: asyncio.TimerHandle | None = None
    _abort_timer: asyncio.TimerHandle | None = None

    def __post_init__(self) -> None:
        self.write = self.transport.write
        self._received_at = _now()

    # ---- the connection

    @property
    def last_received(self) -> float:
        """When the client last sent something, or read what was sent to it."""
        return max(self._received_at, self._resumed_at)

    def received(self, now: float) -> None:
        """The client has sent something."""
        self._received_at = now

    def pause(self) -> None:
        """The buffer of its transport is full."""
        self.ready = False
        self.paused_at = _now()
        for watch in self.watches.values():
            watch.pause()

    def resume(self) -> None:
        """Its transport accepts frames again."""
        self.ready = not self.closed
        self._resumed_at = _now()
        for watch in tuple(self.watches.values()):
            watch.resume()
        self.send_due()

    def close(self, code: int, reason: str = "") -> None:
        """Sends the reason and disconnects. Later input is discarded; a client that does not
        disconnect within CLOSE_SECONDS is aborted."""
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
        """Replies to the client's close frame and disconnects."""
        self.write(frame)
        self.end()
        self.transport.close()
        self._abort_later()

    def abort(self) -> None:
        """Disconnects now, even if something has yet to be sent."""
        self.end()
        self.transport.abort()

    def lost(self) -> None:
        """The transport is closed."""
        self.end()
        if self._abort_timer is not None:
            self._abort_timer.cancel()

    def end(self) -> None:
        """Stops reading and sending, whether or not the transport is closed already."""
        if self.closed:
            return
        self.closed = True
        self.ready = False
        if self._refresh_timer is not None:
            self._refresh_timer.cancel()
        self._ended(self)

    def _abort_later(self) -> None:
        """A closing transport waits until everything is sent, which a stuck client prevents."""
        loop = asyncio.get_running_loop()
        self._abort_timer = loop.call_later(CLOSE_SECONDS, self.transport.abort)

    # ---- messages to it

    def watch(
        self, calendar: Calendar, window: Window, since: int | None, *, reconnected: bool
    ) -> None:
        """Shows a board on its screen, instead of an earlier one of that calendar. `since`: the
        version that the screen already has. `reconnected`: it was connected before."""
        # Registered before anything is read, so that nothing in between is lost.
        view = calendar.view(window)
        watch = Watch(
            calendar,
            view,
            since,
            calendar.writes,
            self.write,
            self._caught_up,
            ready=self.ready,
        )
        if reconnected and self.account_id and _now() - self._refreshed_at > RESUME_SECONDS:
            self._refresh_due = True
        self.unwatch(calendar.id)
        self.watches[calendar.id] = watch
        calendar.catch_up(watch)

    def unwatch(self, instructor: str) -> None:
        watch = self.watches.pop(instructor, None)
        if watch is not None:
            watch.close()

    def send_booking(self, frame: bytes) -> None:
        """Sends a booking message or, while the connection is paused, a refresh later."""
        if self.ready:
            self.write(frame)
        else:
            self._refresh_due = True

    def beacon(self) -> None:
        """Sends a beacon, after whatever is pending."""
        self._beacon_due = True
        self.send_due()

    def refresh(self) -> None:
        """Sends a refresh, because booking messages may have been missed."""
        self._refresh_due = True
        self.send_due()

    def send_due(self) -> None:
        """Sends a due beacon and refresh, once no change or board is pending."""
        if not self.ready or not (self._beacon_due or self._refresh_due):
            return
        if any(watch.pending for watch in self.watches.values()):
            return
        if self._beacon_due:
            self._beacon_due = False
            versions = {
                instructor: watch.sent
                for instructor, watch in self.watches.items()
                if watch.answered and watch.sent is not None
            }
            self.write(self._beacon(versions))
        if self._refresh_due:
            self._send_due_refresh()

    def _send_due_refresh(self) -> None:
        wait = self._refreshed_at + REFRESH_SECONDS - _now()
        if wait <= 0:
            self._refresh_due = False
            self._refreshed_at = _now()
            self.write(messages.REFRESH)
        elif self._refresh_timer is None:
            wait += REFRESH_SPREAD_SECONDS * random.random()  # noqa: S311 — a jitter
            loop = asyncio.get_running_loop()
            self._refresh_timer = loop.call_later(wait, self._send_due_later)

    def _send_due_later(self) -> None:
        self._refresh_timer = None
        self.send_due()

    def _caught_up(self, resumed: bool) -> None:
        self._beacon_due |= resumed
        self.send_due()


def _now() -> float:
    return asyncio.get_running_loop().time()
