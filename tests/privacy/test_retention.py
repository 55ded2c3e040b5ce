"""How long data is stored, and that deleting it delays no booking."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.accounts import session
from app.db import Pool
from app.privacy import retention
from app.settings import Settings
from loadtests import verdict
from tests import factories
from tests.factories import Account, Instructor

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PAUSE_SECONDS", 0)


async def changes(
    pool: Pool, instructor_id: UUID, *days_ago: int, unpublished: tuple[int, ...] = ()
) -> None:
    """Inserts the changes 1, 2, … of a calendar, each the given number of days old."""
    for version, days in enumerate(days_ago, 1):
        await pool.execute(
            """insert into outbox (instructor_id, version, days, created_at)
               values ($1, $2, '{}', $3)""",
            instructor_id, version, NOW - timedelta(days=days),
        )  # fmt: skip
    queue = "insert into outbox_unpublished (instructor_id, version) values ($1, $2)"
    for version in unpublished:
        await pool.execute(queue, instructor_id, version)
    update = "update calendar set version = $2 where instructor_id = $1"
    await pool.execute(update, instructor_id, len(days_ago))


async def versions(pool: Pool, instructor: Account) -> list[int]:
    query = "select version from outbox where instructor_id = $1 order by version"
    rows = await pool.fetch(query, instructor.id)
    return [row["version"] for row in rows]


async def instructors(pool: Pool, count: int) -> list[Instructor]:
    return [await factories.instructor(pool, f"Anna {number}", days=0) for number in range(count)]


async def test_changes_are_stored_for_a_week(pool: Pool) -> None:
    anna, dora, emma = await instructors(pool, 3)
    await changes(pool, anna.id, *([9] * 249), 8, 6, 1)  # more than one batch
    await changes(pool, dora.id, 3, 2)
    await changes(pool, emma.id)
    assert await retention.delete_changes(pool, before=NOW - timedelta(days=7)) == 250
    assert await versions(pool, anna) == [251, 252]
    assert await versions(pool, dora) == [1, 2]


async def test_the_newest_change_of_a_calendar_stays_at_any_age(pool: Pool) -> None:
    anna, dora, emma = await instructors(pool, 3)
    for instructor in (anna, dora, emma):
        await changes(pool, instructor.id, 30, 20, 10)
    assert await retention.delete_changes(pool, before=NOW - timedelta(days=7)) == 6
    for instructor in (anna, dora, emma):
        assert await versions(pool, instructor) == [3]


async def test_every_calendar_is_visited(pool: Pool) -> None:
    await pool.execute(
        """with new_account as (
             insert into account (email, full_name, password_hash)
             select n || '@example.com', 'Anna', '' from generate_series(1, 130) as n returning id
           ), profile as (
             insert into instructor (id) select id from new_account returning id
           )
           insert into calendar (instructor_id, version) select id, 2 from profile"""
    )
    await pool.execute(
        """insert into outbox (instructor_id, version, days, created_at)
           select instructor_id, n, '{}', $1 from calendar, generate_series(1, 2) as n""",
        NOW - timedelta(days=10),
    )
    assert await retention.delete_changes(pool, before=NOW - timedelta(days=7)) == 130
    assert await pool.fetchval("select array_agg(distinct version) from outbox") == [2]


async def test_an_unpublished_change_and_its_successors_stay(pool: Pool) -> None:
    (anna,) = await instructors(pool, 1)
    await changes(pool, anna.id, 30, 29, 28, 27, 1, unpublished=(3, 5))
    assert await retention.delete_changes(pool, before=NOW - timedelta(days=7)) == 2
    assert await versions(pool, anna) == [3, 4, 5]


async def test_the_remaining_changes_have_no_gap_even_after_a_clock_ran_backwards(
    pool: Pool,
) -> None:
    (anna,) = await instructors(pool, 1)
    await changes(pool, anna.id, 30, 29, 5, 20, 19, 4)
    assert await retention.delete_changes(pool, before=NOW - timedelta(days=7)) == 2
    assert await versions(pool, anna) == [3, 4, 5, 6]
    assert await verdict._broken_versions.all(pool, instructors=[anna.id]) == []


async def test_idempotency_keys_are_stored_for_a_day(pool: Pool) -> None:
    ben, carl = await factories.student(pool, "Ben"), await factories.student(pool, "Carl")
    for hours in (25, 23):
        await pool.execute(
            """insert into idempotency_key (account_id, key, fingerprint, answer, created_at)
               select account_id, $2 || '-' || n, '', '{}', $3
               from unnest($1::uuid[]) as account_id, generate_series(1, 700) as n""",
            [ben.id, carl.id], str(hours), NOW - timedelta(hours=hours),
        )  # fmt: skip
    assert await retention.delete_keys(pool, before=NOW - retention.KEYS_KEPT) == 1_400
    count = "select count(*) from idempotency_key"
    assert await pool.fetchval(f"{count} where key like '23-%'") == 1_400
    assert await pool.fetchval(count) == 1_400


async def test_only_sessions_that_ended_long_ago_are_deleted(
    pool: Pool, settings: Settings
) -> None:
    ben = await factories.student(pool, "Ben")
    for _ in range(7):
        await session.open(pool, ben.id, settings, now=NOW)
    ended = [row["id"] for row in await pool.fetch("select id from session limit 5")]
    long_ago, recently = NOW - timedelta(days=31), NOW - timedelta(days=29)
    end = "update session set expires_at = $2, revoked_at = $3 where id = $1"
    await pool.execute(end, ended[0], long_ago, None)
    await pool.execute(end, ended[1], long_ago, NOW)
    await pool.execute(end, ended[2], NOW + timedelta(days=7), long_ago)
    await pool.execute(end, ended[3], recently, None)
    await pool.execute(end, ended[4], NOW + timedelta(days=7), recently)
    assert await retention.delete_sessions(pool, before=NOW - retention.SESSIONS_KEPT) == 3
    remaining = {row["id"] for row in await pool.fetch("select id from session")}
    assert len(remaining) == 4
    assert remaining.isdisjoint(ended[:3])


async def test_dev_mails_are_stored_for_a_week(pool: Pool) -> None:
    for days, count in ((20, 2_500), (8, 1), (6, 1)):
        await pool.execute(
            """insert into dev_mail (created_at, sender, recipient, subject, body_text, body_html)
               select $1, '', '', '', '', '' from generate_series(1, $2)""",
            NOW - timedelta(days=days), count,
        )  # fmt: skip
    assert await retention.delete_dev_mails(pool, before=NOW - retention.DEV_MAILS_KEPT) == 2_501
    assert await pool.fetchval("select count(*) from dev_mail") == 1


async def test_the_audit_is_stored_for_two_years(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00", day=3))
    await pool.execute(
        """with booked as (
             select uuidv7(shift) as id, now() + shift as at
             from unnest(array['-800 days', '-735 days', '-700 days']::interval[]) as shift,
                  generate_series(1, 600)
           )
           insert into booking_audit (booking_id, at, event, to_state)
           select id, at, 'created', 'confirmed' from booked
           union all select id, at + interval '30 days', 'completed', 'completed' from booked"""
    )
    assert await retention.delete_audit(pool, before=NOW - retention.AUDIT_KEPT) == 1_800
    assert await retention.delete_audit(pool, before=NOW - retention.AUDIT_KEPT) == 0
    assert await pool.fetchval("select count(*) from booking_audit") == 600 + 1_200 + 1


async def test_searches_are_stored_for_ninety_days_and_those_of_guests_for_thirty(
    pool: Pool,
) -> None:
    for is_guest in (False, True):
        for days in (10, 40, 100):
            query = f"{'guest' if is_guest else 'account'} {days}"
            times = (UUID(int=days), is_guest, query, NOW - timedelta(days=days))
            await pool.execute(
                """insert into search_history (visitor_id, is_guest, query, folded, searched_at)
                   values ($1, $2, $3, $3, $4)""",
                *times,
            )
            await pool.execute(
                """with new_search as (
                     insert into search (id, visitor_id, is_guest, query, results, searched_at)
                     values (gen_random_uuid(), $1, $2, $3, 1, $4) returning *
                   )
                   insert into search_interaction (search_id, visitor_id, is_guest, instructor_id,
                                                   kind, at)
                   select id, visitor_id, is_guest, visitor_id, 'shown', searched_at
                   from new_search""",
                *times,
            )
    deleted = await retention.run(pool, now=NOW)
    recent = ["account 10", "account 40", "guest 10"]
    for table in ("search_history", "search"):
        rows = await pool.fetch(f"select query from {table} order by query")
        assert [row["query"] for row in rows] == recent
    assert deleted["search_history"] == deleted["searches"] == deleted["search_interactions"] == 3
    assert await pool.fetchval("select count(*) from search_interaction") == 3


async def test_a_second_run_finds_nothing_to_do(pool: Pool) -> None:
    (anna,) = await instructors(pool, 1)
    await changes(pool, anna.id, 30, 20, 10)
    assert sum((await retention.run(pool, now=NOW)).values()) == 2
    assert sum((await retention.run(pool, now=NOW)).values()) == 0


async def test_a_booking_does_not_wait_for_a_batch_that_has_not_committed(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    await changes(pool, anna.id, 30, 20, 10)
    old = NOW - timedelta(days=3)
    await pool.execute(
        """insert into idempotency_key (account_id, key, fingerprint, answer, created_at)
           values ($1, 'a', '', '{}', $2)""",
        ben.id, old,
    )  # fmt: skip
    insert_session = "insert into session (account_id, expires_at) values ($1, $2)"
    await pool.execute(insert_session, ben.id, NOW - timedelta(days=90))
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        # With this clock everything is old, and the open transaction commits no batch.
        later = NOW + timedelta(days=3)
        deleted = await retention.run(connection, now=later)  # type: ignore[arg-type]  # not a pool
        assert (deleted["changes"], deleted["idempotency_keys"], deleted["sessions"]) == (2, 1, 1)
        # A lock would be awaited for two seconds, and then the booking refused.
        lesson = await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:00", day=3))
        await transaction.rollback()
    assert lesson.version == 4


async def test_a_change_written_during_the_run_stays(pool: Pool) -> None:
    anna, ben = await factories.instructor(pool, "Anna"), await factories.student(pool, "Ben")
    await changes(pool, anna.id, *([30] * 40))

    async def book() -> None:
        for hour in (10, 11, 12):
            await factories.lesson(pool, ben.id, anna.service_id, anna.at(f"{hour}:00", day=3))

    await asyncio.gather(retention.delete_changes(pool, before=NOW - timedelta(days=7)), book())
    await retention.delete_changes(pool, before=NOW - timedelta(days=7))
    assert await verdict._broken_versions.all(pool, instructors=[anna.id]) == []
    assert (await versions(pool, anna))[-3:] == [41, 42, 43]
