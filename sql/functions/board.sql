-- The board: the public state of a calendar. It is computed from rows alone, never from the clock,
-- so equal versions mean equal boards.

-- Free time between two instants, not cut at local midnights, and the held ranges in it. Free time
-- is availability minus blackouts, minus [start − current travel buffer, end of blocked time) of
-- each booking that occupies time. An inactive calendar has no free time. Uses a generic plan,
-- because planning costs as much as running.
create function free_and_held(
  p_calendar calendar, p_from timestamptz, p_to timestamptz,
  out free tstzmultirange, out held tstzrange[]
)
language plpgsql stable set plan_cache_mode = force_generic_plan as $$
declare
  v_buffer interval := make_interval(mins => p_calendar.travel_buffer_minutes);
  v_busy   tstzmultirange;
  v_closed tstzmultirange;
  v_has_held boolean;
begin
  select
    case when p_calendar.is_active then (
      select range_agg(a.during) from availability a
      where a.instructor_id = p_calendar.instructor_id and a.during && tstzrange(p_from, p_to)
    ) end,
    (select range_agg(day_span(x.day, p_calendar.time_zone)) from blackout x
     where x.instructor_id = p_calendar.instructor_id
       and x.day between (p_from at time zone p_calendar.time_zone)::date
                     and (p_to at time zone p_calendar.time_zone)::date),
    b.busy, b.has_held
  into free, v_closed, v_busy, v_has_held
  from (
    select range_agg(tstzrange(lower(b.during) - v_buffer, upper(b.blocked))) as busy,
           bool_or(b.state = 'held') as has_held
    from booking b
    where b.instructor_id = p_calendar.instructor_id
      and b.blocked && tstzrange(p_from, p_to + v_buffer) and b.occupies_time
  ) as b;
  if v_has_held then
    held := (
      select array_agg(b.during order by b.during)
      from booking b
      where b.instructor_id = p_calendar.instructor_id
        and b.blocked && tstzrange(p_from, p_to) and b.occupies_time
        and b.state = 'held' and b.during && tstzrange(p_from, p_to)
    );
  end if;
  free := coalesce(free, '{}') * tstzmultirange(tstzrange(p_from, p_to));
  if v_busy is not null then
    free := free - v_busy;
  end if;
  if v_closed is not null then
    free := free - v_closed;
  end if;
end
$$;

create function free_time(p_instructor uuid, p_from timestamptz, p_to timestamptz)
returns tstzmultirange
language plpgsql stable strict as $$
declare
  v_calendar calendar;
begin
  select c.* into v_calendar from calendar c where c.instructor_id = p_instructor;
  return (free_and_held(v_calendar, p_from, p_to)).free;
end
$$;

create function wire_ranges(p_ranges tstzmultirange) returns jsonb
language plpgsql stable parallel safe as $$
begin
  -- unnest returns the ranges of a multirange in order.
  return (
    select coalesce(
             jsonb_agg(jsonb_build_array(wire_instant(lower(r)), wire_instant(upper(r)))), '[]')
    from unnest(p_ranges) as r
  );
end
$$;

-- {date: {free, held}} of one local date without holds.
create function board_day(p_date date, p_free tstzmultirange) returns jsonb
language plpgsql stable as $$
begin
  return jsonb_build_object(
    to_char(p_date, 'YYYY-MM-DD'),
    jsonb_build_object('free', wire_ranges(p_free), 'held', '[]'::jsonb));
end
$$;

-- {date: {free, held}}, complete, for the given local dates.
create function board_days(p_instructor uuid, p_dates date[]) returns jsonb
language plpgsql stable strict set plan_cache_mode = force_generic_plan as $$
declare
  v_calendar calendar;
  v_from timestamptz;
  v_to   timestamptz;
  v_time record;
begin
  if cardinality(p_dates) = 0 then
    return '{}';
  end if;
  select c.* into v_calendar from calendar c where c.instructor_id = p_instructor;
  if cardinality(p_dates) = 1 then
    v_from := day_start(p_dates[1], v_calendar.time_zone);
    v_to := day_start(p_dates[1] + 1, v_calendar.time_zone);
  else
    v_from := day_start((select min(d) from unnest(p_dates) as d), v_calendar.time_zone);
    v_to := day_start((select max(d) + 1 from unnest(p_dates) as d), v_calendar.time_zone);
  end if;
  v_time := free_and_held(v_calendar, v_from, v_to);
  -- The common case: a change of one day without holds.
  if cardinality(p_dates) = 1 and v_time.held is null then
    return board_day(p_dates[1], v_time.free);
  end if;
  return (
    select jsonb_object_agg(to_char(day, 'YYYY-MM-DD'), jsonb_build_object(
      'free', wire_ranges(v_time.free * tstzmultirange(span)),
      -- Held ranges are not merged: each is one booking.
      'held', case when v_time.held is null then '[]' else (
        select coalesce(jsonb_agg(
                 jsonb_build_array(wire_instant(lower(part)), wire_instant(upper(part)))
                 order by part), '[]')
        from unnest(v_time.held) as held,
             unnest(tstzmultirange(held) * tstzmultirange(span)) as part
      ) end
    ))
    from (
      select d as day, day_span(d, v_calendar.time_zone) as span from unnest(p_dates) as d
    ) as days
  );
end
$$;

-- One snapshot of a board: the calendar's version and every requested day. No row: no such
-- calendar.
create function board(p_instructor uuid, p_first date, p_days integer)
returns table (epoch text, version bigint, time_zone text, min_advance_minutes integer, days jsonb)
language sql stable strict as $$
  select epoch(), c.version, c.time_zone, c.min_advance_minutes,
         board_days(
           p_instructor, array(select p_first + n from generate_series(0, p_days - 1) as n))
  from calendar c where c.instructor_id = p_instructor
$$;
