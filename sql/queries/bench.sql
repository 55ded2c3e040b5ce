-- The accounts of the benchmarks, inserted directly into a separate database. Used only by
-- `python -m loadtests.bench`.

-- name: bench_students
with new_account as (
  insert into account (email, full_name, password_hash, verified_at)
  select format('%s-student-%s@example.com', :prefix::text, n), format('Student %s', n),
         'not a password hash', now()
  from generate_series(1, :count::integer) as n
  returning id
), new_role as (
  insert into account_role (account_id, role) select id, 'student' from new_account
)
select id from new_account

-- name: bench_sessions
select account_id, id from session where account_id = any(:account_ids::uuid[])

-- name: bench_insert_booking
insert into booking (
  instructor_id, student_id, service_id, state, during, blocked, service_name, price_cents,
  hourly_rate_cents, location_type, free_cancel_hours, free_cancel_until, version, created_at
)
values (
  :instructor_id, :student_id, :service_id, 'confirmed', tstzrange(:start, :end),
  tstzrange(:start, :end), 'Piano', 3500, 7000, 'public', 12, :start, 1, :now
)
on conflict do nothing
returning id

-- name: bench_expired_holds
-- For each of these instructors, :each holds that have expired, half an hour apart from :start. At
-- one time every student holds with one instructor.
with offer as (
  select id, instructor_id, row_number() over (order by id) as number
  from service where id = any(:service_ids::uuid[])
), student as (
  select id, row_number() over (order by id) as number
  from unnest(:student_ids::uuid[]) as s (id)
)
insert into booking (
  instructor_id, student_id, service_id, state, held_until, during, blocked, service_name,
  price_cents, hourly_rate_cents, location_type, free_cancel_hours, free_cancel_until, version,
  created_at
)
select o.instructor_id, s.id, o.id, 'held', :now, during, during, 'Piano', 3500, 7000, 'public', 12,
       :start::timestamptz, 0, :now
from offer o join student s on s.number = o.number,
     generate_series(0, :each::integer - 1) as n,
     lateral (
       select tstzrange(:start::timestamptz + n * interval '30 minutes',
                        :start::timestamptz + (n + 1) * interval '30 minutes') as during
     ) as lesson;

-- name: bench_instructors
-- Each teaches piano and is available on :days days from :first, from :from_hour to :to_hour.
with new_account as (
  insert into account (email, full_name, password_hash, verified_at)
  select format('%s-instructor-%s@example.com', :prefix::text, n), format('Instructor %s', n),
         'not a password hash', now()
  from generate_series(1, :count::integer) as n
  returning id
), new_role as (
  insert into account_role (account_id, role) select id, 'instructor' from new_account
), profile as (
  insert into instructor (id) select id from new_account returning id
), new_calendar as (
  insert into calendar (instructor_id, min_advance_minutes)
  select id, 0 from profile
  returning instructor_id, time_zone
), hours as (
  insert into availability (instructor_id, during)
  select instructor_id,
         tstzrange(
           local_instant(:first::date + n + make_time(:from_hour::integer, 0, 0), time_zone),
           local_instant(:first::date + n + make_time(:to_hour::integer, 0, 0), time_zone))
  from new_calendar, generate_series(0, :days::integer - 1) as n
), next_starts as (
  insert into next_start (instructor_id, minutes)
  select instructor_id, unnest(array[30, 60]) from new_calendar
)
insert into service (
  instructor_id, catalog_service, hourly_rate_cents, durations_minutes, location_types
)
select instructor_id, 'piano', 6000, array[30, 60], array['student', 'instructor', 'public']
from new_calendar
returning instructor_id, id as service_id

-- name: bench_versions
-- Sets each calendar's version to its number of lessons, as if each had been booked.
update calendar c set version = b.lessons
from (select instructor_id, count(*) as lessons from booking group by instructor_id) as b
where b.instructor_id = c.instructor_id

-- name: bench_window_rows
-- Counts the rows that a board is computed from: the floor for its snapshot.
select (select count(*) from calendar c where c.instructor_id = :instructor_id) as calendars,
       (select count(a.during) from availability a
        where a.instructor_id = :instructor_id
          and a.during && tstzrange(:from_instant, :to_instant)
       ) as ranges,
       (select count(b.blocked) from booking b
        where b.instructor_id = :instructor_id
          and b.blocked && tstzrange(:from_instant, :to_instant)
          and b.occupies_time) as lessons

-- name: bench_commit
-- The smallest possible commit; returns its time.
update account set full_name = full_name where id = :id returning clock_timestamp()

-- name: bench_unsent
select count(*) from notification where sent_at is null and given_up_at is null

-- name: bench_backends
-- The Postgres processes that serve an application's connections.
select pid from pg_stat_activity where datname = current_database()
  and application_name = :application
