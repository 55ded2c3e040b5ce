-- What is true in the database after a load test, for loadtests/verdict.py.

-- name: verdict_overlaps
-- Lessons that begin before an earlier one is over. Counted from the rows in order and not through the constraints' own indexes,
-- which may be what is broken.
with standing as (
  select id, instructor_id, student_id, during, blocked from booking
  where occupies_time
)
select
  (select count(*) from (
     select lower(blocked) < max(upper(blocked)) over (
       partition by instructor_id order by lower(blocked), id rows between unbounded preceding and 1 preceding) as clashes
     from standing) as lessons where clashes) as of_instructors,
  (select count(*) from (
     select lower(during) < max(upper(during)) over (
       partition by student_id order by lower(during), id rows between unbounded preceding and 1 preceding) as clashes
     from standing) as lessons where clashes) as of_students;

-- name: verdict_unpublished
select count(*) from outbox_unpublished;

-- name: verdict_unsent_mails
-- Mails of these bookings that are neither sent nor given up, and those that nobody has written down: each
-- booking is confirmed to two people.
select (
  select count(*) from notification
  where booking_id = any(:bookings::uuid[]) and kind <> 'reminder' and sent_at is null and given_up_at is null
) + (
  select coalesce(sum(2 - (select count(*) from notification n where n.booking_id = told.id and n.kind = 'booking_confirmed')), 0)
  from unnest(:bookings::uuid[]) as told (id)
)::bigint;

-- name: verdict_broken_versions
-- Calendars whose kept changes leave a version out, or do not reach the calendar's own. (Old changes are deleted by age.)
select c.instructor_id
from calendar c
left join lateral (
  select count(*) as kept, min(o.version) as first, max(o.version) as last from outbox o where o.instructor_id = c.instructor_id
) as changes on true
where c.instructor_id = any(:instructors::uuid[])
  and (c.version <> coalesce(changes.last, 0) or changes.kept <> coalesce(changes.last - changes.first + 1, 0));

-- name: verdict_bookings
select id, instructor_id, state, wire_instant(lower(during)) as start
from booking
where id = any(:told::uuid[]) or (student_id = any(:students::uuid[]) and created_at >= :since);

-- name: verdict_commits
select instructor_id, version, created_at from outbox where instructor_id = any(:instructors::uuid[]) and created_at >= :since;

-- name: verdict_boards
-- All in one statement, so that they are of one moment.
select wanted.instructor_id, wanted.first, wanted.length, board.epoch, board.version, board.days
from unnest(:instructors::uuid[], :firsts::date[], :lengths::integer[]) as wanted (instructor_id, first, length),
     lateral board(wanted.instructor_id, wanted.first, wanted.length) as board;

-- name: verdict_clock
select clock_timestamp();
