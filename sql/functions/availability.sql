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

-- Replaces the availability of the days in p_days, in one step. Shape of p_days: {date: [[start
-- minute, end minute], …]}, in wall-clock minutes since midnight (1440 ends a day). Days before
-- today may be included only unchanged. p_base: the version the edit was based on, or null.
-- Bookings stay as they are, even outside the new availability. A refusal changes nothing. The
-- detail of a VALIDATION_ERROR has the date and the reason: `past`, `far`, or `skipped` (a clock
-- change skips that time), the last with the range's index and edge.
create function replace_days(
  p_instructor uuid, p_days jsonb, p_base bigint, p_now timestamptz,
  out refusal text, out detail jsonb, out version bigint, out days_changed integer
)
language plpgsql volatile as $$
declare
  v_calendar calendar;
  v_today    date;
  v_day      date;
  v_span     tstzrange;
  v_edges    jsonb;
  v_index    integer;
  v_starts   timestamptz;
  v_ends     timestamptz;
  v_ranges   tstzmultirange;
  v_old      tstzmultirange;
  v_window   tstzmultirange := '{}';
  v_new      tstzmultirange := '{}';
  v_changed  date[] := '{}';
begin
  perform from calendar c where c.instructor_id = p_instructor for no key update;
  select c.* into strict v_calendar from calendar c where c.instructor_id = p_instructor;
  version := v_calendar.version;
  days_changed := 0;
  v_today := (p_now at time zone v_calendar.time_zone)::date;
  for v_day in select key::date from jsonb_each(p_days) order by key loop
    v_span := day_span(v_day, v_calendar.time_zone);
    v_ranges := '{}';
    for v_edges, v_index in
      select edges, number - 1
      from jsonb_array_elements(p_days -> to_char(v_day, 'YYYY-MM-DD')) with ordinality
             as e (edges, number)
    loop
      v_starts := local_instant(
        v_day + make_interval(mins => (v_edges ->> 0)::integer), v_calendar.time_zone);
      v_ends := local_end(
        v_day + make_interval(mins => (v_edges ->> 1)::integer), v_calendar.time_zone);
      if v_starts is null or v_ends is null then
        refusal := 'VALIDATION_ERROR';
        detail := jsonb_build_object(
          'date', v_day, 'reason', 'skipped', 'index', v_index,
          'edge', case when v_starts is null then 'start' else 'end' end);
        return;
      end if;
      v_ranges := v_ranges + tstzmultirange(tstzrange(v_starts, v_ends));
    end loop;
    select coalesce(range_agg(a.during), '{}') * tstzmultirange(v_span) into v_old
    from availability a where a.instructor_id = p_instructor and a.during && v_span;
    continue when v_old = v_ranges;
    if v_day < v_today or v_day > v_today + availability_horizon_days() then
      refusal := 'VALIDATION_ERROR';
      detail := jsonb_build_object(
        'date', v_day, 'reason', case when v_day < v_today then 'past' else 'far' end);
      return;
    end if;
    v_changed := v_changed || v_day;
    v_window := v_window + tstzmultirange(v_span);
    v_new := v_new + v_ranges;
  end loop;
  if p_base is not null
     and p_base not between v_calendar.availability_version and v_calendar.version then
    refusal := 'VERSION_CONFLICT';
    return;
  end if;
  days_changed := cardinality(v_changed);
  if days_changed = 0 then
    return;
  end if;

  -- The parts of old ranges beyond the changed days are merged into the new ranges. Delete and
  -- insert are two statements: in one `with`, the constraint WITHOUT OVERLAPS would still see the
  -- old rows.
  select v_new + (coalesce(range_agg(a.during), '{}') - v_window) into v_new
  from availability a
  where a.instructor_id = p_instructor
    and (a.during && range_merge(v_window) or a.during -|- range_merge(v_window));
  delete from availability a
  where a.instructor_id = p_instructor
    and (a.during && range_merge(v_window) or a.during -|- range_merge(v_window));
  insert into availability (instructor_id, during) select p_instructor, r from unnest(v_new) as r;
  perform forget_next_start(p_instructor);
  version := step(p_instructor, v_changed);
  update calendar c set availability_version = c.version where c.instructor_id = p_instructor;
  insert into edited_week (instructor_id, monday, edited_at)
  select distinct p_instructor, date_trunc('week', day::timestamp)::date, p_now
  from unnest(v_changed) as day
  on conflict do nothing;
end
$$;

-- The public view of some days: the board's free time from p_from on, in wall-clock time, its sum
-- in minutes, and which parts of the day (morning 6–12, afternoon 12–17, evening 17–22) have free
-- time.
create function public_days(p_instructor uuid, p_first date, p_days integer, p_from timestamptz)
returns table (
  day date, ranges jsonb, total_minutes integer, morning boolean, afternoon boolean, evening boolean
)
language plpgsql stable strict as $$
declare
  v_zone text := (select c.time_zone from calendar c where c.instructor_id = p_instructor);
  v_to   timestamptz := day_start(p_first + p_days, v_zone);
  v_free tstzmultirange := free_time(
    p_instructor, least(greatest(p_from, day_start(p_first, v_zone)), v_to), v_to);
begin
  return query
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
           days.free && hours(days.day, 6, 12, v_zone),
           days.free && hours(days.day, 12, 17, v_zone),
           days.free && hours(days.day, 17, 22, v_zone)
    from (
      select p_first + n as day, v_free * tstzmultirange(day_span(p_first + n, v_zone)) as free
      from generate_series(0, p_days - 1) as n
    ) as days
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
