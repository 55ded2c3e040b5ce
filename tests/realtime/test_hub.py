"""The hub alone: which messages it sends to which connection, in any order of events."""

import asyncio
import json
import sys
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime import messages
from realtime import watcher as watcher_module
from realtime.calendar import BOARDS_BYTES, CACHE_BYTES
from realtime.history import HISTORY, HISTORY_BYTES, Board, Change, Window
from realtime.keep_alive import SLOT_SECONDS
from realtime.watcher import Watcher
from tests.cluster import PATIENCE
from tests.realtime.in_memory import EPOCH, FIRST, WEEK, Database, Recorder, signed_in

NEXT_WEEK = Window.of(FIRST + timedelta(days=7), 7)


async def test_the_first_watch_reads_a_board_and_watches_that_come_meanwhile_share_it() -> None:
    database = Database()
    recorders = [Recorder() for _ in range(100)]
    for recorder in recorders:
        database.watch(recorder)
    database.answer()
    database.watch(late := Recorder())
    assert database.boards_read == 1
    assert len({recorder.frames[0] for recorder in [*recorders, late]}) == 1


async def test_a_late_watch_gets_a_board_of_the_present_version_without_a_read() -> None:
    database = Database()
    database.watch(early := Recorder())
    database.answer()
    for days in ([WEEK.first, WEEK.last], [WEEK.last], [NEXT_WEEK.first]):
        database.hub.receive(database.step(days))
        database.watch(late := Recorder())
        assert late.versions() == [database.version]
        [board] = late.messages
        assert board["days"] == {
            day: content for day, content in database.days.items() if day <= WEEK.last
        }
    database.hub.receive(database.step([WEEK.first]))
    assert early.versions() == [0, 1, 2, 3, 4]
    assert late.versions() == [3, 4]
    assert database.boards_read == 1


async def test_a_watch_after_a_write_of_this_process_does_not_wait_for_the_change() -> None:
    database = Database()
    database.watch(early := Recorder())
    database.answer()
    change = database.step()
    database.hub.written(database.id)
    database.watch(late := Recorder())
    database.answer()
    database.hub.receive(change)
    assert (late.versions(), early.versions()) == ([1], [0, 1])
    database.hub.written(str(uuid4()))  # a calendar that nobody watches


async def test_a_board_that_was_being_read_during_a_write_is_not_shown_after_it() -> None:
    database = Database()
    database.watch(early := Recorder())
    database.query()
    change = database.step()
    database.hub.written(database.id)
    database.watch(late := Recorder())
    database.reply()
    assert (early.versions(), late.versions()) == ([0], [])
    database.watch(later := Recorder())
    database.answer()
    database.hub.receive(change)
    assert (early.versions(), late.versions(), later.versions()) == ([0, 1], [1], [1])
    assert database.boards_read == 2


async def test_a_change_committed_while_the_board_is_read_is_not_lost() -> None:
    database = Database()
    database.watch(recorder := Recorder())
    database.query()
    database.hub.receive(database.step())  # after the snapshot, before its arrival
    database.answer()
    assert recorder.versions() == [0, 1]


async def test_a_board_that_is_ahead_of_the_messages_makes_the_others_catch_up() -> None:
    database = Database()
    database.watch(recorder := Recorder())
    database.answer()
    database.step()  # its message does not come
    database.watch(Recorder(), NEXT_WEEK)
    database.answer()
    assert recorder.versions() == [0, 1]


async def test_a_resume_from_a_future_version_gets_a_board() -> None:
    database = Database()
    database.step()
    database.watch(recorder := Recorder(), resume=(EPOCH, 7))
    database.answer()
    assert [message["type"] for message in recorder.messages] == ["board"]


async def test_one_frame_is_built_for_all_screens_with_the_same_content() -> None:
    database = Database()
    recorders = [Recorder() for _ in range(10)]
    for number, recorder in enumerate(recorders):
        database.watch(recorder, Window.of(FIRST, 3 + number % 2))
    database.watch(elsewhere := Recorder(), NEXT_WEEK)
    database.answer()
    database.hub.receive(database.step())
    assert len({id(recorder.frames[-1]) for recorder in recorders}) == 1
    assert elsewhere.messages[-1]["days"] == {}


async def test_older_and_duplicate_messages_do_nothing() -> None:
    database = Database()
    database.watch(recorder := Recorder())
    database.answer()
    for _ in range(3):
        database.step()
    for version in (1, 1, 2, 1, 3, 2, 3):
        database.hub.receive(database.change(version))
    assert recorder.versions() == [0, 1, 2, 3]
    assert not database.requests.reconcile_requested.is_set()


async def test_the_same_version_with_another_content_means_another_history() -> None:
    database = Database()
    database.watch(Recorder())
    database.answer()
    database.hub.receive(database.step())
    other = database.change(1)
    other.days = {WEEK.first: b'{"free": [], "held": []}'}
    database.hub.receive(other)
    assert database.hub.rewound
    assert database.requests.reconcile_requested.is_set()


async def test_a_message_of_another_epoch_requests_a_reconcile_and_changes_nothing() -> None:
    database = Database()
    database.watch(recorder := Recorder())
    database.answer()
    change = database.step()
    change.epoch = "another"
    database.hub.receive(change)
    assert recorder.versions() == [0]
    assert database.requests.reconcile_requested.is_set()


async def test_a_gap_is_fetched_once_and_sent_in_order() -> None:
    database = Database()
    database.watch(recorder := Recorder())
    database.answer()
    for _ in range(5):
        database.step()
    database.hub.receive(database.change(3))
    database.hub.receive(database.change(5))
    assert recorder.versions() == [0]
    assert len(database.requests.histories) == 1
    database.answer()
    assert recorder.versions() == [0, 1, 2, 3, 4, 5]


async def test_a_gap_too_long_for_the_history_is_filled_by_a_board() -> None:
    database = Database()
    database.watch(recorder := Recorder())
    database.answer()
    for _ in range(HISTORY + 6):
        database.step()
    database.hub.receive(database.change(HISTORY + 6))
    database.answer()
    assert recorder.versions() == [0, HISTORY + 6]


async def test_a_paused_watcher_gets_every_step_when_it_is_a_little_behind() -> None:
    database = Database()
    watcher = database.watch(recorder := Recorder())
    database.watch(other := Recorder())
    database.answer()
    database.hub.pause(watcher)
    for _ in range(5):
        database.hub.receive(database.step())
    assert recorder.versions() == [0]
    assert other.versions() == [0, 1, 2, 3, 4, 5]
    database.hub.resume(watcher)
    assert recorder.versions() == [0, 1, 2, 3, 4, 5]


async def test_a_paused_watcher_gets_one_board_when_it_is_far_behind() -> None:
    database = Database()
    watcher = database.watch(recorder := Recorder())
    database.answer()
    database.hub.pause(watcher)
    for _ in range(30):
        database.hub.receive(database.step())
    database.hub.resume(watcher)
    database.answer()
    assert recorder.versions() == [0, 30]


async def test_a_beacon_comes_after_pending_changes() -> None:
    database = Database()
    watcher = database.watch(recorder := Recorder())
    database.answer()
    database.hub.pause(watcher)
    database.hub.receive(database.step())
    watcher.beacon()
    assert recorder.of("beacon") == []
    database.hub.resume(watcher)
    assert [message["type"] for message in recorder.messages] == ["board", "change", "beacon"]
    assert recorder.messages[-1] == {
        "type": "beacon",
        "now": "2026-11-23T14:00:00Z",
        "epoch": EPOCH,
        "versions": {database.id: 1},
    }


async def test_a_changed_setting_is_sent_as_a_board_also_to_a_resume() -> None:
    database = Database()
    database.watch(recorder := Recorder())
    database.answer()
    database.hub.receive(database.step(days=()))
    database.hub.receive(database.step())
    database.answer()
    assert [message["type"] for message in recorder.of("board", "change")] == ["board", "board"]
    database.watch(again := Recorder(), resume=(EPOCH, 0))
    database.answer()
    assert [message["type"] for message in again.messages] == ["board"]


async def test_another_window_of_the_same_calendar_costs_one_board_and_no_history() -> None:
    database = Database()
    watcher = database.watch(recorder := Recorder())
    database.answer()
    for _ in range(3):
        database.hub.receive(database.step())
    database.hub.watch(watcher, database.id, NEXT_WEEK)
    assert not database.requests.histories
    database.answer()
    assert recorder.versions() == [0, 1, 2, 3, 3]
    assert list(database.hub.calendars[database.id].views) == [NEXT_WEEK]


async def test_a_calendar_ends_with_its_last_screen() -> None:
    database = Database()
    one, other = database.watch(Recorder()), database.watch(Recorder(), NEXT_WEEK)
    database.answer()
    one.abort()
    assert list(database.hub.calendars) == [database.id]
    database.hub.unwatch(other, database.id)
    assert database.hub.calendars == {}
    assert database.hub.watchers == {other}


async def test_while_degraded_every_board_is_read_again() -> None:
    database = Database()
    database.watch(Recorder())
    database.answer()
    database.step()  # its message does not come
    database.hub.set_connected(False)
    database.watch(recorder := Recorder())
    database.answer()
    assert recorder.versions() == [1]


async def test_a_new_epoch_gives_every_screen_a_board_and_every_account_a_refresh() -> None:
    database = Database()
    database.watch(recorder := Recorder())
    person = Recorder()
    database.hub.join(person, signed_in(uuid4(), "student"))
    database.answer()
    database.hub.receive(database.step())
    database.hub.begin_epoch("the next")
    database.answer()
    assert [(message["type"], message["epoch"]) for message in recorder.messages] == [
        ("board", EPOCH), ("change", EPOCH), ("board", "the next"),
    ]  # fmt: skip
    assert [message["type"] for message in person.messages] == ["refresh"]


async def test_a_calendar_that_is_gone_is_not_found() -> None:
    database = Database()
    watcher = database.watch(recorder := Recorder())
    database.answer()
    database.hub.calendar_not_found(database.hub.calendars[database.id])
    assert recorder.messages[-1]["code"] == "NOT_FOUND"
    assert recorder.messages[-1]["instructor"] == database.id
    assert watcher.watches == {}
    assert database.hub.calendars == {}


# ---- history


async def test_a_history_overtaken_by_a_newer_board_has_no_gap() -> None:
    database = Database()
    for _ in range(4):
        database.step()
    database.watch(back := Recorder(), resume=(EPOCH, 2))
    database.query()  # its history, up to version 4
    database.watch(newcomer := Recorder())
    database.hub.receive(database.step())
    database.query()  # the newcomer's board, of version 5
    database.reply(1)
    database.reply(0)
    database.answer()
    database.hub.receive(database.step())
    calendar = database.hub.calendars[database.id]
    assert calendar.version == 6
    database.watch(resumed := Recorder(), resume=(EPOCH, 4))
    database.answer()
    database.hub.receive(database.change(5))  # published again, by a relay that took over
    assert not database.hub.rewound
    assert newcomer.versions() == [5, 6]
    assert resumed.versions() == [5, 6]
    for recorder in (back, newcomer, resumed):
        versions = recorder.versions()
        assert versions == list(range(versions[0], 7))


# ---- requests that fail


async def test_a_board_that_could_not_be_read_is_requested_again_by_the_next_reconcile() -> None:
    database = Database()
    database.watch(recorder := Recorder())
    database.query()
    database.reply(succeeds=False)
    assert [message["code"] for message in recorder.messages] == ["UNAVAILABLE"]
    database.compare()
    database.answer()
    assert recorder.versions() == [0]


async def test_the_history_of_a_resume_that_could_not_be_read_is_requested_again() -> None:
    database = Database()
    for _ in range(3):
        database.step()
    database.watch(recorder := Recorder(), resume=(EPOCH, 1))
    database.query()
    database.reply(succeeds=False)
    database.compare()
    database.answer()
    assert [message["type"] for message in recorder.messages] == [
        "error",
        "change",
        "change",
        "beacon",
    ]


async def test_missing_changes_that_could_not_be_read_are_requested_again() -> None:
    database = Database()
    database.watch(recorder := Recorder())
    database.answer()
    database.step()
    database.hub.receive(database.step())
    database.query()
    database.reply(succeeds=False)
    database.compare()
    database.answer()
    assert recorder.versions() == [0, 1, 2]


async def test_a_screen_whose_board_is_delayed_still_gets_beacons() -> None:
    database = Database()
    watcher = database.watch(recorder := Recorder())
    database.answer()
    database.hub.receive(database.step(days=()))  # a setting: a board is needed
    watcher.beacon()
    assert recorder.of("beacon") == []  # pending messages come first
    database.query()
    database.reply(succeeds=False)
    watcher.beacon()
    assert recorder.messages[-1]["versions"] == {}


# ---- memory


async def test_wide_changes_are_sent_as_boards_and_not_kept() -> None:
    database = Database()
    watched = [Window.of(FIRST + timedelta(days=number), 35) for number in range(50)]
    recorders = [Recorder() for _ in watched]
    for recorder, window in zip(recorders, watched, strict=True):
        database.watch(recorder, window)
    database.answer()
    year = [(FIRST + timedelta(days=number)).isoformat() for number in range(365)]
    database.hub.receive(database.step(days=year))
    database.answer()
    assert [message["type"] for message in recorders[0].messages] == ["board", "board"]
    calendar = database.hub.calendars[database.id]
    assert calendar.size < 2 * 128 * 1024


async def test_the_cache_of_a_calendar_is_bounded() -> None:
    database = Database()
    watched = [Window.of(FIRST + timedelta(days=number), 35) for number in range(50)]
    for window in watched:
        database.watch(Recorder(), window)
    database.answer()
    days = [(FIRST + timedelta(days=number)).isoformat() for number in range(60)]
    for _ in range(HISTORY):
        change = database.step(days)
        change.days = dict.fromkeys(days, b"[" + b"0," * 1000 + b"0]")
        database.hub.receive(change)
    calendar = database.hub.calendars[database.id]
    assert calendar.version == HISTORY
    assert calendar.size <= HISTORY_BYTES + BOARDS_BYTES


async def test_frames_of_a_change_are_referenced_by_nothing_after_the_fan_out() -> None:
    database = Database()
    recorders = [Recorder() for _ in range(10)]
    for days, recorder in enumerate(recorders, 1):
        database.watch(recorder, Window.of(FIRST, days))
    database.answer()
    database.hub.receive(database.step(DAYS))
    frames = [recorder.frames.pop() for recorder in recorders]
    copies = [bytes(bytearray(frame)) for frame in frames]  # only this list refers to them
    assert len(set(frames)) == len(recorders)
    assert list(map(sys.getrefcount, frames)) == list(map(sys.getrefcount, copies))


async def test_the_cache_of_all_calendars_is_bounded_and_the_oldest_are_evicted() -> None:
    database = Database()
    hub = database.hub
    ids = [str(uuid4()) for _ in range(1000)]
    watcher = hub.join(Recorder(), None)
    board = Board(EPOCH, 0, bytes(100_000))
    for instructor in ids:
        hub.watch(watcher, instructor, WEEK)
        hub.board_loaded(hub.calendars[instructor], WEEK, board)
    sizes = [hub.calendars[instructor].size for instructor in ids]
    assert sum(sizes) <= CACHE_BYTES
    assert hub.counts.cache_bytes == sum(sizes)
    assert sizes[0] == 0
    assert sizes[-1] == 100_000
    # A calendar without its cache still works, and so does its screen.
    hub.receive(Change(ids[0], EPOCH, 1, {WEEK.first: {"free": [], "held": []}}, []))
    assert watcher.watches[ids[0]].sent == 1
    for instructor in ids:
        hub.unwatch(watcher, instructor)
    assert hub.counts.cache_bytes == 0


# ---- refreshes


async def test_a_connection_gets_one_refresh_per_interval_and_none_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watcher_module, "REFRESH_SECONDS", 1)
    monkeypatch.setattr(watcher_module, "REFRESH_SPREAD_SECONDS", 0.3)
    hub = Database().hub
    recorders = [Recorder() for _ in range(50)]
    for recorder in recorders:
        hub.join(recorder, signed_in(uuid4(), "student"))
    # Another release books, and this one cannot read its events.
    for version in range(1, 11):
        hub.receive(Change(str(uuid4()), EPOCH, version, {}, None))
    assert {tuple(recorder.types) for recorder in recorders} == {("refresh",)}
    async with asyncio.timeout(PATIENCE):
        while not all(len(recorder.types) == 2 for recorder in recorders):
            await asyncio.sleep(0.01)
    await asyncio.sleep(1.4)
    assert {tuple(recorder.types) for recorder in recorders} == {("refresh", "refresh")}


# ---- beacons and pings


async def test_each_socket_gets_pings_and_a_silent_one_is_aborted() -> None:
    hub = Database(stuck_seconds=25).hub
    lively, silent = Recorder(), Recorder()
    lively_watcher = hub.join(lively, None)
    hub.join(silent, None)
    start = asyncio.get_running_loop().time()
    for slot in range(1, 301):
        now = start + slot * SLOT_SECONDS
        lively_watcher.received(now - 0.5)
        hub.keep_alive.ping(now)
    assert lively.frames == [messages.PING] * 3
    assert silent.aborted
    assert not lively.aborted


async def test_a_connection_that_was_paused_for_long_does_not_count_as_silent() -> None:
    hub = Database(stuck_seconds=25).hub
    watcher = hub.join(recorder := Recorder(), None)
    hub.pause(watcher)
    start = asyncio.get_running_loop().time()
    for slot in range(1, 250):
        hub.keep_alive.ping(start + slot * SLOT_SECONDS)
    watcher.received(start - 60)
    hub.resume(watcher)
    for _ in range(100):
        hub.keep_alive.ping(asyncio.get_running_loop().time() + 10)
    assert not recorder.aborted
    assert recorder.frames == [messages.PING]


async def test_a_connection_that_takes_nothing_for_too_long_is_aborted() -> None:
    database = Database()
    watcher = database.watch(recorder := Recorder())
    database.hub.pause(watcher)
    database.hub.keep_alive.abort_stuck(watcher.paused_at + 24.9)
    assert not recorder.aborted
    database.hub.keep_alive.abort_stuck(watcher.paused_at + 25.1)
    assert recorder.aborted
    assert not watcher.ready


# ---- random events

DAYS = [(FIRST + timedelta(days=number)).isoformat() for number in range(10)]
WINDOWS = [
    Window.of(FIRST, 7),
    Window.of(FIRST + timedelta(days=3), 7),
    Window.of(FIRST + timedelta(days=8), 2),
]
SOMEBODY = st.integers(0, 9)
EVENTS = st.lists(
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
@given(EVENTS)
def test_after_lost_duplicate_late_messages_and_pauses_every_screen_equals_the_database(
    events: list[tuple[Any, ...]],
) -> None:
    async def play() -> None:
        world = World()
        for what, *details in events:
            getattr(world, what)(*details)
        world.ends_well()

    asyncio.run(play())


class World:
    """A calendar, its screens, and their events. The message of a `step` arrives, that of `lose`
    does not."""

    def __init__(self) -> None:
        self.database = Database()
        self.hub = self.database.hub
        self.screens: list[tuple[Watcher, Recorder, Window]] = []
        self.watch(WEEK)

    def step(self, days: list[str]) -> None:
        self.hub.receive(self.database.step(days))

    def lose(self, days: list[str]) -> None:
        self.database.step(days)

    def come_again(self, ago: int) -> None:
        if ago < self.database.version:
            self.hub.receive(self.database.change(self.database.version - ago))

    def pause(self, index: int) -> None:
        if index < len(self.screens) and self.screens[index][0].ready:
            self.hub.pause(self.screens[index][0])

    def resume(self, index: int) -> None:
        if index < len(self.screens) and not self.screens[index][0].ready:
            self.hub.resume(self.screens[index][0])

    def leave(self, index: int) -> None:
        if index < len(self.screens):
            self.screens.pop(index)[0].abort()

    def watch(self, window: Window) -> None:
        recorder = Recorder()
        self.screens.append((self.database.watch(recorder, window), recorder, window))

    def look_elsewhere(self, index: int, window: Window) -> None:
        if index < len(self.screens):
            watcher, recorder, _ = self.screens[index]
            # Messages before the new board are about the old days, so a page drops them.
            recorder.frames.clear()
            self.hub.watch(watcher, self.database.id, window)
            self.screens[index] = watcher, recorder, window

    def come_back(self, window: Window, missed: int) -> None:
        """A screen that has the board of some versions ago."""
        version = max(0, self.database.version - missed)
        days: dict[str, Any] = {}
        for change in self.database.versions[:version]:
            days_seen = [day for day in change.days if window.first <= day <= window.last]
            days |= {day: json.loads(change.days[day]) for day in days_seen}
        recorder = Recorder()
        recorder.show({"type": "board", "epoch": self.hub.epoch, "version": version, "days": days})
        self.screens.append(
            (
                self.database.watch(recorder, window, resume=(self.hub.epoch, version)),
                recorder,
                window,
            )
        )

    def answer(self) -> None:
        self.database.answer()

    def ask(self, kind: int) -> None:
        self.database.query(kind)

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
        for index in range(len(self.screens)):
            self.resume(index)
        self.answer()
        self.compare()
        self.answer()
        for watcher, recorder, window in self.screens:
            board = recorder.board()
            expected = {
                day: content
                for day, content in self.database.days.items()
                if window.first <= day <= window.last
            }
            assert (board["epoch"], board["version"], board["days"]) == (
                self.hub.epoch,
                self.database.version,
                expected,
            )
            assert all(watch.in_step for watch in watcher.watches.values())
