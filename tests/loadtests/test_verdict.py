"""The verdict passes a correct run and can fail: each fault is created once, and its check must
fail."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.bookings import booking
from app.db import Pool
from loadtests import results as files
from loadtests.results import InstructorEvents, Requests, Results, Rush, ScreenState
from loadtests.verdict import Verdict, judge, text
from tests import factories
from tests.factories import Account, Instructor

WRONG_SCREENS = "screens whose board differs from the database"


@pytest.fixture
async def anna(pool: Pool) -> Instructor:
    return await factories.instructor(pool, "Anna")


@pytest.fixture
async def ben(pool: Pool) -> Account:
    return await factories.student(pool, "Ben")


@pytest.fixture
async def run(pool: Pool, anna: Instructor, ben: Account) -> Results:
    """A small correct run: Ben booked one lesson, and one screen and Anna's own socket received
    it."""
    started = datetime.now(UTC) - timedelta(seconds=1)
    lesson = await booking.reserve(
        pool,
        ben.id,
        service_id=anna.service_id,
        start=anna.at("10:00"),
        minutes=30,
        location_type=None,
        location="12 Main St",
        note="",
        now=datetime.now(UTC),
    )
    await pool.execute("delete from outbox_unpublished")
    board = await pool.fetchrow(
        "select epoch, version, days from board($1, $2, 7)", anna.id, anna.day()
    )
    assert board is not None
    now = datetime.now(UTC).timestamp()
    return Results(
        "rush",
        "http://127.0.0.1:8000",
        2,
        started=started.timestamp(),
        ended=now + 1,
        ready=2,
        expected=2,
        students=[str(ben.id)],
        booked={str(lesson.id): str(anna.id)},
        rushes=[Rush(f"{anna.at('10:00'):%Y-%m-%dT%H:%M:%SZ}", {"201": 1, "409 SLOT_TAKEN": 1})],
        requests={"POST /api/bookings": Requests({"201": 1, "409 SLOT_TAKEN": 1}, [0.01, 0.02])},
        screens=[
            ScreenState(
                str(anna.id),
                anna.day().isoformat(),
                7,
                board["epoch"],
                board["version"],
                board["days"],
            )
        ],
        instructor_events=[InstructorEvents(str(anna.id), [str(lesson.id)], refreshed=False)],
        arrivals={str(anna.id): {board["version"]: [now + 0.02]}},
    )


def failed(verdict: Verdict) -> list[str]:
    return [check.name for check in verdict.checks if not check.passed]


async def test_a_good_run_passes(database_url: str, run: Results) -> None:
    verdict = await judge(database_url, run)
    assert failed(verdict) == []
    assert text(run, verdict).endswith("PASS: all checks passed.")
    commit_to_screen = next(row for row in verdict.numbers if row[0] == "commit to screen")
    assert commit_to_screen[1] == "1"


async def test_overlapping_lessons_fail_the_run(
    database_url: str, run: Results, pool: Pool, ben: Account
) -> None:
    """The constraints are dropped first, as they would refuse the overlaps."""
    await pool.execute("alter table booking drop constraint booking_instructor_no_overlap")
    await pool.execute("alter table booking drop constraint booking_student_no_overlap")
    await pool.execute(
        """insert into booking (
             instructor_id, student_id, service_id, state, during, blocked, service_name,
             price_cents, location_type, hourly_rate_cents, free_cancel_hours,
             free_cancel_until, version, created_at
           )
           select instructor_id, student_id, service_id, state, shifted, shifted, service_name,
                  price_cents, location_type, hourly_rate_cents, free_cancel_hours,
                  free_cancel_until, version,
                  created_at - interval '1 hour'
           from booking, lateral (
             select tstzrange(lower(during) + interval '15 minutes',
                              upper(during) + interval '15 minutes') as shifted
           ) as later"""
    )
    assert failed(await judge(database_url, run)) == [
        "lessons that overlap another of the instructor",
        "lessons that overlap another of the student",
        WRONG_SCREENS,
    ]


async def test_consecutive_lessons_do_not_overlap(
    database_url: str, run: Results, pool: Pool, anna: Instructor, ben: Account
) -> None:
    before = await _board(pool, anna)
    await booking.reserve(
        pool,
        ben.id,
        service_id=anna.service_id,
        start=anna.at("10:30"),
        minutes=30,
        location_type=None,
        location="12 Main St",
        note="",
        now=datetime.now(UTC),
    )
    assert before != await _board(pool, anna)
    assert not {"lessons that overlap another of the instructor"} & set(
        failed(await judge(database_url, run, grace=0))
    )


async def _board(pool: Pool, anna: Instructor) -> Any:
    return await pool.fetchval("select days from board($1, $2, 7)", anna.id, anna.day())


async def test_an_unpublished_change_fails_the_run(
    database_url: str, run: Results, pool: Pool
) -> None:
    await pool.execute(
        "insert into outbox_unpublished (instructor_id, version)"
        " select instructor_id, version from outbox"
    )
    assert failed(await judge(database_url, run, grace=0.4)) == ["changes not published"]


async def test_a_missing_version_fails_the_run(
    database_url: str, run: Results, pool: Pool, anna: Instructor
) -> None:
    await pool.execute("update outbox set version = version + 1")
    assert "calendars with a missing version" in failed(await judge(database_url, run))


async def test_a_screen_with_a_wrong_board_fails_the_run(
    database_url: str, run: Results, anna: Instructor
) -> None:
    """The screen shows the time of the lesson as free."""
    board = dict(run.screens[0].board)
    board[anna.day().isoformat()] = board[anna.day(2).isoformat()]
    verdict = await judge(
        database_url, replace(run, screens=[run.screens[0], replace(run.screens[0], board=board)])
    )
    assert failed(verdict) == [WRONG_SCREENS]
    assert "1 of 2" in text(run, verdict)


async def test_a_screen_left_behind_fails_the_run(database_url: str, run: Results) -> None:
    behind = replace(run.screens[0], version=run.screens[0].version - 1)
    assert failed(await judge(database_url, replace(run, screens=[behind]))) == [WRONG_SCREENS]


async def test_a_screen_of_another_epoch_fails_the_run(database_url: str, run: Results) -> None:
    assert failed(
        await judge(database_url, replace(run, screens=[replace(run.screens[0], epoch="another")]))
    ) == [WRONG_SCREENS]


async def test_a_screen_that_never_got_a_board_fails_the_run(
    database_url: str, run: Results
) -> None:
    empty = replace(run.screens[0], epoch=None, version=-1, board={})
    assert failed(await judge(database_url, replace(run, screens=[empty]))) == [WRONG_SCREENS]


async def test_a_late_change_fails_the_run(
    database_url: str, run: Results, anna: Instructor
) -> None:
    late = {str(anna.id): {1: [run.ended + 16]}}
    assert failed(await judge(database_url, replace(run, arrivals=late))) == [
        "changes that reached a screen after more than 15 s"
    ]


async def test_a_lesson_that_the_instructor_did_not_receive_fails_the_run(
    database_url: str, run: Results, anna: Instructor
) -> None:
    missed = "new lessons missing on the instructor's own socket"
    assert failed(
        await judge(
            database_url,
            replace(run, instructor_events=[InstructorEvents(str(anna.id), [], refreshed=False)]),
        )
    ) == [missed]
    assert (
        failed(
            await judge(
                database_url,
                replace(
                    run, instructor_events=[InstructorEvents(str(anna.id), [], refreshed=True)]
                ),
            )
        )
        == []
    )


async def test_a_201_without_its_row_fails_the_run(
    database_url: str, run: Results, pool: Pool
) -> None:
    contradiction = "bookings whose database row contradicts the response"
    assert contradiction in failed(
        await judge(database_url, replace(run, cancelled=list(run.booked)))
    )
    await pool.execute("delete from booking")
    assert contradiction in failed(await judge(database_url, run))


async def test_a_booking_without_a_response_fails_the_run(database_url: str, run: Results) -> None:
    assert failed(await judge(database_url, replace(run, booked={}))) == [
        "bookings in the database without a response"
    ]


async def test_a_request_without_a_response_fails_the_run(database_url: str, run: Results) -> None:
    lost = Requests({"no answer": 1}, [30])
    verdict = await judge(
        database_url, replace(run, booked={}, unanswered=1, requests={"POST /api/bookings": lost})
    )
    assert failed(verdict) == ["requests without a response"]


async def test_a_time_booked_twice_or_never_fails_the_run(database_url: str, run: Results) -> None:
    rush = run.rushes[0]
    for answers in ({"201": 2}, {"409 SLOT_TAKEN": 2}, {"201": 1, "503 UNAVAILABLE": 1}):
        assert failed(
            await judge(database_url, replace(run, rushes=[replace(rush, answers=answers)]))
        ) == ["times requested by all that did not become exactly one lesson"]


@pytest.mark.parametrize(
    ("answer", "check"),
    [
        ("500 BROKEN", "5xx responses"),
        ("503", "5xx responses"),
        ("401 NOT_SIGNED_IN", "unexpected refusals"),
        ("429 RATE_LIMITED", "unexpected refusals"),
        ("no answer", "requests without a response"),
    ],
)
async def test_an_unexpected_response_fails_the_run(
    database_url: str, run: Results, answer: str, check: str
) -> None:
    requests = {"GET /api/auth/me": Requests({"200": 3, answer: 1}, [0.1] * 4)}
    assert failed(await judge(database_url, replace(run, requests=requests))) == [check]


async def test_during_faults_a_request_may_get_a_503_or_no_response_but_no_other_5xx(
    database_url: str, run: Results, pool: Pool
) -> None:
    await pool.execute("update notification set sent_at = now()")

    def broken(answer: str, *errors: str) -> Results:
        requests = {"GET /api/auth/me": Requests({"200": 3, answer: 1}, [0.1] * 4)}
        return replace(run, repaired_at=run.started, requests=requests, socket_errors=list(errors))

    lost = (
        "UNAVAILABLE",
        "[Errno 111] Connection refused",
        "Handshake status 503 Service Unavailable",
    )
    for answer in ("503 UNAVAILABLE", "no answer"):
        assert failed(await judge(database_url, broken(answer, *lost))) == []
    assert failed(await judge(database_url, broken("500 BROKEN"))) == ["5xx responses"]
    late = replace(broken("503 UNAVAILABLE"), failed_at=[run.started + 14, run.started + 16])
    assert failed(await judge(database_url, late)) == ["requests refused or lost after the repair"]
    for error in ("BAD_MESSAGE", "Handshake status 500 Internal Server Error"):
        assert failed(await judge(database_url, broken("200", error))) == ["errors on sockets"]


async def test_a_mail_lost_during_faults_fails_the_run(
    database_url: str, run: Results, pool: Pool
) -> None:
    broken = replace(run, repaired_at=run.started)
    assert failed(await judge(database_url, broken, mail_grace=0)) == ["mails not sent"]
    await pool.execute("update notification set sent_at = now()")
    assert failed(await judge(database_url, broken, mail_grace=0)) == []
    # Withheld, because nobody has confirmed the address.
    await pool.execute("update notification set sent_at = null, withheld_at = now()")
    assert failed(await judge(database_url, broken, mail_grace=0)) == []
    await pool.execute("delete from notification where recipient_id in (select id from instructor)")
    assert failed(await judge(database_url, broken, mail_grace=0)) == ["mails not sent"]
    assert failed(await judge(database_url, run)) == []


async def test_a_change_may_be_late_only_until_15_seconds_after_the_repair(
    database_url: str, run: Results, pool: Pool, anna: Instructor
) -> None:
    await pool.execute("update notification set sent_at = now()")
    late = replace(run, arrivals={str(anna.id): {1: [run.ended + 16]}})
    assert failed(await judge(database_url, replace(late, repaired_at=run.ended))) == []
    assert failed(await judge(database_url, replace(late, repaired_at=run.started - 15))) == [
        "changes that reached a screen after more than 15 s"
    ]


async def test_a_cancellation_without_a_response_may_have_taken_effect(
    database_url: str, run: Results, pool: Pool
) -> None:
    uncertain = replace(run, uncertain=list(run.booked))
    assert failed(await judge(database_url, uncertain)) == []
    await pool.execute("update booking set state = 'cancelled'")
    contradiction = "bookings whose database row contradicts the response"
    assert contradiction not in failed(await judge(database_url, uncertain))
    assert contradiction in failed(await judge(database_url, run))


async def test_the_rows_of_holds_and_moves_must_agree_with_their_responses(
    database_url: str, run: Results, pool: Pool
) -> None:
    (lesson,) = run.booked
    wrong = "bookings whose database row contradicts the response"
    calm = replace(run, rushes=[])

    async def failures(results: Results) -> list[str]:
        return failed(await judge(database_url, results))

    start = run.rushes[0].start
    assert await failures(replace(calm, moved={lesson: start})) == []
    assert await failures(replace(calm, moved={lesson: "2030-01-01T15:00:00Z"})) == [wrong]
    held = replace(calm, held=[lesson])
    assert await failures(held) == [wrong]  # it was never confirmed, but the row is
    assert await failures(replace(held, confirmed=[lesson])) == []
    assert await failures(replace(held, uncertain=[lesson])) == []
    await pool.execute(
        "update booking set state = 'held', held_until = now() + interval '1 minute'"
    )
    assert wrong not in await failures(held)
    assert wrong in await failures(replace(held, confirmed=[lesson]))


async def test_an_expired_hold_that_was_not_released_fails_the_run(
    database_url: str, run: Results, pool: Pool
) -> None:
    (lesson,) = run.booked
    await pool.execute(
        "update booking set state = 'held', held_until = now() - interval '6 seconds'"
    )
    verdict = await judge(database_url, replace(run, rushes=[], held=[lesson]))
    assert "holds not released 5 s after they expired" in failed(verdict)


async def test_an_incomplete_crowd_fails_the_run(database_url: str, run: Results) -> None:
    incomplete = replace(run, ready=1, booked={}, rushes=[], students=[])
    assert failed(await judge(database_url, incomplete)) == [
        "users and screens that were ready at the start",
        "lessons booked",
    ]


def test_results_are_the_same_after_saving_and_loading(tmp_path: Path) -> None:
    results = Results(
        "spread",
        "http://127.0.0.1:8000",
        3,
        booked={"b": "i"},
        rushes=[Rush("2026-11-23T14:00:00Z", {"201": 1})],
        requests={"GET /": Requests({"200": 1}, [0.5])},
        screens=[ScreenState("i", "2026-11-23", 7, "e", 3, {"2026-11-23": {}})],
        instructor_events=[InstructorEvents("i", ["b"], refreshed=True)],
        arrivals={"i": {3: [1.5, 2.5]}},
    )
    results.save(tmp_path / "run" / "results.json")
    assert files.load(tmp_path / "run" / "results.json") == results
