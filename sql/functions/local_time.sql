-- The only conversion between wall-clock time and instants. `at time zone` alone is not enough: it
-- maps an ambiguous local time to the later instant and silently moves one that does not exist.
-- Assumes at most one clock change within any two days.

-- The instant of a wall-clock time: the first of two if clocks go back, null if clocks skip it.
create function local_instant(p_local timestamp, p_zone text) returns timestamptz
language plpgsql immutable strict parallel safe as $$
declare
  guess         timestamptz := p_local at time zone p_zone;
  early         timestamptz;
  late          timestamptz;
  offset_before interval;
  offset_after  interval;
begin
  -- The common case: no clock change within a day. (24 hours, because the length of '1 day' depends
  -- on the session's time zone.)
  if ((guess + interval '24 hours') at time zone p_zone)
     - ((guess - interval '24 hours') at time zone p_zone) = interval '48 hours' then
    return guess;
  end if;
  offset_before := ((guess - interval '24 hours') at time zone p_zone)
                   - ((guess - interval '24 hours') at time zone 'UTC');
  offset_after := ((guess + interval '24 hours') at time zone p_zone)
                  - ((guess + interval '24 hours') at time zone 'UTC');
  early := (p_local - greatest(offset_before, offset_after)) at time zone 'UTC';
  late := (p_local - least(offset_before, offset_after)) at time zone 'UTC';
  if early at time zone p_zone = p_local then
    return early;
  elsif late at time zone p_zone = p_local then
    return late;
  end if;
  return null;
end
$$;

-- The instant at which clocks skip a wall-clock time that does not exist.
create function clock_jump(p_local timestamp, p_zone text) returns timestamptz
language sql immutable strict parallel safe as $$
  select min(minute)
  from generate_series(
    (p_local at time zone p_zone) - interval '3 hours',
    (p_local at time zone p_zone) + interval '3 hours',
    interval '1 minute'
  ) as minute
  where minute at time zone p_zone >= p_local
$$;

-- The instant of a wall-clock time, or of the clock change that skips it.
create function local_or_jump(p_local timestamp, p_zone text) returns timestamptz
language plpgsql immutable strict parallel safe as $$
begin
  return coalesce(local_instant(p_local, p_zone), clock_jump(p_local, p_zone));
end
$$;

-- The first instant of a local date.
create function day_start(p_day date, p_zone text) returns timestamptz
language plpgsql immutable strict parallel safe as $$
declare
  guess timestamptz := p_day::timestamp at time zone p_zone;
begin
  if ((guess + interval '24 hours') at time zone p_zone)
     - ((guess - interval '24 hours') at time zone p_zone) = interval '48 hours' then
    return guess;
  end if;
  return local_or_jump(p_day::timestamp, p_zone);
end
$$;

create function day_span(p_day date, p_zone text) returns tstzrange
language plpgsql immutable strict parallel safe as $$
begin
  return tstzrange(day_start(p_day, p_zone), day_start(p_day + 1, p_zone));
end
$$;

-- The instant of a range's end. An end exactly at the clock change is valid, and is the change
-- itself (01:00–02:00 if clocks jump from 02:00 to 03:00).
create function local_end(p_local timestamp, p_zone text) returns timestamptz
language plpgsql immutable strict parallel safe as $$
declare
  instant timestamptz := local_instant(p_local, p_zone);
begin
  if instant is null then
    instant := clock_jump(p_local, p_zone);
    if ((instant - interval '1 microsecond') at time zone p_zone) + interval '1 microsecond'
       <> p_local then
      return null;
    end if;
  end if;
  return instant;
end
$$;

-- The wall-clock time of a range's start.
create function wall_start(p_instant timestamptz, p_zone text) returns text
language sql stable parallel safe as $$
  select to_char(p_instant at time zone p_zone, 'HH24:MI')
$$;

-- The wall-clock time of a range's end on p_day, by the clock before that instant: 02:00 if clocks
-- jump from 02:00 to 03:00, and 24:00 at the end of the day.
create function wall_end(p_instant timestamptz, p_day date, p_zone text) returns text
language sql stable parallel safe as $$
  select case
    when (p_instant - interval '1 microsecond') at time zone p_zone + interval '1 microsecond'
         >= p_day + 1 then '24:00'
    else to_char(
      (p_instant - interval '1 microsecond') at time zone p_zone + interval '1 microsecond',
      'HH24:MI')
  end
$$;

-- The local dates a range touches.
create function local_dates(p_during tstzrange, p_zone text) returns date[]
language plpgsql immutable strict parallel safe as $$
declare
  v_first date := (lower(p_during) at time zone p_zone)::date;
  v_last  date := ((upper(p_during) - interval '1 microsecond') at time zone p_zone)::date;
begin
  if v_first = v_last then
    return array[v_first];
  end if;
  return array(select v_first + n from generate_series(0, v_last - v_first) as n);
end
$$;

-- The end of the quiet hours (22:00 to 8:00, docs/notifications.md) if they are at this instant.
create function quiet_until(p_instant timestamptz, p_zone text) returns timestamptz
language sql stable strict parallel safe as $$
  select case
    when local::time >= '22:00' then local_or_jump(local::date + 1 + time '08:00', p_zone)
    when local::time < '08:00' then local_or_jump(local::date + time '08:00', p_zone)
  end
  from (values (p_instant at time zone p_zone)) as clock (local)
$$;

-- An instant in the wire format. Stable and not strict, like to_char, so that it can be inlined.
create function wire_instant(p_instant timestamptz) returns text
language sql stable parallel safe as $$
  select to_char(p_instant at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
$$;

-- Whether Postgres accepts a time zone. (It also accepts abbreviations and POSIX rules; the caller
-- checks names against its own list.)
create function is_zone(p_zone text) returns boolean
language plpgsql stable strict as $$
begin
  perform now() at time zone p_zone;
  return true;
exception when invalid_parameter_value then
  return false;
end
$$;
