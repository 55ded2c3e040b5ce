"""Bringing screens up to date: the frames of changes and boards, and what is owed beside them. Synchronous and in memory; what must
be read from the database first is put on `wanted` (realtime/loading.py reads it)."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from realtime import messages, metrics
from realtime.calendar import Board, Calendar, Change
from realtime.wanted import Wanted
from realtime.watcher import Watch, Watcher

# A watcher that comes out of a pause further behind than this gets a board instead of every step.
PATIENCE = 8
# Resumes that come together need one refresh.
REFRESH_SECONDS = 1.0


class Delivery:
    def __init__(self, *, now: Callable[[], datetime]) -> None:
        # Messages may fail to come, as far as is known (realtime/feed.py). What is kept ready is not trusted then.
        self.deaf = True
        self.epoch = ""
        self.wanted = Wanted()
        self.paused: set[Watcher] = set()
        self.clock = asyncio.get_running_loop().time
        self._now = now

    def fan_out(self, calendar: Calendar, change: Change) -> None:
        """The hot loop: one prebuilt frame to every socket whose window fits."""
        version, before, written = change.version, change.version - 1, 0
        for window, watches in calendar.windows.items():
            frame = change.frame(window)
            for watch in watches:
                watcher = watch.watcher
                if watch.sent != before:
                    # It waits for an answer or had a board of this version already; else it is behind, which must not stay.
                    if watch.answered and watch.sent is not None and watch.sent < before:
                        self.settle(watch)
                elif watcher.ready:
                    watcher.write(frame)
                    watch.sent = version
                    written += 1
                else:
                    watcher.behind.add(watch)
        metrics.FRAMES.inc(written)

    def settle(self, watch: Watch) -> None:
        """Brings one watch up to date, as far as its transport takes it and what is needed is here."""
        calendar, watcher = watch.calendar, watch.watcher
        while watcher.ready:
            if watch.sent is None:
                board = None if self.deaf else calendar.ready_board(watch.window)
                if board is None:
                    self.wanted.board(calendar, watch.window)
                    return
                self.give(watch, board)
            elif calendar.version is None:
                return  # its history is being read
            elif watch.sent >= calendar.version:
                self._settled(watch)
                return
            else:
                change = calendar.history.get(watch.sent + 1)
                if change is None or change.whole:
                    watch.sent = None
                else:
                    watcher.write(change.frame(watch.window))
                    watch.sent = change.version
        watcher.behind.add(watch)

    def give(self, watch: Watch, board: Board) -> None:
        watch.watcher.write(board.frame)
        watch.sent = board.version
        watch.resumes = False  # a board is the whole answer

    def _settled(self, watch: Watch) -> None:
        watcher = watch.watcher
        watch.answered = True
        if watch.resumes:
            watch.resumes = False
            watcher.owes_beacon = True
        if watch.refreshes:
            watch.refreshes = False
            watcher.owes_refresh |= self.clock() - watcher.refreshed_at > REFRESH_SECONDS
        self.pay(watcher)

    def pay(self, watcher: Watcher) -> None:
        """Says what is owed beside changes, once nothing else is to be sent before it."""
        if not watcher.ready or watcher.behind:
            return
        if watcher.owes_beacon:
            answered = [watch for watch in watcher.watches.values() if watch.answered]
            if any(watch.sent is None for watch in answered):
                return  # a board is on its way, and it comes first
            watcher.owes_beacon = False
            versions = {watch.calendar.id: watch.sent for watch in answered if watch.sent is not None}
            watcher.write(messages.beacon(self._now(), self.epoch, versions))
        if watcher.owes_refresh:
            watcher.owes_refresh = False
            watcher.refreshed_at = self.clock()
            watcher.write(messages.REFRESH)

    # ---- back-pressure

    def pause(self, watcher: Watcher) -> None:
        """Its transport takes no more."""
        watcher.ready = False
        watcher.paused_at = self.clock()
        self.paused.add(watcher)

    def resume(self, watcher: Watcher) -> None:
        """Its transport takes frames again."""
        self.paused.discard(watcher)
        watcher.ready = not watcher.closed
        watcher.wire.last_received = self.clock()  # what it took, it has acknowledged
        behind = tuple(watcher.behind)
        watcher.behind.clear()
        for watch in behind:
            present = watch.calendar.version
            if present is not None and watch.sent is not None and present - watch.sent > PATIENCE:
                watch.sent = None
            self.settle(watch)
        self.pay(watcher)
