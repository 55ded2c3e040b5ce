"""The signed-in accounts with open sockets here, and telling them of their bookings. Messages of calendars that nobody here follows
carry no contiguous version; a missed one is found by a sum: that of the versions of a student's bookings rises with each change."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from app.bookings import booking
from app.bookings.booking import Booking
from realtime import messages, metrics
from realtime.calendar import Change
from realtime.watcher import Watcher

# So many of an account's last changes, and of its bookings, are remembered.
MEMORY = 256
# Booking messages that may wait to be read; beyond this people are told to read the lists.
MAX_MESSAGES = 10_000

Key = TypeVar("Key")


class Recent(OrderedDict[Key, int]):
    """The last MEMORY keys."""

    def put(self, key: Key, value: int) -> None:
        self[key] = value
        if len(self) > MEMORY:
            self.popitem(last=False)


class BookingMessage(NamedTuple):
    """What one account is to be told."""

    account_id: str
    event: str
    booking_id: UUID


class Account:
    """One account, and what it has heard. Messages may come twice, and a late one after a newer."""

    __slots__ = ("_contained", "_heard", "_told", "_uncounted", "id", "versions", "watchers")

    def __init__(self, id: str) -> None:  # noqa: A002 — what it is called everywhere
        self.id = id
        self.watchers: set[Watcher] = set()
        # What the sum must be by all we know; None: it is being asked.
        self.versions: int | None = None
        # By calendar, the newest version that was contained in the sum when it was asked.
        self._contained: Mapping[str, int] = {}
        # Heard while it is being asked: calendar, version, and what it adds.
        self._uncounted: list[tuple[str, int, int]] = []
        # The changes heard (calendar and version), and the newest version told of each booking.
        self._heard: Recent[tuple[str, int]] = Recent()
        self._told: Recent[str] = Recent()

    def unmark(self) -> None:
        """The sum is to be asked (again)."""
        self.versions = None
        self._uncounted.clear()

    def mark(self, marks: Mapping[str, tuple[int, int]]) -> None:
        """Counts on from what the database says: by calendar, the sum of the versions and the newest of them."""
        self.versions = sum(versions for versions, _ in marks.values())
        self._contained = {calendar: newest for calendar, (_, newest) in marks.items()}
        for calendar, version, added in self._uncounted:
            self._count(calendar, version, added)
        self._uncounted.clear()

    def forget(self) -> None:
        self.unmark()
        self._heard.clear()
        self._told.clear()

    def hears(self, change: Change) -> list[dict[str, Any]]:
        """The events of a change that this account is to be told: its own, none twice, and none that a newer one has overtaken."""
        if (change.instructor, change.version) in self._heard:
            return []
        self._heard.put((change.instructor, change.version), 0)
        own = [event for event in change.events if self.id in _concerned(event)]
        learned = [event for event in own if event["student_id"] == self.id]
        self._count(change.instructor, change.version, sum(change.version - event["previous_version"] for event in learned))
        news = [event for event in own if self._told.get(event["booking_id"], 0) < change.version]
        for event in news:
            self._told.put(event["booking_id"], change.version)
        return news

    def _count(self, calendar: str, version: int, added: int) -> None:
        if self.versions is None:
            self._uncounted.append((calendar, version, added))
        elif version > self._contained.get(calendar, 0):
            self.versions += added


class People:
    """All of them. `pay` sends a watcher what it is owed (the hub's)."""

    def __init__(self, pay: Callable[[Watcher], None]) -> None:
        self.accounts: dict[str, Account] = {}
        # Booking messages to send, once their bookings have been read (realtime/loading.py).
        self.messages: list[BookingMessage] = []
        self.some_message = asyncio.Event()
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
        """Each of the people concerned, as soon as the bookings have been read."""
        if not self.accounts:
            return
        for account_id in {account_id for event in change.events for account_id in _concerned(event)}:
            account = self.accounts.get(account_id)
            if account is None:
                continue
            for event in account.hears(change):
                self._queue(account, BookingMessage(account_id, event["event"], UUID(event["booking_id"])))

    def _queue(self, account: Account, message: "BookingMessage") -> None:
        if len(self.messages) >= MAX_MESSAGES:
            self.refresh([account])
            return
        self.messages.append(message)
        self.some_message.set()

    def next_messages(self, most: int) -> "list[BookingMessage]":
        """The oldest queued messages."""
        messages, self.messages = self.messages[:most], self.messages[most:]
        if not self.messages:
            self.some_message.clear()
        return messages

    def send(self, message: "BookingMessage", row: Booking | None) -> None:
        """Sends a message with its booking as it is now. Without one, the person is told to read the lists."""
        account = self.accounts.get(message.account_id)
        if account is None:
            return
        if row is None:
            self.refresh([account])
        else:
            self._say(account, messages.booking(message.event, booking.as_json(row, UUID(message.account_id))))

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
    return event["student_id"], event["instructor_id"]
