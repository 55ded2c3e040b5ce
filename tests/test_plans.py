"""Hot statements use their indexes, also inside the SQL functions and also once the plan is generic. Seen through auto_explain, in
a database with enough rows that scanning all of them would be the planner's mistake and not its choice."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

import app.main
import app.operators
import jobs.worker
import realtime.relay
from app import db
from app.statements import CATALOG, STATEMENTS

BIG = "account|session|calendar|availability|booking|booking_audit|idempotency_key|outbox|notification|service|next_start"

FILL = """
insert into account (id, email, full_name, password_hash)
select ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, n || '@example.com', 'Person ' || n, '' from generate_series(1, 4000) as n;
insert into account_role select id, 'student' from account;
insert into instructor (id) select id from account order by id limit 1000;
insert into calendar (instructor_id) select id from instructor;
insert into availability (instructor_id, during)
select id, tstzrange(day + interval '13 h', day + interval '23 h')
from instructor, (select date_trunc('day', now()) + n * interval '1 day' as day from generate_series(1, 14) as n) as days;
insert into service (id, instructor_id, catalog_service, hourly_rate_cents, durations_minutes, location_types)
select id, id, 'piano', 7000, '{60}', '{student}' from instructor;
insert into next_start (instructor_id, minutes, start, valid_until)
select id, 60, now() + row_number() over () * interval '1 minute', now() + row_number() over () * interval '1 minute' from instructor;
insert into booking (instructor_id, student_id, service_id, state, during, blocked, service_name, price_cents,
                     location_type, free_cancel_until, version, created_at)
select instructor.id, student.id, instructor.id, 'confirmed', during, during, 'Piano', 7000, 'student', now(), n, now()
from (select id, row_number() over (order by id) as number from instructor) as instructor,
     generate_series(1, 12) as n,
     lateral (select ('00000000-0000-0000-0000-' || lpad((1000 + (number + n * 173) % 3000)::text, 12, '0'))::uuid as id) as student,
     lateral (select tstzrange(day + interval '13 h', day + interval '14 h') as during
              from (select date_trunc('day', now()) + n * interval '1 day' as day) as d) as times
on conflict do nothing;
insert into outbox (instructor_id, version, days)
select instructor_id, version, '{}' from booking;
insert into notification (kind, recipient_id, booking_id, due_at, sent_at)
select 'booking_confirmed', student_id, id, now(), now() from booking;
insert into session (id, account_id, expires_at) select id, id, now() + interval '1 day' from account;
update calendar set version = 100;
analyze;
"""


class Watched:
    """A connection whose every plan, nested ones too, is kept."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.plans: list[str] = []

    def keep(self, _: Any, message: Any) -> None:
        if "plan:" in message.message:
            self.plans.append(message.message)

    async def scans(self, sql: str, *arguments: Any) -> list[str]:
        """The sequential scans of large tables that this made, with their statement."""
        self.plans.clear()
        transaction = self.connection.transaction()
        await transaction.start()
        await self.connection.fetch(sql, *arguments)
        await transaction.rollback()
        assert self.plans
        return [plan for plan in self.plans if re.search(rf"Seq Scan on ({BIG})\b", plan)]


@pytest.fixture
async def watched(database_url: str) -> AsyncIterator[Watched]:
    connection = await asyncpg.connect(database_url)
    await db._prepare_connection(connection)
    await connection.execute(FILL)
    await connection.execute(
        """load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on;
           set client_min_messages = log; set plan_cache_mode = force_generic_plan; set jit = off"""
    )
    watched = Watched(connection)
    connection.add_log_listener(watched.keep)
    try:
        yield watched
    finally:
        connection.remove_log_listener(watched.keep)
        await connection.close()


def person(number: int) -> UUID:
    return UUID(f"00000000-0000-0000-0000-{number:012}")


async def test_reserving_cancelling_and_looking_scan_no_table(watched: Watched) -> None:
    now = datetime.now(UTC)
    start = now.replace(hour=16, minute=0, second=0, microsecond=0) + timedelta(days=3)
    reserve = "select refusal from reserve($1, $2, $3, 60, null, '', '', $4)"
    assert await watched.scans(reserve, person(3999), person(7), start, now) == []
    assert await watched.scans(reserve, person(3999), person(7), start - timedelta(hours=3), now) == []
    booking = await watched.connection.fetchval("select id from booking where instructor_id = $1 limit 1", person(7))
    assert await watched.scans("select refusal from cancel_booking($1, $2, '', $3)", person(7), booking, now) == []
    assert await watched.scans("select days from board($1, $2, 7)", person(7), now.date()) == []
    day = (now + timedelta(days=2)).date().isoformat()
    assert await watched.scans("select version from replace_days($1, $2, null, $3)", person(7), {day: [[540, 720]]}, now) == []
    buffer = "select update_instructor($1, null, null, null, null, null, 30, null, $2)"
    assert await watched.scans(buffer, person(7), now) == []
    assert await watched.scans("select remove_service($1, $1)", person(7)) == []


HOT: dict[str, dict[str, Any]] = {
    "session_by_id": {"session_id": person(1500), "now": datetime.now(UTC)},
    "insert_session": {
        "account_id": person(1500), "now": datetime.now(UTC), "expires_at": datetime.now(UTC) + timedelta(days=7),
    },
    "renew_session": {"session_id": person(1500), "expires_at": datetime.now(UTC) + timedelta(days=7)},
    "revoke_session": {"session_id": person(1500)},
    "revoke_session_of": {"session_id": person(1500), "account_id": person(1500), "now": datetime.now(UTC)},
    "revoke_sessions": {"account_id": person(1500)},
    "sessions_of_account": {
        "account_id": person(1500), "now": datetime.now(UTC), "created_at": None, "id": None, "limit": 20,
    },
    "dead_sessions": {"session_ids": [person(n) for n in range(1, 20)], "now": datetime.now(UTC)},
    "secret_by_email": {"email": "1500@example.com"},
    "insert_account": {
        "email": "new@example.com", "password_hash": "", "full_name": "New", "time_zone": "UTC", "role": "instructor",
    },
    "replace_password_hash": {"account_id": person(1500), "before": "", "after": "x"},
    "become_instructor": {"id": person(1500)},
    "services_of": {"instructor_id": person(7), "after": None, "limit": 20},
    "insert_service": {
        "instructor_id": person(7), "catalog_service": "guitar", "description": "", "hourly_rate_cents": 7000,
        "durations_minutes": [60], "location_types": ["public"], "levels": [], "audiences": [],
    },
    "update_service": {
        "id": person(7), "instructor_id": person(7), "description": None, "hourly_rate_cents": 8000,
        "durations_minutes": None, "location_types": None, "levels": None, "audiences": None,
    },
    "set_teaching": {"id": person(7), "teaches": False},
    "instructor_of_booking": {"booking_id": person(1)},
    "instructor_of_service": {"id": person(7)},
    "week": {"instructor_id": person(7), "start": datetime.now(UTC).date()},
    "board": {"instructor_id": person(7), "first": datetime.now(UTC).date(), "days": 7},
    "public_calendar": {"instructor_id": person(7), "now": datetime.now(UTC)},
    "public_days": {"instructor_id": person(7), "first": datetime.now(UTC).date(), "days": 30, "earliest": datetime.now(UTC)},
    "next_available": {
        "instructor_id": person(7), "minutes": None, "now": datetime.now(UTC), "latest": datetime.now(UTC) + timedelta(days=90),
    },
    "free_ranges": {"instructor_id": person(7), "first": datetime.now(UTC).date(), "days": 5},
    "lessons_of_student": {
        "student_id": person(1500), "from_instant": datetime.now(UTC), "to_instant": datetime.now(UTC) + timedelta(days=2),
        "now": datetime.now(UTC),
    },
    "next_starts": {
        "instructors": [person(7), person(8)], "minutes": [60, 60], "now": datetime.now(UTC),
        "latest": datetime.now(UTC) + timedelta(days=90),
    },
    "free_next": {
        "words": [], "category": None, "service": None, "limit": 24, "now": datetime.now(UTC),
        "latest": datetime.now(UTC) + timedelta(days=90),
    },
    "free_times": {"instructors": [person(7), person(8)], "minutes": [60, 60], "days": 15, "now": datetime.now(UTC)},
    "store_next_starts": {
        "instructors": [person(7)], "minutes": [60], "revisions": [1], "starts": [datetime.now(UTC)],
        "valid_until": [datetime.now(UTC)],
    },
    "passed_next_starts": {"now": datetime.now(UTC) - timedelta(days=1), "limit": 100},
    "cards": {"services": [person(7), person(8)], "now": datetime.now(UTC), "days": 14},
    "instructor": {"id": person(7)},
    "offers": {
        "limit": 21, "after": None, "service": None, "category": None, "area": None,
        "min_price": None, "max_price": None, "minutes": None,
    },
    "booking": {"id": person(1)},
    "student_bookings_upcoming": {"account_id": person(1500), "now": datetime.now(UTC), "start": datetime.now(UTC) - timedelta(days=1), "id": person(0), "limit": 20},
    "instructor_bookings_upcoming": {"account_id": person(7), "now": datetime.now(UTC), "start": datetime.now(UTC) - timedelta(days=1), "id": person(0), "limit": 20},
    "student_bookings_earlier": {
        "account_id": person(1500), "states": ["confirmed"], "ended_by": datetime.now(UTC), "start": datetime.now(UTC), "id": person(0), "limit": 20,
    },
    "instructor_bookings_earlier": {
        "account_id": person(7), "states": ["cancelled"], "ended_by": datetime.now(UTC), "start": datetime.now(UTC), "id": person(0), "limit": 20,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", HOT)
async def test_hot_reads_scan_no_table(watched: Watched, name: str) -> None:
    sql, parameters = CATALOG[name]
    assert await watched.scans(sql, *(HOT[name][parameter] for parameter in parameters)) == []


# Between them these import every module that declares a statement.
PROCESSES = (app.main, app.operators, jobs.worker, realtime.relay)

# Statements without a plan test of their own, and why.
ELSEWHERE = {
    # called as functions in the first test above
    "cancel_booking", "remove_service", "replace_days", "reserve", "update_instructor",
    # retention has a test of plans (tests/privacy)
    "delete_old_audit", "delete_old_changes", "delete_old_dev_mails", "delete_old_keys", "delete_old_sessions",
    # one row by its key, inside a delivery or a job
    "claim_nightly_job", "dev_mail", "drop_notification", "finish_nightly_job", "insert_dev_mail",
    "mark_notification_failed", "mark_notification_sent",
}  # fmt: skip
NO_TABLE_THAT_GROWS = {
    "areas", "areas_named", "catalog_services", "categories", "database_answers", "is_in_catalog", "is_zone",
    "raise_epoch", "try_relay_lock", "write_temporarily",
}  # fmt: skip
BY_AN_OPERATOR = {
    "demo_accounts", "drop_everything", "end_other_connections", "lock_accounts", "make_admin", "nobody_yet",
    "recreate_schema", "replace_epoch_seed",
}  # fmt: skip


def test_every_statement_has_a_plan_test_or_needs_none() -> None:
    from tests.notifications import test_plans as notifications
    from tests.realtime import test_plans as realtime

    planned = {*HOT, *notifications.HOT, *realtime.HOT}
    names = {statement.name for statement in STATEMENTS if not statement.name.startswith(("bench", "verdict", "delete_crowd"))}
    assert names - planned - ELSEWHERE - NO_TABLE_THAT_GROWS - BY_AN_OPERATOR == set()
