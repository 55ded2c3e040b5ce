-- Checks of the database after a load test, for loadtests/verdict.py.

-- name: verdict_overlaps
-- The number of lessons that start before an earlier one ends. Counted from the ordered rows and
-- not through the constraints' own indexes, which may be the broken part.
with lesson as (
  select id, instructor_id, student_id, during, blocked from booking
  where occupies_time
)
select
  (select count(*) from (
     select lower(blocked) < max(upper(blocked)) over (
       partition by instructor_id order by lower(blocked), id
       rows between unbounded preceding and 1 preceding) as clash
     from lesson) as lessons where clash) as of_instructors,
  (select count(*) from (
     select lower(during) < max(upper(during)) over (
       partition by student_id order by lower(during), id
       rows between unbounded preceding and 1 preceding) as clash
     from lesson) as lessons where clash) as of_students;

-- name: verdict_unpublished
select count(*) from outbox_unpublished;

-- name: verdict_overdue_holds
select count(*) from booking
where state = 'held' and held_until < clock_timestamp() - make_interval(secs => :seconds);

-- name: verdict_unsent_mails
-- The number of mails of these bookings that are neither sent, given up nor withheld (their
-- addresses are not confirmed), plus missing ones: each booking has two confirmations.
select (
  select count(*) from notification
  where booking_id = any(:bookings::uuid[]) and kind <> 'reminder'
    and sent_at is null and given_up_at is null and withheld_at is null
) + (
  select coalesce(sum(2 - (
    select count(*) from notification n
    where n.booking_id = response.booking_id and n.kind = 'booking_confirmed'
  )), 0)
  from unnest(:bookings::uuid[]) as response (booking_id)
)::bigint;

-- name: verdict_broken_versions
-- Calendars whose stored changes have a gap or do not end at the calendar's version. (Retention
-- deletes old changes.)
select c.instructor_id
from calendar c
left join lateral (
  select count(*) as count, min(o.version) as first, max(o.version) as last
  from outbox o where o.instructor_id = c.instructor_id
) as changes on true
where c.instructor_id = any(:instructors::uuid[])
  and (c.version <> coalesce(changes.last, 0)
       or changes.count <> coalesce(changes.last - changes.first + 1, 0));

-- name: verdict_bookings
select id, instructor_id, state, wire_instant(lower(during)) as start
from booking
where id = any(:booked::uuid[])
   or (student_id = any(:students::uuid[]) and created_at >= :since);

-- name: verdict_commits
select instructor_id, version, created_at
from outbox
where instructor_id = any(:instructors::uuid[]) and created_at >= :since;

-- name: verdict_boards
-- All boards in one statement, so that they share one snapshot.
select screen.instructor_id, screen.first, screen.length, board.epoch, board.version, board.days
from unnest(:instructors::uuid[], :firsts::date[], :lengths::integer[])
       as screen (instructor_id, first, length),
     lateral board(screen.instructor_id, screen.first, screen.length) as board;

-- name: verdict_clock
select clock_timestamp();
