"""Who is told of which booking, and how an account knows whether it has heard of everything."""

import asyncio
from uuid import UUID, uuid4

from app.db import Pool
from app.settings import Settings
from realtime import messages
from realtime.accounts import Account
from realtime.history import Board, Change, Event
from realtime.hub import Hub
from realtime.loader import Loader, change
from realtime.reconciler import Reconciler
from tests import factories
from tests.realtime.faults import lesson_whose_message_is_lost
from tests.realtime.paper import NOW, WEEK, Paper, signed_in

BEN, ANNA = str(uuid4()), str(uuid4())


def told(version: int, *events: tuple[str, int], student: str = BEN, booking: str = "") -> Change:
    """A change of Anna's calendar; each event says which version of the booking it replaces."""
    return Change(
        ANNA, "epoch", version, {},
        [Event(event, booking or f"{version} {event}", student, ANNA, previous) for event, previous in events],
    )  # fmt: skip


def test_the_total_follows_what_is_heard() -> None:
    ben = Account(BEN)
    ben.start({ANNA: (3, 3)})
    ben.news(told(5, ("created", 0)))
    ben.news(told(6, ("cancelled", 5)))
    assert ben.total == 3 + 6
    ben.news(told(9, ("expired", 3), ("created", 0)))  # one change, two of his bookings
    assert ben.total == 6 + 9 + 9


def test_what_comes_twice_is_told_and_counted_once() -> None:
    ben = Account(BEN)
    ben.start({})
    assert len(ben.news(told(1, ("created", 0)))) == 1
    assert ben.news(told(1, ("created", 0))) == []
    assert ben.total == 1


def test_a_late_message_is_told_and_counted_after_a_newer_one_but_not_of_the_same_booking() -> None:
    ben = Account(BEN)
    ben.start({})
    assert len(ben.news(told(3, ("cancelled", 1), booking="the first"))) == 1
    assert len(ben.news(told(2, ("created", 0), booking="the second"))) == 1
    assert ben.news(told(1, ("created", 0), booking="the first")) == []
    assert ben.total == 3 + 2


def test_what_the_total_contains_already_is_told_but_not_counted() -> None:
    ben = Account(BEN)
    ben.start({ANNA: (7, 7)})
    assert len(ben.news(told(7, ("created", 0)))) == 1
    assert ben.total == 7


def test_what_is_heard_while_the_total_is_read_is_counted_after_it_unless_it_is_contained() -> None:
    ben = Account(BEN)
    ben.news(told(4, ("created", 0)))
    ben.news(told(5, ("created", 0)))
    ben.start({ANNA: (4, 4)})
    assert ben.total == 4 + 5


def test_an_instructors_own_lessons_do_not_count_for_the_student_in_them() -> None:
    anna = Account(ANNA)
    anna.start({})
    assert len(anna.news(told(1, ("created", 0)))) == 1
    assert anna.total == 0


class LivePath:
    """A hub with what reads for it, one step at a time."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._pool = pool
        self.loader = Loader(pool)
        self.hub = Hub(settings, self.loader, now=lambda: NOW)
        self.hub.set_connected(True)
        self.reconciler = Reconciler(self.hub, self.loader, pool, settings, lambda: NOW)

    async def take_all(self) -> None:
        """As if every change had been published again."""
        for row in await self._pool.fetch(
            "select instructor_id, version, days, events from outbox order by instructor_id, version"
        ):
            self.hub.take(
                change(
                    str(row["instructor_id"]),
                    self.hub.epoch,
                    row["version"],
                    row["days"],
                    row["events"],
                )
            )
        await self.loader.load_bookings(self.hub)


async def live_path(settings: Settings, pool: Pool) -> LivePath:
    live = LivePath(settings, pool)
    await live.reconciler.calendars()
    return live


async def join(hub: Hub, account_id: UUID, *roles: str) -> tuple[Paper, Account]:
    paper = Paper()
    hub.join(paper, signed_in(account_id, *roles))
    account = hub.accounts.get(str(account_id))
    assert account is not None
    return paper, account


async def test_the_total_equals_the_databases_whatever_happens_to_the_bookings(
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


async def test_a_reconcile_finds_who_missed_a_message_and_only_them(
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
    assert [message["type"] for message in bens.told] == ["refresh"]
    assert evas.told == []


async def test_a_message_that_is_only_late_is_no_lost_one(pool: Pool, settings: Settings) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    live = await live_path(settings, pool)
    paper, account = await join(live.hub, ben.id, "student")
    await live.loader.load_totals([account])
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))

    async def late() -> None:
        await asyncio.sleep(0.3)
        await live.take_all()

    await asyncio.gather(live.reconciler.accounts(), late())
    assert [message["type"] for message in paper.told] == ["booking"]


async def test_who_is_paused_gets_a_refresh_instead_of_the_booking(
    pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    live = await live_path(settings, pool)
    paper, _ = await join(live.hub, ben.id, "student")
    (watcher,) = live.hub.watchers
    live.hub.pause(watcher)
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    await live.take_all()
    assert paper.told == []
    live.hub.resume(watcher)
    assert [message["type"] for message in paper.told] == ["refresh"]


async def test_a_booking_is_told_also_when_a_board_that_contains_it_was_quicker_than_its_message(
    pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    live = await live_path(settings, pool)
    papers = [
        (await join(live.hub, anna.id, "instructor"))[0],
        (await join(live.hub, ben.id, "student"))[0],
    ]
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    live.hub.history_loaded(live.hub.calendars[str(anna.id)], None, 1, [])
    await live.take_all()
    await live.take_all()
    for paper in papers:
        assert [message["type"] for message in paper.told] == ["booking"]


async def test_bookings_that_vanish_begin_a_new_count(pool: Pool, settings: Settings) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    lesson = await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    live = await live_path(settings, pool)
    paper, account = await join(live.hub, ben.id, "student")
    await live.loader.load_totals([account])
    await pool.execute("delete from booking where id = $1", lesson.id)
    await live.reconciler.accounts()
    assert account.total == 0
    assert [message["type"] for message in paper.told] == ["refresh"]


async def test_a_booking_that_cannot_be_shown_is_a_refresh_for_its_account(
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
    assert [message["type"] for message in bens.told] == ["refresh"]
    assert evas.told == []


async def test_events_of_another_release_are_a_refresh_and_their_change_is_shown(
    pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    live = await live_path(settings, pool)
    paper, _ = await join(live.hub, ben.id, "student")
    (watcher,) = live.hub.watchers
    live.hub.watch(watcher, str(anna.id), WEEK)
    calendar = live.hub.calendars[str(anna.id)]
    live.hub.board_loaded(
        calendar, WEEK, Board(live.hub.epoch, 0, messages.frame(b'{"type":"board","version":0}'))
    )
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    await pool.execute("""update outbox set events = '[{"what": "happened", "to": "whom"}]'""")
    await live.take_all()
    assert [message["type"] for message in paper.told] == ["board", "change", "refresh"]
