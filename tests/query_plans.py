"""A database large enough that a sequential scan is a planning mistake, and a connection that
records every plan through auto_explain."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app import db
from tests.cluster import Cluster

ORIGINAL = "large"
TABLES = (
    "account|account_role|session|calendar|availability|blackout|standing_pattern|edited_week"
    "|booking|booking_audit|idempotency_key|outbox|notification|service|next_start|totp"
    "|recovery_code|search_history|search|search_interaction"
)

# Autovacuum would change statistics, and with them plans, while the tests run.
WITHOUT_AUTOVACUUM = """
select format('alter table %s set (autovacuum_enabled = off)', oid::regclass) from pg_class
where relnamespace = 'public'::regnamespace and relkind = 'r'
"""
FILL = """
insert into account (id, email, full_name, password_hash)
select ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid,
       n || '@example.com', 'Account ' || n, ''
from generate_series(1, 4000) as n;
insert into account_role select id, 'student' from account;
insert into account_role select id, 'admin' from account order by id limit 10;
insert into instructor (id) select id from account order by id limit 1000;
insert into calendar (instructor_id) select id from instructor;
insert into instructor_area (instructor_id, area)
select id, (array['brooklyn', 'harlem', 'astoria'])[1 + n % 3]
from (select id, row_number() over () as n from instructor) as numbered;
insert into search (id, visitor_id, is_guest, query, results, searched_at)
select gen_random_uuid(), id, false, 'piano ' || n, 1, now() from account, generate_series(1, 5) n;
insert into search_history (visitor_id, is_guest, query, folded, searched_at)
select visitor_id, is_guest, query, query, searched_at from search;
insert into search_interaction (search_id, visitor_id, is_guest, instructor_id, kind, at)
select id, visitor_id, is_guest, id, 'shown', now() from search;
insert into availability (instructor_id, during)
select id, tstzrange(day + interval '13 h', day + interval '23 h')
from instructor,
     (select date_trunc('day', now()) + n * interval '1 day' as day
      from generate_series(1, 14) as n) as days;
insert into blackout (instructor_id, day)
select id, current_date + n from instructor, generate_series(20, 24) as n;
insert into edited_week (instructor_id, monday, edited_at)
select id, date_trunc('week', now())::date + 7 * n, now()
from instructor, generate_series(5, 7) as n;
insert into standing_pattern (instructor_id, days, updated_at)
select id, '{}', now() from instructor;
insert into service (id, instructor_id, catalog_service, hourly_rate_cents, durations_minutes,
                     location_types)
select id, id, 'piano', 7000, '{60}', '{student}' from instructor;
insert into service (instructor_id, catalog_service, hourly_rate_cents, durations_minutes,
                     location_types)
select id, slug, 5000 + 10 * (number % 700), '{60}', '{student}'
from (select id, row_number() over () as number from instructor) as numbered
cross join generate_series(1, 3) as n
join (select slug, row_number() over (order by slug) as position, count(*) over () as count
      from catalog_service where slug <> 'piano') as k
  on k.position = 1 + (number * 7 + n * 131) % k.count;
insert into next_start (instructor_id, minutes, start, valid_until)
select id, 60, now() + number * interval '1 minute', now() + number * interval '1 minute'
from (select id, row_number() over () as number from instructor) as numbered;
insert into booking (instructor_id, student_id, service_id, state, during, blocked, service_name,
                     price_cents, location_type, hourly_rate_cents, free_cancel_hours,
                     free_cancel_until, version, created_at)
select instructor.id, student.id, instructor.id, 'confirmed', during, during, 'Piano',
       7000, 'student', 7000, 12, now(), n, now()
from (select id, row_number() over (order by id) as number from instructor) as instructor,
     generate_series(1, 12) as n,
     lateral (select 1000 + (number + n * 173) % 3000 as student_number) as numbers,
     lateral (select ('00000000-0000-0000-0000-'
                      || lpad(student_number::text, 12, '0'))::uuid as id) as student,
     lateral (select tstzrange(day + interval '13 h', day + interval '14 h') as during
              from (select date_trunc('day', now()) + n * interval '1 day' as day) as d) as times
on conflict do nothing;
insert into booking_audit (booking_id, at, actor_id, event, to_state)
select id, now(), student_id, 'created', 'confirmed' from booking;
insert into outbox (instructor_id, version, days)
select instructor_id, version, '{}' from booking;
insert into notification (kind, recipient_id, booking_id, due_at, sent_at)
select 'booking_confirmed', student_id, id, now(), now() from booking;
insert into idempotency_key (account_id, key, fingerprint, answer, created_at)
select id, 'an earlier key', '\\x00', '{}', now() from account;
insert into session (id, account_id, expires_at)
select id, id, now() + interval '1 day' from account;
insert into totp (account_id, secret) select id, 'secret' from account;
insert into recovery_code (account_id, hash)
select id, convert_to(n::text, 'utf8') from account, generate_series(1, 10) as n;
update calendar set version = 100;
select gin_clean_pending_list('account_by_words');  -- as autovacuum does
analyze;
"""


class QueryPlans:
    """A connection that records every plan, including those inside functions."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.plans: list[str] = []

    def record(self, _: Any, message: Any) -> None:
        """Listens to the log messages of the connection."""
        if "plan:" in message.message:
            self.plans.append(message.message)

    async def scans(self, sql: str, *arguments: Any) -> list[str]:
        """The plans of this statement that scan a large table sequentially."""
        self.plans.clear()
        transaction = self.connection.transaction()
        await transaction.start()
        await self.connection.fetch(sql, *arguments)
        await transaction.rollback()
        assert self.plans
        return [plan for plan in self.plans if re.search(rf"Seq Scan on ({TABLES})\b", plan)]


@pytest.fixture(scope="module")
def large_database(postgres: Cluster) -> Iterator[str]:
    """A copy for the tests of a file, which may add rows. The first one to need it fills the
    original."""

    async def copy() -> str:
        admin = await asyncpg.connect(postgres.database("postgres"))
        try:
            await admin.execute("select pg_advisory_lock(1)")  # another worker may be filling it
            if not await admin.fetchval(
                "select exists (select from pg_database where datname = $1)", ORIGINAL
            ):
                await postgres.drop("unfinished")
                await fill(await postgres.clone("unfinished"))
                await admin.execute(f"alter database unfinished rename to {ORIGINAL}")
            return await postgres.clone(name, ORIGINAL)
        finally:
            await admin.close()

    name = f"test_{uuid.uuid4().hex}"
    yield asyncio.run(copy())
    asyncio.run(postgres.drop(name))


async def fill(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for (statement,) in await connection.fetch(WITHOUT_AUTOVACUUM):
            await connection.execute(statement)
        await connection.execute(FILL)
    finally:
        await connection.close()


@pytest.fixture
async def plans(large_database: str) -> AsyncIterator[QueryPlans]:
    """Uses generic plans, as a connection does after a few executions."""
    connection = await asyncpg.connect(large_database)
    await db._prepare_connection(connection)
    await connection.execute(
        """load 'auto_explain';
           set auto_explain.log_min_duration = 0;
           set auto_explain.log_nested_statements = on;
           set client_min_messages = log;
           set plan_cache_mode = force_generic_plan;
           set jit = off"""
    )
    query_plans = QueryPlans(connection)
    connection.add_log_listener(query_plans.record)
    try:
        yield query_plans
    finally:
        connection.remove_log_listener(query_plans.record)
        await connection.close()


def account_id(number: int) -> UUID:
    """The ids of FILL: instructors up to 1000, students up to 4000."""
    return UUID(f"00000000-0000-0000-0000-{number:012}")
