"""The hub alone: what it tells whom, whatever comes in whichever order."""

import asyncio
import json
import sys
from datetime import timedelta
from typing import Any
from uuid import uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from realtime import heartbeat, messages
from realtime.calendar import BOARDS_BYTES
from realtime.history import HISTORY, HISTORY_BYTES, Window
from realtime.slots import SLOT_SECONDS
from realtime.watcher import Watcher
from tests.realtime.paper import EPOCH, FIRST, WEEK, Database, Paper, signed_in

NEXT_WEEK = Window.of(FIRST + timedelta(days=7), 7)


async def test_the_first_watch_reads_a_board_and_those_who_come_meanwhile_share_it() -> None:
    database = Database()
    papers = [Paper() for _ in range(100)]
    for paper in papers:
        database.watch(paper)
    database.answer()
    database.watch(late := Paper())
    assert database.boards_read == 1
    assert len({paper.frames[0] for paper in [*papers, late]}) == 1


async def test_what_is_committed_while_the_board_is_read_is_not_lost() -> None:
    database = Database()
    database.watch(paper := Paper())
    database.ask()
    database.hub.take(database.step())  # after the snapshot, before its arrival
    database.answer()
    assert paper.versions() == [0, 1]


async def test_a_board_that_is_ahead_of_the_messages_makes_the_others_catch_up() -> None:
    database = Database()
    database.watch(paper := Paper())
    database.answer()
    database.step()  # its message does not come
    database.watch(Paper(), NEXT_WEEK)
    database.answer()
    assert paper.versions() == [0, 1]


async def test_who_comes_from_a_future_that_never_was_gets_a_board() -> None:
    database = Database()
    database.step()
    database.watch(paper := Paper(), resume=(EPOCH, 7))
    database.answer()
    assert [message["type"] for message in paper.told] == ["board"]


async def test_one_frame_is_built_for_all_who_see_the_same() -> None:
    database = Database()
    papers = [Paper() for _ in range(10)]
    for number, paper in enumerate(papers):
        database.watch(paper, Window.of(FIRST, 3 + number % 2))
    database.watch(elsewhere := Paper(), NEXT_WEEK)
    database.answer()
    database.hub.take(database.step())
    assert len({id(paper.frames[-1]) for paper in papers}) == 1
    assert elsewhere.told[-1]["days"] == {}


async def test_older_and_doubled_messages_do_nothing() -> None:
    database = Database()
    database.watch(paper := Paper())
    database.answer()
    for _ in range(3):
        database.step()
    for version in (1, 1, 2, 1, 3, 2, 3):
        database.hub.take(database.change(version))
    assert paper.versions() == [0, 1, 2, 3]
    assert not database.reconcile_requested


async def test_the_same_version_with_another_content_means_another_history() -> None:
    database = Database()
    database.watch(Paper())
    database.answer()
    database.hub.take(database.step())
    other = database.change(1)
    other.days = {WEEK.first: b'{"free": [], "held": []}'}
    database.hub.take(other)
    assert database.hub.rewound
    assert database.reconcile_requested


async def test_a_message_of_another_epoch_asks_for_a_comparison_and_changes_nothing() -> None:
    database = Database()
    database.watch(paper := Paper())
    database.answer()
    change = database.step()
    change.epoch = "another"
    database.hub.take(change)
    assert paper.versions() == [0]
    assert database.reconcile_requested


async def test_a_gap_is_fetched_once_and_told_in_order() -> None:
    database = Database()
    database.watch(paper := Paper())
    database.answer()
    for _ in range(5):
        database.step()
    database.hub.take(database.change(3))
    database.hub.take(database.change(5))
    assert paper.versions() == [0]
    assert database.histories_requested == 1
    database.answer()
    assert paper.versions() == [0, 1, 2, 3, 4, 5]


async def test_a_gap_too_long_for_the_history_is_filled_by_a_board() -> None:
    database = Database()
    database.watch(paper := Paper())
    database.answer()
    for _ in range(HISTORY + 6):
        database.step()
    database.hub.take(database.change(HISTORY + 6))
    database.answer()
    assert paper.versions() == [0, HISTORY + 6]


async def test_a_paused_watcher_is_brought_up_step_by_step_when_it_is_a_little_behind() -> None:
    database = Database()
    watcher = database.watch(paper := Paper())
    database.watch(other := Paper())
    database.answer()
    database.hub.pause(watcher)
    for _ in range(5):
        database.hub.take(database.step())
    assert paper.versions() == [0]
    assert other.versions() == [0, 1, 2, 3, 4, 5]
    database.hub.resume(watcher)
    assert paper.versions() == [0, 1, 2, 3, 4, 5]


async def test_and_by_one_board_when_it_is_far_behind() -> None:
    database = Database()
    watcher = database.watch(paper := Paper())
    database.answer()
    database.hub.pause(watcher)
    for _ in range(30):
        database.hub.take(database.step())
    database.hub.resume(watcher)
    database.answer()
    assert paper.versions() == [0, 30]


async def test_a_beacon_comes_after_what_is_still_to_be_sent() -> None:
    database = Database()
    watcher = database.watch(paper := Paper())
    database.answer()
    database.hub.pause(watcher)
    database.hub.take(database.step())
    watcher.beacon()
    assert paper.of("beacon") == []
    database.hub.resume(watcher)
    assert [message["type"] for message in paper.told] == ["board", "change", "beacon"]
    assert paper.told[-1] == {
        "type": "beacon",
        "now": "2026-11-23T14:00:00Z",
        "epoch": EPOCH,
        "versions": {database.id: 1},
    }


async def test_a_setting_that_changed_is_told_by_a_board_also_to_who_resumes() -> None:
    database = Database()
    database.watch(paper := Paper())
    database.answer()
    database.hub.take(database.step(days=()))
    database.hub.take(database.step())
    database.answer()
    assert [message["type"] for message in paper.of("board", "change")] == ["board", "board"]
    database.watch(again := Paper(), resume=(EPOCH, 0))
    database.answer()
    assert [message["type"] for message in again.told] == ["board"]


async def test_another_window_of_the_same_calendar_costs_one_board_and_no_history() -> None:
    database = Database()
    watcher = database.watch(paper := Paper())
    database.answer()
    for _ in range(3):
        database.hub.take(database.step())
    database.hub.watch(watcher, database.id, NEXT_WEEK)
    assert not database.histories_requested
    database.answer()
    assert paper.versions() == [0, 1, 2, 3, 3]
    assert list(database.hub.calendars[database.id].views) == [NEXT_WEEK]


async def test_a_calendar_is_let_go_when_the_last_screen_is() -> None:
    database = Database()
    one, other = database.watch(Paper()), database.watch(Paper(), NEXT_WEEK)
    database.answer()
    database.hub.leave(one)
    assert list(database.hub.calendars) == [database.id]
    database.hub.unwatch(other, database.id)
    assert database.hub.calendars == {}
    assert database.hub.watchers == {other}


async def test_while_degraded_every_board_is_read_anew() -> None:
    database = Database()
    database.watch(Paper())
    database.answer()
    database.step()  # its message does not come
    database.hub.set_connected(False)
    database.watch(paper := Paper())
    database.answer()
    assert paper.versions() == [1]


async def test_a_new_epoch_gives_every_screen_a_board_and_every_person_a_refresh() -> None:
    database = Database()
    database.watch(paper := Paper())
    person = Paper()
    database.hub.join(person, signed_in(uuid4(), "student"))
    database.answer()
    database.hub.take(database.step())
    database.hub.begin_epoch("the next")
    database.answer()
    assert [(message["type"], message["epoch"]) for message in paper.told] == [
        ("board", EPOCH), ("change", EPOCH), ("board", "the next"),
    ]  # fmt: skip
    assert [message["type"] for message in person.told] == ["refresh"]


async def test_a_calendar_that_is_gone_is_said_to_be_not_found() -> None:
    database = Database()
    watcher = database.watch(paper := Paper())
    database.answer()
    database.hub.gone(database.hub.calendars[database.id])
    assert paper.told[-1]["code"] == "NOT_FOUND"
    assert paper.told[-1]["instructor"] == database.id
    assert watcher.watches == {}
    assert database.hub.calendars == {}


# ---- history


async def test_a_history_that_is_overtaken_by_a_newcomers_board_gets_no_hole() -> None:
    database = Database()
    for _ in range(4):
        database.step()
    database.watch(back := Paper(), resume=(EPOCH, 2))
    database.ask()  # its history, up to version 4
    database.watch(newcomer := Paper())
    database.hub.take(database.step())
    database.ask()  # the newcomer's board, of version 5
    database.reply(1)
    database.reply(0)
    database.answer()
    database.hub.take(database.step())
    calendar = database.hub.calendars[database.id]
    assert calendar.version == 6
    database.watch(resumed := Paper(), resume=(EPOCH, 4))
    database.answer()
    database.hub.take(database.change(5))  # published again, by a relay that took over
    assert not database.hub.rewound
    assert newcomer.versions() == [5, 6]
    assert resumed.versions() == [5, 6]
    for paper in (back, newcomer, resumed):
        versions = paper.versions()
        assert versions == list(range(versions[0], 7))


# ---- requests that fail


async def test_a_board_that_could_not_be_read_is_requested_again_by_the_next_reconcile() -> None:
    database = Database()
    database.watch(paper := Paper())
    database.ask()
    database.reply(succeeds=False)
    assert [message["code"] for message in paper.told] == ["UNAVAILABLE"]
    database.compare()
    database.answer()
    assert paper.versions() == [0]


async def test_so_is_the_history_of_a_screen_that_came_back() -> None:
    database = Database()
    for _ in range(3):
        database.step()
    database.watch(paper := Paper(), resume=(EPOCH, 1))
    database.ask()
    database.reply(succeeds=False)
    database.compare()
    database.answer()
    assert [message["type"] for message in paper.told] == ["error", "change", "change", "beacon"]


async def test_and_the_changes_that_are_missing() -> None:
    database = Database()
    database.watch(paper := Paper())
    database.answer()
    database.step()
    database.hub.take(database.step())
    database.ask()
    database.reply(succeeds=False)
    database.compare()
    database.answer()
    assert paper.versions() == [0, 1, 2]


async def test_a_screen_whose_board_is_long_in_coming_still_gets_beacons() -> None:
    database = Database()
    watcher = database.watch(paper := Paper())
    database.answer()
    database.hub.take(database.step(days=()))  # a setting: a board is needed
    watcher.beacon()
    assert paper.of("beacon") == []  # what is pending comes first
    database.ask()
    database.reply(succeeds=False)
    watcher.beacon()
    assert paper.told[-1]["versions"] == {}


# ---- memory


async def test_wide_changes_are_told_by_boards_and_not_kept() -> None:
    database = Database()
    watched = [Window.of(FIRST + timedelta(days=number), 35) for number in range(50)]
    papers = [Paper() for _ in watched]
    for paper, window in zip(papers, watched, strict=True):
        database.watch(paper, window)
    database.answer()
    year = [(FIRST + timedelta(days=number)).isoformat() for number in range(365)]
    database.hub.take(database.step(days=year))
    database.answer()
    assert [message["type"] for message in papers[0].told] == ["board", "board"]
    kept = database.hub.calendars[database.id]
    assert kept.size < 2 * 128 * 1024


async def test_what_a_calendar_keeps_is_bounded_whatever_changes() -> None:
    database = Database()
    watched = [Window.of(FIRST + timedelta(days=number), 35) for number in range(50)]
    for window in watched:
        database.watch(Paper(), window)
    database.answer()
    days = [(FIRST + timedelta(days=number)).isoformat() for number in range(60)]
    for _ in range(HISTORY):
        change = database.step(days)
        change.days = dict.fromkeys(days, b"[" + b"0," * 1000 + b"0]")
        database.hub.take(change)
    calendar = database.hub.calendars[database.id]
    assert calendar.version == HISTORY
    assert calendar.size <= HISTORY_BYTES + BOARDS_BYTES


async def test_frames_of_a_change_are_referenced_by_nothing_after_the_fan_out() -> None:
    database = Database()
    papers = [Paper() for _ in range(10)]
    for days, paper in enumerate(papers, 1):
        database.watch(paper, Window.of(FIRST, days))
    database.answer()
    database.hub.take(database.step(DAYS))
    frames = [paper.frames.pop() for paper in papers]
    copies = [bytes(bytearray(frame)) for frame in frames]  # only this list refers to them
    assert len(set(frames)) == len(papers)
    assert list(map(sys.getrefcount, frames)) == list(map(sys.getrefcount, copies))


# ---- the heartbeat


async def test_each_socket_gets_a_ping_in_its_turn_and_the_silent_one_is_cut_off() -> None:
    hub = Database(stuck_seconds=25).hub
    lively, silent = Paper(), Paper()
    hub.join(lively, None)
    hub.join(silent, None)
    start = hub.clock()
    for slot in range(1, 301):
        now = start + slot * SLOT_SECONDS
        lively.last_received = now - 0.5
        heartbeat.ping(hub, now)
    assert lively.frames == [messages.PING] * 3
    assert silent.aborted
    assert not lively.aborted


async def test_who_was_paused_for_long_is_not_held_to_be_silent() -> None:
    hub = Database(stuck_seconds=25).hub
    watcher = hub.join(paper := Paper(), None)
    hub.pause(watcher)
    start = hub.clock()
    for slot in range(1, 250):
        heartbeat.ping(hub, start + slot * SLOT_SECONDS)
    paper.last_received = start - 60
    hub.resume(watcher)
    for _ in range(100):
        heartbeat.ping(hub, hub.clock() + 10)
    assert not paper.aborted
    assert paper.frames == [messages.PING]


async def test_who_takes_nothing_for_too_long_is_cut_off() -> None:
    database = Database()
    watcher = database.watch(paper := Paper())
    database.hub.pause(watcher)
    heartbeat.abort_stuck(database.hub, 25, watcher.paused_at + 24.9)
    assert not paper.aborted
    heartbeat.abort_stuck(database.hub, 25, watcher.paused_at + 25.1)
    assert paper.aborted
    assert not watcher.ready


# ---- whatever happens

DAYS = [(FIRST + timedelta(days=number)).isoformat() for number in range(10)]
WINDOWS = [
    Window.of(FIRST, 7),
    Window.of(FIRST + timedelta(days=3), 7),
    Window.of(FIRST + timedelta(days=8), 2),
]
SOMEBODY = st.integers(0, 9)
HAPPENINGS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["step", "lose"]), st.lists(st.sampled_from(DAYS), max_size=3)),
        st.tuples(st.sampled_from(["come_again", "pause", "resume", "leave"]), SOMEBODY),
        st.tuples(st.just("watch"), st.sampled_from(WINDOWS)),
        st.tuples(st.just("look_elsewhere"), SOMEBODY, st.sampled_from(WINDOWS)),
        st.tuples(st.just("come_back"), st.sampled_from(WINDOWS), st.integers(0, 20)),
        st.tuples(st.sampled_from(["ask", "reply", "fail"]), st.integers(0, 3)),
        st.tuples(
            st.sampled_from(
                ["answer", "compare", "forget_history", "begin_epoch", "disconnect", "connect"]
            )
        ),
    ),
    max_size=80,
)


@settings(max_examples=300)
@given(HAPPENINGS)
def test_whatever_is_lost_doubled_late_or_paused_every_screen_ends_equal_to_the_database(
    happenings: list[tuple[Any, ...]],
) -> None:
    async def play() -> None:
        world = World()
        for what, *details in happenings:
            getattr(world, what)(*details)
        world.ends_well()

    asyncio.run(play())


class World:
    """A calendar, its screens, and what may happen to them. `step` is told, `lose` is not."""

    def __init__(self) -> None:
        self.database = Database()
        self.hub = self.database.hub
        self.screens: list[tuple[Watcher, Paper, Window]] = []
        self.watch(WEEK)

    def step(self, days: list[str]) -> None:
        self.hub.take(self.database.step(days))

    def lose(self, days: list[str]) -> None:
        self.database.step(days)

    def come_again(self, ago: int) -> None:
        if ago < self.database.version:
            self.hub.take(self.database.change(self.database.version - ago))

    def pause(self, who: int) -> None:
        if who < len(self.screens) and self.screens[who][0].ready:
            self.hub.pause(self.screens[who][0])

    def resume(self, who: int) -> None:
        if who < len(self.screens) and not self.screens[who][0].ready:
            self.hub.resume(self.screens[who][0])

    def leave(self, who: int) -> None:
        if who < len(self.screens):
            self.hub.leave(self.screens.pop(who)[0])

    def watch(self, window: Window) -> None:
        paper = Paper()
        self.screens.append((self.database.watch(paper, window), paper, window))

    def look_elsewhere(self, who: int, window: Window) -> None:
        if who < len(self.screens):
            watcher, paper, _ = self.screens[who]
            # What is told before the new board is about the old days, so the page forgets it.
            paper.frames.clear()
            self.hub.watch(watcher, self.database.id, window)
            self.screens[who] = watcher, paper, window

    def come_back(self, window: Window, missed: int) -> None:
        """A screen that has the board of some versions ago."""
        version = max(0, self.database.version - missed)
        days: dict[str, Any] = {}
        for change in self.database.versions[:version]:
            seen = [day for day in change.days if window.first <= day <= window.last]
            days |= {day: json.loads(change.days[day]) for day in seen}
        paper = Paper()
        paper.keep({"type": "board", "epoch": self.hub.epoch, "version": version, "days": days})
        self.screens.append(
            (self.database.watch(paper, window, resume=(self.hub.epoch, version)), paper, window)
        )

    def answer(self) -> None:
        self.database.answer()

    def ask(self, kind: int) -> None:
        self.database.ask(kind)

    def reply(self, which: int) -> None:
        self.database.reply(which)

    def fail(self, which: int) -> None:
        self.database.reply(which, succeeds=False)

    def compare(self) -> None:
        self.database.compare()

    def forget_history(self) -> None:
        self.database.kept_from = self.database.version

    def begin_epoch(self) -> None:
        for change in self.database.versions:
            change.epoch += "'"
        self.hub.begin_epoch(self.hub.epoch + "'")

    def disconnect(self) -> None:
        self.hub.set_connected(False)

    def connect(self) -> None:
        self.hub.set_connected(True)

    def ends_well(self) -> None:
        for who in range(len(self.screens)):
            self.resume(who)
        self.answer()
        self.compare()
        self.answer()
        for watcher, paper, window in self.screens:
            shown = paper.shown()
            expected = {
                day: content
                for day, content in self.database.days.items()
                if window.first <= day <= window.last
            }
            assert (shown["epoch"], shown["version"], shown["days"]) == (
                self.hub.epoch,
                self.database.version,
                expected,
            )
            assert all(watch.in_step for watch in watcher.watches.values())
