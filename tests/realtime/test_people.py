"""Who is told of which booking, and how an account knows whether it has heard of everything."""

import asyncio
from uuid import UUID, uuid4

from app.db import Pool
from app.settings import Settings
from realtime import comparison, loading
from realtime.calendar import Change
from realtime.hub import Hub
from realtime.people import Account
from tests import people
from tests.realtime.faults import lesson_whose_message_is_lost
from tests.realtime.paper import NOW, Paper, signed_in

BEN, ANNA = str(uuid4()), str(uuid4())


def told(version: int, *events: tuple[str, int], student: str = BEN, booking: str = "") -> Change:
    """A change of Anna's calendar; each event says which version of the booking it replaces."""
    return Change(
        ANNA, "epoch", version, {},
        [{"event": event, "previous_version": previous,
          "booking_id": booking or f"{version} {event}", "student_id": student, "instructor_id": ANNA}
         for event, previous in events],
    )  # fmt: skip


def test_the_sum_follows_what_is_heard() -> None:
    ben = Account(BEN)
    ben.mark({ANNA: (3, 3)})
    ben.hears(told(5, ("created", 0)))
    ben.hears(told(6, ("cancelled", 5)))
    assert ben.versions == 3 + 6
    ben.hears(told(9, ("expired", 3), ("created", 0)))  # one change, two of his bookings
    assert ben.versions == 6 + 9 + 9


def test_what_comes_twice_is_told_and_counted_once() -> None:
    ben = Account(BEN)
    ben.mark({})
    assert len(ben.hears(told(1, ("created", 0)))) == 1
    assert ben.hears(told(1, ("created", 0))) == []
    assert ben.versions == 1


def test_a_late_message_is_told_and_counted_after_a_newer_one_but_not_of_the_same_booking() -> None:
    ben = Account(BEN)
    ben.mark({})
    assert len(ben.hears(told(3, ("cancelled", 1), booking="the first"))) == 1
    assert len(ben.hears(told(2, ("created", 0), booking="the second"))) == 1
    assert ben.hears(told(1, ("created", 0), booking="the first")) == []
    assert ben.versions == 3 + 2


def test_what_the_sum_contains_already_is_told_but_not_counted() -> None:
    ben = Account(BEN)
    ben.mark({ANNA: (7, 7)})
    assert len(ben.hears(told(7, ("created", 0)))) == 1
    assert ben.versions == 7


def test_what_is_heard_while_the_sum_is_asked_is_counted_after_it_unless_it_is_contained() -> None:
    ben = Account(BEN)
    ben.hears(told(4, ("created", 0)))
    ben.hears(told(5, ("created", 0)))
    ben.mark({ANNA: (4, 4)})
    assert ben.versions == 4 + 5


def test_an_instructors_own_lessons_do_not_count_for_the_student_in_them() -> None:
    anna = Account(ANNA)
    anna.mark({})
    assert len(anna.hears(told(1, ("created", 0)))) == 1
    assert anna.versions == 0


async def hub_of(settings: Settings, pool: Pool) -> Hub:
    hub = Hub(settings, now=lambda: NOW)
    hub.deaf = False
    await comparison.calendars(hub, pool)
    return hub


async def take_all(hub: Hub, pool: Pool) -> None:
    """As if every change had been published again."""
    for row in await pool.fetch("select instructor_id, version, days, events from outbox order by instructor_id, version"):
        hub.take(Change(str(row["instructor_id"]), hub.epoch, row["version"], row["days"], row["events"]))
    await loading.send_messages(hub, pool)


async def join(hub: Hub, account_id: UUID, *roles: str) -> tuple[Paper, Account]:
    paper = Paper()
    hub.join(paper, signed_in(account_id, *roles))
    return paper, hub.people.accounts[str(account_id)]


async def test_the_sum_equals_the_databases_whatever_happens_to_the_bookings(pool: Pool, settings: Settings) -> None:
    anna, carl, ben = await people.instructor(pool), await people.instructor(pool, "Carl"), await people.student(pool)
    hub = await hub_of(settings, pool)
    _, account = await join(hub, ben.id, "student")
    await loading.mark(pool, [account])
    first = await people.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    await people.lesson(pool, ben.id, carl.service_id, carl.at("11:00"))
    await take_all(hub, pool)
    await pool.fetchrow("select * from cancel_booking($1, $2, '', now())", ben.id, first.id)
    await people.lesson(pool, ben.id, anna.service_id, anna.at("14:00"))
    await take_all(hub, pool)
    assert account.versions == await pool.fetchval("select sum(version) from booking")
    before = account.versions
    await loading.mark(pool, [account])
    assert account.versions == before


async def test_a_comparison_finds_who_missed_a_message_and_only_them(pool: Pool, settings: Settings) -> None:
    anna, ben, eva = await people.instructor(pool), await people.student(pool), await people.student(pool, "Eva")
    hub = await hub_of(settings, pool)
    bens, ben_account = await join(hub, ben.id, "student")
    evas, eva_account = await join(hub, eva.id, "student")
    await loading.mark(pool, [ben_account, eva_account])
    await comparison.people(hub, pool)
    await lesson_whose_message_is_lost(pool, ben, anna, anna.at("09:00"))
    await comparison.people(hub, pool)
    await comparison.people(hub, pool)
    assert [message["type"] for message in bens.told] == ["refresh"]
    assert evas.told == []


async def test_a_message_that_is_only_late_is_no_lost_one(pool: Pool, settings: Settings) -> None:
    anna, ben = await people.instructor(pool), await people.student(pool)
    hub = await hub_of(settings, pool)
    paper, account = await join(hub, ben.id, "student")
    await loading.mark(pool, [account])
    await people.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    hub.wanted.comparison.clear()

    async def late() -> None:
        await asyncio.sleep(0.3)
        await take_all(hub, pool)

    await asyncio.gather(comparison.people(hub, pool), late())
    assert [message["type"] for message in paper.told] == ["booking"]


async def test_who_is_paused_gets_a_refresh_instead_of_the_booking(pool: Pool, settings: Settings) -> None:
    anna, ben = await people.instructor(pool), await people.student(pool)
    hub = await hub_of(settings, pool)
    paper, _ = await join(hub, ben.id, "student")
    (watcher,) = hub.watchers
    hub.pause(watcher)
    await people.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    await take_all(hub, pool)
    assert paper.told == []
    hub.resume(watcher)
    assert [message["type"] for message in paper.told] == ["refresh"]


async def test_a_booking_is_told_also_when_a_board_that_contains_it_was_quicker_than_its_message(
    pool: Pool, settings: Settings
) -> None:
    anna, ben = await people.instructor(pool), await people.student(pool)
    hub = await hub_of(settings, pool)
    papers = [(await join(hub, anna.id, "instructor"))[0], (await join(hub, ben.id, "student"))[0]]
    await people.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    calendar = hub.calendars[str(anna.id)]
    hub.history_read(calendar, None, 1, [])
    await take_all(hub, pool)
    await take_all(hub, pool)
    for paper in papers:
        assert [message["type"] for message in paper.told] == ["booking"]


async def test_bookings_that_vanish_begin_a_new_count(pool: Pool, settings: Settings) -> None:
    anna, ben = await people.instructor(pool), await people.student(pool)
    lesson = await people.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    hub = await hub_of(settings, pool)
    paper, account = await join(hub, ben.id, "student")
    await loading.mark(pool, [account])
    await pool.execute("delete from booking where id = $1", lesson.id)
    await comparison.people(hub, pool)
    assert account.versions == 0
    assert [message["type"] for message in paper.told] == ["refresh"]
