-- Books a lesson, or holds its time until p_held_until: one call, one transaction, no round trip
-- while anything is locked. All writers lock in the same order: the student's row, then calendars
-- by id. Returns the booking (a booking_detail row), or a refusal with its detail; a refusal writes
-- nothing. Sequential scans are off because plans are cached per connection, perhaps from a time
-- when the tables were empty.
-- p_actor: the staff account that books for the student and has the key; null if the student books.
-- p_override: the rules that staff has decided to override (missing_override); null for a student.
create function reserve(
  p_student uuid, p_service uuid, p_start timestamptz, p_minutes integer,
  p_location_type text, p_location text, p_note text, p_now timestamptz,
  p_key text default null, p_fingerprint bytea default null, p_held_until timestamptz default null,
  p_max_upcoming integer default null, p_actor uuid default null,
  p_override text[] default null,
  out refusal text, out detail jsonb, out booking jsonb
)
language plpgsql volatile
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
declare
  v_service  service;
  v_calendar calendar;
  v_student_name text;
  v_during   tstzrange := tstzrange(p_start, p_start + make_interval(mins => p_minutes));
  v_blocked  tstzrange;
  v_location text := case when p_held_until is null then p_location end;
  v_day      date;
  v_time     record;
  v_conflict uuid;
  v_replaces boolean;
  v_holds    integer;
  v_booking  booking;
  v_dates    date[];
  v_days     jsonb;
  v_events   jsonb := '[]';
  v_actor    uuid := coalesce(p_actor, p_student);
  v_override text[] := '{}';
begin
  if p_key is not null then
    select k.answer into booking from stored_answer(v_actor, p_key, p_fingerprint, p_now) k;
    if found then
      refusal := case when booking is null then 'IDEMPOTENCY_MISMATCH' end;
      return;
    end if;
  end if;

  -- The first check takes no locks. So in a rush for one time, most calls that lose do not queue.
  select s.* into v_service from service s where s.id = p_service;
  select c.* into v_calendar from calendar c where c.instructor_id = v_service.instructor_id;
  refusal := lesson_refusal(
    p_student, v_service, v_calendar, p_start, p_minutes, p_location_type, v_location, p_now);
  if p_override is not null then
    v_override := necessary_override(v_calendar, v_during, p_now);
    refusal := refusal_after_override(refusal, p_override, p_start, p_now);
  end if;
  if refusal is null then
    select c.id, c.refusal, c.is_replaced into v_conflict, refusal, v_replaces
    from conflicting_booking(
      v_service.instructor_id, p_student, v_during, blocked_time(v_during, v_calendar), p_now) c;
  end if;

  -- The second check, under the locks. It first looks only at whether the time is free, as for the
  -- board. The reason is looked for if it is not, or if a hold must be released.
  if refusal is null then
    select a.full_name into v_student_name from account a
    where a.id = p_student and a.erasure_began_at is null for no key update;
    if not found then  -- the account was erased meanwhile
      refusal := case when v_actor = p_student then 'NOT_SIGNED_IN' else 'NOT_FOUND' end;
      return;
    end if;
    if v_replaces then
      perform lock_conflicting_calendars(p_student, v_service.instructor_id, v_during, p_now);
    end if;
    -- After a wait, this returns the row's newest version.
    select c.* into v_calendar from calendar c
    where c.instructor_id = v_service.instructor_id for no key update;
    v_blocked := blocked_time(v_during, v_calendar);
    v_day := (p_start at time zone v_calendar.time_zone)::date;
    v_time := free_and_held(
      v_calendar, day_start(v_day, v_calendar.time_zone),
      day_start(v_day + 1, v_calendar.time_zone));
    refusal := lesson_refusal(
      p_student, v_service, v_calendar, p_start, p_minutes, p_location_type, v_location, p_now);
    if p_override is not null then
      v_override := necessary_override(v_calendar, v_during, p_now);
      refusal := refusal_after_override(refusal, p_override, p_start, p_now);
    end if;
    if refusal is null and (v_replaces or not v_time.free @> v_during) then
      select c.id, c.refusal, c.is_replaced into v_conflict, refusal, v_replaces
      from conflicting_booking(v_service.instructor_id, p_student, v_during, v_blocked, p_now) c;
      refusal := coalesce(refusal, case
        when not is_available(
          v_service.instructor_id, v_during, v_calendar.time_zone, p_override)
        then 'OUTSIDE_AVAILABILITY' end);
    end if;
    v_replaces := coalesce(v_replaces, false);
    if refusal is null and p_held_until is not null then
      select count(*) filter (where h.instructor_id <> v_service.instructor_id),
             v_replaces or coalesce(bool_or(h.instructor_id = v_service.instructor_id), false)
      into v_holds, v_replaces
      from live_holds(p_student, p_now) as h;
      refusal := case when v_holds >= max_holds() then 'HOLD_LIMIT' end;
    end if;
    if refusal is null and p_max_upcoming is not null then
      detail := too_many_upcoming(
        p_student, p_max_upcoming, p_now,
        case when v_replaces then array(
          select h.id
          from replaced_holds(
            v_service.instructor_id, p_student, v_during, v_blocked, p_held_until is not null,
            p_now) as h
        ) end);
      refusal := case when detail is not null then 'RATE_LIMITED' end;
    end if;
  end if;

  if refusal is not null then
    if p_key is not null then
      -- The conflict may be the lesson that a concurrent repeat of this call has just booked.
      select k.answer into booking from stored_answer(v_actor, p_key, p_fingerprint, p_now) k;
      if found then
        refusal := case when booking is null then 'IDEMPOTENCY_MISMATCH' end;
        return;
      end if;
    end if;
    detail := coalesce(detail, refusal_detail(
      refusal, v_conflict, p_student, v_service, v_calendar, v_during, p_location_type, p_now));
    if not v_override <@ p_override and refusal in (
      'TOO_SOON', 'TOO_FAR_AHEAD', 'OUTSIDE_AVAILABILITY'
    ) then
      detail := coalesce(detail, '{}') || jsonb_build_object('override', v_override);
    end if;
    return;
  end if;

  v_dates := board_dates(v_during, v_blocked, v_calendar);
  if v_replaces then
    select e.dates, e.events into v_dates, v_events
    from release_replaced_holds(
      v_calendar, p_student, v_during, v_blocked, p_held_until is not null, v_dates, p_now,
      v_actor) e;
  end if;

  v_booking := insert_booking(
    p_student, p_service, v_calendar, v_during, v_blocked, p_minutes, p_location_type, p_location,
    p_note, p_held_until, p_now);
  if v_dates = array[v_day] and v_time.held is null and p_held_until is null then
    v_days := board_day(
      v_day, v_time.free - tstzmultirange(busy_time(v_during, v_blocked, v_calendar)));
  else
    v_days := board_days(v_service.instructor_id, v_dates);
  end if;
  perform record_change(
    v_booking, v_actor, 'created', null,
    case when p_held_until is null then 'booking_confirmed' end, v_days,
    v_events || booking_event('created', v_booking, 0), p_now, p_override => v_override);
  select to_jsonb(d) into booking
  from account a,
       booking_columns(v_booking, a.full_name, v_student_name, v_calendar.time_zone) as d
  where a.id = v_booking.instructor_id;
  if p_key is not null then
    perform store_answer(v_actor, p_key, p_fingerprint, booking, p_now);
  end if;
end
$$;

-- Inserts a booking with the service's terms of now. The service is read again, because it may have
-- changed while the caller waited; its writers lock the calendar. Under the locks no new conflict
-- can appear, except with a lesson that the student booked elsewhere since the first check, or if a
-- writer bypassed the locks. Then the constraints still hold, and the transaction is retried as
-- after a deadlock (app/db.py: transact).
create function insert_booking(
  p_student uuid, p_service uuid, p_calendar calendar, p_during tstzrange, p_blocked tstzrange,
  p_minutes integer, p_location_type text, p_location text, p_note text,
  p_held_until timestamptz, p_now timestamptz
) returns booking
language plpgsql volatile as $$
declare
  v_start   timestamptz := lower(p_during);
  v_booking booking;
begin
  insert into booking as b (
    instructor_id, student_id, service_id, state, held_until, during, blocked, service_name,
    hourly_rate_cents, price_cents, location_type, location, note, free_cancel_hours,
    free_cancel_until, version, created_at
  )
  select s.instructor_id, p_student, s.id,
         case when p_held_until is null then 'confirmed' else 'held' end, p_held_until,
         p_during, p_blocked, k.name, s.hourly_rate_cents,
         (s.hourly_rate_cents * p_minutes + 30) / 60,
         coalesce(p_location_type, s.location_types[1]),
         case
           when coalesce(p_location_type, s.location_types[1]) <> 'instructor' then p_location
           when p_held_until is null then i.teaching_address
           else ''  -- shown once the lesson is booked
         end,
         p_note, p_calendar.free_cancel_hours,
         least(v_start, greatest(v_start - make_interval(hours => p_calendar.free_cancel_hours),
                                 p_now + cancellation_grace())),
         p_calendar.version + 1, p_now
  from service s
  join catalog_service k on k.slug = s.catalog_service
  join instructor i on i.id = s.instructor_id
  where s.id = p_service and s.is_active and p_minutes = any (s.durations_minutes)
    and (p_location_type is null or p_location_type = any (s.location_types))
  returning b.* into v_booking;
  if not found then
    raise exception 'service % was changed', p_service using errcode = 'serialization_failure';
  end if;
  return v_booking;
end
$$;

-- The detail of RATE_LIMITED for a student with p_limit or more upcoming lessons and holds: their
-- number, and the seconds until the first of them ends. Null if there are fewer. p_replaced: holds
-- that do not count, because the new lesson replaces them.
create function too_many_upcoming(
  p_student uuid, p_limit integer, p_now timestamptz, p_replaced uuid[]
) returns jsonb
language sql stable as $$
  select jsonb_build_object(
    'upcoming', count(*), 'seconds', extract(epoch from min(upper(b.during)) - p_now))
  from booking b
  where b.student_id = p_student and b.occupies_time and b.during && tstzrange(p_now, null)
    and (b.state = 'confirmed' or b.state = 'held' and b.held_until > p_now)
    and (p_replaced is null or b.id <> all (p_replaced))
  having count(*) >= p_limit
$$;

-- Locks the lesson's own calendar and those with expired holds of the student at that time: the
-- constraint still counts these holds, so this booking releases them.
create function lock_conflicting_calendars(
  p_student uuid, p_instructor uuid, p_during tstzrange, p_now timestamptz
) returns void
language plpgsql volatile as $$
begin
  perform from calendar c
  where c.instructor_id = any (p_instructor || array(
    select b.instructor_id from booking b
    where b.student_id = p_student and b.during && p_during and b.occupies_time
      and b.state = 'held' and b.held_until <= p_now
  ))
  order by c.instructor_id for no key update;
end
$$;

-- Releases the holds that a lesson replaces. A hold on the lesson's own calendar becomes part of
-- the lesson's step; the student's expired hold on another calendar gets a step there. The caller
-- has locked all these calendars. Returns the board dates and events of the lesson's step so far.
create function release_replaced_holds(
  p_calendar calendar, p_student uuid, p_during tstzrange, p_blocked tstzrange, p_is_hold boolean,
  p_dates date[], p_now timestamptz, p_actor uuid, out dates date[], out events jsonb
)
language plpgsql volatile as $$
declare
  v_hold     booking;
  v_calendar calendar;
  v_previous bigint;
begin
  dates := p_dates;
  events := '[]';
  for v_hold in
    select h.* from replaced_holds(
      p_calendar.instructor_id, p_student, p_during, p_blocked, p_is_hold, p_now) as h
  loop
    select c.* into v_calendar from calendar c where c.instructor_id = v_hold.instructor_id;
    v_previous := v_hold.version;
    v_hold := end_hold(v_hold.id, v_calendar.version + 1, p_actor, p_now);
    if v_hold.instructor_id = p_calendar.instructor_id then
      dates := dates || board_dates(v_hold.during, v_hold.blocked, v_calendar);
      events := events || booking_event('expired', v_hold, v_previous);
    else
      perform step(v_hold.instructor_id, board_dates(v_hold.during, v_hold.blocked, v_calendar),
                   jsonb_build_array(booking_event('expired', v_hold, v_previous)));
    end if;
  end loop;
  dates := array(select distinct d from unnest(dates) as d);
end
$$;
