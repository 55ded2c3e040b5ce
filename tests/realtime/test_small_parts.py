"""Supervision, turns, history and frames."""

import asyncio
from typing import Any

import pytest
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from realtime import messages
from realtime.calendar import HISTORY, Change, History, Window
from realtime.rota import Rota
from realtime.supervise import forever
from tests.realtime.paper import FIRST

# ---- supervision


async def test_what_fails_or_ends_is_started_again() -> None:
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ValueError("the first time")
        if runs >= 3:
            await asyncio.Event().wait()

    task = asyncio.create_task(forever("test", work))
    async with asyncio.timeout(5):
        while runs < 3:
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert runs == 3


# ---- turns


def test_each_member_has_its_turn_once_in_the_time() -> None:
    rota: Rota[str] = Rota(10)
    for number in range(100):
        rota.join(f"{number}", 0)
    turns: list[str] = []
    for second in range(1, 31):
        turns += rota.due(second)
    assert {turns.count(f"{number}") for number in range(100)} == {3}


def test_a_member_that_left_has_no_turn_even_if_it_leaves_during_one() -> None:
    rota: Rota[str] = Rota(10)
    for name in "abc":
        rota.join(name, 0)
    rota.leave("a")
    rota.leave("a")
    had = []
    for name in rota.due(20):
        had.append(name)
        rota.leave("c" if name == "b" else "b")
    assert len(had) == 1
    assert list(Rota[str](10).due(20)) == []


# ---- history


def changes(*versions: int) -> list[Change]:
    return [Change("anna", "epoch", version, {}, []) for version in versions]


def test_a_history_keeps_the_newest_and_knows_how_far_it_reaches() -> None:
    history = History(changes(*range(1, 101)))
    assert history.get(100 - HISTORY) is None
    assert [change.version for change in map(history.get, (37, 100)) if change] == [37, 100]
    assert history.get(101) is None
    assert history.reaches(36, 100)
    assert not history.reaches(35, 100)
    assert history.reaches(100, 100)
    assert not history.reaches(101, 100)
    assert History().reaches(5, 5)
    assert not History().reaches(4, 5)


def test_a_history_grows_backwards_only_by_what_joins() -> None:
    history = History(changes(10, 11))
    history.extend_back(changes(5, 6, 8, 9))
    assert [version for version in range(1, 12) if history.get(version)] == [8, 9, 10, 11]


def test_a_change_shows_a_window_its_own_days_only() -> None:
    days: dict[str, Any] = {day: {"free": [], "held": []} for day in ("2026-11-22", "2026-11-23", "2026-11-29", "2026-11-30")}
    change = Change("anna", "epoch", 1, days, [])
    frame = change.frame(Window.of(FIRST, 7))
    assert b"2026-11-23" in frame
    assert b"2026-11-29" in frame
    assert b"2026-11-22" not in frame
    assert b"2026-11-30" not in frame
    assert change.frame(Window.of(FIRST, 7)) is frame


# ---- frames


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_a_frame_is_what_a_client_reads(length: int) -> None:
    text = b"x" * length
    reader = StreamReader()
    reader.feed_data(messages.frame(text))
    parsing = Frame.parse(reader.read_exact, mask=False)
    with pytest.raises(StopIteration) as parsed:
        next(parsing)
    frame = parsed.value.value
    assert (frame.opcode, bytes(frame.data), frame.fin) == (Opcode.TEXT, text, True)
