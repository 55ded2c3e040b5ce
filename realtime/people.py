"""The signed-in accounts with open sockets here, and telling them of their bookings. Messages of calendars that nobody here follows
carry no contiguous version; a missed one is found by a sum: that of the versions of a student's bookings rises with each change."""

from collections.abc import Callable, Collection, Mapping
from typing import Any
from uuid import UUID

from app.bookings import booking
from realtime import messages, metrics
from realtime.calendar import Change
from realtime.watcher import Watcher


class Account:
    """One account, and what it has heard."""

    __slots__ = ("_uncounted", "heard", "id", "newest", "versions", "watchers")

    def __init__(self, id: str) -> None:  # noqa: A002 — what it is called everywhere
        self.id = id
        self.watchers: set[Watcher] = set()
        # By calendar, the version of the last message told.
        self.heard: dict[str, int] = {}
        # What the sum must be by all we know (None: being asked), and by calendar the newest version contained in it.
        self.versions: int | None = None
        self.newest: dict[str, int] = {}
        # Heard while the sum is being asked: calendar, version, and what it adds.
        self._uncounted: list[tuple[str, int, int]] = []

    def unmark(self) -> None:
        """The sum is to be asked (again)."""
        self.versions = None
        self.newest.clear()
        self._uncounted.clear()

    def mark(self, marks: Mapping[str, tuple[int, int]]) -> None:
        """Counts on from what the database says: by calendar, the sum of the versions and the newest of them."""
        self.versions = sum(versions for versions, _ in marks.values())
        self.newest = {calendar: newest for calendar, (_, newest) in marks.items()}
        for calendar, version, added in self._uncounted:
            self._count(calendar, version, added)
        self._uncounted.clear()

    def hears(self, change: Change) -> list[dict[str, Any]]:
        """The events of a change that this account is to be told: its own, and none twice."""
        own = [event for event in change.events if self.id in _concerned(event)]
        added = sum(change.version - event["previous_version"] for event in own if event["booking"]["student_id"] == self.id)
        self._count(change.instructor, change.version, added)
        if change.version <= self.heard.get(change.instructor, 0):
            return []
        self.heard[change.instructor] = change.version
        return own

    def _count(self, calendar: str, version: int, added: int) -> None:
        if self.versions is None:
            self._uncounted.append((calendar, version, added))
        elif version > self.newest.get(calendar, 0):
            self.newest[calendar] = version
            self.versions += added


class People:
    """All of them. `pay` sends a watcher what it is owed (the hub's)."""

    def __init__(self, pay: Callable[[Watcher], None]) -> None:
        self.accounts: dict[str, Account] = {}
        self._pay = pay

    def join(self, account_id: str, watcher: Watcher) -> bool:
        """Whether it is the account's first socket here."""
        account = self.accounts.get(account_id)
        first = account is None
        if account is None:
            account = self.accounts[account_id] = Account(account_id)
        account.watchers.add(watcher)
        return first

    def leave(self, account_id: str, watcher: Watcher) -> bool:
        """Whether it was the last."""
        account = self.accounts.get(account_id)
        if account is None:
            return False
        account.watchers.discard(watcher)
        if account.watchers:
            return False
        del self.accounts[account_id]
        return True

    def tell(self, change: Change) -> None:
        """Each of the people concerned, on every socket of theirs. Who cannot take it now is owed a refresh instead."""
        if not self.accounts:
            return
        for account_id in {account_id for event in change.events for account_id in _concerned(event)}:
            account = self.accounts.get(account_id)
            if account is None:
                continue
            for event in account.hears(change):
                shown = booking.as_json(booking.from_row_json(event["booking"]), UUID(account_id))
                self._say(account, messages.booking(event["event"], shown))

    def _say(self, account: Account, frame: bytes) -> None:
        for watcher in account.watchers:
            if watcher.ready:
                watcher.write(frame)
            elif not watcher.closed:
                watcher.owes_refresh = True

    def refresh(self, accounts: Collection[Account]) -> None:
        """Booking messages may have been missed."""
        for account in accounts:
            metrics.REFRESHES.inc()
            for watcher in account.watchers:
                watcher.owes_refresh = True
                self._pay(watcher)


def _concerned(event: dict[str, Any]) -> tuple[str, str]:
    return event["booking"]["student_id"], event["booking"]["instructor_id"]
