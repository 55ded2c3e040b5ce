-- The crowds of the benchmarks, written straight into a database of their own. `python -m loadtests.bench` alone uses these.

-- name: bench_students
with person as (
  insert into account (email, full_name, password_hash)
  select format('%s-student-%s@example.com', :crowd::text, n), format('Student %s', n), 'nobody signs in with this'
  from generate_series(1, :count::integer) as n
  returning id
), may as (
  insert into account_role (account_id, role) select id, 'student' from person
)
select id from person

-- name: bench_instructors
-- Each teaches piano and is available every day from :first, from the given hour to the other, for so many days.
with person as (
  insert into account (email, full_name, password_hash)
  select format('%s-instructor-%s@example.com', :crowd::text, n), format('Instructor %s', n), 'nobody signs in with this'
  from generate_series(1, :count::integer) as n
  returning id
), may as (
  insert into account_role (account_id, role) select id, 'instructor' from person
), profile as (
  insert into instructor (id) select id from person returning id
), diary as (
  insert into calendar (instructor_id, min_advance_minutes) select id, 0 from profile returning instructor_id, time_zone
), hours as (
  insert into availability (instructor_id, during)
  select instructor_id, tstzrange(local_instant(:first::date + n + make_time(:from_hour::integer, 0, 0), time_zone),
                                  local_instant(:first::date + n + make_time(:to_hour::integer, 0, 0), time_zone))
  from diary, generate_series(0, :days::integer - 1) as n
), next_starts as (
  insert into next_start (instructor_id, minutes) select instructor_id, unnest(array[30, 60]) from diary
)
insert into service (instructor_id, catalog_service, hourly_rate_cents, durations_minutes, location_types)
select instructor_id, 'piano', 6000, array[30, 60], array['student', 'instructor', 'public'] from diary
returning instructor_id, id as service_id

-- name: bench_versions
-- As many steps as there are lessons, as if each had been booked.
update calendar c set version = b.lessons
from (select instructor_id, count(*) as lessons from booking group by instructor_id) as b
where b.instructor_id = c.instructor_id

-- name: bench_window_rows
-- The rows a board is made of, unmade: the floor under its snapshot.
select (select count(*) from calendar c where c.instructor_id = :instructor_id) as calendars,
       (select count(a.during) from availability a
        where a.instructor_id = :instructor_id and a.during && tstzrange(:from_instant, :to_instant)) as ranges,
       (select count(b.blocked) from booking b
        where b.instructor_id = :instructor_id and b.blocked && tstzrange(:from_instant, :to_instant)
          and b.occupies_time) as lessons

-- name: bench_commit
-- The smallest commit, and when it was written.
update account set full_name = full_name where id = :id returning clock_timestamp()

-- name: bench_unsent
select count(*) from notification where sent_at is null and given_up_at is null

-- name: bench_backends
-- The processes that serve the connections of an application.
select pid from pg_stat_activity where datname = current_database() and application_name = :application
