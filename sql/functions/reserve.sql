-- Booking a lesson: one call, one transaction, no round trip while anything is locked. Locks are
-- taken in the order every writer keeps: the student's row, then calendars by id. Returns the booking
-- (a booking_detail row), or the name of the refusal with what explains it, having written nothing.
create or replace function reserve(
  p_student uuid, p_service uuid, p_start timestamptz, p_minutes integer,
  p_location_type text, p_location text, p_note text, p_now timestamptz,
  p_key text default null, p_fingerprint bytea default null,
  out refusal text, out detail jsonb, out booking jsonb
)
language plpgsql volatile set plan_cache_mode = force_generic_plan as $$
declare
  v_service  service;
  v_calendar calendar;
  v_during   tstzrange := tstzrange(p_start, p_start + make_interval(mins => p_minutes));
  v_blocked  tstzrange;
  v_conflict record;
  v_booking  booking;
  v_dates    date[];
  v_events   jsonb := '[]';
begin
  if p_key is not null then
    select k.answer into booking from stored_answer(p_student, p_key, p_fingerprint, p_now) k;
    if found then
      refusal := case when booking is null then 'IDEMPOTENCY_MISMATCH' end;
      return;
    end if;
  end if;

  select s.* into v_service from service s where s.id = p_service;
  select c.* into v_calendar from calendar c where c.instructor_id = v_service.instructor_id;
  -- First without locks, so that the losers of a rush leave without queueing; then under them.
  for v_pass in 1..2 loop
    select r.refusal, r.detail into refusal, detail
    from lesson_refusal(p_student, v_service, v_calendar, p_start, p_minutes, p_location_type, p_now) r;
    exit when refusal is not null;
    v_blocked := tstzrange(
      p_start, upper(v_during) + make_interval(mins => v_calendar.travel_buffer_minutes));
    select c.* into v_conflict
    from conflicting_booking(v_service.instructor_id, p_student, v_during, v_blocked, p_now) c;
    if not v_conflict.has_run_out then
      refusal := case when v_conflict.is_own then 'STUDENT_BUSY' else 'SLOT_TAKEN' end;
      exit;
    end if;
    if v_pass = 1 then
      perform lock_for_booking(p_student, v_service.instructor_id, v_during, p_now);
      -- The service's row may have changed during the wait too; a withdrawal locks the calendar.
      select s.* into v_service from service s where s.id = p_service;
      select c.* into v_calendar from calendar c where c.instructor_id = v_service.instructor_id;
    elsif not is_available(v_service.instructor_id, v_during, v_calendar.time_zone) then
      refusal := 'OUTSIDE_AVAILABILITY';
    end if;
  end loop;

  if refusal is not null then
    if p_key is not null then
      -- A concurrent repeat of this call finds its own lesson in the way.
      select k.answer into booking from stored_answer(p_student, p_key, p_fingerprint, p_now) k;
      if found then
        refusal := case when booking is null then 'IDEMPOTENCY_MISMATCH' end;
        detail := null;
        return;
      end if;
    end if;
    if refusal = 'STUDENT_BUSY' then
      detail := jsonb_build_object('booking_id', v_conflict.id);
    elsif refusal in ('SLOT_TAKEN', 'OUTSIDE_AVAILABILITY') then
      detail := unavailable_detail(v_service.instructor_id, p_student, v_during, p_now);
    end if;
    return;
  end if;

  v_dates := board_dates(v_during, v_blocked, v_calendar);
  if v_conflict.has_run_out then
    select e.dates, e.events into v_dates, v_events
    from release_conflicting_holds(v_calendar, p_student, v_during, v_blocked, v_dates, p_now) e;
  end if;

  -- Under the locks nothing can be in the way that was not seen above. Should a writer have gone past
  -- them, the constraints keep the promise, and the transaction runs again as after a deadlock.
  insert into booking as b (
    instructor_id, student_id, service_id, state, during, blocked, service_name, price_cents,
    location_type, location, note, free_cancel_until, version, created_at
  )
  select v_service.instructor_id, p_student, v_service.id, 'confirmed', v_during, v_blocked, k.name,
         (v_service.hourly_rate_cents * p_minutes + 30) / 60,
         coalesce(p_location_type, v_service.location_types[1]), p_location, p_note,
         least(p_start, greatest(p_start - make_interval(hours => v_calendar.free_cancel_hours),
                                 p_now + cancellation_grace())),
         v_calendar.version + 1, p_now
  from catalog_service k where k.slug = v_service.catalog_service
  on conflict do nothing
  returning b.* into v_booking;
  if not found then
    raise exception 'a booking of service % at % met one that took no locks', p_service, p_start
      using errcode = 'serialization_failure';
  end if;
  perform record_change(v_booking, p_student, 'created', null, 'booking_confirmed', p_now);
  perform step(v_service.instructor_id, v_dates, v_events || booking_event('created', v_booking, 0));
  booking := booking_json(v_booking.id);
  if p_key is not null then
    perform store_answer(p_student, p_key, p_fingerprint, booking, p_now);
  end if;
end
$$;

-- Locks the student's row, then the calendars: the instructor's, and those on which the student's own
-- holds have run out at that time.
create or replace function lock_for_booking(
  p_student uuid, p_instructor uuid, p_during tstzrange, p_now timestamptz
) returns void
language plpgsql volatile as $$
begin
  perform from account a where a.id = p_student for no key update;
  perform from calendar c
  where c.instructor_id = any (p_instructor || array(
    select b.instructor_id from booking b
    where b.student_id = p_student and b.during && p_during and b.occupies_time
      and b.state = 'held' and b.held_until <= p_now
  ))
  order by c.instructor_id for no key update;
end
$$;

-- Releases the holds that have run out and are in the way of a new lesson: one on the lesson's own
-- calendar leaves in the lesson's step, the student's own on another calendar in a step of that one.
-- All calendars are locked. Returns the board dates and the events of the lesson's step so far.
create or replace function release_conflicting_holds(
  p_calendar calendar, p_student uuid, p_during tstzrange, p_blocked tstzrange, p_dates date[],
  p_now timestamptz, out dates date[], out events jsonb
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
    select b.* from booking b
    where b.occupies_time and b.state = 'held' and b.held_until <= p_now
      and (b.instructor_id = p_calendar.instructor_id and b.blocked && p_blocked
           or b.student_id = p_student and b.during && p_during)
  loop
    select c.* into v_calendar from calendar c where c.instructor_id = v_hold.instructor_id;
    v_previous := v_hold.version;
    v_hold := expire_hold(v_hold.id, v_calendar.version + 1, p_now);
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
