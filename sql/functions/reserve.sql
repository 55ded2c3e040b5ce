-- The way of a booking: one call, one transaction, no round trip while anything is locked. Locks in the order every writer
-- keeps: the student's row, then calendars by id. Returns the booking (a booking_detail row), or the name of the refusal with
-- what explains it, having written nothing.

-- Ends one hold whose time has run out. The calendar is locked, and the caller makes its step.
create or replace function expire_hold(p_booking uuid, p_version bigint, p_now timestamptz) returns void
language plpgsql volatile as $$
begin
  update booking set state = 'expired', version = p_version where id = p_booking and state = 'held' and held_until <= p_now;
  insert into booking_audit (booking_id, at, actor_id, event, from_state, to_state)
  values (p_booking, p_now, null, 'expired', 'held', 'expired');
end
$$;

create or replace function reserve(
  p_student uuid, p_service uuid, p_start timestamptz, p_minutes integer,
  p_location_type text, p_location text, p_note text, p_now timestamptz,
  out refusal text, out detail jsonb, out booking jsonb
)
language plpgsql volatile as $$
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
