"""Which booking messages an account gets, and how missing ones are noticed."""

import asyncio
from uuid import UUID, uuid4

import pytest

from app.db import Pool
from app.settings import Settings
from realtime import messages, reconciler
from realtime.accounts import Account
from realtime.calendar import Requests
from realtime.history import Board, Change, Event, change
from realtime.hub import Hub
from realtime.loader import Loader
from realtime.messages import BookingEvent
from realtime.reconciler import Reconciler
from tests import factories
from tests.realtime.faults import lesson_whose_message_is_lost
from tests.realtime.in_memory import NOW, WEEK, Recorder, signed_in

BEN, ANNA = str(uuid4()), str(uuid4())


def step(
    version: int, *events: tuple[BookingEvent, int], student: str = BEN, booking: str = ""
) -> Change:
    """A change of Anna's calendar; each event has the version of the booking that it replaces."""
    return Change(
        ANNA,
        "epoch",
        version,
        {},
        [
            Event(event, booking or f"{version} {event}", student, ANNA, previous)
            for event, previous in events
        ],
    )


def test_the_total_adds_up_the_changes_received() -> None:
    ben = Account(BEN)
    ben.start({ANNA: (3, 3)})
    ben.new_events(step(5, ("created", 0)))
    ben.new_events(step(6, ("cancelled", 5)))
    assert ben.total == 3 + 6
    ben.new_events(step(9, ("expired", 3), ("created", 0)))  # one change, two of his bookings
    assert ben.total == 6 + 9 + 9


def test_a_duplicate_is_sent_and_counted_once() -> None:
    ben = Account(BEN)
    ben.start({})
    assert len(ben.new_events(step(1, ("created", 0)))) == 1
    assert ben.new_events(step(1, ("created", 0))) == []
    assert ben.total == 1


def test_a_late_message_is_sent_and_counted_unless_a_newer_one_of_its_booking_was() -> None:
    ben = Account(BEN)
    ben.start({})
    assert len(ben.new_events(step(3, ("cancelled", 1), booking="the first"))) == 1
    assert len(ben.new_events(step(2, ("created", 0), booking="the second"))) == 1
    assert ben.new_events(step(1, ("created", 0), booking="the first")) == []
    assert ben.total == 3 + 2


def test_a_change_that_the_total_contains_is_sent_but_not_counted() -> None:
    ben = Account(BEN)
    ben.start({ANNA: (7, 7)})
    assert len(ben.new_events(step(7, ("created", 0)))) == 1
    assert ben.total == 7


def test_a_change_received_while_the_total_is_read_is_counted_unless_it_is_contained() -> None:
    ben = Account(BEN)
    ben.new_events(step(4, ("created", 0)))
    ben.new_events(step(5, ("created", 0)))
    ben.start({ANNA: (4, 4)})
    assert ben.total == 4 + 5


def test_an_instructors_own_lessons_do_not_count_for_the_student_in_them() -> None:
    anna = Account(ANNA)
    anna.start({})
    assert len(anna.new_events(step(1, ("created", 0)))) == 1
    assert anna.total == 0


class LivePath:
    """A hub with its loader and reconciler, one step at a time."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._pool = pool
        requests = Requests()
        self.hub = Hub(settings, requests, now=lambda: NOW)
        self.hub.set_connected(True)
        self.loader = Loader(self.hub, requests, pool)
        self.reconciler = Reconciler(
            self.hub, requests, self.loader, pool, settings, now=lambda: NOW
        )

    async def take_all(self) -> None:
        """As if every change had been published again."""
        for row in await self._pool.fetch(
            "select instructor_id, version, days, events from outbox"
            " order by instructor_id, version"
        ):
            self.hub.receive(
                change(
                    str(row["instructor_id"]),
                    self.hub.epoch,
                    row["version"],
                    row["days"],
                    row["events"],
                )
            )
        await self.loader.load_bookings()


async def live_path(settings: Settings, pool: Pool) -> LivePath:
    live = LivePath(settings, pool)
    await live.reconciler.calendars()
    return live


async def join(hub: Hub, account_id: UUID, *roles: str) -> tuple[Recorder, Account]:
    recorder = Recorder()
    hub.join(recorder, signed_in(account_id, *roles))
    account = hub.accounts.get(str(account_id))
    assert account is not None
    return recorder, account


async def test_the_total_equals_the_one_in_the_database_after_any_change_to_bookings(
    pool: Pool, settings: Settings
) -> None:
    anna, carl, ben = (
        await factories.instructor(pool),
        await factories.instructor(pool, "Carl"),
        await factories.student(pool),
    )
    live = await live_path(settings, pool)
    _, account = await join(live.hub, ben.id, "student")
    await live.loader.load_totals([account])
    first = await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    await factories.lesson(pool, ben.id, carl.service_id, carl.at("11:00"))
    await live.take_all()
    await pool.fetchrow("select * from cancel_booking($1, $2, '', now())", ben.id, first.id)
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("14:00"))
    await live.take_all()
    assert account.total == await pool.fetchval("select sum(version) from booking")
    before = account.total
    await live.loader.load_totals([account])
    assert account.total == before


async def test_a_reconcile_refreshes_only_accounts_that_missed_a_message(
    pool: Pool, settings: Settings
) -> None:
    anna, ben, eva = (
        await factories.instructor(pool),
        await factories.student(pool),
        await factories.student(pool, "Eva"),
    )
    live = await live_path(settings, pool)
    bens, ben_account = await join(live.hub, ben.id, "student")
    evas, eva_account = await join(live.hub, eva.id, "student")
    await live.loader.load_totals([ben_account, eva_account])
    await live.reconciler.accounts()
    await lesson_whose_message_is_lost(pool, ben, anna, anna.at("09:00"))
    await live.reconciler.accounts()
    await live.reconciler.accounts()
    assert [message["type"] for message in bens.messages] == ["refresh"]
    assert evas.messages == []


async def test_a_late_message_does_not_count_as_lost(
    pool: Pool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "GRACE_SECONDS", 3)
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    live = await live_path(settings, pool)
    recorder, account = await join(live.hub, ben.id, "student")
    await live.loader.load_totals([account])
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))

    async def late() -> None:
        await asyncio.sleep(0.3)
        await live.take_all()

    await asyncio.gather(live.reconciler.accounts(), late())
    assert [message["type"] for message in recorder.messages] == ["booking"]


async def test_a_paused_connection_gets_a_refresh_instead_of_the_booking(
    pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    live = await live_path(settings, pool)
    recorder, _ = await join(live.hub, ben.id, "student")
    (watcher,) = live.hub.watchers
    live.hub.pause(watcher)
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    await live.take_all()
    assert recorder.messages == []
    live.hub.resume(watcher)
    assert [message["type"] for message in recorder.messages] == ["refresh"]


async def test_a_booking_is_sent_even_if_a_board_that_contains_it_arrived_first(
    pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    live = await live_path(settings, pool)
    recorders = [
        (await join(live.hub, anna.id, "instructor"))[0],
        (await join(live.hub, ben.id, "student"))[0],
    ]
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    live.hub.history_loaded(live.hub.calendars[str(anna.id)], None, 1, [])
    await live.take_all()
    await live.take_all()
    for recorder in recorders:
        assert [message["type"] for message in recorder.messages] == ["booking"]


async def test_a_booking_may_be_newer_than_its_event(pool: Pool, settings: Settings) -> None:
    """Events carry ids only; the process that shows a booking reads its row."""
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    live = await live_path(settings, pool)
    recorder, _ = await join(live.hub, ben.id, "student")
    lesson = await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    await pool.fetchrow("select * from cancel_booking($1, $2, '', now())", ben.id, lesson.id)
    await live.take_all()
    assert [
        (message["event"], message["booking"]["state"], message["booking"]["version"])
        for message in recorder.messages
    ] == [("created", "cancelled", 2), ("cancelled", "cancelled", 2)]


async def test_deleted_bookings_begin_a_new_count(pool: Pool, settings: Settings) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    lesson = await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    live = await live_path(settings, pool)
    recorder, account = await join(live.hub, ben.id, "student")
    await live.loader.load_totals([account])
    await pool.execute("delete from booking where id = $1", lesson.id)
    await live.reconciler.accounts()
    assert account.total == 0
    assert [message["type"] for message in recorder.messages] == ["refresh"]


async def test_a_booking_that_cannot_be_sent_is_a_refresh_for_its_account(
    pool: Pool, settings: Settings
) -> None:
    anna, ben, eva = (
        await factories.instructor(pool),
        await factories.student(pool),
        await factories.student(pool, "Eva"),
    )
    live = await live_path(settings, pool)
    bens, _ = await join(live.hub, ben.id, "student")
    evas, _ = await join(live.hub, eva.id, "student")
    lesson = await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    await pool.execute("delete from booking where id = $1", lesson.id)
    await live.take_all()
    assert [message["type"] for message in bens.messages] == ["refresh"]
    assert evas.messages == []


async def test_unreadable_events_are_a_refresh_and_their_change_is_sent(
    pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    live = await live_path(settings, pool)
    recorder, _ = await join(live.hub, ben.id, "student")
    (watcher,) = live.hub.watchers
    live.hub.watch(watcher, str(anna.id), WEEK)
    calendar = live.hub.calendars[str(anna.id)]
    live.hub.board_loaded(
        calendar, WEEK, Board(live.hub.epoch, 0, messages.frame(b'{"type":"board","version":0}'))
    )
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    await pool.execute("""update outbox set events = '[{"what": "happened", "to": "whom"}]'""")
    await live.take_all()
    assert [message["type"] for message in recorder.messages] == ["board", "change", "refresh"]
