-- The database of the first release, as pg_dump writes it: what tests/test_migrate.py restores and migrates. Never changed.
-- Anna and Dora teach, Ben, Carl and Emma are students. Nothing happens to Finn and Gus but what a test does.
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

CREATE EXTENSION IF NOT EXISTS btree_gist WITH SCHEMA public;

CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public;

CREATE FUNCTION public.board(p_instructor uuid, p_first date, p_days integer) RETURNS TABLE(epoch text, version bigint, time_zone text, min_advance_minutes integer, days jsonb)
    LANGUAGE sql STABLE STRICT
    AS $$
  select epoch(), c.version, c.time_zone, c.min_advance_minutes,
         board_days(p_instructor, array(select p_first + n from generate_series(0, p_days - 1) as n))
  from calendar c where c.instructor_id = p_instructor
$$;

CREATE FUNCTION public.board_days(p_instructor uuid, p_dates date[]) RETURNS jsonb
    LANGUAGE plpgsql STABLE STRICT
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_zone text := (select c.time_zone from calendar c where c.instructor_id = p_instructor);
  v_from timestamptz := day_start((select min(d) from unnest(p_dates) as d), v_zone);
  v_to   timestamptz := day_start((select max(d) + 1 from unnest(p_dates) as d), v_zone);
  v_free tstzmultirange := free_time(p_instructor, v_from, v_to);
  v_held tstzmultirange[];
begin
  if v_from is null then
    return '{}';
  end if;
  -- Each held row stays a range of its own, so they are kept apart instead of being merged.
  select array_agg(tstzmultirange(b.during)) into v_held
  from booking b
  where b.instructor_id = p_instructor and b.blocked && tstzrange(v_from, v_to) and b.during && tstzrange(v_from, v_to)
    and b.state = 'held';
  return (
    select jsonb_object_agg(to_char(day, 'YYYY-MM-DD'), jsonb_build_object(
      'free', wire_ranges(v_free * tstzmultirange(span)),
      'held', case when v_held is null then '[]' else (
        select coalesce(jsonb_agg(jsonb_build_array(wire_instant(lower(part)), wire_instant(upper(part))) order by part), '[]')
        from unnest(v_held) as held, unnest(held * tstzmultirange(span)) as part
      ) end
    ))
    from (select d as day, day_span(d, v_zone) as span from unnest(p_dates) as d) as days
  );
end
$$;

CREATE FUNCTION public.booking_event(p_event text, p_booking uuid, p_previous_version bigint) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $$
begin
  return (
    select jsonb_build_object('event', p_event, 'previous_version', p_previous_version, 'booking', to_jsonb(d))
    from booking_detail d where d.id = p_booking
  );
end
$$;

CREATE FUNCTION public.cancel_booking(p_actor uuid, p_booking uuid, p_reason text, p_now timestamp with time zone, OUT refusal text, OUT detail jsonb, OUT booking jsonb) RETURNS record
    LANGUAGE plpgsql
    AS $$
declare
  v_calendar calendar;
  v_booking  booking;
  v_event    jsonb;
begin
  -- A booking never changes its instructor, so the calendar to lock is known before the lock.
  perform from calendar c
  where c.instructor_id = (select b.instructor_id from booking b where b.id = p_booking) for no key update;
  select b.* into v_booking from booking b where b.id = p_booking;
  select c.* into v_calendar from calendar c where c.instructor_id = v_booking.instructor_id;
  if v_booking.state <> 'confirmed' then
    refusal := 'WRONG_STATE';
    detail := jsonb_build_object('state', v_booking.state);
    return;
  elsif lower(v_booking.during) <= p_now then
    refusal := 'TOO_LATE';
    return;
  end if;
  update booking b
  set state = 'cancelled', late = p_now > b.free_cancel_until, cancel_reason = p_reason, version = v_calendar.version + 1
  where b.id = p_booking;
  insert into booking_audit (booking_id, at, actor_id, event, from_state, to_state)
  values (p_booking, p_now, p_actor, 'cancelled', v_booking.state, 'cancelled');
  insert into notification (kind, recipient_id, booking_id, sequence, due_at)
  values ('booking_cancelled', v_booking.student_id, p_booking, v_booking.sequence, p_now),
         ('booking_cancelled', v_booking.instructor_id, p_booking, v_booking.sequence, p_now);
  v_event := booking_event('cancelled', p_booking, v_booking.version);
  perform step(v_booking.instructor_id,
               local_dates(tstzrange(lower(v_booking.during) - make_interval(mins => v_calendar.travel_buffer_minutes),
                                     upper(v_booking.blocked)), v_calendar.time_zone),
               jsonb_build_array(v_event));
  booking := v_event -> 'booking';
end
$$;

CREATE FUNCTION public.clock_jump(p_local timestamp without time zone, p_zone text) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
  select min(minute)
  from generate_series(
    (p_local at time zone p_zone) - interval '3 hours', (p_local at time zone p_zone) + interval '3 hours', interval '1 minute'
  ) as minute
  where minute at time zone p_zone >= p_local
$$;

CREATE FUNCTION public.day_span(p_day date, p_zone text) RETURNS tstzrange
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
begin
  return tstzrange(day_start(p_day, p_zone), day_start(p_day + 1, p_zone));
end
$$;

CREATE FUNCTION public.day_start(p_day date, p_zone text) RETURNS timestamp with time zone
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
begin
  return local_or_jump(p_day::timestamp, p_zone);
end
$$;

CREATE FUNCTION public.epoch() RETURNS text
    LANGUAGE sql STABLE
    AS $$
  select left(md5(concat_ws('.', site.epoch_seed, control.system_identifier, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))), 16)
  from site, pg_control_system() as control
$$;

CREATE FUNCTION public.expire_hold(p_booking uuid, p_version bigint, p_now timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
  update booking set state = 'expired', version = p_version where id = p_booking and state = 'held' and held_until <= p_now;
  insert into booking_audit (booking_id, at, actor_id, event, from_state, to_state)
  values (p_booking, p_now, null, 'expired', 'held', 'expired');
end
$$;

CREATE FUNCTION public.free_time(p_instructor uuid, p_from timestamp with time zone, p_to timestamp with time zone) RETURNS tstzmultirange
    LANGUAGE plpgsql STABLE STRICT
    AS $$
declare
  v_zone   text;
  v_buffer interval;
  v_free   tstzmultirange;
  v_taken  tstzmultirange;
  v_dark   tstzmultirange;
begin
  select c.time_zone, make_interval(mins => c.travel_buffer_minutes) into v_zone, v_buffer
  from calendar c where c.instructor_id = p_instructor and c.is_active;
  if not found then
    return '{}';
  end if;
  select range_agg(a.during) into v_free
  from availability a where a.instructor_id = p_instructor and a.during && tstzrange(p_from, p_to);
  if v_free is null then
    return '{}';
  end if;
  select range_agg(tstzrange(lower(b.during) - v_buffer, upper(b.blocked))) into v_taken
  from booking b
  where b.instructor_id = p_instructor and b.blocked && tstzrange(p_from, p_to + v_buffer)
    and b.state in ('held', 'confirmed', 'completed', 'no_show');
  select range_agg(day_span(x.day, v_zone)) into v_dark
  from blackout x
  where x.instructor_id = p_instructor
    and x.day between (p_from at time zone v_zone)::date and (p_to at time zone v_zone)::date;
  v_free := v_free * tstzmultirange(tstzrange(p_from, p_to));
  if v_taken is not null then
    v_free := v_free - v_taken;
  end if;
  if v_dark is not null then
    v_free := v_free - v_dark;
  end if;
  return v_free;
end
$$;

CREATE FUNCTION public.hours(p_day date, p_from integer, p_to integer, p_zone text) RETURNS tstzrange
    LANGUAGE plpgsql STABLE STRICT
    AS $$
begin
  return tstzrange(local_or_jump(p_day + make_interval(hours => p_from), p_zone), local_or_jump(p_day + make_interval(hours => p_to), p_zone));
end
$$;

CREATE FUNCTION public.is_zone(p_zone text) RETURNS boolean
    LANGUAGE plpgsql STABLE STRICT
    AS $$
begin
  perform now() at time zone p_zone;
  return true;
exception when invalid_parameter_value then
  return false;
end
$$;

CREATE FUNCTION public.local_dates(p_during tstzrange, p_zone text) RETURNS date[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
  select array_agg(day::date)
  from generate_series(
    (lower(p_during) at time zone p_zone)::date, ((upper(p_during) - interval '1 microsecond') at time zone p_zone)::date, interval '1 day'
  ) as day
$$;

CREATE FUNCTION public.local_days(p_instructor uuid, p_first date, p_days integer) RETURNS TABLE(day date, ranges jsonb)
    LANGUAGE sql STABLE STRICT
    AS $$
  select days.day, coalesce((
      select jsonb_agg(jsonb_build_object(
               'start', wall_start(lower(part), days.time_zone),
               'end', wall_end(upper(part), days.day, days.time_zone)
             ) order by part)
      from availability a, lateral (select a.during * days.span as part) as cut
      where a.instructor_id = p_instructor and a.during && days.span
    ), '[]')
  from (select p_first + n as day, c.time_zone, day_span(p_first + n, c.time_zone) as span
        from calendar c, generate_series(0, p_days - 1) as n where c.instructor_id = p_instructor) as days
  order by days.day
$$;

CREATE FUNCTION public.local_end(p_local timestamp without time zone, p_zone text) RETURNS timestamp with time zone
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
declare
  instant timestamptz := local_instant(p_local, p_zone);
begin
  if instant is null then
    instant := clock_jump(p_local, p_zone);
    if ((instant - interval '1 microsecond') at time zone p_zone) + interval '1 microsecond' <> p_local then
      return null;
    end if;
  end if;
  return instant;
end
$$;

CREATE FUNCTION public.local_instant(p_local timestamp without time zone, p_zone text) RETURNS timestamp with time zone
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
declare
  guess         timestamptz := p_local at time zone p_zone;
  offset_before interval := ((guess - interval '1 day') at time zone p_zone) - ((guess - interval '1 day') at time zone 'UTC');
  offset_after  interval := ((guess + interval '1 day') at time zone p_zone) - ((guess + interval '1 day') at time zone 'UTC');
  early         timestamptz;
  late          timestamptz;
begin
  if offset_before = offset_after then
    return guess;
  end if;
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

CREATE FUNCTION public.local_or_jump(p_local timestamp without time zone, p_zone text) RETURNS timestamp with time zone
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
    AS $$
begin
  return coalesce(local_instant(p_local, p_zone), clock_jump(p_local, p_zone));
end
$$;

CREATE FUNCTION public.nearest_starts(p_instructor uuid, p_student uuid, p_near timestamp with time zone, p_minutes integer, p_now timestamp with time zone, p_limit integer) RETURNS TABLE(start timestamp with time zone)
    LANGUAGE plpgsql STABLE
    AS $$
declare
  v_calendar calendar := (select c from calendar c where c.instructor_id = p_instructor);
  v_lesson   interval := make_interval(mins => p_minutes);
  v_earliest timestamptz := p_now + make_interval(mins => v_calendar.min_advance_minutes);
  v_latest   timestamptz := p_now + interval '90 days' + v_lesson;
  v_from     timestamptz;
  v_to       timestamptz;
  v_reach    interval;
  v_starts   timestamptz[];
begin
  if not coalesce(v_calendar.is_active, false) then
    return;
  end if;
  -- Nearly always a day either way has enough; farther is looked only when it has not.
  foreach v_reach in array array[interval '1 day', interval '7 days', interval '30 days', interval '100 days'] loop
    v_from := greatest(v_earliest, least(p_near, v_latest) - v_reach);
    v_to := least(v_latest, greatest(p_near, v_earliest) + v_reach + v_lesson);  -- so that a start at the very edge fits
    exit when v_from >= v_to;
    v_starts := array(
      select s
      from unnest(
             free_time(p_instructor, v_from, v_to)
             - coalesce((
                 select range_agg(b.during) from booking b
                 where b.student_id = p_student and b.during && tstzrange(v_from, v_to)
                   and b.state in ('held', 'confirmed', 'completed', 'no_show')
                   and (b.state <> 'held' or b.held_until > p_now)
               ), '{}')
           ) as free,
           unnest(local_dates(free, v_calendar.time_zone)) as day,
           lateral (select free * day_span(day, v_calendar.time_zone) as part) as cut,
           generate_series(
             to_timestamp(ceil(extract(epoch from lower(part)) / 900) * 900), upper(part) - v_lesson, interval '15 minutes'
           ) as s
      where s <= p_now + interval '90 days'
      order by abs(extract(epoch from s - p_near)), s
      limit p_limit
    );
    exit when cardinality(v_starts) >= p_limit;
  end loop;
  return query select unnest(v_starts);
end
$$;

CREATE FUNCTION public.offers(p_service text, p_category text, p_area text, p_min_price integer, p_max_price integer, p_minutes integer, p_after uuid, p_limit integer) RETURNS TABLE(instructor_id uuid, instructor_name text, service_id uuid, service_name text, catalog_service text, hourly_rate_cents integer, minutes integer)
    LANGUAGE plpgsql STABLE
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
begin
  return query
    select s.instructor_id, a.full_name, s.id, k.name, s.catalog_service, s.hourly_rate_cents,
           coalesce(p_minutes, (select min(d) from unnest(s.durations_minutes) as d))
    from service s
    join calendar c on c.instructor_id = s.instructor_id and c.is_active
    join account a on a.id = s.instructor_id
    join catalog_service k on k.slug = s.catalog_service
    where s.is_active
      and (p_after is null or s.id < p_after)
      and (p_service is null or s.catalog_service = p_service)
      and (p_category is null or k.category = p_category)
      and (p_area is null or exists (select from instructor_area x where x.instructor_id = s.instructor_id and x.area = p_area))
      and (p_min_price is null or s.hourly_rate_cents >= p_min_price)
      and (p_max_price is null or s.hourly_rate_cents <= p_max_price)
      and (p_minutes is null or p_minutes = any (s.durations_minutes))
    order by s.id desc
    limit p_limit;
end
$$;

CREATE FUNCTION public.public_days(p_instructor uuid, p_first date, p_days integer, p_from timestamp with time zone) RETURNS TABLE(day date, ranges jsonb, total_minutes integer, morning boolean, afternoon boolean, evening boolean)
    LANGUAGE plpgsql STABLE STRICT
    AS $$
declare
  v_zone text := (select c.time_zone from calendar c where c.instructor_id = p_instructor);
  v_to   timestamptz := day_start(p_first + p_days, v_zone);
  v_free tstzmultirange := free_time(p_instructor, least(greatest(p_from, day_start(p_first, v_zone)), v_to), v_to);
begin
  return query
    select days.day,
           coalesce((
             select jsonb_agg(jsonb_build_object(
                      'start_time', wall_start(lower(r), v_zone), 'end_time', wall_end(upper(r), days.day, v_zone)) order by r)
             from unnest(days.free) as r
           ), '[]'),
           coalesce((select sum(extract(epoch from upper(r) - lower(r)) / 60)::integer from unnest(days.free) as r), 0),
           days.free && hours(days.day, 6, 12, v_zone),
           days.free && hours(days.day, 12, 17, v_zone),
           days.free && hours(days.day, 17, 22, v_zone)
    from (select p_first + n as day, v_free * tstzmultirange(day_span(p_first + n, v_zone)) as free
          from generate_series(0, p_days - 1) as n) as days
    order by days.day;
end
$$;

CREATE FUNCTION public.remove_service(p_instructor uuid, p_service uuid) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
begin
  perform from calendar c where c.instructor_id = p_instructor for no key update;
  perform from service s where s.id = p_service and s.instructor_id = p_instructor and s.is_active;
  if not found then
    return false;
  end if;
  perform from booking b where b.service_id = p_service limit 1;
  if found then
    update service s set is_active = false where s.id = p_service;
  else
    delete from service s where s.id = p_service;
  end if;
  return true;
end
$$;

CREATE FUNCTION public.replace_days(p_instructor uuid, p_days jsonb, p_base bigint, p_now timestamp with time zone, OUT refusal text, OUT detail jsonb, OUT version bigint, OUT days_changed integer) RETURNS record
    LANGUAGE plpgsql
    AS $$
declare
  v_calendar calendar;
  v_today    date;
  v_day      date;
  v_span     tstzrange;
  v_edges    jsonb;
  v_index    integer;
  v_starts   timestamptz;
  v_ends     timestamptz;
  v_wanted   tstzmultirange;
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
    v_wanted := '{}';
    for v_edges, v_index in
      select edges, number - 1 from jsonb_array_elements(p_days -> to_char(v_day, 'YYYY-MM-DD')) with ordinality as e (edges, number)
    loop
      v_starts := local_instant(v_day + make_interval(mins => (v_edges ->> 0)::integer), v_calendar.time_zone);
      v_ends := local_end(v_day + make_interval(mins => (v_edges ->> 1)::integer), v_calendar.time_zone);
      if v_starts is null or v_ends is null then
        refusal := 'VALIDATION_ERROR';
        detail := jsonb_build_object('date', v_day, 'reason', 'skipped', 'index', v_index,
                                     'edge', case when v_starts is null then 'start' else 'end' end);
        return;
      end if;
      v_wanted := v_wanted + tstzmultirange(tstzrange(v_starts, v_ends));
    end loop;
    select coalesce(range_agg(a.during), '{}') * tstzmultirange(v_span) into v_old
    from availability a where a.instructor_id = p_instructor and a.during && v_span;
    continue when v_old = v_wanted;
    if v_day < v_today or v_day > v_today + 730 then
      refusal := 'VALIDATION_ERROR';
      detail := jsonb_build_object('date', v_day, 'reason', case when v_day < v_today then 'past' else 'far' end);
      return;
    end if;
    v_changed := v_changed || v_day;
    v_window := v_window + tstzmultirange(v_span);
    v_new := v_new + v_wanted;
  end loop;
  if p_base is not null and p_base not between v_calendar.availability_version and v_calendar.version then
    refusal := 'VERSION_CONFLICT';
    return;
  end if;
  days_changed := cardinality(v_changed);
  if days_changed = 0 then
    return;
  end if;

  -- What reaches beyond the changed days is kept and merged again. Two statements: a delete in a `with` would meet
  -- WITHOUT OVERLAPS.
  select v_new + (coalesce(range_agg(a.during), '{}') - v_window) into v_new
  from availability a
  where a.instructor_id = p_instructor
    and (a.during && range_merge(v_window) or a.during -|- range_merge(v_window));
  delete from availability a
  where a.instructor_id = p_instructor
    and (a.during && range_merge(v_window) or a.during -|- range_merge(v_window));
  insert into availability (instructor_id, during) select p_instructor, r from unnest(v_new) as r;
  version := step(p_instructor, v_changed);
  update calendar c set availability_version = c.version where c.instructor_id = p_instructor;
end
$$;

CREATE FUNCTION public.reserve(p_student uuid, p_service uuid, p_start timestamp with time zone, p_minutes integer, p_location_type text, p_location text, p_note text, p_now timestamp with time zone, OUT refusal text, OUT detail jsonb, OUT booking jsonb) RETURNS record
    LANGUAGE plpgsql
    AS $$
declare
  v_service  service;
  v_calendar calendar;
  v_during   tstzrange := tstzrange(p_start, p_start + make_interval(mins => p_minutes));
  v_blocked  tstzrange;
  v_buffer   interval;
  v_other    uuid;
  v_id       uuid;
  v_version  bigint;
  v_expired  booking[];
  v_hold     booking;
  v_events   jsonb := '[]';
  v_dates    date[];
  v_attempt  integer;
begin
  -- The second pass sees what was committed while the first waited for the locks.
  for v_attempt in 0..1 loop
    select s.* into v_service from service s where s.id = p_service and s.is_active;
    select c.* into v_calendar from calendar c where c.instructor_id = v_service.instructor_id and c.is_active;
    if v_service.id is null or v_calendar.instructor_id is null then
      refusal := 'NOT_FOUND';
    elsif p_location_type is not null and p_location_type <> all (v_service.location_types) then
      refusal := 'VALIDATION_ERROR';
      detail := jsonb_build_object('field', 'location_type', 'offered', v_service.location_types);
    elsif v_service.instructor_id = p_student then
      refusal := 'NOT_ALLOWED';
    elsif p_minutes <> all (v_service.durations_minutes) then
      refusal := 'DURATION_NOT_OFFERED';
      detail := jsonb_build_object('durations_minutes', v_service.durations_minutes);
    elsif p_start < p_now + make_interval(mins => v_calendar.min_advance_minutes) then
      refusal := 'TOO_SOON';
      detail := jsonb_build_object('min_advance_minutes', v_calendar.min_advance_minutes);
    elsif p_start > p_now + interval '90 days' then
      refusal := 'TOO_FAR_AHEAD';
    end if;
    if refusal is not null then
      return;
    end if;

    v_buffer := make_interval(mins => v_calendar.travel_buffer_minutes);
    v_blocked := tstzrange(lower(v_during), upper(v_during) + v_buffer);

    -- The lesson in the way, by name. Without locks first, so that the losers of a rush leave without queueing.
    select b.id into v_other from booking b
    where b.student_id = p_student and b.during && v_during and b.state in ('held', 'confirmed', 'completed', 'no_show')
      and (b.state <> 'held' or b.held_until > p_now)
    limit 1;
    if found then
      refusal := 'STUDENT_BUSY';
      detail := jsonb_build_object('booking_id', v_other);
      return;
    end if;
    perform from booking b
    where b.instructor_id = v_service.instructor_id and b.blocked && v_blocked
      and b.state in ('held', 'confirmed', 'completed', 'no_show') and (b.state <> 'held' or b.held_until > p_now)
    limit 1;
    if found then
      refusal := 'SLOT_TAKEN';
    else
      -- Availability is merged, so one range contains the lesson or none does. A lesson lies within one local day.
      perform from availability a
      where a.instructor_id = v_service.instructor_id and a.during @> v_during
        and v_during <@ day_span((p_start at time zone v_calendar.time_zone)::date, v_calendar.time_zone)
        and not exists (
          select from blackout x
          where x.instructor_id = v_service.instructor_id and x.day = (p_start at time zone v_calendar.time_zone)::date
        );
      if not found then
        refusal := 'OUTSIDE_AVAILABILITY';
      end if;
    end if;
    if refusal is not null then
      detail := jsonb_build_object('version', v_calendar.version, 'instructor_id', v_calendar.instructor_id);
      return;
    end if;

    if v_attempt = 0 then
      perform from account a where a.id = p_student for no key update;
      -- The student's own holds that ran out elsewhere are in the way of the constraint, and theirs to clear.
      perform from calendar c
      where c.instructor_id = any (v_service.instructor_id || array(
        select b.instructor_id from booking b
        where b.student_id = p_student and b.during && v_during and b.state = 'held' and b.held_until <= p_now
      ))
      order by c.instructor_id for no key update;
      continue;
    end if;

    -- Holds that have run out block nobody: each leaves in the step of its own calendar.
    v_version := v_calendar.version + 1;
    v_dates := local_dates(tstzrange(lower(v_during) - v_buffer, upper(v_blocked)), v_calendar.time_zone);
    v_expired := array(
      select b from booking b
      where b.state = 'held' and b.held_until <= p_now and b.state in ('held', 'confirmed', 'completed', 'no_show')
        and (b.instructor_id = v_service.instructor_id and b.blocked && v_blocked
             or b.student_id = p_student and b.during && v_during)
    );
    foreach v_hold in array v_expired loop
      if v_hold.instructor_id = v_service.instructor_id then
        perform expire_hold(v_hold.id, v_version, p_now);
        v_events := v_events || booking_event('expired', v_hold.id, v_hold.version);
        v_dates := v_dates || local_dates(
          tstzrange(lower(v_hold.during) - v_buffer, upper(v_hold.blocked)), v_calendar.time_zone);
      else
        perform expire_hold(v_hold.id, c.version + 1, p_now) from calendar c where c.instructor_id = v_hold.instructor_id;
        perform step(c.instructor_id,
                     local_dates(tstzrange(lower(v_hold.during) - make_interval(mins => c.travel_buffer_minutes),
                                           upper(v_hold.blocked)), c.time_zone),
                     jsonb_build_array(booking_event('expired', v_hold.id, v_hold.version)))
        from calendar c where c.instructor_id = v_hold.instructor_id;
      end if;
    end loop;

    -- Under the locks nothing can be in the way that was not seen above. Should someone have gone past them, the constraints keep
    -- the promise, and as after a deadlock the whole transaction runs again: part of it is written already.
    insert into booking (
      instructor_id, student_id, service_id, state, during, blocked, service_name, duration_minutes, price_cents,
      location_type, location, note, free_cancel_until, version, created_at
    )
    select v_service.instructor_id, p_student, v_service.id, 'confirmed', v_during, v_blocked, k.name, p_minutes,
           (v_service.hourly_rate_cents * p_minutes + 30) / 60,
           coalesce(p_location_type, v_service.location_types[1]), p_location, p_note,
           least(p_start, greatest(p_start - make_interval(hours => v_calendar.free_cancel_hours), p_now + interval '5 minutes')),
           v_version, p_now
    from catalog_service k where k.slug = v_service.catalog_service
    on conflict do nothing
    returning id into v_id;
    if v_id is null then
      raise exception 'a booking of service % at % was in the way of another that took no locks', p_service, p_start
        using errcode = 'deadlock_detected';
    end if;

    insert into booking_audit (booking_id, at, actor_id, event, from_state, to_state)
    values (v_id, p_now, p_student, 'created', null, 'confirmed');
    insert into notification (kind, recipient_id, booking_id, due_at)
    values ('booking_confirmed', p_student, v_id, p_now), ('booking_confirmed', v_service.instructor_id, v_id, p_now);
    v_events := v_events || booking_event('created', v_id, 0);
    perform step(v_service.instructor_id, array(select distinct d from unnest(v_dates) as d), v_events);
    booking := v_events -> -1 -> 'booking';
    return;
  end loop;
end
$$;

CREATE FUNCTION public.set_teaching(p_instructor uuid, p_teaches boolean) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare
  v_version bigint;
begin
  perform from calendar c where c.instructor_id = p_instructor for no key update;
  update calendar c set is_active = p_teaches
  where c.instructor_id = p_instructor and c.is_active <> p_teaches
  returning c.version into v_version;
  if found then
    v_version := step(p_instructor, '{}');
  end if;
  return v_version;
end
$$;

CREATE FUNCTION public.step(p_instructor uuid, p_dates date[], p_events jsonb DEFAULT '[]'::jsonb) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare
  v_version bigint;
begin
  update calendar c set version = c.version + 1 where c.instructor_id = p_instructor returning c.version into strict v_version;
  insert into outbox (instructor_id, version, days, events)
  values (p_instructor, v_version, board_days(p_instructor, p_dates), p_events);
  return v_version;
end
$$;

CREATE FUNCTION public.update_instructor(p_instructor uuid, p_headline text, p_bio text, p_years integer, p_areas text[], p_notice integer, p_buffer integer, p_free_cancel integer, p_now timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
declare
  v_old   calendar;
  v_new   calendar;
  v_dates date[] := '{}';
begin
  perform from calendar c where c.instructor_id = p_instructor for no key update;
  select c.* into strict v_old from calendar c where c.instructor_id = p_instructor;
  update instructor i
  set headline = coalesce(p_headline, i.headline), bio = coalesce(p_bio, i.bio),
      years_experience = coalesce(p_years, i.years_experience)
  where i.id = p_instructor;
  if p_areas is not null then
    delete from instructor_area x where x.instructor_id = p_instructor and x.area <> all (p_areas);
    insert into instructor_area (instructor_id, area) select p_instructor, unnest(p_areas) on conflict do nothing;
  end if;
  update calendar c
  set min_advance_minutes = coalesce(p_notice, c.min_advance_minutes),
      travel_buffer_minutes = coalesce(p_buffer, c.travel_buffer_minutes),
      free_cancel_hours = coalesce(p_free_cancel, c.free_cancel_hours)
  where c.instructor_id = p_instructor
  returning c.* into v_new;
  if v_new.travel_buffer_minutes <> v_old.travel_buffer_minutes then
    v_dates := array(
      select distinct day
      from booking b,
           unnest(local_dates(
             tstzrange(lower(b.during) - make_interval(mins => greatest(v_old.travel_buffer_minutes, v_new.travel_buffer_minutes)),
                       lower(b.during)), v_new.time_zone)) as day
      where b.instructor_id = p_instructor and lower(b.during) > p_now - interval '35 days'
        and b.state in ('held', 'confirmed', 'completed', 'no_show')
    );
  end if;
  if v_new.travel_buffer_minutes <> v_old.travel_buffer_minutes then
    v_new.version := step(p_instructor, v_dates);
  end if;
  -- A step of its own: one without days and events tells watchers to read the board anew.
  if v_new.min_advance_minutes <> v_old.min_advance_minutes then
    v_new.version := step(p_instructor, '{}');
  end if;
  return v_new.version;
end
$$;

CREATE FUNCTION public.wall_end(p_instant timestamp with time zone, p_day date, p_zone text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
  select case when (p_instant - interval '1 microsecond') at time zone p_zone + interval '1 microsecond' >= p_day + 1 then '24:00'
              else to_char((p_instant - interval '1 microsecond') at time zone p_zone + interval '1 microsecond', 'HH24:MI') end
$$;

CREATE FUNCTION public.wall_start(p_instant timestamp with time zone, p_zone text) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
  select to_char(p_instant at time zone p_zone, 'HH24:MI')
$$;

CREATE FUNCTION public.wire_instant(p_instant timestamp with time zone) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
  select to_char(p_instant at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
$$;

CREATE FUNCTION public.wire_ranges(p_ranges tstzmultirange) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$
  select coalesce(jsonb_agg(jsonb_build_array(wire_instant(lower(r)), wire_instant(upper(r))) order by r), '[]')
  from unnest(p_ranges) as r
$$;

SET default_tablespace = '';

SET default_table_access_method = heap;

CREATE TABLE public.account (
    id uuid DEFAULT uuidv7() NOT NULL,
    email public.citext NOT NULL,
    full_name text NOT NULL,
    password_hash text NOT NULL,
    time_zone text DEFAULT 'America/New_York'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT account_full_name_length CHECK (((length(full_name) >= 1) AND (length(full_name) <= 200)))
);

CREATE TABLE public.account_role (
    account_id uuid NOT NULL,
    role text NOT NULL
);

CREATE TABLE public.area (
    slug text NOT NULL,
    name text NOT NULL,
    borough text NOT NULL
);

CREATE TABLE public.availability (
    instructor_id uuid NOT NULL,
    during tstzrange NOT NULL,
    CONSTRAINT availability_bounded CHECK (((NOT isempty(during)) AND lower_inc(during) AND (NOT upper_inc(during)) AND isfinite(lower(during)) AND isfinite(upper(during))))
);

CREATE TABLE public.blackout (
    instructor_id uuid NOT NULL,
    day date NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    CONSTRAINT blackout_reason_length CHECK ((length(reason) <= 500))
);

CREATE TABLE public.booking (
    id uuid DEFAULT uuidv7() NOT NULL,
    instructor_id uuid NOT NULL,
    student_id uuid NOT NULL,
    service_id uuid NOT NULL,
    state text NOT NULL,
    during tstzrange NOT NULL,
    blocked tstzrange NOT NULL,
    held_until timestamp with time zone,
    service_name text NOT NULL,
    duration_minutes integer NOT NULL,
    price_cents integer NOT NULL,
    location_type text NOT NULL,
    location text DEFAULT ''::text NOT NULL,
    note text DEFAULT ''::text NOT NULL,
    instructor_note text DEFAULT ''::text NOT NULL,
    free_cancel_until timestamp with time zone NOT NULL,
    late boolean,
    cancel_reason text DEFAULT ''::text NOT NULL,
    sequence integer DEFAULT 0 NOT NULL,
    version bigint NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT booking_blocked_starts_with_during CHECK (((lower(blocked) = lower(during)) AND (upper(blocked) >= upper(during)))),
    CONSTRAINT booking_bounded CHECK (((NOT isempty(during)) AND lower_inc(during) AND (NOT upper_inc(during)) AND isfinite(lower(during)) AND isfinite(upper(during)))),
    CONSTRAINT booking_hold_ends CHECK (((state <> 'held'::text) OR (held_until IS NOT NULL))),
    CONSTRAINT booking_instructor_note_length CHECK ((length(instructor_note) <= 2000)),
    CONSTRAINT booking_late_when_cancelled CHECK (((late IS NULL) OR (state = 'cancelled'::text))),
    CONSTRAINT booking_location_length CHECK ((length(location) <= 500)),
    CONSTRAINT booking_location_type CHECK ((location_type = ANY (ARRAY['student'::text, 'instructor'::text, 'public'::text]))),
    CONSTRAINT booking_note_length CHECK ((length(note) <= 2000)),
    CONSTRAINT booking_price CHECK ((price_cents >= 0)),
    CONSTRAINT booking_reason_length CHECK ((length(cancel_reason) <= 500)),
    CONSTRAINT booking_state CHECK ((state = ANY (ARRAY['held'::text, 'confirmed'::text, 'completed'::text, 'cancelled'::text, 'no_show'::text, 'expired'::text])))
);

CREATE TABLE public.booking_audit (
    id bigint NOT NULL,
    booking_id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    actor_id uuid,
    event text NOT NULL,
    from_state text,
    to_state text NOT NULL
);

ALTER TABLE public.booking_audit ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.booking_audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.calendar (
    instructor_id uuid NOT NULL,
    version bigint DEFAULT 0 NOT NULL,
    availability_version bigint DEFAULT 0 NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    time_zone text DEFAULT 'America/New_York'::text NOT NULL,
    min_advance_minutes integer DEFAULT 120 NOT NULL,
    travel_buffer_minutes integer DEFAULT 0 NOT NULL,
    free_cancel_hours integer DEFAULT 12 NOT NULL,
    CONSTRAINT calendar_buffer CHECK (((travel_buffer_minutes >= 0) AND (travel_buffer_minutes <= 240))),
    CONSTRAINT calendar_free_cancel CHECK (((free_cancel_hours >= 1) AND (free_cancel_hours <= 48))),
    CONSTRAINT calendar_notice CHECK (((min_advance_minutes >= 0) AND (min_advance_minutes <= 43200)))
);

CREATE VIEW public.booking_detail AS
 SELECT b.id,
    b.state,
    lower(b.during) AS starts_at,
    upper(b.during) AS ends_at,
    b.duration_minutes,
    b.held_until,
    b.service_id,
    b.service_name,
    b.price_cents,
    b.instructor_id,
    teacher.full_name AS instructor_name,
    b.student_id,
    student.full_name AS student_name,
    b.location_type,
    b.location,
    b.note,
    b.instructor_note,
    b.free_cancel_until,
    b.late,
    b.cancel_reason,
    b.sequence,
    b.version,
    b.created_at,
    c.time_zone
   FROM (((public.booking b
     JOIN public.calendar c ON ((c.instructor_id = b.instructor_id)))
     JOIN public.account teacher ON ((teacher.id = b.instructor_id)))
     JOIN public.account student ON ((student.id = b.student_id)));

CREATE TABLE public.catalog_service (
    slug text NOT NULL,
    name text NOT NULL,
    category text NOT NULL
);

CREATE TABLE public.category (
    slug text NOT NULL,
    name text NOT NULL,
    "position" integer NOT NULL
);

CREATE TABLE public.dev_mail (
    id bigint NOT NULL,
    notification_id bigint,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    sender text NOT NULL,
    recipient text NOT NULL,
    subject text NOT NULL,
    body_text text NOT NULL,
    body_html text NOT NULL,
    calendar text
);

ALTER TABLE public.dev_mail ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.dev_mail_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.idempotency_key (
    account_id uuid NOT NULL,
    key text NOT NULL,
    method text NOT NULL,
    path text NOT NULL,
    body_sha256 bytea NOT NULL,
    answer json,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT idempotency_key_length CHECK (((length(key) >= 1) AND (length(key) <= 200)))
);

CREATE TABLE public.instructor (
    id uuid NOT NULL,
    headline text DEFAULT ''::text NOT NULL,
    bio text DEFAULT ''::text NOT NULL,
    years_experience integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT instructor_years CHECK (((years_experience >= 0) AND (years_experience <= 80)))
);

CREATE TABLE public.instructor_area (
    instructor_id uuid NOT NULL,
    area text NOT NULL
);

CREATE TABLE public.migration (
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamp with time zone DEFAULT now()
);

CREATE TABLE public.notification (
    id bigint NOT NULL,
    kind text NOT NULL,
    recipient_id uuid NOT NULL,
    booking_id uuid,
    sequence integer DEFAULT 0 NOT NULL,
    due_at timestamp with time zone NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    last_error text,
    sent_at timestamp with time zone,
    given_up_at timestamp with time zone,
    CONSTRAINT notification_kind CHECK ((kind = ANY (ARRAY['booking_confirmed'::text, 'booking_cancelled'::text, 'booking_rescheduled'::text, 'reminder'::text, 'welcome'::text, 'password_reset'::text])))
);

ALTER TABLE public.notification ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.notification_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.outbox (
    id bigint NOT NULL,
    instructor_id uuid NOT NULL,
    version bigint NOT NULL,
    days jsonb NOT NULL,
    events jsonb DEFAULT '[]'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    published_at timestamp with time zone
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_insert_scale_factor='0.05');

ALTER TABLE public.outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.permission (
    name text NOT NULL,
    audience text NOT NULL,
    CONSTRAINT permission_audience CHECK ((audience = ANY (ARRAY['shared'::text, 'student'::text, 'instructor'::text, 'admin'::text])))
);

CREATE TABLE public.role (
    name text NOT NULL
);

CREATE TABLE public.role_permission (
    role text NOT NULL,
    permission text NOT NULL
);

CREATE TABLE public.service (
    id uuid DEFAULT uuidv7() NOT NULL,
    instructor_id uuid NOT NULL,
    catalog_service text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    hourly_rate_cents integer NOT NULL,
    durations_minutes integer[] NOT NULL,
    location_types text[] NOT NULL,
    levels text[] DEFAULT '{}'::text[] NOT NULL,
    audiences text[] DEFAULT '{}'::text[] NOT NULL,
    is_active boolean DEFAULT true NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT service_durations CHECK (((cardinality(durations_minutes) >= 1) AND (cardinality(durations_minutes) <= 10))),
    CONSTRAINT service_location_types CHECK (((cardinality(location_types) > 0) AND (location_types <@ ARRAY['student'::text, 'instructor'::text, 'public'::text]))),
    CONSTRAINT service_rate CHECK (((hourly_rate_cents >= 100) AND (hourly_rate_cents <= 100000)))
);

CREATE TABLE public.session (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    account_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone
);

CREATE TABLE public.site (
    only_row boolean DEFAULT true NOT NULL,
    epoch_seed uuid DEFAULT gen_random_uuid() NOT NULL,
    CONSTRAINT site_one_row CHECK (only_row)
);

INSERT INTO public.account VALUES
	('01a1fe91-fcfc-7328-a719-5e8595141044', 'anna@example.com', 'Anna', '$argon2id$v=19$m=8,t=1,p=1$q5p1D8+kr4GW/MpipOwdJg$1NZtgHdbhgC9LzZ1sAvh7kkWdrhINtzsRPh3jMfY3gs', 'America/New_York', '2026-11-21 14:45:42.753047+00'),
	('01a1fe91-fd1e-704e-af6c-5f64acd16fcb', 'dora@example.com', 'Dora', '$argon2id$v=19$m=8,t=1,p=1$q5p1D8+kr4GW/MpipOwdJg$1NZtgHdbhgC9LzZ1sAvh7kkWdrhINtzsRPh3jMfY3gs', 'America/Chicago', '2026-11-21 14:45:42.813904+00'),
	('01a1fe91-fd25-7c6a-b445-59b76cded568', 'ben@example.com', 'Ben', '$argon2id$v=19$m=8,t=1,p=1$q5p1D8+kr4GW/MpipOwdJg$1NZtgHdbhgC9LzZ1sAvh7kkWdrhINtzsRPh3jMfY3gs', 'America/New_York', '2026-11-21 14:45:42.821626+00'),
	('01a1fe91-fd27-7744-aa05-bbe0e696fce5', 'carl@example.com', 'Carl', '$argon2id$v=19$m=8,t=1,p=1$q5p1D8+kr4GW/MpipOwdJg$1NZtgHdbhgC9LzZ1sAvh7kkWdrhINtzsRPh3jMfY3gs', 'America/New_York', '2026-11-21 14:45:42.823372+00'),
	('01a1fe91-fd2a-7c83-a9d9-b08d5955db46', 'emma@example.com', 'Emma', '$argon2id$v=19$m=8,t=1,p=1$q5p1D8+kr4GW/MpipOwdJg$1NZtgHdbhgC9LzZ1sAvh7kkWdrhINtzsRPh3jMfY3gs', 'America/New_York', '2026-11-21 14:45:42.823806+00'),
	('01a1fe91-fd2b-73d2-be3d-b4259f7f2bf6', 'gus@example.com', 'Gus', '$argon2id$v=19$m=8,t=1,p=1$q5p1D8+kr4GW/MpipOwdJg$1NZtgHdbhgC9LzZ1sAvh7kkWdrhINtzsRPh3jMfY3gs', 'America/New_York', '2026-11-21 14:45:42.827174+00'),
	('01a1fe91-fd2b-790f-83e7-c7f3fc7e959e', 'finn@example.com', 'Finn', '$argon2id$v=19$m=8,t=1,p=1$q5p1D8+kr4GW/MpipOwdJg$1NZtgHdbhgC9LzZ1sAvh7kkWdrhINtzsRPh3jMfY3gs', 'America/New_York', '2026-11-21 14:45:42.827518+00');

INSERT INTO public.account_role VALUES
	('01a1fe91-fcfc-7328-a719-5e8595141044', 'instructor'),
	('01a1fe91-fd1e-704e-af6c-5f64acd16fcb', 'instructor'),
	('01a1fe91-fd25-7c6a-b445-59b76cded568', 'student'),
	('01a1fe91-fd27-7744-aa05-bbe0e696fce5', 'student'),
	('01a1fe91-fd2a-7c83-a9d9-b08d5955db46', 'student'),
	('01a1fe91-fd2b-73d2-be3d-b4259f7f2bf6', 'student'),
	('01a1fe91-fd2b-790f-83e7-c7f3fc7e959e', 'instructor');

INSERT INTO public.area VALUES
	('battery-park-city', 'Battery Park City', 'Manhattan'),
	('chelsea', 'Chelsea', 'Manhattan'),
	('chinatown', 'Chinatown', 'Manhattan'),
	('east-harlem', 'East Harlem', 'Manhattan'),
	('east-village', 'East Village', 'Manhattan'),
	('financial-district', 'Financial District', 'Manhattan'),
	('gramercy', 'Gramercy', 'Manhattan'),
	('greenwich-village', 'Greenwich Village', 'Manhattan'),
	('harlem', 'Harlem', 'Manhattan'),
	('hells-kitchen', 'Hell''s Kitchen', 'Manhattan'),
	('inwood', 'Inwood', 'Manhattan'),
	('lower-east-side', 'Lower East Side', 'Manhattan'),
	('midtown', 'Midtown', 'Manhattan'),
	('morningside-heights', 'Morningside Heights', 'Manhattan'),
	('murray-hill', 'Murray Hill', 'Manhattan'),
	('soho', 'SoHo', 'Manhattan'),
	('tribeca', 'Tribeca', 'Manhattan'),
	('upper-east-side', 'Upper East Side', 'Manhattan'),
	('upper-west-side', 'Upper West Side', 'Manhattan'),
	('washington-heights', 'Washington Heights', 'Manhattan'),
	('west-village', 'West Village', 'Manhattan'),
	('bay-ridge', 'Bay Ridge', 'Brooklyn'),
	('bedford-stuyvesant', 'Bedford-Stuyvesant', 'Brooklyn'),
	('brooklyn-heights', 'Brooklyn Heights', 'Brooklyn'),
	('bushwick', 'Bushwick', 'Brooklyn'),
	('carroll-gardens', 'Carroll Gardens', 'Brooklyn'),
	('cobble-hill', 'Cobble Hill', 'Brooklyn'),
	('crown-heights', 'Crown Heights', 'Brooklyn'),
	('downtown-brooklyn', 'Downtown Brooklyn', 'Brooklyn'),
	('dumbo', 'DUMBO', 'Brooklyn'),
	('fort-greene', 'Fort Greene', 'Brooklyn'),
	('greenpoint', 'Greenpoint', 'Brooklyn'),
	('park-slope', 'Park Slope', 'Brooklyn'),
	('prospect-heights', 'Prospect Heights', 'Brooklyn'),
	('red-hook', 'Red Hook', 'Brooklyn'),
	('sunset-park', 'Sunset Park', 'Brooklyn'),
	('williamsburg', 'Williamsburg', 'Brooklyn'),
	('astoria', 'Astoria', 'Queens'),
	('flushing', 'Flushing', 'Queens'),
	('forest-hills', 'Forest Hills', 'Queens'),
	('jackson-heights', 'Jackson Heights', 'Queens'),
	('long-island-city', 'Long Island City', 'Queens'),
	('sunnyside', 'Sunnyside', 'Queens'),
	('fordham', 'Fordham', 'Bronx'),
	('mott-haven', 'Mott Haven', 'Bronx'),
	('riverdale', 'Riverdale', 'Bronx'),
	('st-george', 'St. George', 'Staten Island'),
	('stapleton', 'Stapleton', 'Staten Island');

INSERT INTO public.availability VALUES
	('01a1fe91-fcfc-7328-a719-5e8595141044', '["2026-11-20 14:00:00+00","2026-11-20 22:00:00+00")'),
	('01a1fe91-fcfc-7328-a719-5e8595141044', '["2026-11-21 14:00:00+00","2026-11-21 22:00:00+00")'),
	('01a1fe91-fcfc-7328-a719-5e8595141044', '["2026-11-22 14:00:00+00","2026-11-22 22:00:00+00")'),
	('01a1fe91-fcfc-7328-a719-5e8595141044', '["2026-11-23 14:00:00+00","2026-11-23 22:00:00+00")'),
	('01a1fe91-fcfc-7328-a719-5e8595141044', '["2026-11-24 14:00:00+00","2026-11-24 22:00:00+00")'),
	('01a1fe91-fcfc-7328-a719-5e8595141044', '["2026-11-25 14:00:00+00","2026-11-25 22:00:00+00")'),
	('01a1fe91-fcfc-7328-a719-5e8595141044', '["2026-11-26 14:00:00+00","2026-11-26 22:00:00+00")'),
	('01a1fe91-fcfc-7328-a719-5e8595141044', '["2026-11-27 14:00:00+00","2026-11-27 22:00:00+00")'),
	('01a1fe91-fcfc-7328-a719-5e8595141044', '["2026-11-28 14:00:00+00","2026-11-28 22:00:00+00")'),
	('01a1fe91-fcfc-7328-a719-5e8595141044', '["2026-11-29 14:00:00+00","2026-11-29 22:00:00+00")'),
	('01a1fe91-fd1e-704e-af6c-5f64acd16fcb', '["2026-11-20 15:00:00+00","2026-11-20 23:00:00+00")'),
	('01a1fe91-fd1e-704e-af6c-5f64acd16fcb', '["2026-11-21 15:00:00+00","2026-11-21 23:00:00+00")'),
	('01a1fe91-fd1e-704e-af6c-5f64acd16fcb', '["2026-11-22 15:00:00+00","2026-11-22 23:00:00+00")'),
	('01a1fe91-fd1e-704e-af6c-5f64acd16fcb', '["2026-11-23 15:00:00+00","2026-11-23 23:00:00+00")'),
	('01a1fe91-fd1e-704e-af6c-5f64acd16fcb', '["2026-11-25 15:00:00+00","2026-11-25 23:00:00+00")'),
	('01a1fe91-fd1e-704e-af6c-5f64acd16fcb', '["2026-11-26 15:00:00+00","2026-11-26 23:00:00+00")'),
	('01a1fe91-fd1e-704e-af6c-5f64acd16fcb', '["2026-11-27 15:00:00+00","2026-11-27 23:00:00+00")'),
	('01a1fe91-fd1e-704e-af6c-5f64acd16fcb', '["2026-11-28 15:00:00+00","2026-11-28 23:00:00+00")'),
	('01a1fe91-fd1e-704e-af6c-5f64acd16fcb', '["2026-11-29 15:00:00+00","2026-11-29 23:00:00+00")'),
	('01a1fe91-fd2b-790f-83e7-c7f3fc7e959e', '["2026-11-20 14:00:00+00","2026-11-20 22:00:00+00")'),
	('01a1fe91-fd2b-790f-83e7-c7f3fc7e959e', '["2026-11-21 14:00:00+00","2026-11-21 22:00:00+00")'),
	('01a1fe91-fd2b-790f-83e7-c7f3fc7e959e', '["2026-11-22 14:00:00+00","2026-11-22 22:00:00+00")'),
	('01a1fe91-fd2b-790f-83e7-c7f3fc7e959e', '["2026-11-23 14:00:00+00","2026-11-23 22:00:00+00")'),
	('01a1fe91-fd2b-790f-83e7-c7f3fc7e959e', '["2026-11-24 14:00:00+00","2026-11-24 22:00:00+00")'),
	('01a1fe91-fd2b-790f-83e7-c7f3fc7e959e', '["2026-11-25 14:00:00+00","2026-11-25 22:00:00+00")'),
	('01a1fe91-fd2b-790f-83e7-c7f3fc7e959e', '["2026-11-26 14:00:00+00","2026-11-26 22:00:00+00")'),
	('01a1fe91-fd2b-790f-83e7-c7f3fc7e959e', '["2026-11-27 14:00:00+00","2026-11-27 22:00:00+00")'),
	('01a1fe91-fd2b-790f-83e7-c7f3fc7e959e', '["2026-11-28 14:00:00+00","2026-11-28 22:00:00+00")'),
	('01a1fe91-fd2b-790f-83e7-c7f3fc7e959e', '["2026-11-29 14:00:00+00","2026-11-29 22:00:00+00")'),
	('01a1fe91-fd1e-704e-af6c-5f64acd16fcb', '["2026-11-24 15:00:00+00","2026-11-24 17:00:00+00")'),
	('01a1fe91-fd1e-704e-af6c-5f64acd16fcb', '["2026-11-24 18:00:00+00","2026-11-24 23:00:00+00")');

INSERT INTO public.blackout VALUES
	('01a1fe91-fcfc-7328-a719-5e8595141044', '2026-11-25', 'away');

INSERT INTO public.booking VALUES
	('01a1fe91-fd45-7aeb-a803-78ad00426715', '01a1fe91-fcfc-7328-a719-5e8595141044', '01a1fe91-fd25-7c6a-b445-59b76cded568', '01a1fe91-fd1c-7da8-9f5e-27f48ea40825', 'confirmed', '["2026-11-21 15:00:00+00","2026-11-21 16:00:00+00")', '["2026-11-21 15:00:00+00","2026-11-21 16:15:00+00")', NULL, 'Piano', 60, 7000, 'student', '', '', '', '2026-11-21 03:00:00+00', NULL, '', 0, 1, '2026-11-20 15:00:00+00'),
	('01a1fe91-fd53-7d2d-ade1-66b1dec7a7a4', '01a1fe91-fcfc-7328-a719-5e8595141044', '01a1fe91-fd27-7744-aa05-bbe0e696fce5', '01a1fe91-fd1c-7da8-9f5e-27f48ea40825', 'confirmed', '["2026-11-22 17:00:00+00","2026-11-22 17:30:00+00")', '["2026-11-22 17:00:00+00","2026-11-22 17:45:00+00")', NULL, 'Piano', 30, 3500, 'student', '', '', '', '2026-11-22 05:00:00+00', NULL, '', 0, 2, '2026-11-20 15:00:00+00'),
	('01a1fe91-fd5d-707a-ab1e-dae2f02a949b', '01a1fe91-fd1e-704e-af6c-5f64acd16fcb', '01a1fe91-fd25-7c6a-b445-59b76cded568', '01a1fe91-fd25-756f-8687-6ef65a9833ad', 'cancelled', '["2026-11-23 21:00:00+00","2026-11-23 22:00:00+00")', '["2026-11-23 21:00:00+00","2026-11-23 22:00:00+00")', NULL, 'Guitar', 60, 7000, 'student', '', '', '', '2026-11-23 09:00:00+00', false, 'ill', 0, 2, '2026-11-20 15:00:00+00'),
	('01a1fe91-fd6a-770f-8d57-2c061b48989e', '01a1fe91-fd1e-704e-af6c-5f64acd16fcb', '01a1fe91-fd2a-7c83-a9d9-b08d5955db46', '01a1fe91-fd25-756f-8687-6ef65a9833ad', 'confirmed', '["2026-11-21 17:00:00+00","2026-11-21 18:00:00+00")', '["2026-11-21 17:00:00+00","2026-11-21 18:00:00+00")', NULL, 'Guitar', 60, 7000, 'student', '', '', '', '2026-11-21 05:00:00+00', NULL, '', 0, 3, '2026-11-20 15:00:00+00'),
	('01a1fe91-fd6d-7719-b2d5-037f9730cfd3', '01a1fe91-fcfc-7328-a719-5e8595141044', '01a1fe91-fd2a-7c83-a9d9-b08d5955db46', '01a1fe91-fd1c-7da8-9f5e-27f48ea40825', 'held', '["2026-11-24 20:00:00+00","2026-11-24 21:00:00+00")', '["2026-11-24 20:00:00+00","2026-11-24 21:00:00+00")', '2026-11-20 15:05:00+00', 'Piano', 60, 7000, 'student', '', '', '', '2026-11-24 20:00:00+00', NULL, '', 0, 0, '2026-11-20 15:05:00+00'),
	('01a1fe91-fd7b-78d2-8e0d-af3659079f6f', '01a1fe91-fd1e-704e-af6c-5f64acd16fcb', '01a1fe91-fd25-7c6a-b445-59b76cded568', '01a1fe91-fd25-756f-8687-6ef65a9833ad', 'confirmed', '["2026-11-24 15:00:00+00","2026-11-24 16:00:00+00")', '["2026-11-24 15:00:00+00","2026-11-24 16:00:00+00")', NULL, 'Guitar', 60, 7000, 'public', 'Library', 'Scales', '', '2026-11-24 03:00:00+00', NULL, '', 0, 5, '2026-11-20 15:00:00+00');

INSERT INTO public.booking_audit OVERRIDING SYSTEM VALUE VALUES
	(1, '01a1fe91-fd45-7aeb-a803-78ad00426715', '2026-11-20 15:00:00+00', '01a1fe91-fd25-7c6a-b445-59b76cded568', 'created', NULL, 'confirmed'),
	(2, '01a1fe91-fd53-7d2d-ade1-66b1dec7a7a4', '2026-11-20 15:00:00+00', '01a1fe91-fd27-7744-aa05-bbe0e696fce5', 'created', NULL, 'confirmed'),
	(3, '01a1fe91-fd5d-707a-ab1e-dae2f02a949b', '2026-11-20 15:00:00+00', '01a1fe91-fd25-7c6a-b445-59b76cded568', 'created', NULL, 'confirmed'),
	(4, '01a1fe91-fd5d-707a-ab1e-dae2f02a949b', '2026-11-20 15:00:00+00', '01a1fe91-fd25-7c6a-b445-59b76cded568', 'cancelled', 'confirmed', 'cancelled'),
	(5, '01a1fe91-fd6a-770f-8d57-2c061b48989e', '2026-11-20 15:00:00+00', '01a1fe91-fd2a-7c83-a9d9-b08d5955db46', 'created', NULL, 'confirmed'),
	(6, '01a1fe91-fd7b-78d2-8e0d-af3659079f6f', '2026-11-20 15:00:00+00', '01a1fe91-fd25-7c6a-b445-59b76cded568', 'created', NULL, 'confirmed');

INSERT INTO public.calendar VALUES
	('01a1fe91-fd2b-790f-83e7-c7f3fc7e959e', 0, 0, true, 'America/New_York', 120, 0, 12),
	('01a1fe91-fcfc-7328-a719-5e8595141044', 2, 0, true, 'America/New_York', 120, 15, 12),
	('01a1fe91-fd1e-704e-af6c-5f64acd16fcb', 5, 4, true, 'America/Chicago', 120, 0, 12);

INSERT INTO public.catalog_service VALUES
	('piano', 'Piano', 'music'),
	('guitar', 'Guitar', 'music'),
	('bass-guitar', 'Bass Guitar', 'music'),
	('violin', 'Violin', 'music'),
	('cello', 'Cello', 'music'),
	('voice', 'Voice', 'music'),
	('drums', 'Drums', 'music'),
	('saxophone', 'Saxophone', 'music'),
	('flute', 'Flute', 'music'),
	('trumpet', 'Trumpet', 'music'),
	('ukulele', 'Ukulele', 'music'),
	('music-theory', 'Music Theory', 'music'),
	('spanish', 'Spanish', 'languages'),
	('english', 'English', 'languages'),
	('french', 'French', 'languages'),
	('mandarin', 'Mandarin', 'languages'),
	('italian', 'Italian', 'languages'),
	('german', 'German', 'languages'),
	('japanese', 'Japanese', 'languages'),
	('korean', 'Korean', 'languages'),
	('portuguese', 'Portuguese', 'languages'),
	('hebrew', 'Hebrew', 'languages'),
	('american-sign-language', 'American Sign Language', 'languages'),
	('math', 'Math', 'academics'),
	('algebra', 'Algebra', 'academics'),
	('calculus', 'Calculus', 'academics'),
	('physics', 'Physics', 'academics'),
	('chemistry', 'Chemistry', 'academics'),
	('biology', 'Biology', 'academics'),
	('essay-writing', 'Essay Writing', 'academics'),
	('history', 'History', 'academics'),
	('sat-prep', 'SAT Prep', 'academics'),
	('gre-prep', 'GRE Prep', 'academics'),
	('shsat-prep', 'SHSAT Prep', 'academics'),
	('yoga', 'Yoga', 'fitness'),
	('pilates', 'Pilates', 'fitness'),
	('personal-training', 'Personal Training', 'fitness'),
	('running', 'Running', 'fitness'),
	('boxing', 'Boxing', 'fitness'),
	('swimming', 'Swimming', 'fitness'),
	('tennis', 'Tennis', 'fitness'),
	('meditation', 'Meditation', 'fitness'),
	('drawing', 'Drawing', 'arts'),
	('watercolor', 'Watercolor', 'arts'),
	('oil-painting', 'Oil Painting', 'arts'),
	('photography', 'Photography', 'arts'),
	('pottery', 'Pottery', 'arts'),
	('acting', 'Acting', 'arts'),
	('ballet', 'Ballet', 'arts'),
	('salsa-dance', 'Salsa Dance', 'arts'),
	('calligraphy', 'Calligraphy', 'arts'),
	('python', 'Python', 'technology'),
	('web-development', 'Web Development', 'technology'),
	('data-science', 'Data Science', 'technology'),
	('excel', 'Excel', 'technology'),
	('graphic-design', 'Graphic Design', 'technology'),
	('video-editing', 'Video Editing', 'technology'),
	('music-production', 'Music Production', 'technology'),
	('homework-help', 'Homework Help', 'kids'),
	('reading', 'Reading', 'kids'),
	('chess', 'Chess', 'kids'),
	('coding-for-kids', 'Coding for Kids', 'kids'),
	('kids-piano', 'Piano for Kids', 'kids'),
	('home-cooking', 'Home Cooking', 'cooking'),
	('baking', 'Baking', 'cooking'),
	('knife-skills', 'Knife Skills', 'cooking');

INSERT INTO public.category VALUES
	('music', 'Music', 1),
	('languages', 'Languages', 2),
	('academics', 'Academics', 3),
	('fitness', 'Fitness', 4),
	('arts', 'Arts', 5),
	('technology', 'Technology', 6),
	('kids', 'Kids', 7),
	('cooking', 'Cooking', 8);

INSERT INTO public.idempotency_key VALUES
	('01a1fe91-fd25-7c6a-b445-59b76cded568', 'first', 'POST', '/api/bookings', '\x44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a', '{"id":"01a1fe91-fd7b-78d2-8e0d-af3659079f6f","state":"confirmed","start":"2026-11-24T15:00:00Z","end":"2026-11-24T16:00:00Z","duration_minutes":60,"held_until":null,"service":{"id":"01a1fe91-fd25-756f-8687-6ef65a9833ad","name":"Guitar"},"price_cents":7000,"instructor":{"id":"01a1fe91-fd1e-704e-af6c-5f64acd16fcb","name":"Dora"},"student":{"id":"01a1fe91-fd25-7c6a-b445-59b76cded568","name":"Ben"},"location_type":"public","location":"Library","note":"Scales","free_cancel_until":"2026-11-24T03:00:00Z","late":null,"sequence":0,"version":5,"created_at":"2026-11-20T15:00:00Z"}', '2026-11-20 15:00:00+00');

INSERT INTO public.instructor VALUES
	('01a1fe91-fcfc-7328-a719-5e8595141044', 'Anna teaches piano', '', 0, '2026-11-21 14:45:42.786755+00'),
	('01a1fe91-fd1e-704e-af6c-5f64acd16fcb', 'Dora teaches guitar', '', 0, '2026-11-21 14:45:42.815963+00'),
	('01a1fe91-fd2b-790f-83e7-c7f3fc7e959e', 'Finn teaches spanish', '', 0, '2026-11-21 14:45:42.827785+00');

INSERT INTO public.migration VALUES
	('0001_people.sql', '183d041645e92d2926d553b360cd0cf394fe51c0bac84220ea6a083a57ad7e6c', '2026-11-21 14:45:42.111166+00'),
	('0002_catalog.sql', '0e503d76644d847397c51457436b58dae0fd4dd61b57df43bfeceeec49fbd4f7', '2026-11-21 14:45:42.24921+00'),
	('0003_calendar.sql', 'eb969a8b5267fb2cb41eacf2faece02c4475a6d84618e73c9b72464a714bc057', '2026-11-21 14:45:42.329002+00'),
	('0004_bookings.sql', '23dd7ca24c2da111643aefaf277023e536a4ea86c74a456566e9ed778467edfc', '2026-11-21 14:45:42.408215+00'),
	('0005_changes.sql', 'f7c101e9f2009d646d0d049677897d8283552c750c15cf76f2ad8cdb6e6ddcd0', '2026-11-21 14:45:42.550948+00');

INSERT INTO public.notification OVERRIDING SYSTEM VALUE VALUES
	(3, 'booking_confirmed', '01a1fe91-fd27-7744-aa05-bbe0e696fce5', '01a1fe91-fd53-7d2d-ade1-66b1dec7a7a4', 0, '2026-11-20 15:00:00+00', 0, NULL, NULL, NULL),
	(4, 'booking_confirmed', '01a1fe91-fcfc-7328-a719-5e8595141044', '01a1fe91-fd53-7d2d-ade1-66b1dec7a7a4', 0, '2026-11-20 15:00:00+00', 0, NULL, NULL, NULL),
	(5, 'booking_confirmed', '01a1fe91-fd25-7c6a-b445-59b76cded568', '01a1fe91-fd5d-707a-ab1e-dae2f02a949b', 0, '2026-11-20 15:00:00+00', 0, NULL, NULL, NULL),
	(6, 'booking_confirmed', '01a1fe91-fd1e-704e-af6c-5f64acd16fcb', '01a1fe91-fd5d-707a-ab1e-dae2f02a949b', 0, '2026-11-20 15:00:00+00', 0, NULL, NULL, NULL),
	(7, 'booking_cancelled', '01a1fe91-fd25-7c6a-b445-59b76cded568', '01a1fe91-fd5d-707a-ab1e-dae2f02a949b', 0, '2026-11-20 15:01:00+00', 0, NULL, NULL, NULL),
	(8, 'booking_cancelled', '01a1fe91-fd1e-704e-af6c-5f64acd16fcb', '01a1fe91-fd5d-707a-ab1e-dae2f02a949b', 0, '2026-11-20 15:01:00+00', 0, NULL, NULL, NULL),
	(9, 'booking_confirmed', '01a1fe91-fd2a-7c83-a9d9-b08d5955db46', '01a1fe91-fd6a-770f-8d57-2c061b48989e', 0, '2026-11-20 15:00:00+00', 0, NULL, NULL, NULL),
	(10, 'booking_confirmed', '01a1fe91-fd1e-704e-af6c-5f64acd16fcb', '01a1fe91-fd6a-770f-8d57-2c061b48989e', 0, '2026-11-20 15:00:00+00', 0, NULL, NULL, NULL),
	(11, 'booking_confirmed', '01a1fe91-fd25-7c6a-b445-59b76cded568', '01a1fe91-fd7b-78d2-8e0d-af3659079f6f', 0, '2026-11-20 15:00:00+00', 0, NULL, NULL, NULL),
	(12, 'booking_confirmed', '01a1fe91-fd1e-704e-af6c-5f64acd16fcb', '01a1fe91-fd7b-78d2-8e0d-af3659079f6f', 0, '2026-11-20 15:00:00+00', 0, NULL, NULL, NULL),
	(1, 'booking_confirmed', '01a1fe91-fd25-7c6a-b445-59b76cded568', '01a1fe91-fd45-7aeb-a803-78ad00426715', 0, '2026-11-20 15:00:00+00', 0, NULL, '2026-11-20 15:00:00+00', NULL),
	(2, 'booking_confirmed', '01a1fe91-fcfc-7328-a719-5e8595141044', '01a1fe91-fd45-7aeb-a803-78ad00426715', 0, '2026-11-20 15:00:00+00', 0, NULL, '2026-11-20 15:00:00+00', NULL);

INSERT INTO public.outbox OVERRIDING SYSTEM VALUE VALUES
	(2, '01a1fe91-fcfc-7328-a719-5e8595141044', 2, '{"2026-11-22": {"free": [["2026-11-22T14:00:00Z", "2026-11-22T16:45:00Z"], ["2026-11-22T17:45:00Z", "2026-11-22T22:00:00Z"]], "held": []}}', '[{"event": "created", "booking": {"id": "01a1fe91-fd53-7d2d-ade1-66b1dec7a7a4", "late": null, "note": "", "state": "confirmed", "ends_at": "2026-11-22T17:30:00+00:00", "version": 2, "location": "", "sequence": 0, "starts_at": "2026-11-22T17:00:00+00:00", "time_zone": "America/New_York", "created_at": "2026-11-20T15:00:00+00:00", "held_until": null, "service_id": "01a1fe91-fd1c-7da8-9f5e-27f48ea40825", "student_id": "01a1fe91-fd27-7744-aa05-bbe0e696fce5", "price_cents": 3500, "service_name": "Piano", "student_name": "Carl", "cancel_reason": "", "instructor_id": "01a1fe91-fcfc-7328-a719-5e8595141044", "location_type": "student", "instructor_name": "Anna", "instructor_note": "", "duration_minutes": 30, "free_cancel_until": "2026-11-22T05:00:00+00:00"}, "previous_version": 0}]', '2026-11-21 14:45:42.86878+00', NULL),
	(4, '01a1fe91-fd1e-704e-af6c-5f64acd16fcb', 2, '{"2026-11-23": {"free": [["2026-11-23T15:00:00Z", "2026-11-23T23:00:00Z"]], "held": []}}', '[{"event": "cancelled", "booking": {"id": "01a1fe91-fd5d-707a-ab1e-dae2f02a949b", "late": false, "note": "", "state": "cancelled", "ends_at": "2026-11-23T22:00:00+00:00", "version": 2, "location": "", "sequence": 0, "starts_at": "2026-11-23T21:00:00+00:00", "time_zone": "America/Chicago", "created_at": "2026-11-20T15:00:00+00:00", "held_until": null, "service_id": "01a1fe91-fd25-756f-8687-6ef65a9833ad", "student_id": "01a1fe91-fd25-7c6a-b445-59b76cded568", "price_cents": 7000, "service_name": "Guitar", "student_name": "Ben", "cancel_reason": "ill", "instructor_id": "01a1fe91-fd1e-704e-af6c-5f64acd16fcb", "location_type": "student", "instructor_name": "Dora", "instructor_note": "", "duration_minutes": 60, "free_cancel_until": "2026-11-23T09:00:00+00:00"}, "previous_version": 1}]', '2026-11-21 14:45:42.889183+00', NULL),
	(5, '01a1fe91-fd1e-704e-af6c-5f64acd16fcb', 3, '{"2026-11-21": {"free": [["2026-11-21T15:00:00Z", "2026-11-21T17:00:00Z"], ["2026-11-21T18:00:00Z", "2026-11-21T23:00:00Z"]], "held": []}}', '[{"event": "created", "booking": {"id": "01a1fe91-fd6a-770f-8d57-2c061b48989e", "late": null, "note": "", "state": "confirmed", "ends_at": "2026-11-21T18:00:00+00:00", "version": 3, "location": "", "sequence": 0, "starts_at": "2026-11-21T17:00:00+00:00", "time_zone": "America/Chicago", "created_at": "2026-11-20T15:00:00+00:00", "held_until": null, "service_id": "01a1fe91-fd25-756f-8687-6ef65a9833ad", "student_id": "01a1fe91-fd2a-7c83-a9d9-b08d5955db46", "price_cents": 7000, "service_name": "Guitar", "student_name": "Emma", "cancel_reason": "", "instructor_id": "01a1fe91-fd1e-704e-af6c-5f64acd16fcb", "location_type": "student", "instructor_name": "Dora", "instructor_note": "", "duration_minutes": 60, "free_cancel_until": "2026-11-21T05:00:00+00:00"}, "previous_version": 0}]', '2026-11-21 14:45:42.891465+00', NULL),
	(6, '01a1fe91-fd1e-704e-af6c-5f64acd16fcb', 4, '{"2026-11-24": {"free": [["2026-11-24T15:00:00Z", "2026-11-24T17:00:00Z"], ["2026-11-24T18:00:00Z", "2026-11-24T23:00:00Z"]], "held": []}}', '[]', '2026-11-21 14:45:42.900051+00', NULL),
	(7, '01a1fe91-fd1e-704e-af6c-5f64acd16fcb', 5, '{"2026-11-24": {"free": [["2026-11-24T16:00:00Z", "2026-11-24T17:00:00Z"], ["2026-11-24T18:00:00Z", "2026-11-24T23:00:00Z"]], "held": []}}', '[{"event": "created", "booking": {"id": "01a1fe91-fd7b-78d2-8e0d-af3659079f6f", "late": null, "note": "Scales", "state": "confirmed", "ends_at": "2026-11-24T16:00:00+00:00", "version": 5, "location": "Library", "sequence": 0, "starts_at": "2026-11-24T15:00:00+00:00", "time_zone": "America/Chicago", "created_at": "2026-11-20T15:00:00+00:00", "held_until": null, "service_id": "01a1fe91-fd25-756f-8687-6ef65a9833ad", "student_id": "01a1fe91-fd25-7c6a-b445-59b76cded568", "price_cents": 7000, "service_name": "Guitar", "student_name": "Ben", "cancel_reason": "", "instructor_id": "01a1fe91-fd1e-704e-af6c-5f64acd16fcb", "location_type": "public", "instructor_name": "Dora", "instructor_note": "", "duration_minutes": 60, "free_cancel_until": "2026-11-24T03:00:00+00:00"}, "previous_version": 0}]', '2026-11-21 14:45:42.908555+00', NULL),
	(1, '01a1fe91-fcfc-7328-a719-5e8595141044', 1, '{"2026-11-21": {"free": [["2026-11-21T14:00:00Z", "2026-11-21T14:45:00Z"], ["2026-11-21T16:15:00Z", "2026-11-21T22:00:00Z"]], "held": []}}', '[{"event": "created", "booking": {"id": "01a1fe91-fd45-7aeb-a803-78ad00426715", "late": null, "note": "", "state": "confirmed", "ends_at": "2026-11-21T16:00:00+00:00", "version": 1, "location": "", "sequence": 0, "starts_at": "2026-11-21T15:00:00+00:00", "time_zone": "America/New_York", "created_at": "2026-11-20T15:00:00+00:00", "held_until": null, "service_id": "01a1fe91-fd1c-7da8-9f5e-27f48ea40825", "student_id": "01a1fe91-fd25-7c6a-b445-59b76cded568", "price_cents": 7000, "service_name": "Piano", "student_name": "Ben", "cancel_reason": "", "instructor_id": "01a1fe91-fcfc-7328-a719-5e8595141044", "location_type": "student", "instructor_name": "Anna", "instructor_note": "", "duration_minutes": 60, "free_cancel_until": "2026-11-21T03:00:00+00:00"}, "previous_version": 0}]', '2026-11-21 14:45:42.865692+00', '2026-11-21 14:45:42.865692+00'),
	(3, '01a1fe91-fd1e-704e-af6c-5f64acd16fcb', 1, '{"2026-11-23": {"free": [["2026-11-23T15:00:00Z", "2026-11-23T21:00:00Z"], ["2026-11-23T22:00:00Z", "2026-11-23T23:00:00Z"]], "held": []}}', '[{"event": "created", "booking": {"id": "01a1fe91-fd5d-707a-ab1e-dae2f02a949b", "late": null, "note": "", "state": "confirmed", "ends_at": "2026-11-23T22:00:00+00:00", "version": 1, "location": "", "sequence": 0, "starts_at": "2026-11-23T21:00:00+00:00", "time_zone": "America/Chicago", "created_at": "2026-11-20T15:00:00+00:00", "held_until": null, "service_id": "01a1fe91-fd25-756f-8687-6ef65a9833ad", "student_id": "01a1fe91-fd25-7c6a-b445-59b76cded568", "price_cents": 7000, "service_name": "Guitar", "student_name": "Ben", "cancel_reason": "", "instructor_id": "01a1fe91-fd1e-704e-af6c-5f64acd16fcb", "location_type": "student", "instructor_name": "Dora", "instructor_note": "", "duration_minutes": 60, "free_cancel_until": "2026-11-23T09:00:00+00:00"}, "previous_version": 0}]', '2026-11-21 14:45:42.877924+00', '2026-11-21 14:45:42.877924+00');

INSERT INTO public.permission VALUES
	('view_own_profile', 'shared'),
	('edit_own_profile', 'shared'),
	('delete_own_account', 'shared'),
	('export_own_data', 'shared'),
	('view_own_search_history', 'shared'),
	('delete_own_search_history', 'shared'),
	('search_instructors', 'student'),
	('view_instructors', 'student'),
	('create_bookings', 'student'),
	('hold_times', 'student'),
	('view_own_bookings', 'student'),
	('cancel_own_bookings', 'student'),
	('reschedule_own_bookings', 'student'),
	('write_reviews', 'student'),
	('manage_instructor_profile', 'instructor'),
	('manage_services', 'instructor'),
	('manage_availability', 'instructor'),
	('manage_blackouts', 'instructor'),
	('view_incoming_bookings', 'instructor'),
	('cancel_student_bookings', 'instructor'),
	('complete_bookings', 'instructor'),
	('write_instructor_notes', 'instructor'),
	('view_own_analytics', 'instructor'),
	('view_accounts', 'admin'),
	('manage_accounts', 'admin'),
	('manage_roles', 'admin'),
	('view_all_bookings', 'admin'),
	('manage_all_bookings', 'admin'),
	('view_system_analytics', 'admin'),
	('view_monitoring', 'admin');

INSERT INTO public.role VALUES
	('student'),
	('instructor'),
	('admin');

INSERT INTO public.role_permission VALUES
	('student', 'view_own_profile'),
	('student', 'edit_own_profile'),
	('student', 'delete_own_account'),
	('student', 'export_own_data'),
	('student', 'view_own_search_history'),
	('student', 'delete_own_search_history'),
	('student', 'search_instructors'),
	('student', 'view_instructors'),
	('student', 'create_bookings'),
	('student', 'hold_times'),
	('student', 'view_own_bookings'),
	('student', 'cancel_own_bookings'),
	('student', 'reschedule_own_bookings'),
	('student', 'write_reviews'),
	('instructor', 'view_own_profile'),
	('instructor', 'edit_own_profile'),
	('instructor', 'delete_own_account'),
	('instructor', 'export_own_data'),
	('instructor', 'view_own_search_history'),
	('instructor', 'delete_own_search_history'),
	('instructor', 'manage_instructor_profile'),
	('instructor', 'manage_services'),
	('instructor', 'manage_availability'),
	('instructor', 'manage_blackouts'),
	('instructor', 'view_incoming_bookings'),
	('instructor', 'cancel_student_bookings'),
	('instructor', 'complete_bookings'),
	('instructor', 'write_instructor_notes'),
	('instructor', 'view_own_analytics'),
	('admin', 'view_own_profile'),
	('admin', 'edit_own_profile'),
	('admin', 'delete_own_account'),
	('admin', 'export_own_data'),
	('admin', 'view_own_search_history'),
	('admin', 'delete_own_search_history'),
	('admin', 'view_accounts'),
	('admin', 'manage_accounts'),
	('admin', 'manage_roles'),
	('admin', 'view_all_bookings'),
	('admin', 'manage_all_bookings'),
	('admin', 'view_system_analytics'),
	('admin', 'view_monitoring');

INSERT INTO public.service VALUES
	('01a1fe91-fd1c-7da8-9f5e-27f48ea40825', '01a1fe91-fcfc-7328-a719-5e8595141044', 'piano', '', 7000, '{30,60}', '{student,instructor,public}', '{}', '{}', true, '2026-11-21 14:45:42.81279+00'),
	('01a1fe91-fd25-756f-8687-6ef65a9833ad', '01a1fe91-fd1e-704e-af6c-5f64acd16fcb', 'guitar', '', 7000, '{30,60}', '{student,instructor,public}', '{}', '{}', true, '2026-11-21 14:45:42.821305+00'),
	('01a1fe91-fd2e-7f2b-a941-565e69a78140', '01a1fe91-fd2b-790f-83e7-c7f3fc7e959e', 'spanish', '', 7000, '{30,60}', '{student,instructor,public}', '{}', '{}', true, '2026-11-21 14:45:42.830904+00');

INSERT INTO public.session VALUES
	('dabfa75c-c83a-47f7-88c6-617c1a8d8b67', '01a1fe91-fcfc-7328-a719-5e8595141044', '2026-11-20 15:00:00+00', '2026-11-27 15:00:00+00', NULL),
	('255edce6-bd62-494c-9629-e1705d17c272', '01a1fe91-fd25-7c6a-b445-59b76cded568', '2026-11-20 15:00:00+00', '2026-11-27 15:00:00+00', NULL);

INSERT INTO public.site VALUES
	(true, 'e6094196-5c8c-4d80-8131-c6faa35a6c11');

SELECT pg_catalog.setval('public.booking_audit_id_seq', 6, true);

SELECT pg_catalog.setval('public.dev_mail_id_seq', 1, false);

SELECT pg_catalog.setval('public.notification_id_seq', 12, true);

SELECT pg_catalog.setval('public.outbox_id_seq', 7, true);

ALTER TABLE ONLY public.account
    ADD CONSTRAINT account_email_taken UNIQUE (email);

ALTER TABLE ONLY public.account
    ADD CONSTRAINT account_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.account_role
    ADD CONSTRAINT account_role_pkey PRIMARY KEY (account_id, role);

ALTER TABLE ONLY public.area
    ADD CONSTRAINT area_name_once UNIQUE (name);

ALTER TABLE ONLY public.area
    ADD CONSTRAINT area_pkey PRIMARY KEY (slug);

ALTER TABLE ONLY public.availability
    ADD CONSTRAINT availability_no_overlap PRIMARY KEY (instructor_id, during WITHOUT OVERLAPS);

ALTER TABLE ONLY public.blackout
    ADD CONSTRAINT blackout_pkey PRIMARY KEY (instructor_id, day);

ALTER TABLE ONLY public.booking_audit
    ADD CONSTRAINT booking_audit_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.booking
    ADD CONSTRAINT booking_instructor_no_overlap EXCLUDE USING gist (instructor_id WITH =, blocked WITH &&) WHERE ((state = ANY (ARRAY['held'::text, 'confirmed'::text, 'completed'::text, 'no_show'::text])));

ALTER TABLE ONLY public.booking
    ADD CONSTRAINT booking_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.booking
    ADD CONSTRAINT booking_student_no_overlap EXCLUDE USING gist (student_id WITH =, during WITH &&) WHERE ((state = ANY (ARRAY['held'::text, 'confirmed'::text, 'completed'::text, 'no_show'::text])));

ALTER TABLE ONLY public.calendar
    ADD CONSTRAINT calendar_pkey PRIMARY KEY (instructor_id);

ALTER TABLE ONLY public.catalog_service
    ADD CONSTRAINT catalog_service_pkey PRIMARY KEY (slug);

ALTER TABLE ONLY public.category
    ADD CONSTRAINT category_pkey PRIMARY KEY (slug);

ALTER TABLE ONLY public.dev_mail
    ADD CONSTRAINT dev_mail_once UNIQUE (notification_id);

ALTER TABLE ONLY public.dev_mail
    ADD CONSTRAINT dev_mail_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.idempotency_key
    ADD CONSTRAINT idempotency_key_pkey PRIMARY KEY (account_id, key);

ALTER TABLE ONLY public.instructor_area
    ADD CONSTRAINT instructor_area_pkey PRIMARY KEY (instructor_id, area);

ALTER TABLE ONLY public.instructor
    ADD CONSTRAINT instructor_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.migration
    ADD CONSTRAINT migration_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.notification
    ADD CONSTRAINT notification_once UNIQUE (booking_id, recipient_id, kind, sequence);

ALTER TABLE ONLY public.notification
    ADD CONSTRAINT notification_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_one_change_per_version PRIMARY KEY (instructor_id, version);

ALTER TABLE ONLY public.permission
    ADD CONSTRAINT permission_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.role_permission
    ADD CONSTRAINT role_permission_pkey PRIMARY KEY (role, permission);

ALTER TABLE ONLY public.role
    ADD CONSTRAINT role_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.service
    ADD CONSTRAINT service_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.session
    ADD CONSTRAINT session_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.site
    ADD CONSTRAINT site_pkey PRIMARY KEY (only_row);

CREATE INDEX booking_audit_of_booking ON public.booking_audit USING btree (booking_id, id);

CREATE INDEX booking_hold_runs_out ON public.booking USING btree (held_until) WHERE (state = 'held'::text);

CREATE INDEX booking_of_instructor ON public.booking USING btree (instructor_id, lower(during), id);

CREATE INDEX booking_of_service ON public.booking USING btree (service_id);

CREATE INDEX booking_of_student ON public.booking USING btree (student_id, lower(during), id) INCLUDE (version);

CREATE INDEX notification_due ON public.notification USING btree (due_at) WHERE ((sent_at IS NULL) AND (given_up_at IS NULL));

CREATE INDEX outbox_age ON public.outbox USING btree (created_at);

CREATE INDEX outbox_unpublished ON public.outbox USING btree (id) WHERE (published_at IS NULL);

CREATE INDEX service_offered ON public.service USING btree (catalog_service, id) WHERE is_active;

CREATE UNIQUE INDEX service_once_while_active ON public.service USING btree (instructor_id, catalog_service) WHERE is_active;

CREATE INDEX session_account ON public.session USING btree (account_id) WHERE (revoked_at IS NULL);

ALTER TABLE ONLY public.account_role
    ADD CONSTRAINT account_role_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.account(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.account_role
    ADD CONSTRAINT account_role_role_fkey FOREIGN KEY (role) REFERENCES public.role(name);

ALTER TABLE ONLY public.availability
    ADD CONSTRAINT availability_instructor_id_fkey FOREIGN KEY (instructor_id) REFERENCES public.calendar(instructor_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.blackout
    ADD CONSTRAINT blackout_instructor_id_fkey FOREIGN KEY (instructor_id) REFERENCES public.calendar(instructor_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.booking_audit
    ADD CONSTRAINT booking_audit_actor_id_fkey FOREIGN KEY (actor_id) REFERENCES public.account(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.booking_audit
    ADD CONSTRAINT booking_audit_booking_id_fkey FOREIGN KEY (booking_id) REFERENCES public.booking(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.booking
    ADD CONSTRAINT booking_instructor_id_fkey FOREIGN KEY (instructor_id) REFERENCES public.calendar(instructor_id);

ALTER TABLE ONLY public.booking
    ADD CONSTRAINT booking_service_id_fkey FOREIGN KEY (service_id) REFERENCES public.service(id);

ALTER TABLE ONLY public.booking
    ADD CONSTRAINT booking_student_id_fkey FOREIGN KEY (student_id) REFERENCES public.account(id);

ALTER TABLE ONLY public.calendar
    ADD CONSTRAINT calendar_instructor_id_fkey FOREIGN KEY (instructor_id) REFERENCES public.instructor(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.catalog_service
    ADD CONSTRAINT catalog_service_category_fkey FOREIGN KEY (category) REFERENCES public.category(slug);

ALTER TABLE ONLY public.dev_mail
    ADD CONSTRAINT dev_mail_notification_id_fkey FOREIGN KEY (notification_id) REFERENCES public.notification(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.idempotency_key
    ADD CONSTRAINT idempotency_key_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.account(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.instructor_area
    ADD CONSTRAINT instructor_area_area_fkey FOREIGN KEY (area) REFERENCES public.area(slug);

ALTER TABLE ONLY public.instructor_area
    ADD CONSTRAINT instructor_area_instructor_id_fkey FOREIGN KEY (instructor_id) REFERENCES public.instructor(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.instructor
    ADD CONSTRAINT instructor_id_fkey FOREIGN KEY (id) REFERENCES public.account(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.notification
    ADD CONSTRAINT notification_booking_id_fkey FOREIGN KEY (booking_id) REFERENCES public.booking(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.notification
    ADD CONSTRAINT notification_recipient_id_fkey FOREIGN KEY (recipient_id) REFERENCES public.account(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_instructor_id_fkey FOREIGN KEY (instructor_id) REFERENCES public.calendar(instructor_id) ON DELETE CASCADE;

ALTER TABLE ONLY public.role_permission
    ADD CONSTRAINT role_permission_permission_fkey FOREIGN KEY (permission) REFERENCES public.permission(name);

ALTER TABLE ONLY public.role_permission
    ADD CONSTRAINT role_permission_role_fkey FOREIGN KEY (role) REFERENCES public.role(name);

ALTER TABLE ONLY public.service
    ADD CONSTRAINT service_catalog_service_fkey FOREIGN KEY (catalog_service) REFERENCES public.catalog_service(slug);

ALTER TABLE ONLY public.service
    ADD CONSTRAINT service_instructor_id_fkey FOREIGN KEY (instructor_id) REFERENCES public.instructor(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.session
    ADD CONSTRAINT session_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.account(id) ON DELETE CASCADE;
