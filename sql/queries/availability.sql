-- Availability: an instructor's weeks, and the public view of them.

-- name: week
select c.time_zone, c.version,
       (select jsonb_object_agg(to_char(d.day, 'YYYY-MM-DD'), d.ranges)
        from local_days(c.instructor_id, :start, 7) as d) as days
from calendar c where c.instructor_id = :instructor_id;

-- name: replace_days
select refusal, detail, version, days_changed
from replace_days(:instructor_id, :days, :base, :now);

-- name: day
select c.version, d.ranges
from calendar c, lateral local_days(c.instructor_id, :day, 1) as d
where c.instructor_id = :instructor_id;

-- name: has_hours
select exists (
  select from availability a
  where a.instructor_id = :instructor_id and a.during && tstzrange(:now, null)
);

-- name: change_ranges
select failures, version, days from change_ranges(:instructor_id, :changes, :preview, :now);

-- name: fill_days
select refusal, detail, version, days_changed, days
from fill_days(:instructor_id, :pattern, :first, :last, :preview, :now);

-- name: fill_from_week
select refusal, detail, version, days_changed, days
from fill_days(
  :instructor_id, week_pattern(:instructor_id, :source), :first, :last, :preview, :now);

-- name: standing_pattern
select days from standing_pattern where instructor_id = :instructor_id;

-- name: store_standing_pattern
insert into standing_pattern (instructor_id, days, updated_at)
values (:instructor_id, :days, :now)
on conflict (instructor_id) do update
set days = excluded.days, updated_at = excluded.updated_at;

-- name: remove_standing_pattern
delete from standing_pattern where instructor_id = :instructor_id;

-- name: standing_patterns
-- The instructors with a standing pattern, in batches.
select instructor_id from standing_pattern
where instructor_id > :after order by instructor_id limit 500;

-- name: fill_by_standing_pattern
select days_changed from fill_by_standing_pattern(:instructor_id, :now);

-- name: edited_weeks
select monday from edited_week
where instructor_id = :instructor_id and monday >= :first
order by monday;

-- name: gaps
select gaps(c.instructor_id, :day) from calendar c where c.instructor_id = :instructor_id;

-- name: blackouts
select x.day, x.reason
from blackout x join calendar c on c.instructor_id = x.instructor_id
where x.instructor_id = :instructor_id and x.day > :after
order by x.day limit :limit;

-- name: add_blackouts
select refusal, detail, version
from add_blackouts(:instructor_id, :first, :last, :reason, :now);

-- name: remove_blackout
select remove_blackout(:instructor_id, :day);

-- name: board
select epoch, version, time_zone, min_advance_minutes, days
from board(:instructor_id, :first, :days);

-- name: public_calendar
-- The free time from :first (at the earliest today) to :last, within :horizon days from today, with
-- what the answer says about the calendar; :parts: with the parts of each day. `earliest` is the
-- first quarter of an hour after the minimum notice, because lessons start on quarters.
select epoch(), c.version, c.time_zone, c.min_advance_minutes, a.full_name as instructor_name,
       span.first, span.earliest, (
         select coalesce(jsonb_agg(to_jsonb(d) order by d.day), '[]')
         from public_days(
           c.instructor_id, span.first, greatest(0, span.last - span.first + 1), span.earliest,
           :parts) as d
       ) as days
from calendar c
join account a on a.id = c.instructor_id
cross join lateral (
  select greatest(coalesce(:first::date, today.day), today.day) as first,
         least(coalesce(:last::date, today.day + :horizon::integer - 1),
               today.day + :horizon::integer - 1) as last,
         to_timestamp(900 * ceil(extract(epoch from
           :now::timestamptz + make_interval(mins => c.min_advance_minutes)) / 900)) as earliest
  from (select (:now::timestamptz at time zone c.time_zone)::date as day) as today
) as span
where c.instructor_id = :instructor_id and c.is_active;

-- name: next_available
-- The stored next start of a lesson of :minutes, or of the shortest length on offer. `start` is
-- null if no active service offers the length, or nothing is free before :latest.
select epoch(), c.version, c.time_zone, c.min_advance_minutes, lesson.minutes as duration_minutes,
       case when lesson.is_offered and n.start <= :latest then n.start end as start,
       not lesson.is_offered
         or coalesce(
              n.start > :latest or is_still_free(c.instructor_id, n.start, n.minutes, :now), false)
         as is_exact
from calendar c
cross join lateral (
  select coalesce(:minutes::integer, min(length), 60) as minutes,
         coalesce(bool_or(length = coalesce(:minutes, length)), false) as is_offered
  from service s, unnest(s.durations_minutes) as length
  where s.instructor_id = c.instructor_id and s.is_active
) as lesson
left join next_start n on n.instructor_id = c.instructor_id and n.minutes = lesson.minutes
where c.instructor_id = :instructor_id and c.is_active;

-- name: free_ranges
-- The free time of some local days, and the calendar's version.
select c.version, c.time_zone, c.min_advance_minutes,
       edges(free_time(c.instructor_id, day_start(:first, c.time_zone),
                       day_start(:first::date + :days::integer, c.time_zone)), 0) as edges
from calendar c where c.instructor_id = :instructor_id;

-- name: lessons_of_student
-- The ranges in which a student already has a lesson.
select lower(b.during) as begin, upper(b.during) as end
from booking b
where b.student_id = :student_id and b.during && tstzrange(:from_instant, :to_instant)
  and b.occupies_time
  and (b.state <> 'held' or b.held_until > :now);
