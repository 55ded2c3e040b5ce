"""The live protocol as in docs/live-protocol.md, against a real process."""

import asyncio
import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.db import Pool
from app.settings import Settings
from realtime import relay
from tests import factories
from tests.cluster import PATIENCE
from tests.realtime import raw
from tests.realtime.conftest import serving
from tests.realtime.screens import LESSON, Screen, Screens, catches_up, database_board

NOBODY = "00000000-0000-4000-8000-00000000dead"


# ---- the upgrade


async def refused(url: str, **options: Any) -> tuple[int, dict[str, Any], Headers]:
    with pytest.raises(InvalidStatus) as raised:
        await connect(url, open_timeout=PATIENCE, **({"subprotocols": LESSON} | options))
    response = raised.value.response
    return response.status_code, json.loads(response.body), response.headers


async def test_another_origin_is_403_and_the_sites_own_or_no_origin_is_accepted(
    screens: Screens, url: str
) -> None:
    status, error, _ = await refused(screens.url, origin="https://elsewhere.example")
    assert (status, error["code"]) == (403, "NOT_ALLOWED")
    status, _, _ = await refused(screens.url, origin=url.replace("http:", "https:"))
    assert status == 403
    await screens.open(origin=url)
    await screens.open()


async def test_an_upgrade_that_does_not_offer_the_protocol_is_400(screens: Screens) -> None:
    status, error, _ = await refused(screens.url, subprotocols=["chat.v9"])
    assert status == 400
    assert "lesson.v1" in error["detail"]
    status, _, _ = await refused(screens.url, subprotocols=None)
    assert status == 400


async def test_the_subprotocol_is_accepted_and_nothing_is_compressed(screens: Screens) -> None:
    screen = await screens.open()
    assert screen.connection.subprotocol == "lesson.v1"
    response = screen.connection.response
    assert response is not None
    assert "Sec-WebSocket-Extensions" not in response.headers


async def test_a_full_process_answers_503_with_retry_after(settings: Settings) -> None:
    async with serving(settings.model_copy(update={"max_sockets": 1})) as url:
        screens = Screens(url)
        await screens.open()
        status, error, headers = await refused(screens.url)
        assert (status, error["code"]) == (503, "UNAVAILABLE")
        assert int(headers["Retry-After"]) > 0
        await screens.close()


async def test_concurrent_clients_never_exceed_the_maximum_number_of_sockets(
    settings: Settings,
) -> None:
    async with serving(settings.model_copy(update={"max_sockets": 3})) as url:
        screens = Screens(url)
        attempts = await asyncio.gather(
            *(screens.open() for _ in range(20)), return_exceptions=True
        )
        refusals = [attempt for attempt in attempts if isinstance(attempt, InvalidStatus)]
        assert len(refusals) == 17
        assert {refusal.response.status_code for refusal in refusals} == {503}
        await screens.close()
        await screens.open()
        await screens.close()


async def test_an_address_with_too_many_sockets_gets_429(settings: Settings) -> None:
    limited = settings.model_copy(update={"rate_limits": "on", "sockets_per_address": 2})
    async with serving(limited) as url:
        screens = Screens(url)
        first, _ = await screens.open(), await screens.open()
        for path in ("/live", "/live/public"):
            status, error, headers = await refused(f"{url.replace('http', 'ws')}{path}")
            assert (status, error["code"]) == (429, "RATE_LIMITED")
            assert int(headers["Retry-After"]) >= 30
        await first.close()
        await screens.open()
        # Behind a trusted proxy, its client's address counts. An IPv6 network is one client, and an
        # IPv4 address is the same in its IPv6 spelling.
        for one, same in (
            ("203.0.113.7", "::ffff:203.0.113.7"),
            ("2001:db8:1:2::3", "2001:db8:1:2:ffff::4"),
        ):
            for address in (one, same):
                await screens.open(additional_headers={"X-Forwarded-For": address})
            status, _, _ = await refused(screens.url, additional_headers={"X-Forwarded-For": one})
            assert status == 429
        await screens.open(additional_headers={"X-Forwarded-For": "203.0.113.8"})
        await screens.open(additional_headers={"X-Forwarded-For": "2001:db8:1:3::3"})
        await screens.close()


async def test_an_account_with_too_many_sockets_gets_429(settings: Settings, pool: Pool) -> None:
    limited = settings.model_copy(update={"rate_limits": "on", "sockets_per_account": 2})
    ben, eva = await factories.student(pool), await factories.student(pool, "Eva")
    tokens = [await factories.token_of(pool, person.id, settings) for person in (ben, eva)]
    async with serving(limited) as url:
        screens = Screens(url)
        first, _ = await screens.open(token=tokens[0]), await screens.open(token=tokens[0])
        headers = {"Authorization": f"Bearer {tokens[0]}"}
        status, error, answer_headers = await refused(screens.url, additional_headers=headers)
        assert (status, error["code"]) == (429, "RATE_LIMITED")
        assert int(answer_headers["Retry-After"]) >= 30
        await screens.open(token=tokens[1])
        await screens.open()
        await first.close()
        await screens.open(token=tokens[0])
        await screens.close()


async def test_with_limits_off_only_the_process_has_a_limit(settings: Settings, pool: Pool) -> None:
    token = await factories.token_of(pool, (await factories.student(pool)).id, settings)
    few = {"sockets_per_address": 1, "sockets_per_account": 1, "max_sockets": 3}
    async with serving(settings.model_copy(update=few)) as url:
        screens = Screens(url)
        for _ in range(3):
            await screens.open(token=token)
        assert (await refused(screens.url))[0] == 503
        await screens.close()


async def test_a_message_sent_with_the_upgrade_is_read_after_it(url: str) -> None:
    unwatch = raw.frame(raw.TEXT, b'{"type": "unwatch", "instructor": "nobody"}')
    async with raw.upgraded(url, early=unwatch + raw.frame(raw.PING, b"early")[:4]) as socket:
        await socket.send(raw.frame(raw.PING, b"early")[4:])
        assert (await socket.message())["code"] == "NOT_FOUND"
        assert await socket.frame() == (raw.PONG, b"early")


async def test_the_public_path_takes_any_origin_and_reads_no_session(
    url: str, pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    token = await factories.token_of(pool, ben.id, settings)
    screens = Screens(url, "/live/public")
    screen = await screens.open(origin="https://elsewhere.example", token=token)
    forged = await screens.open(origin="https://elsewhere.example", token="forged")
    board = await screen.shows(anna)
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
    await screen.receives("change", version=1)
    await catches_up(pool, screen, anna)
    await screen.watch(anna, epoch=board["epoch"], version=1)
    await screen.receives("beacon", versions={str(anna.id): 1})
    assert screen.of("booking", "refresh") == []
    await forged.shows(anna)
    assert (await refused(screens.url, subprotocols=None))[0] == 400
    await screens.close()


async def test_the_server_speaks_first_only_with_a_beacon(screens: Screens) -> None:
    screen = await screens.open()
    beacon = await screen.receives("beacon")
    assert beacon["versions"] == {}
    assert abs(datetime.fromisoformat(beacon["now"]) - datetime.now(UTC)).total_seconds() < PATIENCE
    assert {message["type"] for message in screen.messages} == {"beacon"}


# ---- watching


async def test_a_watch_is_answered_by_the_board_of_exactly_the_watched_days(
    screens: Screens, pool: Pool
) -> None:
    anna = await factories.instructor(pool, buffer_minutes=15)
    screen = await screens.open()
    board = await screen.shows(anna, days=35, day=-3)
    fresh = await database_board(pool, anna, str(anna.day(-3)), 35)
    assert board["days"] == fresh["days"]
    assert len(board["days"]) == 35
    assert (board["epoch"], board["version"]) == (fresh["epoch"], fresh["version"])
    assert (board["time_zone"], board["min_advance_minutes"]) == ("America/New_York", 120)
    assert set(board) - {"received_at"} == {
        "type",
        "instructor",
        "epoch",
        "version",
        "time_zone",
        "min_advance_minutes",
        "days",
    }


async def test_a_board_is_never_older_than_a_response_of_the_same_process(
    settings: Settings, pool: Pool
) -> None:
    anna = await factories.instructor(pool, "Anna")
    bearer = {"Authorization": f"Bearer {await factories.token_of(pool, anna.id, settings)}"}
    relaying = asyncio.create_task(relay.main(settings))
    async with (
        serving(settings) as url,
        httpx.AsyncClient(base_url=url, headers=bearer, timeout=PATIENCE) as client,
    ):
        async with asyncio.timeout(PATIENCE):
            while (await client.get("/health/ready")).json()["live"] != "connected":
                await asyncio.sleep(0.1)
        screens = Screens(url)
        await (await screens.open()).shows(anna)
        relaying.cancel()  # so the change does not arrive
        await asyncio.gather(relaying, return_exceptions=True)
        path = f"/api/availability/days/{anna.day()}"
        saved = await client.put(path, json={"ranges": [{"start": "10:00", "end": "11:00"}]})
        board = await (await screens.open()).shows(anna)
        assert board["version"] == saved.json()["version"]
        await screens.close()


async def test_a_change_carries_the_whole_altered_day_and_nothing_else(
    screens: Screens, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    screen = await screens.open()
    await screen.shows(anna)
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00", day=2))
    change = await screen.receives("change", version=1)
    fresh = await database_board(pool, anna, str(anna.day(2)), 1)
    assert change["days"] == fresh["days"]
    assert change["epoch"] == fresh["epoch"]
    assert set(change) - {"received_at"} == {"type", "instructor", "epoch", "version", "days"}
    await catches_up(pool, screen, anna)


async def test_a_change_outside_the_days_watched_arrives_empty(
    screens: Screens, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    screen = await screens.open()
    await screen.shows(anna, days=2)
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00", day=9))
    assert (await screen.receives("change", version=1))["days"] == {}
    await catches_up(pool, screen, anna)


async def test_a_second_watch_of_an_instructor_replaces_the_first(
    screens: Screens, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    screen = await screens.open()
    await screen.shows(anna, days=2)
    await screen.shows(anna, days=3, day=7)
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00", day=8))
    await screen.receives("change", version=1)
    assert len(screen.of("change")) == 1
    await catches_up(pool, screen, anna)


async def test_after_unwatch_nothing_more_is_sent(screens: Screens, pool: Pool) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    screen, other = await screens.open(), await screens.open()
    await screen.shows(anna)
    await other.shows(anna)
    await screen.send(type="unwatch", instructor=str(anna.id))
    await screen.send(type="unwatch", instructor=NOBODY)  # never watched: no error
    await screen.send(type="watch", instructor=NOBODY, first=str(anna.day()), days=7)
    await screen.receives("error", instructor=NOBODY)  # so it has read what came before
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
    await other.receives("change", version=1)
    assert await screen.quiet(0.3) == []
    beacon = await screen.receives("beacon", after=len(screen.messages))
    assert beacon["versions"] == {}


async def test_every_screen_gets_every_change_in_order(screens: Screens, pool: Pool) -> None:
    anna, carl = await factories.instructor(pool), await factories.instructor(pool, "Carl")
    ben = await factories.student(pool)
    watching = [await screens.open() for _ in range(10)]
    for number, screen in enumerate(watching):
        await screen.shows(anna, days=7 + number % 3)
        await screen.shows(carl)
    for hour in range(9, 15):
        await factories.lesson(
            pool, ben.id, anna.service_id, anna.at(f"{hour:02}:00", day=1 + hour % 2)
        )
        await factories.lesson(pool, ben.id, carl.service_id, carl.at(f"{hour:02}:00", day=3))
    for screen in watching:
        await catches_up(pool, screen, anna)
        await catches_up(pool, screen, carl)
        assert len(screen.of("change")) == 12


async def test_the_beacon_has_the_versions_of_all_watched_calendars(
    screens: Screens, pool: Pool
) -> None:
    anna, carl, ben = (
        await factories.instructor(pool),
        await factories.instructor(pool, "Carl"),
        await factories.student(pool),
    )
    await factories.lesson(pool, ben.id, carl.service_id, carl.at("10:00"))
    screen = await screens.open()
    board = await screen.shows(anna)
    await screen.shows(carl)
    beacon = await screen.receives("beacon", after=len(screen.messages))
    assert beacon["versions"] == {str(anna.id): 0, str(carl.id): 1}
    assert beacon["epoch"] == board["epoch"]


async def test_a_setting_that_changes_comes_as_a_board(screens: Screens, pool: Pool) -> None:
    anna = await factories.instructor(pool)
    screen = await screens.open()
    await screen.shows(anna)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "update calendar set min_advance_minutes = 45 where instructor_id = $1", anna.id
        )
        await connection.execute("select step($1, '{}')", anna.id)
    board = await screen.receives("board", version=1)
    assert board["min_advance_minutes"] == 45
    assert screen.of("change") == []


# ---- resume


async def test_a_resume_is_answered_by_the_missed_changes_and_a_beacon(
    screens: Screens, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    first = await screens.open()
    board = await first.shows(anna)
    await first.close()
    for hour in range(9, 16):
        await factories.lesson(pool, ben.id, anna.service_id, anna.at(f"{hour:02}:00"))
    again = await screens.open()
    again.resume_from(board)
    await again.watch(anna, epoch=board["epoch"], version=board["version"])
    beacon = await again.receives("beacon", versions={str(anna.id): 7})
    assert [
        message.get("version") for message in again.messages[: again.messages.index(beacon)]
    ] == [
        1,
        2,
        3,
        4,
        5,
        6,
        7,
    ]
    assert again.of("board") == []
    await catches_up(pool, again, anna)


async def test_a_resume_that_missed_nothing_gets_only_the_beacon(
    screens: Screens, pool: Pool
) -> None:
    anna = await factories.instructor(pool)
    first = await screens.open()
    board = await first.shows(anna)
    again = await screens.open()
    again.resume_from(board)
    await again.watch(anna, epoch=board["epoch"], version=board["version"])
    await again.receives("beacon", versions={str(anna.id): 0})
    assert again.of("board", "change", "refresh") == []


async def test_a_process_that_did_not_follow_the_calendar_still_sends_the_missed_changes(
    screens: Screens, pool: Pool
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    first = await screens.open()
    board = await first.shows(anna)
    await first.close()
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("09:00"))
    later = await screens.open()
    await later.shows(anna)
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
    await later.receives("change", version=2)
    again = await screens.open()
    again.resume_from(board)
    await again.watch(anna, epoch=board["epoch"], version=0)
    await again.receives("beacon", versions={str(anna.id): 2})
    assert [message["version"] for message in again.of("change")] == [1, 2]
    assert again.of("board") == []


async def test_a_resume_from_another_epoch_or_the_future_gets_a_board(
    screens: Screens, pool: Pool
) -> None:
    anna = await factories.instructor(pool)
    epoch = await pool.fetchval("select epoch()")
    screen = await screens.open()
    for resume in ({"epoch": "another", "version": 0}, {"version": 999}, {"version": 2**63 - 1}):
        before = len(screen.messages)
        await screen.watch(anna, **({"epoch": epoch} | resume))
        board = await screen.receives("board", after=before)
        assert (board["epoch"], board["version"]) == (epoch, 0)
    assert await pool.fetchval("select epoch()") == epoch


async def test_a_resume_after_too_long_gets_a_board(screens: Screens, pool: Pool) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    first = await screens.open()
    board = await first.shows(anna)
    await first.close()
    for hour in range(9, 13):
        await factories.lesson(pool, ben.id, anna.service_id, anna.at(f"{hour:02}:00"))
    await pool.execute("delete from outbox where version < 3")
    again = await screens.open()
    await again.watch(anna, epoch=board["epoch"], version=0)
    assert (await again.receives("board"))["version"] == 4
    await catches_up(pool, again, anna)


# ---- booking messages


async def signed_in(
    screens: Screens, pool: Pool, settings: Settings, person: factories.Account
) -> Screen:
    return await screens.open(token=await factories.token_of(pool, person.id, settings))


async def test_both_participants_and_nobody_else_get_a_booking_message(
    screens: Screens, pool: Pool, settings: Settings
) -> None:
    anna, ben, eva = (
        await factories.instructor(pool),
        await factories.student(pool),
        await factories.student(pool, "Eva"),
    )
    annas, bens, evas = [
        await signed_in(screens, pool, settings, person) for person in (anna, ben, eva)
    ]
    stranger = await screens.open()
    await evas.shows(anna)
    await stranger.shows(anna)
    lesson = await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
    for screen in (annas, bens):
        message = await screen.receives("booking", event="created")
        assert message["booking"]["id"] == str(lesson.id)
        assert message["booking"]["state"] == "confirmed"
        assert message["booking"]["student"] == {"id": str(ben.id), "name": "Ben"}
    assert "instructor_note" in annas.of("booking")[0]["booking"]
    assert "instructor_note" not in bens.of("booking")[0]["booking"]
    await evas.receives("change", version=1)
    await stranger.receives("change", version=1)
    assert evas.of("booking") == stranger.of("booking") == []
    # A socket that watches no board gets no board.
    assert annas.of("change", "board") == bens.of("change", "board") == []


async def test_a_cancellation_is_sent_to_every_socket_of_both_participants(
    screens: Screens, pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    open_screens = [
        await signed_in(screens, pool, settings, person) for person in (anna, anna, ben, ben)
    ]
    lesson = await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
    for screen in open_screens:
        await screen.receives("booking", event="created")
    await pool.fetchrow("select * from cancel_booking($1, $2, '', now())", ben.id, lesson.id)
    for screen in open_screens:
        await screen.receives("booking", event="cancelled")
        assert [message["event"] for message in screen.of("booking")] == ["created", "cancelled"]


async def test_resumes_get_one_refresh(screens: Screens, pool: Pool, settings: Settings) -> None:
    anna, carl, ben = (
        await factories.instructor(pool),
        await factories.instructor(pool, "Carl"),
        await factories.student(pool),
    )
    epoch = await pool.fetchval("select epoch()")
    screen = await signed_in(screens, pool, settings, ben)
    await screen.watch(anna, epoch=epoch, version=0)
    await screen.watch(carl, epoch=epoch, version=0)
    await screen.receives("refresh")
    await screen.receives("beacon", versions={str(anna.id): 0, str(carl.id): 0})
    assert len(screen.of("refresh")) == 1


# ---- sessions


async def test_a_bearer_token_without_a_session_is_closed_with_4401(
    screens: Screens, pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool)
    token = await factories.token_of(pool, ben.id, settings)
    for bad in ("forged", token[:-2] + "xx"):
        assert await (await screens.open(token=bad)).ends() == 4401
    await pool.execute("update session set expires_at = now() - interval '1 second'")
    assert await (await screens.open(token=token)).ends() == 4401


async def test_a_cookie_works_and_one_of_an_ended_session_makes_a_visitor(
    screens: Screens, pool: Pool, settings: Settings
) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    cookie = {"Cookie": f"session={await factories.token_of(pool, ben.id, settings)}"}
    with_cookie = await connect(screens.url, subprotocols=LESSON, additional_headers=cookie)
    screen = Screen(with_cookie)
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
    await screen.receives("booking")
    await screen.close()
    visitor = Screen(
        await connect(
            screens.url, subprotocols=LESSON, additional_headers={"Cookie": "session=forged"}
        )
    )
    await visitor.shows(anna)
    await visitor.close()


async def test_credentials_of_another_scheme_do_not_count_as_an_ended_session(
    screens: Screens, pool: Pool
) -> None:
    anna = await factories.instructor(pool)
    screen = await screens.open(additional_headers={"Authorization": "Basic c3RhZ2U6c3RhZ2U="})
    await screen.shows(anna)


async def test_sessions_that_end_close_their_sockets(
    screens: Screens, pool: Pool, settings: Settings
) -> None:
    ben, eva = await factories.student(pool), await factories.student(pool, "Eva")
    bens, evas = [await signed_in(screens, pool, settings, person) for person in (ben, eva)]
    visitor = await screens.open()
    await pool.execute(
        "update session set expires_at = now() - interval '1 second' where account_id = $1", ben.id
    )
    await pool.execute("update session set revoked_at = now() where account_id = $1", eva.id)
    assert await bens.ends() == 4401
    assert await evas.ends() == 4403
    await visitor.receives("beacon", after=len(visitor.messages))


# ---- refusals


async def test_an_invalid_message_is_refused_and_the_socket_stays_open(
    screens: Screens, pool: Pool
) -> None:
    anna = await factories.instructor(pool)
    screen = await screens.open()
    for text in (
        "",
        "hello",
        "[]",
        "1",
        "{}",
        '{"type": "shout"}',
        '{"type": 7}',
        '{"type": "watch"',
        "[" * 4000,
    ):
        await screen.connection.send(text)
    await screen.connection.send(b"\x00\x01 binary")
    await screen.shows(anna)
    assert [message["code"] for message in screen.of("error")] == ["BAD_MESSAGE"] * 10
    assert all(message["detail"] for message in screen.of("error"))


async def test_a_watch_with_a_wrong_value_is_refused_by_name(screens: Screens, pool: Pool) -> None:
    anna = await factories.instructor(pool)
    screen = await screens.open()
    firsts = ["tomorrow", "2026-02-30", 20261123, "9999-12-31", "0001-01-01", None]
    numbers = [0, 36, "7", True, 7.5, None]
    versions = [-1, "1", 2**70]
    invalid: list[dict[str, Any]] = [
        *({"first": first} for first in firsts),
        *({"days": days} for days in numbers),
        {"epoch": 5},
        *({"epoch": "e", "version": version} for version in versions),
    ]
    for fields in invalid:
        before = len(screen.messages)
        await screen.send(
            **(
                {"type": "watch", "instructor": str(anna.id), "first": str(anna.day()), "days": 7}
                | fields
            )
        )
        error = await screen.receives("error", after=before)
        assert (error["code"], error["instructor"]) == ("VALIDATION_ERROR", str(anna.id))
        assert next(reversed(fields)) in error["detail"]
    await screen.shows(anna)


async def test_an_unknown_instructor_is_not_found(screens: Screens, pool: Pool) -> None:
    anna = await factories.instructor(pool)
    screen = await screens.open()
    for instructor in (NOBODY, "anna", "", "' or 1=1 --", "\x00"):
        for resume in (
            {},
            {"epoch": "e", "version": 3},
            {"epoch": await pool.fetchval("select epoch()"), "version": 3},
        ):
            before = len(screen.messages)
            await screen.send(
                type="watch", instructor=instructor, first="2026-11-23", days=7, **resume
            )
            error = await screen.receives("error", after=before, code="NOT_FOUND")
            assert error.get("instructor", "") == instructor
    await screen.shows(anna)


async def test_more_than_4_kb_is_refused_and_more_than_16_kb_closes(
    screens: Screens, pool: Pool
) -> None:
    anna = await factories.instructor(pool)
    screen = await screens.open()
    await screen.watch(anna, padding="x" * 3800)
    await screen.receives("board")
    await screen.watch(anna, padding="x" * 4100)
    await screen.receives("error", code="LIMIT")
    await screen.watch(anna, padding="é" * 2100)  # bytes count, not characters
    await screen.receives("error", after=len(screen.of("board", "error", "beacon")), code="LIMIT")
    for size in (17_000, 10_000_000):
        screen = await screens.open()
        await screen.watch(anna, padding="x" * size)
        assert await screen.ends() == 1009


async def test_more_than_50_calendars_are_refused(screens: Screens, pool: Pool) -> None:
    instructors = [
        await factories.instructor(pool, f"Anna {number}", days=1) for number in range(51)
    ]
    screen = await screens.open()
    for instructor in instructors:
        await screen.watch(instructor, days=1)
    error = await screen.receives("error")
    assert (error["code"], error["instructor"]) == ("LIMIT", str(instructors[50].id))
    for instructor in instructors[:50]:
        await screen.receives("board", instructor=str(instructor.id))
    await screen.shows(
        instructors[49], days=2
    )  # another window of one that is watched is no further calendar
    for instructor in instructors[:50]:
        await screen.receives("board", instructor=str(instructor.id))
    await screen.send(type="unwatch", instructor=str(instructors[0].id))
    await screen.shows(instructors[50])
    assert len(screen.boards) == 51


async def test_more_than_120_messages_in_10_seconds_are_refused_and_a_flood_closes(
    screens: Screens, pool: Pool
) -> None:
    anna = await factories.instructor(pool)
    screen = await screens.open()
    await screen.shows(anna)
    for _ in range(119):
        await screen.send(type="unwatch", instructor=NOBODY)
    assert await screen.quiet(0.3) == []
    await screen.send(type="unwatch", instructor=NOBODY)
    await screen.receives("error", code="LIMIT")
    flooding = asyncio.create_task(_flood(screen, 1000))
    assert await screen.ends() == 4429
    await flooding


async def _flood(screen: Screen, count: int) -> None:
    try:
        for _ in range(count):
            await screen.send(type="unwatch", instructor=NOBODY)
            await asyncio.sleep(0)
    except ConnectionClosed:
        pass


async def test_a_client_that_sends_only_invalid_messages_is_closed_with_4400(
    screens: Screens,
) -> None:
    screen = await screens.open()
    for number in range(100):
        await screen.connection.send(f"nonsense {number}")
    assert await screen.ends() == 4400
    assert len(screen.of("error")) > 20


async def test_a_flood_of_pings_or_of_fragments_closes(screens: Screens) -> None:
    pinging = await screens.open()
    with contextlib.suppress(ConnectionClosed):  # the client may notice while it sends, or after
        for number in range(1000):
            await pinging.connection.ping(str(number))
    assert await pinging.ends() == 4429
    dribbling = await screens.open()

    async def crumbs() -> Any:
        for _ in range(5000):
            yield ""

    with contextlib.suppress(ConnectionClosed):
        await dribbling.connection.send(crumbs())
    assert await dribbling.ends() == 4429


async def test_other_sockets_are_not_affected(screens: Screens, pool: Pool) -> None:
    anna, ben = await factories.instructor(pool), await factories.student(pool)
    good = await screens.open()
    await good.shows(anna)
    bad = [await screens.open() for _ in range(5)]
    for screen in bad:
        for _ in range(150):
            await screen.connection.send("{" * 100)
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00"))
    await good.receives("change", version=1)
