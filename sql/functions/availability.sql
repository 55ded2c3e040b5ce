-- Availability is edited in local days and stored as merged ranges of instants.

-- [{"start": "09:00", "end": "12:00"}, …] for each of p_days local dates from p_first.
create function local_days(p_instructor uuid, p_first date, p_days integer)
returns table (day date, ranges jsonb)
language sql stable strict as $$
  select days.day, coalesce((
      select jsonb_agg(jsonb_build_object(
               'start', wall_start(lower(part), days.time_zone),
               'end', wall_end(upper(part), days.day, days.time_zone)
             ) order by part)
      from availability a, lateral (select a.during * days.span as part) as cut
      where a.instructor_id = p_instructor and a.during && days.span
    ), '[]')
  from (
    select p_first + n as day, c.time_zone, day_span(p_first + n, c.time_zone) as span
    from calendar c, generate_series(0, p_days - 1) as n where c.instructor_id = p_instructor
  ) as days
  order by days.day
$$;

-- Stores new availability for some local days: one step of the calendar, however many days it
-- alters. The caller has locked the calendar. p_new: the new availability of all of p_days and of
-- nothing else. Days before today and beyond the horizon may be included only unchanged. p_base:
-- the version the edit was based on, or null. p_by_hand: whether the weeks then count as edited, so
-- that the standing pattern no longer fills them. A preview stores nothing. Bookings stay as they
-- are, even outside the new availability.
create function store_availability(
  p_calendar calendar, p_days date[], p_new tstzmultirange, p_base bigint, p_by_hand boolean,
  p_preview boolean, p_now timestamptz,
  out refusal text, out detail jsonb, out version bigint, out changed date[]
)
language plpgsql volatile as $$
declare
  v_instructor uuid := p_calendar.instructor_id;
  v_today  date := (p_now at time zone p_calendar.time_zone)::date;
  v_window tstzmultirange;
  v_old    tstzmultirange;
  v_diff   tstzmultirange;
  v_span   tstzrange;
begin
  version := p_calendar.version;
  changed := '{}';
  select range_agg(day_span(day, p_calendar.time_zone)) into v_window from unnest(p_days) as day;
  select coalesce(range_agg(a.during), '{}') * v_window into v_old
  from availability a
  where a.instructor_id = v_instructor and a.during && range_merge(v_window);
  -- Computed once: in the query below it would be computed again for each day.
  v_diff := (v_old - p_new) + (p_new - v_old);
  changed := array(
    select day
    from unnest(p_days) as day
    where day_span(day, p_calendar.time_zone) && v_diff
    order by day
  );
  if changed[1] < v_today or changed[cardinality(changed)] > v_today + availability_horizon_days()
  then
    refusal := 'VALIDATION_ERROR';
    detail := case when changed[1] < v_today
      then jsonb_build_object('date', changed[1], 'reason', 'past')
      else jsonb_build_object('date', changed[cardinality(changed)], 'reason', 'far') end;
    return;
  end if;
  if p_base is not null
     and p_base not between p_calendar.availability_version and p_calendar.version then
    refusal := 'VERSION_CONFLICT';
    return;
  end if;
  if p_preview or changed = '{}' then
    return;
  end if;

  -- The parts of old ranges beyond the changed days are merged into the new ranges. Delete and
  -- insert are two statements: in one `with`, the constraint WITHOUT OVERLAPS would still see the
  -- old rows.
  select range_agg(day_span(day, p_calendar.time_zone)) into v_window from unnest(changed) as day;
  v_span := range_merge(v_window);
  select coalesce(range_agg(a.during), '{}') into v_old
  from availability a
  where a.instructor_id = v_instructor and (a.during && v_span or a.during -|- v_span);
  delete from availability a
  where a.instructor_id = v_instructor and (a.during && v_span or a.during -|- v_span);
  insert into availability (instructor_id, during)
  select v_instructor, r from unnest(p_new * v_window + (v_old - v_window)) as r;
  perform forget_next_start(v_instructor);
  version := step(v_instructor, changed);
  update calendar c set availability_version = c.version where c.instructor_id = v_instructor;
  if p_by_hand then
    insert into edited_week (instructor_id, monday, edited_at)
    select distinct v_instructor, date_trunc('week', day::timestamp)::date, p_now
    from unnest(changed) as day
    on conflict do nothing;
  end if;
end
$$;

-- Replaces the availability of the days in p_days. Shape of p_days: {date: [[start minute, end
-- minute], …]}, in wall-clock minutes since midnight (1440 ends a day). A refusal changes nothing.
-- The detail of a VALIDATION_ERROR has the date and the reason: `past`, `far`, or `skipped` (a
-- clock change skips that time), the last with the range's index and edge.
create function replace_days(
  p_instructor uuid, p_days jsonb, p_base bigint, p_now timestamptz,
  out refusal text, out detail jsonb, out version bigint, out days_changed integer
)
language plpgsql volatile as $$
declare
  v_calendar calendar;
  v_new      tstzmultirange;
  v_stored   record;
begin
  select c.* into strict v_calendar from calendar c
  where c.instructor_id = p_instructor for no key update;
  with entered as materialized (
    select day, number - 1 as index,
           local_instant(day + make_interval(mins => (edges ->> 0)::integer), v_calendar.time_zone)
             as starts_at,
           local_end(day + make_interval(mins => (edges ->> 1)::integer), v_calendar.time_zone)
             as ends_at
    from jsonb_each(p_days) as d (key, ranges), lateral (select key::date as day) as days,
         jsonb_array_elements(ranges) with ordinality as e (edges, number)
  )
  select coalesce((select range_agg(tstzrange(starts_at, ends_at)) from entered
                   where starts_at < ends_at), '{}'),
         (select jsonb_build_object(
                   'date', day, 'reason', 'skipped', 'index', index,
                   'edge', case when starts_at is null then 'start' else 'end' end)
          from entered where starts_at is null or ends_at is null order by day, index limit 1)
  into v_new, detail;
  if detail is not null then
    refusal := 'VALIDATION_ERROR';
    version := v_calendar.version;
    days_changed := 0;
    return;
  end if;
  v_stored := store_availability(
    v_calendar, array(select key::date from jsonb_object_keys(p_days) as key), v_new, p_base,
    p_by_hand => true, p_preview => false, p_now => p_now);
  refusal := v_stored.refusal;
  detail := v_stored.detail;
  version := v_stored.version;
  days_changed := case when refusal is null then cardinality(v_stored.changed) else 0 end;
end
$$;

-- A week as a pattern: {weekday 1–7 (Monday is 1): [{"start": "09:00", "end": "12:00"}, …]}.
create function week_pattern(p_instructor uuid, p_monday date) returns jsonb
language sql stable strict as $$
  select jsonb_object_agg(extract(isodow from d.day), d.ranges)
  from local_days(p_instructor, p_monday, 7) as d
$$;

-- The availability of local dates by a weekly pattern. Times keep their place on the clock; where
-- clocks skip a time, the range begins or ends at the change.
create function pattern_ranges(p_pattern jsonb, p_days date[], p_zone text) returns tstzmultirange
language sql stable strict as $$
  select coalesce(range_agg(tstzrange(edges.starts_at, edges.ends_at)), '{}')
  from unnest(p_days) as day,
       jsonb_array_elements(p_pattern -> extract(isodow from day)::text) as span,
       lateral (
         select local_or_jump(day + (span ->> 'start')::time::interval, p_zone) as starts_at,
                local_or_jump(day + (span ->> 'end')::time::interval, p_zone) as ends_at
       ) as edges
  where edges.starts_at < edges.ends_at
$$;

-- Fills the days from p_first to p_last by a weekly pattern, which replaces what was there. Days
-- before today stay as they are; if all are, that is a VALIDATION_ERROR. A preview stores nothing
-- and returns the content of the days that would change: {date: [{start, end}, …]}.
create function fill_days(
  p_instructor uuid, p_pattern jsonb, p_first date, p_last date, p_preview boolean,
  p_now timestamptz,
  out refusal text, out detail jsonb, out version bigint, out days_changed integer, out days jsonb
)
language plpgsql volatile as $$
declare
  v_calendar calendar;
  v_today    date;
  v_days     date[];
  v_new      tstzmultirange;
  v_stored   record;
begin
  select c.* into strict v_calendar from calendar c
  where c.instructor_id = p_instructor for no key update;
  version := v_calendar.version;
  days_changed := 0;
  v_today := (p_now at time zone v_calendar.time_zone)::date;
  if p_last < v_today then
    refusal := 'VALIDATION_ERROR';
    detail := jsonb_build_object('date', p_last, 'reason', 'past');
    return;
  end if;
  v_days := array(
    select day::date
    from generate_series(greatest(p_first, v_today)::timestamp, p_last::timestamp,
                         interval '1 day') as day);
  v_new := pattern_ranges(p_pattern, v_days, v_calendar.time_zone);
  v_stored := store_availability(
    v_calendar, v_days, v_new, null, p_by_hand => true, p_preview => p_preview, p_now => p_now);
  refusal := v_stored.refusal;
  detail := v_stored.detail;
  version := v_stored.version;
  if refusal is null then
    days_changed := cardinality(v_stored.changed);
    days := case when p_preview then coalesce((
      select jsonb_object_agg(to_char(day, 'YYYY-MM-DD'),
                              wall_ranges(v_new, day, v_calendar.time_zone))
      from unnest(v_stored.changed) as day
    ), '{}') end;
  end if;
end
$$;

-- Fills the next 12 weeks by the instructor's standing pattern, if there is one, except the weeks
-- that were edited by hand. Returns the version and the number of days that changed.
create function fill_by_standing_pattern(
  p_instructor uuid, p_now timestamptz, out version bigint, out days_changed integer
)
language plpgsql volatile as $$
declare
  v_calendar calendar;
  v_pattern  jsonb;
  v_today    date;
  v_days     date[];
  v_stored   record;
begin
  select c.* into strict v_calendar from calendar c
  where c.instructor_id = p_instructor for no key update;
  version := v_calendar.version;
  days_changed := 0;
  select s.days into v_pattern from standing_pattern s where s.instructor_id = p_instructor;
  if not found then
    return;
  end if;
  v_today := (p_now at time zone v_calendar.time_zone)::date;
  v_days := array(
    select day::date
    from generate_series(
           v_today::timestamp,
           date_trunc('week', v_today::timestamp) + make_interval(days => 7 * 13 - 1),
           interval '1 day') as day
    where not exists (
      select from edited_week e
      where e.instructor_id = p_instructor and e.monday = date_trunc('week', day)::date)
  );
  v_stored := store_availability(
    v_calendar, v_days, pattern_ranges(v_pattern, v_days, v_calendar.time_zone), null,
    p_by_hand => false, p_preview => false, p_now => p_now);
  version := v_stored.version;
  days_changed := cardinality(v_stored.changed);
end
$$;

-- The part of some ranges on one local date: [{"start": "09:00", "end": "12:00"}, …].
create function wall_ranges(p_ranges tstzmultirange, p_day date, p_zone text) returns jsonb
language plpgsql stable strict as $$
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
             'start', wall_start(lower(part), p_zone),
             'end', wall_end(upper(part), p_day, p_zone)) order by part), '[]')
    from unnest(p_ranges * tstzmultirange(day_span(p_day, p_zone))) as part
  );
end
$$;

-- Adds and removes single ranges, in order, all or nothing. Shape of p_changes: [{"action": "add"
-- or "remove", "date", "start", "end"}, …] in wall-clock minutes since midnight. `failures` lists
-- the changes that are not possible: {"index", "date", "reason", "edge"}, as in replace_days.
-- `days` shows the content of the touched days afterwards.
create function change_ranges(
  p_instructor uuid, p_changes jsonb, p_preview boolean, p_now timestamptz,
  out failures jsonb, out version bigint, out days jsonb
)
language plpgsql volatile as $$
declare
  v_calendar calendar;
  v_today    date;
  v_change   record;
  v_days     date[];
  v_window   tstzmultirange;
  v_ranges   tstzmultirange;
  v_after    tstzmultirange;
  v_stored   record;
  v_reason   text;
begin
  select c.* into strict v_calendar from calendar c
  where c.instructor_id = p_instructor for no key update;
  version := v_calendar.version;
  failures := '[]';
  v_today := (p_now at time zone v_calendar.time_zone)::date;
  v_days := array(
    select distinct (change ->> 'date')::date from jsonb_array_elements(p_changes) as change);
  select range_agg(day_span(day, v_calendar.time_zone)) into v_window from unnest(v_days) as day;
  select coalesce(range_agg(a.during), '{}') * v_window into v_ranges
  from availability a
  where a.instructor_id = p_instructor and a.during && range_merge(v_window);
  for v_change in
    select number - 1 as index, change ->> 'action' as action, (change ->> 'date')::date as day,
           local_instant((change ->> 'date')::date
             + make_interval(mins => (change ->> 'start')::integer), v_calendar.time_zone)
             as starts_at,
           local_end((change ->> 'date')::date
             + make_interval(mins => (change ->> 'end')::integer), v_calendar.time_zone)
             as ends_at
    from jsonb_array_elements(p_changes) with ordinality as c (change, number)
    order by number
  loop
    v_reason := case
      when v_change.starts_at is null or v_change.ends_at is null then 'skipped'
      when v_change.day > v_today + availability_horizon_days() then 'far'
    end;
    if v_reason is null then
      v_after := case v_change.action
        when 'add' then
          v_ranges + tstzmultirange(tstzrange(v_change.starts_at, v_change.ends_at))
        else v_ranges - tstzmultirange(tstzrange(v_change.starts_at, v_change.ends_at))
      end;
      if v_change.day < v_today and v_after <> v_ranges then
        v_reason := 'past';
      else
        v_ranges := v_after;
      end if;
    end if;
    if v_reason is not null then
      failures := failures || jsonb_build_object(
        'index', v_change.index, 'date', v_change.day, 'reason', v_reason,
        'edge', case when v_change.starts_at is null then 'start' else 'end' end);
    end if;
  end loop;
  if failures = '[]' then
    v_stored := store_availability(
      v_calendar, v_days, v_ranges, null, p_by_hand => true, p_preview => p_preview,
      p_now => p_now);
    version := v_stored.version;
  end if;
  days := coalesce((
    select jsonb_object_agg(to_char(day, 'YYYY-MM-DD'),
                            wall_ranges(v_ranges, day, v_calendar.time_zone))
    from unnest(v_days) as day
  ), '{}');
end
$$;

-- Blackout days. They hide free time and leave the ranges as they are, so removing one brings the
-- time back. Adding a day again keeps it and replaces its reason.
create function add_blackouts(
  p_instructor uuid, p_first date, p_last date, p_reason text, p_now timestamptz,
  out refusal text, out detail jsonb, out version bigint
)
language plpgsql volatile as $$
declare
  v_calendar calendar;
  v_today    date;
  v_added    date[];
begin
  select c.* into strict v_calendar from calendar c
  where c.instructor_id = p_instructor for no key update;
  version := v_calendar.version;
  v_today := (p_now at time zone v_calendar.time_zone)::date;
  if p_first < v_today or p_last > v_today + availability_horizon_days() then
    refusal := 'VALIDATION_ERROR';
    detail := case when p_first < v_today
      then jsonb_build_object('date', p_first, 'reason', 'past')
      else jsonb_build_object('date', p_last, 'reason', 'far') end;
    return;
  end if;
  v_added := array(
    select p_first + n
    from generate_series(0, p_last - p_first) as n
    where not exists (
      select from blackout x where x.instructor_id = p_instructor and x.day = p_first + n));
  insert into blackout as x (instructor_id, day, reason)
  select p_instructor, p_first + n, p_reason from generate_series(0, p_last - p_first) as n
  on conflict (instructor_id, day) do update set reason = excluded.reason
    where x.reason <> excluded.reason;
  if v_added <> '{}' then
    version := blackout_step(p_instructor, v_added);
  end if;
end
$$;

-- Removes a blackout day. Returns the version; no error if there is none on that day.
create function remove_blackout(p_instructor uuid, p_day date) returns bigint
language plpgsql volatile as $$
declare
  v_version bigint;
begin
  select c.version into strict v_version from calendar c
  where c.instructor_id = p_instructor for no key update;
  delete from blackout x where x.instructor_id = p_instructor and x.day = p_day;
  if not found then
    return v_version;
  end if;
  perform forget_next_start(p_instructor);
  return blackout_step(p_instructor, array[p_day]);
end
$$;

-- The step of a change of blackouts.
create function blackout_step(p_instructor uuid, p_days date[]) returns bigint
language plpgsql volatile as $$
declare
  v_version bigint := step(p_instructor, p_days);
begin
  update calendar c set availability_version = c.version where c.instructor_id = p_instructor;
  return v_version;
end
$$;

-- The free time between a local date's first and last lesson: [{start, end, minutes}, …].
create function gaps(p_instructor uuid, p_day date) returns jsonb
language plpgsql stable strict as $$
declare
  v_calendar calendar;
  v_span     tstzrange;
  v_lessons  tstzrange;
begin
  select c.* into v_calendar from calendar c where c.instructor_id = p_instructor;
  v_span := day_span(p_day, v_calendar.time_zone);
  select range_merge(range_agg(b.during::tstzrange)) into v_lessons
  from booking b
  where b.instructor_id = p_instructor and b.blocked && v_span and b.during && v_span
    and b.occupies_time;
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
             'start', wall_start(lower(gap), v_calendar.time_zone),
             'end', wall_end(upper(gap), p_day, v_calendar.time_zone),
             'minutes', (extract(epoch from upper(gap) - lower(gap)) / 60)::integer
           ) order by gap), '[]')
    from unnest((free_and_held(v_calendar, lower(v_span), upper(v_span))).free
                * tstzmultirange(v_lessons)) as gap
  );
end
$$;

-- The public view of some days: the board's free time from p_from on, in wall-clock time, its sum
-- in minutes, and, with p_parts, which parts of the day (morning 6–12, afternoon 12–17, evening
-- 17–22) have free time.
create function public_days(
  p_instructor uuid, p_first date, p_days integer, p_from timestamptz, p_parts boolean default true
) returns table (
  day date, ranges jsonb, total_minutes integer, morning boolean, afternoon boolean, evening boolean
)
language plpgsql stable strict set plan_cache_mode = force_generic_plan as $$
declare
  v_zone text := (select c.time_zone from calendar c where c.instructor_id = p_instructor);
  v_to   timestamptz := day_start(p_first + p_days, v_zone);
  v_free tstzmultirange := free_time(
    p_instructor, least(greatest(p_from, day_start(p_first, v_zone)), v_to), v_to);
begin
  return query
    -- Materialized, or each use of `free` would compute it again.
    with days as materialized (
      select p_first + n as day, v_free * tstzmultirange(day_span(p_first + n, v_zone)) as free
      from generate_series(0, p_days - 1) as n
    )
    select days.day,
           coalesce((
             select jsonb_agg(jsonb_build_object(
                      'start_time', wall_start(lower(r), v_zone),
                      'end_time', wall_end(upper(r), days.day, v_zone)
                    ) order by r)
             from unnest(days.free) as r
           ), '[]'),
           coalesce((
             select sum(extract(epoch from upper(r) - lower(r)) / 60)::integer
             from unnest(days.free) as r
           ), 0),
           case when p_parts then days.free && hours(days.day, 6, 12, v_zone) end,
           case when p_parts then days.free && hours(days.day, 12, 17, v_zone) end,
           case when p_parts then days.free && hours(days.day, 17, 22, v_zone) end
    from days
    order by days.day;
end
$$;

-- A part of a local day, given in whole wall-clock hours.
create function hours(p_day date, p_from integer, p_to integer, p_zone text) returns tstzrange
language plpgsql stable strict as $$
begin
  return tstzrange(
    local_or_jump(p_day + make_interval(hours => p_from), p_zone),
    local_or_jump(p_day + make_interval(hours => p_to), p_zone));
end
$$;
