-- Gives a confirmed lesson's time back. The caller has seen that the actor is one of the two people.
create or replace function cancel_booking(
  p_actor uuid, p_booking uuid, p_reason text, p_now timestamptz,
  out refusal text, out detail jsonb, out booking jsonb
)
language plpgsql volatile as $$
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
