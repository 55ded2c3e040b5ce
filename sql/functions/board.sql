-- The board: what anyone may see of a calendar. Computed from rows alone, never from the clock, so that equal versions mean
-- equal boards.

-- Free time between two instants, not yet cut at local midnights, and the held ranges there: free is
-- availability, less blackouts, less for each booking that occupies time [start − the current travel
-- buffer, end of its blocked time). Nothing is free while the instructor does not teach. Planned
-- once: planning it anew costs as much as running it.
create or replace function free_and_held(
  p_instructor uuid, p_from timestamptz, p_to timestamptz,
  out free tstzmultirange, out held tstzrange[]
)
language plpgsql stable strict set plan_cache_mode = force_generic_plan as $$
declare
  v_zone   text;
  v_buffer interval;
  v_active boolean;
  v_taken  tstzmultirange;
  v_dark   tstzmultirange;
begin
  select c.time_zone, make_interval(mins => c.travel_buffer_minutes), c.is_active
  into v_zone, v_buffer, v_active
  from calendar c where c.instructor_id = p_instructor;
  select
    case when v_active then (
      select range_agg(a.during) from availability a
      where a.instructor_id = p_instructor and a.during && tstzrange(p_from, p_to)
    ) end,
    (select range_agg(day_span(x.day, v_zone)) from blackout x
     where x.instructor_id = p_instructor
       and x.day between (p_from at time zone v_zone)::date and (p_to at time zone v_zone)::date),
    b.taken, b.held
  into free, v_dark, v_taken, held
  from (
    select range_agg(tstzrange(lower(b.during) - v_buffer, upper(b.blocked))) as taken,
           array_agg(b.during order by b.during) filter (
             where b.state = 'held' and b.during && tstzrange(p_from, p_to)) as held
    from booking b
    where b.instructor_id = p_instructor and b.blocked && tstzrange(p_from, p_to + v_buffer)
      and b.occupies_time
  ) as b;
  free := coalesce(free, '{}') * tstzmultirange(tstzrange(p_from, p_to));
  if v_taken is not null then
    free := free - v_taken;
  end if;
  if v_dark is not null then
    free := free - v_dark;
  end if;
end
$$;

create or replace function free_time(p_instructor uuid, p_from timestamptz, p_to timestamptz)
returns tstzmultirange
language plpgsql stable strict as $$
begin
  return (free_and_held(p_instructor, p_from, p_to)).free;
end
$$;

create or replace function wire_ranges(p_ranges tstzmultirange) returns jsonb
language sql stable parallel safe as $$
  select coalesce(jsonb_agg(jsonb_build_array(wire_instant(lower(r)), wire_instant(upper(r))) order by r), '[]')
  from unnest(p_ranges) as r
$$;

-- {date: {free, held}} for the given local dates, complete.
create or replace function board_days(p_instructor uuid, p_dates date[]) returns jsonb
language plpgsql stable strict set plan_cache_mode = force_generic_plan as $$
declare
  v_zone text := (select c.time_zone from calendar c where c.instructor_id = p_instructor);
  v_from timestamptz;
  v_to   timestamptz;
  v_free tstzmultirange;
  v_held tstzrange[];
begin
  if cardinality(p_dates) = 0 then
    return '{}';
  elsif cardinality(p_dates) = 1 then
    v_from := day_start(p_dates[1], v_zone);
    v_to := day_start(p_dates[1] + 1, v_zone);
  else
    v_from := day_start((select min(d) from unnest(p_dates) as d), v_zone);
    v_to := day_start((select max(d) + 1 from unnest(p_dates) as d), v_zone);
  end if;
  select f.free, f.held into v_free, v_held from free_and_held(p_instructor, v_from, v_to) as f;
  -- Nearly every change alters one day.
  if cardinality(p_dates) = 1 and v_held is null then
    return jsonb_build_object(
      to_char(p_dates[1], 'YYYY-MM-DD'),
      jsonb_build_object('free', wire_ranges(v_free), 'held', '[]'::jsonb));
  end if;
  return (
    select jsonb_object_agg(to_char(day, 'YYYY-MM-DD'), jsonb_build_object(
      'free', wire_ranges(v_free * tstzmultirange(span)),
      -- Each held row stays a range of its own, so they are not merged.
      'held', case when v_held is null then '[]' else (
        select coalesce(jsonb_agg(
                 jsonb_build_array(wire_instant(lower(part)), wire_instant(upper(part))) order by part), '[]')
        from unnest(v_held) as held, unnest(tstzmultirange(held) * tstzmultirange(span)) as part
      ) end
    ))
    from (select d as day, day_span(d, v_zone) as span from unnest(p_dates) as d) as days
  );
end
$$;

-- One snapshot of a board: the calendar's version and every asked day. No row: no such calendar.
create or replace function board(p_instructor uuid, p_first date, p_days integer)
returns table (epoch text, version bigint, time_zone text, min_advance_minutes integer, days jsonb)
language sql stable strict as $$
  select epoch(), c.version, c.time_zone, c.min_advance_minutes,
         board_days(p_instructor, array(select p_first + n from generate_series(0, p_days - 1) as n))
  from calendar c where c.instructor_id = p_instructor
$$;
