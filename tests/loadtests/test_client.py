"""The screens of the load tests follow the client rules of the live protocol."""

from random import Random
from typing import Any

import pytest
from hypothesis import given, strategies

from loadtests.client import Client, Screen

ANNA = "01234567-0000-7000-8000-000000000001"
DAY = "2026-11-23"


def board(version: int, free: str = "all", epoch: str = "e1") -> dict[str, Any]:
    return {
        "type": "board",
        "instructor": ANNA,
        "epoch": epoch,
        "version": version,
        "days": {DAY: free},
    }


def change(version: int, free: str = "less", epoch: str = "e1") -> dict[str, Any]:
    return {
        "type": "change",
        "instructor": ANNA,
        "epoch": epoch,
        "version": version,
        "days": {DAY: free},
    }


def beacon(version: int, epoch: str = "e1") -> dict[str, Any]:
    return {
        "type": "beacon",
        "now": "2026-11-20T12:00:00Z",
        "epoch": epoch,
        "versions": {ANNA: version},
    }


def watch(version: int | None = None) -> dict[str, Any]:
    resume = {} if version is None else {"epoch": "e1", "version": version}
    return {"type": "watch", "instructor": ANNA, "first": DAY, "days": 7} | resume


@pytest.fixture
def screen() -> Screen:
    """A screen with version 5."""
    screen = Screen(ANNA, DAY, 7)
    screen.watch()
    screen.receive(board(5), 0)
    return screen


def test_a_new_screen_requests_the_board() -> None:
    assert Client([Screen(ANNA, DAY, 7)]).opened() == [watch()]


def test_the_next_version_is_applied(screen: Screen) -> None:
    assert screen.receive(change(6), 1.5) is None
    assert (screen.version, screen.board) == (6, {DAY: "less"})
    assert [(step.above, step.up_to, step.at) for step in screen.steps] == [(5, 6, 1.5)]


def test_an_older_version_is_ignored(screen: Screen) -> None:
    assert screen.receive(change(5), 1) is None
    assert screen.receive(change(3), 1) is None
    assert (screen.version, screen.board) == (5, {DAY: "all"})


def test_a_gap_requests_the_missed_changes_once(screen: Screen) -> None:
    assert screen.receive(change(7), 1) == watch(5)
    assert screen.receive(change(8), 1) is None
    assert (screen.version, screen.gaps) == (5, 1)
    for version in (6, 7, 8):
        assert screen.receive(change(version, str(version)), 2) is None
    assert screen.receive(beacon(8), 2) is None
    assert (screen.version, screen.board) == (8, {DAY: "8"})


def test_another_epoch_requests_the_whole_board(screen: Screen) -> None:
    assert screen.receive(change(6, epoch="e2"), 1) == watch()
    assert screen.receive(change(2, epoch="e2"), 1) is None
    screen.receive(board(1, "new", epoch="e2"), 2)
    assert (screen.epoch, screen.version, screen.board) == ("e2", 1, {DAY: "new"})
    assert screen.steps == []


def test_a_beacon_reveals_a_lost_last_message(screen: Screen) -> None:
    assert screen.receive(beacon(5), 1) is None
    assert screen.receive(beacon(6), 1) == watch(5)


def test_a_beacon_of_another_epoch_requests_the_whole_board(screen: Screen) -> None:
    assert screen.receive(beacon(5, epoch="e2"), 1) == watch()


def test_a_board_replaces_the_content_and_counts_as_all_versions_up_to_its_own(
    screen: Screen,
) -> None:
    screen.receive(board(9, "later"), 3)
    assert (screen.version, screen.board) == (9, {DAY: "later"})
    assert [(step.above, step.up_to) for step in screen.steps] == [(5, 9)]


def test_a_reconnected_socket_resumes_without_counting_its_absence_as_delay(screen: Screen) -> None:
    client = Client([screen])
    client.lost()
    assert client.opened() == [watch(5)]
    assert client.receive(change(6), 100) == []
    assert client.receive(beacon(6), 100) == []
    assert (screen.version, screen.steps) == (6, [])
    client.receive(change(7), 101)
    assert [(step.above, step.up_to) for step in screen.steps] == [(6, 7)]


def test_a_beacon_for_one_board_does_not_end_the_resume_of_another(screen: Screen) -> None:
    client = Client([screen])
    client.lost()
    client.opened()
    client.receive(beacon(5) | {"versions": {"another": 1}}, 100)
    client.receive(change(6), 100)
    assert (screen.version, screen.pending, screen.steps) == (6, True, [])


def test_bookings_refreshes_and_errors_are_recorded() -> None:
    client = Client([])
    client.receive({"type": "booking", "event": "created", "booking": {"id": "b1"}}, 1)
    client.receive({"type": "refresh"}, 1)
    client.receive({"type": "error", "code": "LIMIT", "detail": "Too many."}, 1)
    assert (client.events, client.refreshed, client.errors) == (
        [("created", "b1")],
        True,
        ["LIMIT"],
    )


@pytest.mark.parametrize("code", [1001, 1006, 1011, 1012])
def test_after_these_close_codes_a_client_reconnects_at_random_within_half_a_minute(
    code: int,
) -> None:
    waits = [Client([]).delay_after_close(code, Random(seed)) for seed in range(50)]
    assert all(wait is not None and 0.5 <= wait <= 30 for wait in waits)
    assert len(set(waits)) > 40


@pytest.mark.parametrize("code", [1009, 4400, 4401, 4403])
def test_after_these_close_codes_a_client_does_not_reconnect(code: int) -> None:
    assert Client([]).delay_after_close(code, Random(1)) is None


def test_after_too_many_messages_a_client_waits_at_least_half_a_minute() -> None:
    wait = Client([]).delay_after_close(4429, Random(1))
    assert wait is not None
    assert wait >= 30


def test_a_bye_says_when_to_reconnect() -> None:
    client = Client([])
    client.receive({"type": "bye", "after_ms": 2000}, 1)
    wait = client.delay_after_close(1012, Random(1))
    assert wait is not None
    assert 2 <= wait <= 3


@given(strategies.lists(strategies.integers(1, 12), max_size=40), strategies.integers(0, 6))
def test_a_screen_recovers_from_lost_repeated_and_reordered_changes(
    versions: list[int], first: int
) -> None:
    """Responses to watches and a final beacon repair the screen."""
    newest = max([first, *versions])
    screen = Screen(ANNA, DAY, 7)
    screen.watch()
    screen.receive(board(first, str(first)), 0)

    def respond(request: dict[str, Any] | None) -> None:
        while request is not None:
            for version in range(request["version"] + 1, newest + 1):
                screen.receive(change(version, str(version)), 1)
            request = screen.receive(beacon(newest), 1)

    for version in versions:
        respond(screen.receive(change(version, str(version)), 1))
    respond(screen.receive(beacon(newest), 2))
    assert (screen.version, screen.board) == (newest, {DAY: str(newest)})
