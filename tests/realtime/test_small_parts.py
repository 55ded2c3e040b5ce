"""Supervision, turns, history and frames."""

import asyncio
import gc
import tracemalloc
from datetime import timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from realtime import messages
from realtime.history import HISTORY, Change, History, Window, change
from realtime.keep_alive import SLOT_SECONDS, Slots
from realtime.supervise import forever
from tests.cluster import PATIENCE
from tests.realtime.in_memory import FIRST

# ---- supervision


async def test_a_coroutine_that_fails_or_ends_is_started_again() -> None:
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ValueError("the first time")
        if runs >= 3:
            await asyncio.Event().wait()

    task = asyncio.create_task(forever("test", work))
    async with asyncio.timeout(PATIENCE):
        while runs < 3:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert runs == 3


# ---- turns


def test_each_member_has_its_turn_once_in_the_time() -> None:
    slots: Slots[str] = Slots(10)
    for number in range(100):
        slots.join(f"{number}")
    turns = [name for _ in range(300) for name in slots.turn()]
    assert {turns.count(f"{number}") for number in range(100)} == {3}


def test_members_who_come_together_have_their_turns_spread_over_the_interval() -> None:
    slots: Slots[int] = Slots(20)
    for number in range(5000):
        slots.join(number)
    turns = [len(list(slots.turn())) for _ in range(400)]
    assert turns[:200] == turns[200:]
    assert sum(turns) == 10_000
    assert sum(turns[:100]) == 0  # nothing is owed to those who have just come
    assert max(turns) < 100  # 50 on average


def test_a_member_that_left_has_no_turn_even_if_it_leaves_during_one() -> None:
    slots: Slots[str] = Slots(SLOT_SECONDS)
    for name in "abc":
        slots.join(name)
    slots.leave("a")
    slots.leave("a")
    turns = []
    for name in slots.turn():
        turns.append(name)
        slots.leave("c" if name == "b" else "b")
    assert len(turns) == 1
    assert list(Slots[str](10).turn()) == []


# ---- history


def changes(*versions: int) -> list[Change]:
    return [Change("anna", "epoch", version, {FIRST.isoformat(): {}}, []) for version in versions]


def test_a_history_keeps_the_newest_and_knows_how_far_it_reaches() -> None:
    history = History(100, changes(*range(1, 101)))
    assert history.get(100 - HISTORY) is None
    assert [change.version for change in map(history.get, (37, 100)) if change] == [37, 100]
    assert history.get(101) is None
    assert history.reaches(36)
    assert not history.reaches(35)
    assert history.reaches(100)
    assert not history.reaches(101)
    assert History(5).reaches(5)
    assert not History(5).reaches(4)


def test_a_history_grows_backwards_only_without_a_gap() -> None:
    history = History(11, changes(10, 11))
    history.extend_back(changes(5, 6, 8, 9))
    assert [version for version in range(1, 12) if history.get(version)] == [8, 9, 10, 11]


def test_changes_that_do_not_lead_up_to_the_present_are_not_kept() -> None:
    history = History(5, changes(3, 4))
    assert not history.reaches(4)
    history.append(changes(6)[0])
    history.extend_back(changes(3, 4))
    assert [version for version in range(1, 8) if history.get(version)] == [6]


def test_the_frame_of_a_change_has_only_the_days_of_its_window() -> None:
    days: dict[str, Any] = {
        day: {"free": [], "held": []}
        for day in ("2026-11-22", "2026-11-23", "2026-11-29", "2026-11-30")
    }
    change = Change("anna", "epoch", 1, days, [])
    frames: dict[tuple[str, ...], bytes] = {}
    frame = change.frame(Window.of(FIRST, 7), frames)
    assert b"2026-11-23" in frame
    assert b"2026-11-29" in frame
    assert b"2026-11-22" not in frame
    assert b"2026-11-30" not in frame
    assert change.frame(Window.of(FIRST, 7), frames) is frame


@pytest.mark.parametrize("days", [1, 4, 60])
def test_the_size_of_a_history_is_the_memory_it_takes(days: int) -> None:
    def event(version: int) -> dict[str, Any]:
        ids = {name: str(uuid4()) for name in ("booking_id", "student_id", "instructor_id")}
        return {"event": "created", "previous_version": version - 1} | ids

    def message(version: int) -> bytes:
        names = [(FIRST + timedelta(days=number)).isoformat() for number in range(days)]
        content = {"free": [["2026-11-23T14:00:00Z", "2026-11-23T15:00:00Z"]] * 2, "held": []}
        return orjson.dumps([dict.fromkeys(names, content), [event(version)]])

    messages = [message(version) for version in range(1, HISTORY + 1)]
    history = History(0)
    tracemalloc.start()
    try:
        for version, text in enumerate(messages, 1):
            history.append(change(str(uuid4()), "epoch", version, *orjson.loads(text)))
        gc.collect()
        memory, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert history.version == HISTORY
    assert memory < 1.25 * history.size


# ---- frames


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_a_client_reads_a_frame(length: int) -> None:
    text = b"x" * length
    reader = StreamReader()
    reader.feed_data(messages.frame(text))
    parsing = Frame.parse(reader.read_exact, mask=False)
    with pytest.raises(StopIteration) as parsed:
        next(parsing)
    frame = parsed.value.value
    assert (frame.opcode, bytes(frame.data), frame.fin) == (Opcode.TEXT, text, True)
