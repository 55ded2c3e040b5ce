-- The next start of each calendar and lesson length, stored so that lists can be ordered by it. SQL
-- reports free time and whether a start is still free; app/availability/start_times.py lays out the
-- possible starts.

-- The ranges long enough for a lesson of p_minutes, as [start, end, start, end, …].
create function edges(p_free tstzmultirange, p_minutes integer) returns timestamptz[]
language plpgsql stable strict as $$
begin
  return array(
    select edge
    from unnest(p_free) as r, lateral (values (lower(r)), (upper(r))) as e (edge)
    where upper(r) - lower(r) >= make_interval(mins => p_minutes)
    order by edge
  );
end
$$;

-- Invalidates the stored next starts of a calendar. Every writer that may free or open time calls
-- this in its own transaction, under the calendar's lock.
create function forget_next_start(p_instructor uuid) returns void
language plpgsql volatile as $$
begin
  update next_start n
  set start = '-infinity', valid_until = '-infinity', revision = nextval('next_start_revision')
  where n.instructor_id = p_instructor;
end
$$;

-- Adds and deletes rows so that there is one for each lesson length on offer; called after services
-- have changed. The lock is a separate statement, so that the next one sees services that the
-- previous holder of the lock committed.
create function sync_next_starts(p_instructor uuid) returns void
language plpgsql volatile as $$
begin
  perform from calendar c where c.instructor_id = p_instructor for no key update;
  delete from next_start n
  where n.instructor_id = p_instructor and not exists (
    select from service s
    where s.instructor_id = p_instructor and s.is_active and n.minutes = any (s.durations_minutes)
  );
  insert into next_start (instructor_id, minutes)
  select distinct p_instructor, length
  from service s, unnest(s.durations_minutes) as length
  where s.instructor_id = p_instructor and s.is_active
  on conflict (instructor_id, minutes) do nothing;
end
$$;

-- Whether the stored next start can still be booked: no booking occupies it, and the minimum notice
-- allows it. Since the stored start is a lower bound, it is then exact.
create function is_still_free(
  p_instructor uuid, p_start timestamptz, p_minutes integer, p_now timestamptz
) returns boolean
language plpgsql stable strict set plan_cache_mode = force_generic_plan as $$
declare
  v_during tstzrange;
  v_notice interval;
  v_buffer interval;
  v_zone   text;
begin
  if not isfinite(p_start) then
    return false;
  end if;
  select make_interval(mins => c.min_advance_minutes),
         make_interval(mins => c.travel_buffer_minutes), c.time_zone
  into v_notice, v_buffer, v_zone
  from calendar c where c.instructor_id = p_instructor and c.is_active;
  if not found or p_start < p_now + v_notice then
    return false;
  end if;
  v_during := tstzrange(p_start, p_start + make_interval(mins => p_minutes));
  perform from booking b
  where b.instructor_id = p_instructor and b.occupies_time
    and b.blocked && tstzrange(lower(v_during), upper(v_during) + v_buffer);
  return not found and is_available(p_instructor, v_during, v_zone);
end
$$;
