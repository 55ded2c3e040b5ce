-- The next start of calendars (functions/next_start.sql, app/availability/next_start.py).

-- name: next_starts
-- The stored next starts of these pairs; a length that is not on offer is computed each time.
-- `start` is null if nothing is free before :latest.
select p.instructor_id, p.minutes,
       case when n.start <= :latest then greatest(n.start, :now) end as start,
       coalesce(
         n.start > :latest or is_still_free(n.instructor_id, n.start, n.minutes, :now), false
       ) as is_exact
from unnest(:instructors::uuid[], :minutes::integer[]) as p (instructor_id, minutes)
-- `limit 1` makes the planner look up each row by its key, even while the table is small.
left join lateral (
  select o.* from next_start o
  where o.instructor_id = p.instructor_id and o.minutes = p.minutes limit 1
) as n on true;

-- name: free_next
-- The first :limit calendars and lengths in the order of their bounds, each with the first service
-- whose card has that length.
select n.instructor_id, n.minutes, s.id as service_id, s.catalog_service, k.category,
       case when n.start <= :latest then greatest(n.start, :now) end as start,
       n.start > :latest or is_still_free(n.instructor_id, n.start, n.minutes, :now) as is_exact
from next_start n
-- `limit 1` makes the planner look up each row by its key and stop after :limit rows.
cross join lateral (
  select x.* from calendar x where x.instructor_id = n.instructor_id and x.is_active limit 1
) as c
cross join lateral (
  select x.id, x.catalog_service from service x
  where x.instructor_id = n.instructor_id and x.card_minutes = n.minutes and x.is_active
  order by x.id limit 1
) as s
cross join lateral (
  select x.category from catalog_service x where x.slug = s.catalog_service limit 1
) as k
order by n.start, n.instructor_id, n.minutes
limit :limit;

-- name: free_times
-- For each calendar and length, the free ranges long enough for a lesson in :days local days, from
-- today or the day of the lower bound, before which nothing is free. A calendar is read once for
-- all its lengths.
with pair as materialized (
  select p.instructor_id, p.minutes, n.revision, coalesce(n.start, :now) as start
  from unnest(:instructors::uuid[], :minutes::integer[]) as p (instructor_id, minutes)
  left join lateral (
    select o.* from next_start o
    where o.instructor_id = p.instructor_id and o.minutes = p.minutes limit 1
  ) as n on true
), free as materialized (
  select c.instructor_id, c.time_zone, c.min_advance_minutes,
         free_time(c.instructor_id, day_start(first.day, c.time_zone),
                   day_start(first.day + :days::integer, c.time_zone)) as ranges
  from (
    select pair.instructor_id,
           least(greatest(min(pair.start), :now), :now + interval '2 years') as start
    from pair group by pair.instructor_id
  ) as bound
  cross join lateral (
    select x.* from calendar x where x.instructor_id = bound.instructor_id limit 1
  ) as c
  cross join lateral (select (bound.start at time zone c.time_zone)::date as day) as first
)
select pair.instructor_id, pair.minutes, pair.revision, free.time_zone, free.min_advance_minutes,
       edges(free.ranges, pair.minutes) as edges
from pair join free on free.instructor_id = pair.instructor_id;

-- name: store_next_starts
-- Stores computed starts. Skips a row that was invalidated since or is locked, so that no writer
-- waits.
update next_start n
set start = coalesce(row.start, 'infinity'), valid_until = coalesce(row.valid_until, 'infinity')
from (
  select o.instructor_id, o.minutes, v.start, v.valid_until
  from unnest(:instructors::uuid[], :minutes::integer[], :revisions::bigint[],
              :starts::timestamptz[], :valid_until::timestamptz[])
         as v (instructor_id, minutes, revision, start, valid_until)
  cross join lateral (
    select x.* from next_start x
    where x.instructor_id = v.instructor_id and x.minutes = v.minutes and x.revision = v.revision
    limit 1 for update skip locked
  ) as o
) as row
where n.instructor_id = row.instructor_id and n.minutes = row.minutes;

-- name: outdated_next_starts
-- Rows to compute: invalidated ones, and those whose start is too soon to be booked.
select n.instructor_id, n.minutes
from next_start n
where n.valid_until < :now
order by n.valid_until
limit :limit;
