"""Conditions that hold for the database at any time."""

from typing import Any

from app.db import Pool

STANDING = "('held', 'confirmed', 'completed', 'no_show')"


async def assert_nothing_overlaps(pool: Pool) -> None:
    """Compares the rows, without relying on constraints."""
    pairs = await pool.fetch(
        f"""select a.id, b.id from booking a join booking b on a.id < b.id
            where a.state in {STANDING} and b.state in {STANDING}
              and (a.instructor_id = b.instructor_id and a.blocked && b.blocked
                   or a.student_id = b.student_id and a.during && b.during)"""
    )
    assert pairs == []


async def assert_changes_match_board(pool: Pool) -> None:
    """Versions are contiguous from 1, and the last published content of each day equals the
    board."""
    for calendar in await pool.fetch("select instructor_id, version from calendar"):
        changes = await pool.fetch(
            """select version, days, events from outbox
               where instructor_id = $1 order by version""",
            calendar["instructor_id"],
        )
        assert [change["version"] for change in changes] == list(range(1, calendar["version"] + 1))
        last: dict[str, Any] = {}
        for change in changes:
            # A change without days and events invalidates the whole board.
            last = last | change["days"] if change["days"] or change["events"] else {}
        if last:
            board = "select board_days($1, array(select d::date from unnest($2::text[]) as d))"
            assert last == await pool.fetchval(board, calendar["instructor_id"], list(last))
