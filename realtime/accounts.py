"""The signed-in accounts with open connections in this process, and their booking messages.

A process does not know the versions of calendars that nobody follows here. So it detects a lost
booking message by the student's *total*: the sum of the versions of the student's bookings, which
rises with each change to one of them."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

from app.bookings import booking
from app.bookings.booking import Booking
from realtime import messages, metrics
from realtime.calendar import Requests
from realtime.history import Change, Event
from realtime.watcher import Watcher

# How many of an account's last changes, and of its last bookings, are remembered.
MEMORY = 256

# The permissions to get messages about one's own bookings.
AS_STUDENT, AS_INSTRUCTOR = "view_own_bookings", "view_incoming_bookings"
SOCKET_PERMISSIONS = frozenset({AS_STUDENT, AS_INSTRUCTOR})

Key = TypeVar("Key")


class Recent(OrderedDict[Key, int]):
    """The last MEMORY keys."""

    def put(self, key: Key, value: int) -> None:
        self[key] = value
        if len(self) > MEMORY:
            self.popitem(last=False)


class Account:
    """One account and the events it got. A message may arrive twice, or after a newer one."""

    __slots__ = ("_changes", "_included", "_pending", "_sent", "id", "total", "watchers")

    def __init__(self, id: str) -> None:  # noqa: A002 — its name everywhere
        self.id = id
        self.watchers: set[Watcher] = set()
        # The total after all changes received so far; None: it is being read.
        self.total: int | None = None
        # By calendar, the newest version that the total included when it was read.
        self._included: Mapping[str, int] = {}
        # Changes received while the total is being read: calendar, version, and the difference.
        self._pending: list[tuple[str, int, int]] = []
        # The changes received (calendar and version), and the newest version sent of each booking.
        self._changes: Recent[tuple[str, int]] = Recent()
        self._sent: Recent[str] = Recent()

    def reset(self) -> None:
        """The total has to be read (again)."""
        self.total = None
        self._pending.clear()

    def start(self, by_calendar: Mapping[str, tuple[int, int]]) -> None:
        """Continues counting from the total that was read: by calendar, the sum of the bookings'
        versions and the newest version."""
        self.total = sum(versions for versions, _ in by_calendar.values())
        self._included = {calendar: newest for calendar, (_, newest) in by_calendar.items()}
        for calendar, version, added in self._pending:
            self._count(calendar, version, added)
        self._pending.clear()

    def forget(self) -> None:
        """Forgets everything, because another epoch began."""
        self.reset()
        self._changes.clear()
        self._sent.clear()

    def new_events(self, change: Change) -> list[Event]:
        """The events to send to this account: only its own, none twice, and none after a newer one
        of the same booking."""
        if (change.instructor, change.version) in self._changes:
            return []
        self._changes.put((change.instructor, change.version), 0)
        own = [event for event in change.events or () if self.id in _accounts_of(event)]
        as_student = [event for event in own if event.student_id == self.id]
        added = sum(change.version - event.previous_version for event in as_student)
        self._count(change.instructor, change.version, added)
        events = [event for event in own if self._sent.get(event.booking_id, 0) < change.version]
        for event in events:
            self._sent.put(event.booking_id, change.version)
        return events

    def _count(self, calendar: str, version: int, added: int) -> None:
        if self.total is None:
            self._pending.append((calendar, version, added))
        elif version > self._included.get(calendar, 0):
            self.total += added


class Accounts:
    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self._accounts: dict[str, Account] = {}

    def __iter__(self) -> Iterator[Account]:
        return iter(self._accounts.values())

    def get(self, account_id: str) -> Account | None:
        return self._accounts.get(account_id)

    def join(self, account_id: str, watcher: Watcher) -> None:
        account = self._accounts.get(account_id)
        if account is None:
            account = self._accounts[account_id] = Account(account_id)
            self._requests.totals()
        account.watchers.add(watcher)

    def leave(self, account_id: str, watcher: Watcher) -> bool:
        """Removes a connection. Returns whether it was the account's last one in this process."""
        account = self._accounts.get(account_id)
        if account is None:
            return False
        account.watchers.discard(watcher)
        if account.watchers:
            return False
        del self._accounts[account_id]
        return True

    def forget(self) -> None:
        """All accounts start anew, because another epoch began."""
        for account in self._accounts.values():
            account.forget()
        self._requests.totals()
        self.refresh(self._accounts)

    def announce(self, change: Change) -> None:
        """Requests the bookings of this change for those of its accounts that are connected."""
        if change.events is None:
            self.refresh(tuple(self._accounts))
            return
        events: dict[Event, list[str]] = {}
        for account_id in {
            account_id for event in change.events for account_id in _accounts_of(event)
        }:
            if account := self._accounts.get(account_id):
                for event in account.new_events(change):
                    events.setdefault(event, []).append(account_id)
        if events:
            self._requests.announce(events)

    def send(self, event: Event, account_ids: Sequence[str], row: Booking) -> None:
        """Sends the booking's current content to every connection of these accounts that may see it
        in the account's role. A paused connection gets a refresh later."""
        for account_id in account_ids:
            if account := self._accounts.get(account_id):
                frame = messages.booking(event.name, booking.as_json(row, UUID(account_id)))
                permission = AS_STUDENT if account_id == event.student_id else AS_INSTRUCTOR
                for watcher in tuple(account.watchers):
                    if permission in watcher.permissions:
                        watcher.send_booking(frame)

    def refresh(self, account_ids: Iterable[str]) -> None:
        """Sends a refresh, because booking messages may have been missed."""
        for account_id in account_ids:
            if account := self._accounts.get(account_id):
                metrics.REFRESHES.inc()
                for watcher in tuple(account.watchers):
                    watcher.refresh()


def _accounts_of(event: Event) -> tuple[str, str]:
    return event.student_id, event.instructor_id
