"""Checks the results of a load test against the database: bookings, changes and the content of
every screen. No other module of the load tests reads the database, apart from the benchmarks."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from app.db import Pool, connect
from app.embedded import run_file
from app.statements import statement
from loadtests.results import Results, ScreenState
from loadtests.scenarios import RELEASE_SECONDS
from loadtests.table import columns, milliseconds, percentile

# Longest time that a committed change may stay unpublished after the run.
GRACE_SECONDS = 10.0
# A mail waits half a minute after its worker was killed, and longer after each failure.
MAIL_SECONDS = 120.0
_POLL_SECONDS = 0.2
# The guarantee: no connected screen is behind for longer (docs/guarantees.md).
STALE_SECONDS = 15.0
# Answers that a crowd may get.
_EXPECTED = (
    "2",
    "409 SLOT_TAKEN",
    "409 STUDENT_BUSY",
    "409 OUTSIDE_AVAILABILITY",
    "409 HOLD_EXPIRED",
    "409 HOLD_LIMIT",
)


@dataclass(frozen=True)
class Check:
    """One condition; `value` is the measured value."""

    name: str
    value: str
    passed: bool


@dataclass(frozen=True)
class Verdict:
    checks: list[Check]
    numbers: list[tuple[str, ...]]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)


@dataclass(frozen=True)
class Overlaps:
    of_instructors: int
    of_students: int


@dataclass(frozen=True)
class Row:
    """A booking of the run."""

    id: UUID
    instructor_id: UUID
    state: str
    start: str


@dataclass(frozen=True)
class Commit:
    instructor_id: UUID
    version: int
    created_at: datetime


@dataclass(frozen=True)
class Board:
    """A window of a calendar, computed by the database."""

    instructor_id: UUID
    first: date
    length: int
    epoch: str
    version: int
    days: dict[str, Any]


_overlaps = statement("verdict_overlaps", Overlaps)
_unpublished = statement("verdict_unpublished", int)
_overdue_holds = statement("verdict_overdue_holds", int)
_unsent_mails = statement("verdict_unsent_mails", int)
_broken_versions = statement("verdict_broken_versions", UUID)
_bookings = statement("verdict_bookings", Row)
commits = statement("verdict_commits", Commit)
_boards = statement("verdict_boards", Board)
_clock = statement("verdict_clock", datetime)


def database_of(data: Path) -> str:
    """The address of the database: DATABASE_URL, else that of the `up` with this data folder; empty
    if neither exists."""
    return os.environ.get("DATABASE_URL") or run_file.read(data).get("database_url", "")


async def judge(
    database_url: str,
    results: Results,
    *,
    grace: float = GRACE_SECONDS,
    mail_grace: float = MAIL_SECONDS,
) -> Verdict:
    """Compares the results with the database. Raises OSError or asyncpg's errors when it cannot be
    read."""
    pool = await connect(database_url, size=2, name="verdict")
    try:
        unpublished = await _remaining(lambda: _unpublished.one(pool), grace)
        ahead = await _clock_ahead(pool)
        since = datetime.fromtimestamp(results.started, UTC) + ahead
        instructors = list(
            {UUID(instructor) for instructor in (*results.arrivals, *results.booked.values())}
        )
        rows = await _bookings.all(
            pool,
            booked=[UUID(booking) for booking in results.booked],
            students=[UUID(student) for student in results.students],
            since=since,
        )
        written = await commits.all(pool, instructors=instructors, since=since)
        delays = _delays(results, written, ahead)
        bounded_delays = (
            delays
            if results.repaired_at is None
            else _delays(results, _after(results.repaired_at, written), ahead)
        )
        checks = [
            *_overlap_checks(await _overlaps.one(pool)),
            _must_be_zero("changes not published", unpublished),
            _must_be_zero(
                "calendars with a missing version",
                len(await _broken_versions.all(pool, instructors=instructors)),
            ),
            *_answer_checks(results, rows),
            _must_be_zero(
                f"holds not released {RELEASE_SECONDS} s after they expired",
                await _overdue_holds.one(pool, seconds=RELEASE_SECONDS),
            ),
            *_screen_checks(results, await _boards_of(pool, results.screens)),
            *_instructor_event_checks(results),
            _must_be_zero(
                f"changes that reached a screen after more than {STALE_SECONDS:.0f} s",
                sum(d > STALE_SECONDS for d in bounded_delays),
            ),
            *await _mails(pool, results, mail_grace),
            *_request_checks(results),
            *_completeness_checks(results, rows),
        ]
        return Verdict(checks, _numbers(results, rows, delays))
    finally:
        await pool.close()


async def _remaining(count: Callable[[], Awaitable[int]], grace: float) -> int:
    """The count when it reaches zero or `grace` seconds have passed."""
    for _ in range(round(grace / _POLL_SECONDS)):
        if await count() == 0:
            return 0
        await asyncio.sleep(_POLL_SECONDS)
    return await count()


async def _mails(pool: Pool, results: Results, grace: float) -> list[Check]:
    """Whether all mails were sent. Checked after injected faults only; other runs do not wait."""
    if results.repaired_at is None:
        return []
    only_held = set(results.held) - set(results.confirmed)
    bookings = [UUID(booking) for booking in results.booked if booking not in only_held]
    return [
        _must_be_zero(
            "mails not sent",
            await _remaining(lambda: _unsent_mails.one(pool, bookings=bookings), grace),
        )
    ]


async def _clock_ahead(pool: Pool) -> timedelta:
    """How far the database's clock is ahead of ours, accurate to half a round trip."""
    samples = []
    for _ in range(5):
        before = datetime.now(UTC)
        database_time = await _clock.one(pool)
        after = datetime.now(UTC)
        samples.append((after - before, database_time - (before + (after - before) / 2)))
    return min(samples)[1]


# ---- the checks


def _must_be_zero(name: str, count: int, of: str = "") -> Check:
    return Check(name, f"{count}{of}", count == 0)


def _overlap_checks(overlaps: Overlaps) -> list[Check]:
    return [
        _must_be_zero("lessons that overlap another of the instructor", overlaps.of_instructors),
        _must_be_zero("lessons that overlap another of the student", overlaps.of_students),
    ]


def _answer_checks(results: Results, rows: Sequence[Row]) -> list[Check]:
    """Every 201 must be a row in the right state; every row must have a 201 or belong to a request
    without a response."""
    row_of = {str(row.id): row for row in rows}
    wrong_rows = sum(
        not _is_correct(results, booking, row_of.get(booking)) for booking in results.booked
    )
    unknown_rows = len(row_of.keys() - results.booked.keys())
    checks = [
        _must_be_zero(
            "bookings whose database row contradicts the response",
            wrong_rows,
            f" of {len(results.booked)}",
        ),
        Check(
            "bookings in the database without a response",
            str(unknown_rows),
            unknown_rows <= results.unanswered,
        ),
    ]
    if results.rushes:
        lessons = [sum(row.start == rush.start for row in rows) for rush in results.rushes]
        wrong = sum(
            n != 1
            or rush.answers.get("201", 0) != 1
            or set(rush.answers) - {"201", "409 SLOT_TAKEN", "409 STUDENT_BUSY"} != set()
            for n, rush in zip(lessons, results.rushes, strict=True)
        )
        checks.append(
            _must_be_zero(
                "times requested by all that did not become exactly one lesson",
                wrong,
                f" of {len(lessons)}",
            )
        )
    return checks


def _is_correct(results: Results, booking: str, row: Row | None) -> bool:
    """Whether a booking's row agrees with the responses about it."""
    if row is None:
        return False
    states = {"confirmed"}
    if booking in results.held and booking not in results.confirmed:
        states = {"held", "expired"}
    if booking in results.cancelled:
        states = {"cancelled"}
    if booking in results.uncertain:
        return row.state in {*states, "confirmed", "cancelled"}
    return row.state in states and row.start == results.moved.get(booking, row.start)


async def _boards_of(
    pool: Pool, screens: Sequence[ScreenState]
) -> dict[tuple[str, str, int], Board]:
    windows = sorted({(screen.instructor, screen.first, screen.days) for screen in screens})
    boards = await _boards.all(
        pool,
        instructors=[UUID(instructor) for instructor, _, _ in windows],
        firsts=[date.fromisoformat(first) for _, first, _ in windows],
        lengths=[days for _, _, days in windows],
    )
    return {
        (str(board.instructor_id), board.first.isoformat(), board.length): board for board in boards
    }


def _screen_checks(results: Results, boards: dict[tuple[str, str, int], Board]) -> list[Check]:
    differ = [
        screen
        for screen in results.screens
        if not _same(screen, boards.get((screen.instructor, screen.first, screen.days)))
    ]
    value = f"{len(differ)} of {len(results.screens)}"
    if differ:
        board = boards.get((differ[0].instructor, differ[0].first, differ[0].days))
        version = board.version if board else "none"
        value += f" (for example version {differ[0].version}; the database has {version})"
    return [Check("screens whose board differs from the database", value, not differ)]


def _same(screen: ScreenState, board: Board | None) -> bool:
    return board is not None and (screen.epoch, screen.version, screen.board) == (
        board.epoch,
        board.version,
        board.days,
    )


def _instructor_event_checks(results: Results) -> list[Check]:
    """Whether instructors received each new lesson on their own sockets. After a fault, a newer
    message about it may come first, and the older ones are not sent then. After a `refresh` some
    may be missing."""
    if not results.instructor_events:
        return []
    missed = 0
    for own in results.instructor_events:
        booked = {
            booking
            for booking, instructor in results.booked.items()
            if instructor == own.instructor
        }
        missed += 0 if own.refreshed else len(booked - set(own.bookings))
    return [_must_be_zero("new lessons missing on the instructor's own socket", missed)]


def _request_checks(results: Results) -> list[Check]:
    counts: dict[str, int] = {}
    for requests in results.requests.values():
        for answer, count in requests.answers.items():
            counts[answer] = counts.get(answer, 0) + count
    total = sum(counts.values())
    errors, late = results.socket_errors, []
    if results.repaired_at is not None:
        # During faults a 503 or a missing response is allowed, but not after the repair.
        excused = {answer: counts.pop(answer, 0) for answer in ("503 UNAVAILABLE", "no answer")}
        errors = [error for error in errors if not _excused(error)]
        calm = results.repaired_at + STALE_SECONDS
        after = sum(began > calm for began in results.failed_at)
        named = ", ".join(f"{count} × {answer}" for answer, count in excused.items())
        late = [
            _must_be_zero("requests refused or lost after the repair", after, f" ({named} before)")
        ]
    broken = sum(count for answer, count in counts.items() if answer.startswith("5"))
    unexpected = {
        answer: count
        for answer, count in counts.items()
        if not answer.startswith((*_EXPECTED, "5")) and answer != "no answer"
    }
    named = ", ".join(f"{count} × {answer}" for answer, count in sorted(unexpected.items()))
    return [
        _must_be_zero("5xx responses", broken, f" of {total}"),
        _must_be_zero("requests without a response", counts.get("no answer", 0)),
        *late,
        Check("unexpected refusals", named or "0", not unexpected),
        _must_be_zero("errors on sockets", len(errors), f" ({errors[0]})" if errors else ""),
    ]


def _excused(error: str) -> bool:
    """Whether a socket may report this error, or be refused with it, during a fault."""
    if error.isupper():  # a protocol error code
        return error == "UNAVAILABLE"
    return not error.startswith("Handshake status") or error.startswith("Handshake status 503")


def _completeness_checks(results: Results, rows: Sequence[Row]) -> list[Check]:
    """A run without all its users proves nothing."""
    complete = results.ready == results.expected and len(results.screens) > 0
    return [
        Check(
            "users and screens that were ready at the start",
            f"{results.ready} of {results.expected}",
            complete,
        ),
        Check("lessons booked", str(_lessons(rows)), _lessons(rows) > 0),
    ]


def _lessons(rows: Sequence[Row]) -> int:
    return sum(row.state not in {"held", "expired"} for row in rows)


# ---- the numbers


def _delays(results: Results, commits: Sequence[Commit], ahead: timedelta) -> list[float]:
    """Seconds from writing each change, just before its commit, to its arrival at each connected
    screen."""
    written = {
        (str(commit.instructor_id), commit.version): (commit.created_at - ahead).timestamp()
        for commit in commits
    }
    return [
        at - written[instructor, version]
        for instructor, versions in results.arrivals.items()
        for version, arrivals in versions.items()
        if (instructor, version) in written
        for at in arrivals
    ]


def _after(repaired_at: float, commits: Sequence[Commit]) -> list[Commit]:
    """The commits made after the product had STALE_SECONDS to recover."""
    return [
        commit for commit in commits if commit.created_at.timestamp() > repaired_at + STALE_SECONDS
    ]


def _numbers(
    results: Results, rows: Sequence[Row], delays: Sequence[float]
) -> list[tuple[str, ...]]:
    table: list[tuple[str, ...]] = [("", "count", "p50", "p95", "p99", "max", "answers")]
    table.append(
        (
            "commit to screen",
            f"{len(delays):,}",
            *_percentiles(delays),
            f"{results.reconnects} reconnects, {results.gaps} gaps",
        )
    )
    for name, requests in sorted(results.requests.items()):
        answers = ", ".join(
            f"{count:,} × {answer}" for answer, count in sorted(requests.answers.items())
        )
        table.append((name, f"{len(requests.seconds):,}", *_percentiles(requests.seconds), answers))
    seconds = results.ended - results.started
    table.append(
        (
            "lessons booked",
            f"{_lessons(rows):,}",
            "",
            "",
            "",
            "",
            f"in {seconds:.0f} s, including settling",
        )
    )
    return table


def _percentiles(seconds: Sequence[float]) -> tuple[str, ...]:
    return tuple(milliseconds(percentile(seconds, q)) for q in (50, 95, 99, 100))


def text(results: Results, verdict: Verdict) -> str:
    """The verdict as text."""
    checks = [
        ("PASS" if check.passed else "FAIL", check.name, check.value) for check in verdict.checks
    ]
    title = f"{results.scenario} · {results.people} users · {results.url}"
    ending = (
        "PASS: all checks passed."
        if verdict.passed
        else f"FAIL: {sum(not check.passed for check in verdict.checks)} failed."
    )
    return "\n".join(
        [
            title,
            "",
            *columns(checks, indent="  "),
            "",
            *columns(verdict.numbers, indent="  "),
            "",
            ending,
        ]
    )
