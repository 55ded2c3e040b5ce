"""What the hub wants from the database. Each thing is asked for once, however many sockets wait for it."""

import asyncio

from realtime.calendar import Calendar, Window


class Wanted:
    def __init__(self) -> None:
        self._boards: set[tuple[Calendar, Window]] = set()
        # Never longer than there are different boards watched.
        self._queue: asyncio.Queue[tuple[Calendar, Window]] = asyncio.Queue()
        self._histories: dict[Calendar, int | None] = {}
        self._some_history = asyncio.Event()
        # An account came whose bookings' sum is not known yet.
        self.marks = asyncio.Event()
        # Messages may be missing: compare everything followed with the database, now. The second says that the database seems to
        # have been rewound.
        self.comparison = asyncio.Event()
        self.new_epoch = False

    def board(self, calendar: Calendar, window: Window) -> None:
        if (calendar, window) not in self._boards:
            self._boards.add((calendar, window))
            self._queue.put_nowait((calendar, window))

    async def next_board(self) -> tuple[Calendar, Window]:
        """The next board to read. It counts as asked for until `board_done`, so who comes meanwhile shares it."""
        return await self._queue.get()

    def board_done(self, calendar: Calendar, window: Window) -> None:
        self._boards.discard((calendar, window))

    def history(self, calendar: Calendar, since: int | None) -> None:
        """The changes after `since`; None: only where the calendar stands."""
        before = self._histories.get(calendar)
        self._histories[calendar] = since if before is None else before if since is None else min(since, before)
        self._some_history.set()

    async def next_histories(self, most: int) -> dict[Calendar, int | None]:
        await self._some_history.wait()
        taken = dict(list(self._histories.items())[:most])
        for calendar in taken:
            del self._histories[calendar]
        if not self._histories:
            self._some_history.clear()
        return taken
