"""A watcher: one socket, as the hub sees it. There is no queue of messages; for each watched calendar it is known up to which version
was sent, and which are behind while the transport takes no more. So memory per socket is bounded, whatever happens."""

from typing import Protocol
from uuid import UUID

from realtime.calendar import Calendar, Window


class Wire(Protocol):
    """What a watcher needs of its connection (realtime/connection.py)."""

    last_received: float  # when anything last came from the client, by the loop's clock

    def write(self, frame: bytes) -> None: ...
    def close(self, code: int, reason: str = "") -> None: ...
    def abort(self) -> None: ...


class Watch:
    """One calendar on one watcher's screen."""

    __slots__ = ("answered", "calendar", "excused", "refreshes", "resumes", "sent", "watcher", "window")

    def __init__(self, watcher: "Watcher", calendar: Calendar, window: Window) -> None:
        self.watcher = watcher
        self.calendar = calendar
        self.window = window
        self.sent: int | None = None  # the version the screen has; None: it needs a board
        self.answered = False  # whether it has got what it asked for
        self.resumes = False  # it goes on from a version, so the answer ends with a beacon
        self.refreshes = False  # and its person may have missed booking messages
        self.excused = False  # it was told that the answer will take longer


class Watcher:
    """One socket. `ready`: it takes frames, being open and not paused."""

    __slots__ = (
        "account_id", "behind", "closed", "owes_beacon", "owes_refresh", "paused_at", "ready", "refreshed_at", "session_id",
        "watches", "wire", "write",
    )  # fmt: skip

    def __init__(self, wire: Wire, account_id: str | None, session_id: UUID | None) -> None:
        self.wire = wire
        self.write = wire.write
        self.account_id = account_id
        self.session_id = session_id
        self.ready = True
        self.closed = False
        self.paused_at = 0.0
        self.watches: dict[str, Watch] = {}
        self.behind: set[Watch] = set()
        # To be said as soon as nothing else is to be said before it.
        self.owes_beacon = False
        self.owes_refresh = False
        self.refreshed_at = float("-inf")
