-- A hold after it was created (reserve.sql): confirming, extending and giving it up. sweep.sql
-- releases the expired ones.

-- Turns a hold into a lesson, without another look at the calendar. A null location type, location
-- or note keeps the hold's. The cancellation is free for as long after this as after a booking.
create function confirm_hold(
  p_student uuid, p_booking uuid, p_location_type text, p_location text, p_note text,
  p_now timestamptz, p_key text, p_fingerprint bytea,
  out refusal text, out detail jsonb, out booking jsonb
)
language plpgsql volatile set plan_cache_mode = force_generic_plan as $$
declare
  v_locked  record := lock_booking(p_student, p_booking, p_key, p_fingerprint, p_now);
  v_booking booking := v_locked.booking;
  v_service service;
  v_type    text := coalesce(p_location_type, v_booking.location_type);
begin
  refusal := coalesce(v_locked.refusal, hold_refusal(v_booking, p_now));
  if v_locked.answer is not null or refusal is not null then
    booking := v_locked.answer;
    detail := state_detail(refusal, v_booking);
    return;
  end if;
  select s.* into v_service from service s where s.id = v_booking.service_id;
  if v_type <> v_booking.location_type and v_type <> all (v_service.location_types)
     or lacks_location(v_type, coalesce(p_location, v_booking.location))
     -- The instructor may have removed the address meanwhile.
     or not can_teach_at(v_booking.instructor_id, array[v_type]) then
    refusal := 'VALIDATION_ERROR';
    detail := lesson_refusal_detail(refusal, v_service, v_locked.calendar, v_type);
    return;
  end if;
  update booking b
  set state = 'confirmed', held_until = null, location_type = v_type,
      location = case v_type
        when 'instructor' then (select i.teaching_address from instructor i
                                where i.id = b.instructor_id)
        else coalesce(p_location, b.location) end,
      note = coalesce(p_note, b.note),
      free_cancel_until = least(
        lower(b.during), greatest(b.free_cancel_until, p_now + cancellation_grace())),
      version = (v_locked.calendar).version + 1
  where b.id = p_booking
  returning b.* into v_booking;
  perform record_change(
    v_booking, p_student, 'confirmed', 'held', 'booking_confirmed',
    board_days(v_booking.instructor_id,
               board_dates(v_booking.during, v_booking.blocked, v_locked.calendar)),
    jsonb_build_array(booking_event('confirmed', v_booking, (v_locked.booking).version)), p_now);
  booking := answer_of(p_booking, p_student, p_key, p_fingerprint, p_now);
end
$$;

-- Extends a hold to p_held_until, once, and no longer than until its lesson starts. A null location
-- type, location or note keeps the hold's. The board stays the same, so there is no step.
create function extend_hold(
  p_student uuid, p_booking uuid, p_held_until timestamptz, p_location_type text,
  p_location text, p_note text, p_now timestamptz, p_key text, p_fingerprint bytea,
  out refusal text, out detail jsonb, out booking jsonb
)
language plpgsql volatile set plan_cache_mode = force_generic_plan as $$
declare
  v_locked  record := lock_booking(p_student, p_booking, p_key, p_fingerprint, p_now);
  v_service service;
begin
  refusal := coalesce(v_locked.refusal, hold_refusal(v_locked.booking, p_now), case
    when (v_locked.booking).hold_extended then 'HOLD_LIMIT' end);
  if v_locked.answer is not null or refusal is not null then
    booking := v_locked.answer;
    detail := state_detail(refusal, v_locked.booking);
    return;
  end if;
  if p_location_type <> (v_locked.booking).location_type then
    select s.* into v_service from service s where s.id = (v_locked.booking).service_id;
    if p_location_type <> all (v_service.location_types) then
      refusal := 'VALIDATION_ERROR';
      detail := lesson_refusal_detail(refusal, v_service, v_locked.calendar, p_location_type);
      return;
    end if;
  end if;
  update booking b
  set held_until = least(greatest(b.held_until, p_held_until), lower(b.during)),
      hold_extended = true,
      location_type = coalesce(p_location_type, b.location_type),
      location = coalesce(p_location, b.location),
      note = coalesce(p_note, b.note)
  where b.id = p_booking;
  booking := answer_of(p_booking, p_student, p_key, p_fingerprint, p_now);
end
$$;

-- Gives a hold up. One that has already expired is no error.
create function give_up_hold(
  p_student uuid, p_booking uuid, p_now timestamptz, p_key text, p_fingerprint bytea,
  out refusal text, out detail jsonb, out booking jsonb
)
language plpgsql volatile set plan_cache_mode = force_generic_plan as $$
declare
  v_locked record := lock_booking(p_student, p_booking, p_key, p_fingerprint, p_now);
  v_hold   booking;
begin
  refusal := coalesce(v_locked.refusal, case
    when (v_locked.booking).state not in ('held', 'expired') then 'WRONG_STATE' end);
  if v_locked.answer is not null or refusal is not null then
    booking := v_locked.answer;
    detail := state_detail(refusal, v_locked.booking);
    return;
  end if;
  v_hold := end_hold(p_booking, (v_locked.calendar).version + 1, p_student, p_now);
  if v_hold.id is not null then
    perform step(
      v_hold.instructor_id, board_dates(v_hold.during, v_hold.blocked, v_locked.calendar),
      jsonb_build_array(booking_event('expired', v_hold, (v_locked.booking).version)));
  end if;
  booking := answer_of(p_booking, p_student, p_key, p_fingerprint, p_now);
end
$$;

-- Why a booking is not a live hold, or null.
create function hold_refusal(p_booking booking, p_now timestamptz) returns text
language sql immutable as $$
  select case
    when p_booking.state = 'expired' or p_booking.state = 'held' and p_booking.held_until <= p_now
    then 'HOLD_EXPIRED'
    when p_booking.state <> 'held' then 'WRONG_STATE'
  end
$$;
